package admin_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/signer"
)

// secretOf returns the secret that a page shows.
func (s shown) secretOf() string {
	s.t.Helper()
	m := regexp.MustCompile(`id="shown">(whsec_[^<]+)<`).FindStringSubmatch(s.html)
	if m == nil {
		s.t.Fatalf("%s shows no secret: %s", s.at, s.text)
	}
	return strings.ReplaceAll(m[1], "&#43;", "+")
}

func TestNewEndpointShowsItsSecretOnce(t *testing.T) {
	c := newConsole(t)
	form := c.get("/new-endpoint?tenant=acme").is(200, "New endpoint", "event types invoice.paid An invoice was paid. order.shipped hooks.").lacks("fraud.flagged")
	if got := form.value("tenant") + " " + form.value("events"); got != "acme **" {
		t.Errorf("the form has %q; want the tenant and the pattern acme **", got)
	}
	fields := []string{
		"made", form.value("made"), "tenant", "acme", "url", "https://crm.example/hooks", "events", "invoice.*\r\norder.*",
		"description", "CRM", "header", "Authorization: Bearer sesame\r\nX-Team: crm", "concurrency", "3", "timeout", "4 min 10 s",
		"hold", "2 d", "retry", "5 s, 1m30s,2 h", "ordered", "on", "raw", "on", "scheme", "v1",
	}
	made := c.post("/new-endpoint", fields...).is(200, "was made", "This is shown once.", "Done")
	secret, err := signer.ParseSecret(made.secretOf())
	if err != nil {
		t.Fatalf("the secret that is shown does not parse: %v", err)
	}
	id := form.value("made")
	if got := c.lastAudit(); got.Action != "endpoint.create" || got.Target != id || got.Refused != "" {
		t.Errorf("audit = %+v; want endpoint.create of %s", got, id)
	}

	got, err := c.h.Endpoint(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := hooks.Endpoint{
		ID: id, Tenant: "acme", URL: "https://crm.example/hooks", Events: []string{"invoice.*", "order.*"},
		Description: "CRM", Concurrency: 3, Timeout: 250 * time.Second, Hold: 48 * time.Hour, Ordered: true, Raw: true, Scheme: "v1",
	}
	if got.URL != want.URL || !slices.Equal(got.Events, want.Events) || got.Tenant != want.Tenant || got.Description != want.Description ||
		got.Concurrency != 3 || got.Timeout != want.Timeout || got.Hold != want.Hold || !got.Ordered || !got.Raw ||
		!slices.Equal(got.Retry, []time.Duration{5 * time.Second, 90 * time.Second, 2 * time.Hour}) ||
		got.Header["Authorization"] != "Bearer sesame" || got.Header["X-Team"] != "crm" {
		t.Errorf("the endpoint is %+v; want %+v", got, want)
	}

	again := c.post("/new-endpoint", fields...).is(http.StatusConflict, "Already done? There is an endpoint "+id, "Its secret is not shown again.")
	for _, page := range []shown{again, c.get("/endpoints/" + id), c.get("/endpoints/" + id + "/edit"), c.get("/endpoints")} {
		page.lacks(secret.Reveal(), "Bearer sesame\" ")
	}
	if c.lastAudit().Refused == "" {
		t.Error("the audit was not told that the second form was refused")
	}
}

func TestEndpointFormShowsWhatIsWrongBesideTheField(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "erp", Tenant: "globex"})
	c.put(hooks.Endpoint{ID: "crm"})
	tests := []struct{ field, value, says string }{
		{"url", "http://localhost/x", "url-wrong"},
		{"url", "javascript:alert(1)", "url-wrong"},
		{"events", "frog.*", "matches no event type"},
		{"events", " ", "it is empty"},
		{"events", "fraud.flagged", "matches no event type"},
		{"description", "two\nlines", "control character"},
		{"header", "no colon", `"no colon": write each header once, as Name: value.`},
		{"header", "X-A: 1\nX-A: 2", `"X-A": write each header once`},
		{"header", "X-A: ***", "is the hidden form"},
		{"header", "Host: evil", "is not yours to set"},
		{"concurrency", "many", "This is no number."},
		{"concurrency", "-1", "is negative"},
		{"timeout", "soon", "This is no duration."},
		{"timeout", "2 d", "at most 24 h"},
		{"hold", "31 d", "at most 30 days"},
		{"retry", "5 s, soon", `"soon" is no duration.`},
		{"id", "no spaces", "letters, digits, _ and -"},
		{"id", "erp", "is taken; choose another"},
		{"id", "crm", "There is an endpoint with this id."},
		{"secret", "whsec_short", "This is no secret."},
		{"scheme", "md5", "write v1 for HMAC-SHA256"},
	}
	c.access = admin.Access{Level: admin.Secrets, Tenant: "acme"}
	for _, tt := range tests {
		fields := map[string]string{"url": "https://ok.example/", "events": "**", "description": "typed", "scheme": "v1"}
		fields[tt.field] = tt.value
		var pairs []string
		for name, value := range fields {
			pairs = append(pairs, name, value)
		}
		page := c.post("/new-endpoint", pairs...)
		if page.status != 400 && page.status != 409 {
			t.Errorf("%s = %q: status %d; want 400 or 409", tt.field, tt.value, page.status)
			continue
		}
		page.has(`aria-describedby="`+tt.field+`-wrong"`, `id="`+tt.field+`-wrong"`)
		if !strings.Contains(page.text, tt.says) && !strings.Contains(page.html, tt.says) {
			t.Errorf("%s = %q: the page does not say %q; it says: %s", tt.field, tt.value, tt.says, page.text)
		}
		if tt.field == "secret" {
			page.lacks("whsec_short")
		} else if got, _ := page.field(tt.field); tt.field != "scheme" && strings.TrimSpace(got) != strings.TrimSpace(tt.value) && tt.field != "description" {
			t.Errorf("the field %s shows %q; want %q as it was typed", tt.field, got, tt.value)
		}
	}
	if list, _, err := c.h.Endpoints(t.Context(), hooks.Query{}); err != nil || len(list) != 2 {
		t.Errorf("there are %d endpoints, %v; want 2", len(list), err)
	}
}

func TestImportOfASecretNeedsTheLevelSecrets(t *testing.T) {
	c := newConsole(t)
	secret := signer.NewSecret().Reveal()
	c.access.Level = admin.Manage
	c.get("/new-endpoint").is(200).lacks(`name="secret"`)
	c.post("/new-endpoint", "id", "crm", "url", "https://crm.example/", "events", "**", "secret", secret).is(403)
	c.get("/endpoints/crm").is(404)
	c.access.Level = admin.Secrets
	c.get("/new-endpoint").is(200).has(`name="secret"`)
	c.post("/new-endpoint", "id", "crm", "url", "https://crm.example/", "events", "**", "secret", secret).
		is(200, "crm was made", "It signs with the secret that you imported.").lacks(secret)
}

func TestNewEndpointOfEd25519ShowsThePublicKey(t *testing.T) {
	c := newConsole(t)
	c.post("/new-endpoint", "id", "crm", "url", "https://crm.example/", "events", "**", "scheme", "v1a").
		is(200, "Public key", "they verify with it, and cannot sign").has(`id="shown">whpk_`).lacks("whsk_", "whsec_")
	c.get("/endpoints/crm").is(200, "v1a, Ed25519", "Public key whpk_").lacks("Import a secret")
}

func TestEditKeepsWhatIsHidden(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm", Header: hooks.Header{"Authorization": "Bearer sesame", "X-Old": "1"}, Retry: []time.Duration{}, Timeout: 1500 * time.Millisecond})
	form := c.get("/endpoints/crm/edit").is(200, "Edit crm").lacks("sesame")
	for name, want := range map[string]string{"header": "Authorization: ***\nX-Old: ***", "retry": "none", "timeout": "1 s 500 ms", "hold": "", "concurrency": ""} {
		if got := form.value(name); got != want {
			t.Errorf("the field %s shows %q; want %q", name, got, want)
		}
	}
	c.post("/endpoints/crm/edit", "version", form.value("version"), "url", "https://new.example/", "events", "invoice.paid",
		"header", "Authorization: ***\r\nX-New: 2", "retry", form.value("retry"), "timeout", form.value("timeout")).goesTo("/endpoints/crm?did=changed")
	c.get("/endpoints/crm?did=changed").is(200, "Saved.", "https://new.example/")
	got, err := c.h.Endpoint(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Header) != 2 || got.Header["Authorization"] != "Bearer sesame" || got.Header["X-New"] != "2" ||
		got.Retry == nil || len(got.Retry) != 0 || got.Timeout != 1500*time.Millisecond || got.Tenant != "acme" {
		t.Errorf("the endpoint is %+v with the headers %v; want what was not changed kept", got, map[string]string(got.Header))
	}
	c.post("/endpoints/crm/edit", "url", "https://new.example/", "events", "**").is(400, "lacks the version")
	c.get("/endpoints/frog/edit").is(404)
	c.post("/endpoints/frog/edit", "version", "1").is(404)
}

func TestEditShowsWhatSomebodyElseHasChanged(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm", Description: "old", Header: hooks.Header{"X-Team": "crm"}})
	form := c.get("/endpoints/crm/edit")
	c.put(hooks.Endpoint{ID: "crm", Description: "theirs", URL: "https://theirs.example/", Ordered: true, Header: hooks.Header{"X-Team": "new"}})
	fields := func(form shown) []string {
		return []string{"version", form.value("version"), "url", "https://mine.example/", "events", "**", "description", "old", "header", "X-Team: ***"}
	}
	refused := c.post("/endpoints/crm/edit", fields(form)...).
		is(http.StatusConflict, "Not saved. Somebody else has changed this endpoint", "Stored now: https://theirs.example/", "Stored now: theirs", "Stored now: on").
		lacks("Stored now: **", "Stored now: X-Team")
	if got := refused.value("url"); got != "https://mine.example/" {
		t.Errorf("the field url shows %q; want what was typed", got)
	}
	if c.lastAudit().Refused == "" {
		t.Error("the audit was not told of the refusal")
	}
	c.post("/endpoints/crm/edit", fields(refused)...).goesTo("/endpoints/crm?did=changed")
	got, err := c.h.Endpoint(t.Context(), "crm")
	if err != nil || got.URL != "https://mine.example/" || got.Header["X-Team"] != "new" || got.Ordered {
		t.Errorf("the endpoint is %+v, %v; want mine, with the header that is stored", got, err)
	}
	if err := c.h.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	c.post("/endpoints/crm/edit", fields(refused)...).is(404)
}

func TestEditOfTheSchemeNeedsTheLevelSecrets(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm"})
	c.access.Level = admin.Manage
	form := c.get("/endpoints/crm/edit").lacks(`name="scheme"`, `name="secret"`)
	fields := []string{"version", form.value("version"), "url", "https://crm.example/", "events", "**", "scheme", "v1a"}
	c.post("/endpoints/crm/edit", fields...).goesTo("/endpoints/crm?did=changed")
	c.get("/endpoints/crm").is(200, "v1, HMAC-SHA256")
	c.access.Level = admin.Secrets
	fields[1] = c.get("/endpoints/crm/edit").value("version")
	c.post("/endpoints/crm/edit", fields...).is(200, "New secret of crm", "Public key", "The old secret signs beside it for 24 hours.")
}

func TestRotateShowsTheSecretOnce(t *testing.T) {
	for overlap, signatures := range map[string]int{"none": 1, "1h": 2, "24h": 2, "7d": 2} {
		synctest.Test(t, func(t *testing.T) {
			c := newConsole(t)
			c.put(hooks.Endpoint{ID: "crm"})
			version := c.get("/endpoints/crm").value("version")
			made := c.post("/endpoints/crm/rotate", "version", version, "overlap", overlap).is(200, "New secret of crm", "This is shown once.")
			secret := made.secretOf()
			if got := c.lastAudit(); got.Action != "endpoint.rotate" || got.Target != "crm" || got.Refused != "" {
				t.Errorf("audit = %+v; want endpoint.rotate of crm", got)
			}
			c.post("/endpoints/crm/rotate", "version", version, "overlap", overlap).
				is(http.StatusConflict, "Already done: the secret was rotated", "It is not shown again.").lacks(secret)
			if c.lastAudit().Refused == "" {
				t.Error("the audit was not told that the second form was refused")
			}
			c.get("/endpoints/crm/rotate").goesTo("/endpoints/crm")
			c.get("/endpoints/crm").is(200).lacks(secret)

			c.publish(1)
			if got := len(strings.Fields(c.sent[0].Header.Get("webhook-signature"))); got != signatures {
				t.Errorf("overlap %s: %d signatures; want %d", overlap, got, signatures)
			}
		})
	}
}

func TestRotateImports(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm"})
	version := c.get("/endpoints/crm").value("version")
	c.post("/endpoints/crm/rotate", "version", version, "overlap", "24h", "secret", "sesame").
		is(400, "This is no secret.").has(`id="secret-wrong"`, "<details open>").lacks("sesame")
	secret := signer.NewSecret().Reveal()
	c.post("/endpoints/crm/rotate", "version", version, "overlap", "24h", "secret", secret).goesTo("/endpoints/crm?did=imported")
	c.get("/endpoints/crm?did=imported").is(200, "The secret was imported.").lacks(secret)
	c.post("/endpoints/crm/rotate", "version", version).is(400, "Choose how long")
	c.post("/endpoints/crm/rotate", "overlap", "24h").is(400, "lacks the version")
}
