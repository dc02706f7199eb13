package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/keeper"
	"example.com/hooks/store/memory"
)

func TestEndpointsShowsTheFailingOneOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		for i := range 199 {
			c.put(hooks.Endpoint{ID: fmt.Sprintf("ep-%03d", i), Events: []string{"order.shipped"}})
		}
		c.put(hooks.Endpoint{ID: "zebra"})
		c.answer = func(*http.Request) (int, string) { return 503, "" }
		c.publish(3)

		first := c.get("/endpoints").is(200, "Those that need attention first.", "failing zebra", "ep-000", "More endpoints")
		if strings.Index(first.text, "zebra") > strings.Index(first.text, "ep-000") {
			t.Errorf("the failing endpoint does not stand first: %s", first.text)
		}
		c.get("/endpoints?cursor=ep-149").is(200, "ep-198").lacks("zebra", "need attention")
		c.get("/endpoints?tenant=globex").is(200, "No endpoint matches this filter.").lacks("zebra")

		c.access = admin.Access{Level: admin.View, Tenant: "acme"}
		page := c.get("/endpoints?limit=200").is(200, "failing zebra")
		if strings.Index(page.text, "zebra") > strings.Index(page.text, "ep-000") {
			t.Errorf("a tenant's failing endpoint does not stand first: %s", page.text)
		}
		page.lacks(`name="tenant"`, "new-endpoint")
	})
}

func TestEndpointsFiltersByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.put(hooks.Endpoint{ID: "idle", Events: []string{"order.shipped"}})
		c.answer = func(*http.Request) (int, string) { return 503, "" }
		for i := range 25 {
			c.put(hooks.Endpoint{ID: fmt.Sprintf("sick-%02d", i)})
		}
		c.publish(3)
		c.get("/endpoints").is(200, "There are more of these: filter by State.")
		c.get("/endpoints?state=failing").is(200, "sick-00", "sick-24").lacks("idle", "need attention").
			has(`<option value="failing" selected>`)
		c.get("/endpoints?state=working&state=disabled").is(200, "idle").lacks("sick")
		c.get("/endpoints?state=disabled&tenant=acme").is(200, "No endpoint matches this filter.")
		c.get("/endpoints?state=broken").is(400, `"broken" is no state; give some of`)
		c.get("/deliveries?state=failing").is(400, "Query.States")
	})
}

func TestEndpointsShowsRows(t *testing.T) {
	c := newConsole(t)
	c.get("/endpoints").is(200, "There is no endpoint yet.", "Make the first one")
	c.put(hooks.Endpoint{ID: "crm", Description: "for <sales>\u202e", Events: []string{"invoice.*", "order.*", "invoice.paid", "order.shipped"}})
	c.put(hooks.Endpoint{ID: "erp", Tenant: "globex"})
	if _, err := c.h.Publish(t.Context(), hooks.Event{Type: "invoice.paid", Tenant: "acme", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	c.get("/endpoints").
		is(200, "working crm acme for <sales>\\u202e https://crm.example/hooks invoice.*, order.*, invoice.paid and 1 more 1", "erp globex").
		has(`href="./endpoints/crm"`, `href="./deliveries?subscriber=crm&amp;status=pending&amp;status=retrying"`, `href="./new-endpoint"`)
	c.get("/endpoints?tenant=acme").is(200, "crm").lacks("erp")
	c.get("/endpoints?frog=1").is(400, "There is no parameter")

	c.access = admin.Access{Level: admin.Replay, Tenant: "acme"}
	c.get("/endpoints").is(200, "crm").lacks("erp", "globex", "new-endpoint")
	c.access = admin.Access{Level: admin.View, Tenant: "initech"}
	c.get("/endpoints").is(200, "There is no endpoint yet.").lacks("crm", "erp", "Make the first one")
}

func TestEndpointSaysHowItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.put(hooks.Endpoint{
			ID: "crm", Header: hooks.Header{"Authorization": "Bearer sesame"}, Timeout: 90 * time.Second,
			Retry: []time.Duration{time.Minute, time.Hour}, Hold: 36 * time.Hour,
		})
		c.get("/endpoints/crm").
			is(200, "crm working acme As of 00:00:00 Reload https://crm.example/hooks", "Working", "No success is known yet.",
				"waiting 0", "Timeout 1 min 30 s", "Retry 3 attempts over 1 h 1 min", "Hold 1 d 12 h", "Headers Authorization",
				"Scheme v1, HMAC-SHA256").
			has(`href="../failures?subscriber=crm&amp;since=7d"`, `href="../deliveries?subscriber=crm"`).
			lacks("sesame")

		c.publish(1)
		c.get("/endpoints/crm").is(200, "Working The last success was at 00:00:00")
		c.answer = func(*http.Request) (int, string) { return 503, "" }
		c.publish(1)
		c.get("/endpoints/crm").is(200, "The last attempt failed with 503 Service Unavailable. After three in a row it is failing.")
		c.publish(2)
		time.Sleep(20 * time.Second)
		c.get("/endpoints/crm").is(200, "Failing since 00:00:00, for 20 s",
			"Why: 3 attempts in a row failed, the last one with 503 Service Unavailable. The last success was at 00:00:00",
			"Ends: with the next success, tried in", "waiting 3")

		c.post("/endpoints/crm/disable", "until", "24h", "reason", "they <moved>")
		c.get("/endpoints/crm").is(200, "crm disabled", "Disabled since 00:00:20", "Why: “they <moved>”",
			"Ends: at 2 Jan 00:00, in 1 d, or when somebody enables it. Until then what is due is held.",
			"A delivery that is held for 1 d 12 h fails for good.", "Enable").lacks("Disable…")
	})
}

func TestEndpointWithoutKey(t *testing.T) {
	store := memory.New()
	open := func() *console {
		key, err := keeper.NewKey("k")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := keeper.New(key)
		if err != nil {
			t.Fatal(err)
		}
		return openConsole(t, hooks.Config{Store: store, Keeper: keys}, admin.Config{})
	}
	open().put(hooks.Endpoint{ID: "crm", Header: hooks.Header{"X-Team": "crm"}})
	c := open() // with another key
	c.get("/endpoints").is(200, "no key crm")
	p := c.get("/endpoints/crm").is(200, "crm no key", "Why: its secrets and headers cannot be decrypted",
		"Ends: when the application has the key again.", "They and the values of the headers are lost with this.").
		lacks(`value="24h"`)
	c.post("/endpoints/crm/edit", "version", p.value("version"), "url", "https://crm.example/", "events", "**", "header", "X-Team: ***").
		is(http.StatusConflict, "cannot be decrypted, so it cannot be changed")
	c.get("/endpoints/crm/edit").is(http.StatusConflict, "rotate the secret first")
	c.post("/endpoints/crm/rotate", "version", p.value("version"), "overlap", "24h").
		is(http.StatusConflict, "If the key is lost, choose: not at all.")
	c.post("/endpoints/crm/rotate", "version", p.value("version"), "overlap", "none").is(200, "This is shown once.")
	c.get("/endpoints/crm").is(200, "crm working", "Headers none")
}

func TestEndpointShowsWhatALevelMayDo(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm"})
	parts := []struct {
		level admin.Level
		piece string
	}{
		{admin.Replay, `action="../endpoints/crm/test#test"`},
		{admin.Manage, `href="../endpoints/crm/edit"`},
		{admin.Manage, `href="../endpoints/crm/disable"`},
		{admin.Manage, `href="../endpoints/crm/delete"`},
		{admin.Secrets, `action="../endpoints/crm/rotate"`},
	}
	posts := []struct {
		level admin.Level
		path  string
	}{
		{admin.Replay, "/endpoints/crm/test"},
		{admin.Replay, "/endpoints/crm/example"},
		{admin.Manage, "/endpoints/crm/edit"},
		{admin.Manage, "/endpoints/crm/disable"},
		{admin.Manage, "/endpoints/crm/enable"},
		{admin.Manage, "/endpoints/crm/delete"},
		{admin.Manage, "/new-endpoint"},
		{admin.Secrets, "/endpoints/crm/rotate"},
	}
	for level := admin.View; level <= admin.Secrets; level++ {
		c.access = admin.Access{Level: level, Tenant: "acme"}
		page := c.get("/endpoints/crm").is(200)
		for _, p := range parts {
			if got, want := strings.Contains(page.html, p.piece), level >= p.level; got != want {
				t.Errorf("level %v: the page has %s: %v; want %v", level, p.piece, got, want)
			}
		}
		for _, p := range posts {
			if level >= p.level {
				continue
			}
			if got := c.post(p.path); got.status != http.StatusForbidden {
				t.Errorf("level %v: POST %s = %d; want 403", level, p.path, got.status)
			}
		}
	}
	c.access = admin.Access{Level: admin.Secrets, Tenant: "globex"}
	for _, path := range []string{"", "/edit", "/disable", "/delete"} {
		c.get("/endpoints/crm"+path).is(404).lacks("acme", "crm.example")
	}
	for _, p := range posts {
		if strings.HasPrefix(p.path, "/endpoints/") {
			c.post(p.path, "version", "1", "overlap", "none", "until", "me", "url", "https://a.example", "events", "**").
				is(404).lacks("acme", "crm.example")
		}
	}
}
