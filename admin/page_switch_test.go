package admin_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
)

func TestDisableAndEnable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.put(hooks.Endpoint{ID: "crm", Hold: 2 * time.Hour})
		c.get("/endpoints/crm/disable").is(200, "Disable crm?", "Events are published to it as before, and wait. Nothing waits now.",
			"A delivery that is held for 2 h fails for good.", "for 1 hour", "for 24 hours", "for 7 days", "until I enable it")
		c.post("/endpoints/crm/disable", "until", "me", "reason", "").goesTo("/endpoints/crm?did=disabled")
		c.get("/endpoints/crm?did=disabled").is(200, "Disabled. What is due is held", "Nobody gave a reason.", "Ends: when somebody enables it.", "Change reason or end")
		c.publish(1)
		if len(c.sent) != 0 {
			t.Errorf("%d requests were sent to a disabled endpoint", len(c.sent))
		}
		c.get("/endpoints/crm/disable").is(200, "It is disabled already.", "1 waits now.")
		for value, want := range map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour} {
			c.post("/endpoints/crm/disable", "until", value, "reason", "why").goesTo("/endpoints/crm?did=disabled")
			h, err := c.h.EndpointHealth(t.Context(), "crm")
			if got := time.Until(h.Until); err != nil || got != want || h.Reason != "why" {
				t.Errorf("disabled for %v with the reason %q, %v; want %v", got, h.Reason, err, want)
			}
		}
		c.post("/endpoints/crm/enable").goesTo("/endpoints/crm?did=enabled")
		c.get("/endpoints/crm?did=enabled").is(200, "Enabled. What is due is sent now.", "crm working")
		c.publish(0)
		if len(c.sent) != 1 {
			t.Errorf("%d requests were sent after enabling; want 1", len(c.sent))
		}
		var told []string
		for _, e := range c.audit {
			told = append(told, e.Action+" "+e.Target)
		}
		if got := strings.Join(told, ", "); got != strings.Repeat("endpoint.disable crm, ", 4)+"endpoint.enable crm" {
			t.Errorf("the audit was told: %s", got)
		}
	})
}

func TestDisableSaysWhatIsWrong(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm"})
	p := c.post("/endpoints/crm/disable", "until", "1h", "reason", "two\nlines").is(400, "control character").has(`id="reason-wrong"`, `value="1h" selected`)
	if got := p.value("reason"); !strings.HasPrefix(got, "two") {
		t.Errorf("the field reason shows %q; want what was typed", got)
	}
	c.post("/endpoints/crm/disable", "until", "frog").is(400, "Choose one of these.").has(`id="until-wrong"`)
	if c.lastAudit().Refused == "" {
		t.Error("the audit was not told of the refusal")
	}
	for _, what := range []string{"/disable", "/delete"} {
		c.get("/endpoints/frog" + what).is(404)
		c.post("/endpoints/frog"+what, "until", "1h").is(404)
	}
	c.post("/endpoints/frog/enable").is(404)
}

func TestDeleteSaysWhatIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.put(hooks.Endpoint{ID: "crm"})
		c.get("/endpoints/crm/delete").is(200, "Delete crm?", "Nothing waits for it, so nothing is canceled.")
		c.post("/endpoints/crm/disable", "until", "me")
		c.publish(2)
		c.get("/endpoints/crm/delete").is(200, "2 deliveries that wait for it are canceled.", "disable it instead")
		c.post("/endpoints/crm/delete").goesTo("/endpoints?did=deleted")
		c.get("/endpoints?did=deleted").is(200, "The endpoint was deleted. What waited for it is canceled.").lacks("crm")
		c.get("/endpoints/crm").is(404)
		c.access = admin.Access{Level: admin.View, AllTenants: true}
		c.get("/endpoints?did=<script>").is(200).lacks("class=\"notice")
	})
}
