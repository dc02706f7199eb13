package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
)

// A changed is what the API answers to a change of an endpoint.
type changed struct {
	Endpoint struct {
		ID, Tenant, URL string
		Header          map[string]string
		Version         int64
		PublicKey       string `json:"public_key"`
	}
	Secret string
}

// signsWith reports whether the request of a delivery is signed with a secret.
func (s *site) signsWith(t *testing.T, delivery, secret string) bool {
	t.Helper()
	id, err := hooks.ParseDeliveryID(delivery)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.h.Request(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return signer.Verifier{Secrets: []signer.Secret{kit.Secret(t, secret)}}.Verify(r.Header, body, time.Now()) == nil
}

func TestMakeAnEndpointByAPI(t *testing.T) {
	s := newSite(t, nil)
	var made changed
	w := s.api(t, "POST", "endpoints", `{"url":"https://new.example.com/h","tenant":"acme","events":["invoice.*"],"header":{"X-A":"b"},`+
		`"timeout_ms":1500.5,"hold_ms":60000,"retry_ms":[],"concurrency":2}`, 201, &made)
	id := made.Endpoint.ID
	if !strings.HasPrefix(made.Secret, "whsec_") || w.Header().Get("Location") != "endpoints/"+id || made.Endpoint.Header["X-A"] != "***" {
		t.Errorf("made = %s, Location %q; want its secret, once, and no value of its header", w.Body, w.Header().Get("Location"))
	}
	e, err := s.h.Endpoint(t.Context(), id)
	if err != nil || e.Timeout != 1500500*time.Microsecond || e.Hold != time.Minute || e.Retry == nil || len(e.Retry) != 0 || e.Header["X-A"] != "b" {
		t.Errorf("the stored endpoint is %+v, %v; want what was sent", e, err)
	}
	if got := s.api(t, "GET", "endpoints/"+id, "", 200, nil); strings.Contains(got.Body.String(), made.Secret) || got.Header().Get("ETag") != w.Header().Get("ETag") {
		t.Errorf("read, it is %s with ETag %q; want no secret, and the ETag %q", got.Body, got.Header().Get("ETag"), w.Header().Get("ETag"))
	}
	if told := s.audited(); len(told) != 1 || told[0].Target != id || told[0].Action != "endpoint.create" {
		t.Errorf("the audit was told %+v; want the new id", told)
	}
	s.refused(t, "POST", "endpoints", `{"id":"crm","url":"https://new.example.com/h","tenant":"acme","events":["invoice.*"]}`, 409)
	if e, err := s.h.Endpoint(t.Context(), "crm"); err != nil || e.URL != "https://crm.example.com/hooks" {
		t.Errorf("crm is now %+v, %v; want it unchanged", e, err)
	}
	s.refused(t, "POST", "endpoints", `{"id":"mailer","url":"https://new.example.com/h","events":["invoice.*"]}`, 400)
}

// What was read can be sent back, and then nothing is written.
func TestAnEndpointThatIsSentBackStaysTheSame(t *testing.T) {
	s := newSite(t, nil)
	kit.Put(t, s.h, hooks.Endpoint{
		ID: "full", Tenant: "acme", URL: "https://x.example.com", Events: []string{"invoice.*"}, Description: "all of it",
		Scheme: hooks.SchemeEd25519, Header: hooks.Header{"X-A": "b"}, Raw: true, Ordered: true, Concurrency: 3,
		Timeout: 1234567 * time.Nanosecond, Hold: time.Hour, Retry: []time.Duration{time.Second, 90 * time.Second},
	})
	for _, id := range []string{"full", "crm"} {
		stored := kit.Recorded(t, s.store, id)
		read := s.api(t, "GET", "endpoints/"+id, "", 200, nil)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(read.Body.Bytes(), &fields); err != nil || id == "full" && len(fields) < 15 {
			t.Errorf("full has the fields %v, %v; want all, so that each is tried", fields, err)
		}
		w := s.api(t, "PUT", "endpoints/"+id, read.Body.String(), 200, nil, "If-Match", read.Header().Get("ETag"))
		if now := kit.Recorded(t, s.store, id); now.Version != stored.Version || w.Header().Get("ETag") != read.Header().Get("ETag") {
			t.Errorf("%s was sent back as it was read, and is now version %d with ETag %s; want %d, %s", id, now.Version, w.Header().Get("ETag"), stored.Version, read.Header().Get("ETag"))
		}
	}
}

func TestChangesOfAnEndpointByAPI(t *testing.T) {
	s := newSite(t, nil)
	first := s.api(t, "GET", "endpoints/crm", "", 200, nil).Header().Get("ETag")
	const body = `{"url":"https://second.example.com","events":["invoice.paid"],"header":{"X-Key":"***","X-New":"n"}}`
	w := s.api(t, "PUT", "endpoints/crm", body, 200, nil, "If-Match", first)
	second := w.Header().Get("ETag")
	if strings.Contains(w.Body.String(), "secret") || second == first || second == "" {
		t.Errorf("changed = %s, ETag %s; want no secret, and another ETag than %s", w.Body, second, first)
	}
	e, err := s.h.Endpoint(t.Context(), "crm")
	if err != nil || e.URL != "https://second.example.com" || e.Tenant != "acme" || e.Header["X-Key"] != crmHeader || e.Header["X-New"] != "n" {
		t.Errorf("the endpoint is %+v, %v; want the change, and the header's value kept", e, err)
	}
	for _, tag := range []string{first, `"0"`, `"x"`, `W/` + second, `2`, `"-1"`} {
		s.refused(t, "PUT", "endpoints/crm", body, 412, "If-Match", tag)
		s.refused(t, "POST", "endpoints/crm/rotate", "", 412, "If-Match", tag)
		s.refused(t, "DELETE", "endpoints/crm", "", 412, "If-Match", tag)
	}
	s.refused(t, "PUT", "endpoints/crm", body, 400, "If-Match", first+", "+second)
	s.refused(t, "PUT", "endpoints/crm", `{"version":999,`+body[1:], 409)
	s.refused(t, "PUT", "endpoints/crm", `{"id":"erp",`+body[1:], 400)
	s.refused(t, "PUT", "endpoints/crm", `{"tenant":"globex",`+body[1:], 400)
	s.refused(t, "PUT", "endpoints/crm", strings.Replace(body, "X-New", "X-Other", 1)[:len(body)-4]+`"***"}}`, 400)
	s.refused(t, "PUT", "endpoints/none", body, 404)
	s.api(t, "PUT", "endpoints/crm", body, 200, nil)
	s.api(t, "PUT", "endpoints/crm", body, 200, nil, "If-Match", "*")
	s.api(t, "PUT", "endpoints/crm", body, 200, nil, "If-Match", second)
	s.api(t, "DELETE", "endpoints/crm", "", 204, nil, "If-Match", second)
	s.refused(t, "DELETE", "endpoints/crm", "", 404)
}

// Whoever may change a URL, but not read the values of headers, must not send them there.
func TestHiddenHeadersMoveOnlyByTheLevelSecrets(t *testing.T) {
	s := newSite(t, nil)
	form := func(url, key string) string {
		e, err := s.h.Endpoint(t.Context(), "crm")
		if err != nil {
			t.Fatal(err)
		}
		return "version=" + strconv.FormatInt(e.Version, 10) + "&events=**&header=X-Key:+" + key + "&url=" + url
	}
	s.as(admin.Access{Level: admin.Manage, AllTenants: true, User: "kim"})
	for _, url := range []string{"https://evil.example.com/", "https://crm.example.com:444/hooks", "https://crm.example.com.evil.example/", "https://crm.example.com@evil.example.com/"} {
		before := s.store.writes.Load()
		if p := s.refused(t, "PUT", "endpoints/crm", `{"url":"`+url+`","events":["**"],"header":{"X-Key":"***"}}`, 403); p.Field != "Endpoint.Header" || !strings.Contains(p.Detail, "Secrets") {
			t.Errorf("PUT of %s = %+v; want that the values are written again", url, p)
		}
		w := s.do(t, "POST", "/endpoints/crm/edit", form(url, "***"))
		if w.Code != 403 || !strings.Contains(w.Body.String(), `id="header-wrong"`) || s.store.writes.Load() != before {
			t.Errorf("the form with %s = %d %s; want 403, the reason beside the headers, and nothing written", url, w.Code, w.Body)
		}
	}
	if w := s.do(t, "GET", "/endpoints/crm/edit", ""); !strings.Contains(w.Body.String(), "write the values again") {
		t.Error("the form does not say that the values must be written again")
	}
	s.api(t, "PUT", "endpoints/crm", `{"url":"https://CRM.example.com:443/other","events":["**"],"header":{"X-Key":"***"}}`, 200, nil)
	if w := s.do(t, "POST", "/endpoints/crm/edit", form("https://new.example.com/", "typed")); w.Code != 303 {
		t.Errorf("the form with a value that was written = %d; want 303", w.Code)
	}
	s.as(operator)
	s.api(t, "PUT", "endpoints/crm", `{"url":"https://third.example.com/","events":["**"],"header":{"X-Key":"***"}}`, 200, nil)
}

func TestRotateByAPI(t *testing.T) {
	s := newSite(t, nil)
	tag := s.api(t, "GET", "endpoints/crm", "", 200, nil).Header().Get("ETag")
	var rotated changed
	s.api(t, "POST", "endpoints/crm/rotate", `{"overlap_ms":-1}`, 200, &rotated, "If-Match", tag)
	if !s.signsWith(t, "evt_waiting.crm", rotated.Secret) || s.signsWith(t, "evt_waiting.crm", crmSecret) {
		t.Error("the new secret does not sign alone")
	}
	s.refused(t, "POST", "endpoints/crm/rotate", "", 412, "If-Match", tag)
	s.refused(t, "POST", "endpoints/crm/rotate", `{"version":1}`, 409)
	var imported changed
	s.api(t, "POST", "endpoints/crm/rotate", `{"secret":"`+crmSecret+`","overlap_ms":60000}`, 200, &imported)
	if imported.Secret != "" || !s.signsWith(t, "evt_waiting.crm", crmSecret) || !s.signsWith(t, "evt_waiting.crm", rotated.Secret) {
		t.Errorf("imported = %+v; want both to sign, and the secret not shown", imported)
	}
	p := s.refused(t, "POST", "endpoints/crm/rotate", `{"secret":"whsec_?`+crmSecret+`"}`, 400)
	if strings.Contains(p.Detail, crmSecret) {
		t.Errorf("a secret that is none: %q; want it not repeated", p.Detail)
	}
	s.refused(t, "POST", "endpoints/none/rotate", "", 404)
}

func TestImportingASecretNeedsItsLevel(t *testing.T) {
	s := newSite(t, nil).as(admin.Access{Level: admin.Manage, AllTenants: true})
	const fields = `"url":"https://x.example.com","events":["**"],"secret":"` + crmSecret + `"}`
	before := s.store.writes.Load()
	for method, path := range map[string]string{"POST": "endpoints", "PUT": "endpoints/crm"} {
		if p := s.refused(t, method, path, "{"+fields, 403); p.Field != "secret" || !strings.Contains(p.Detail, "Secrets") {
			t.Errorf("%s with a secret = %+v; want that it needs the level Secrets", method, p)
		}
	}
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("the store was written %d times; want none", n)
	}
	s.as(operator)
	var made changed
	s.api(t, "POST", "endpoints", `{"id":"imported",`+fields, 201, &made)
	if made.Secret != "" {
		t.Errorf("made = %+v; want a secret that was imported not shown", made)
	}
}

// Another scheme makes a new secret, as a rotation does.
func TestChangingTheSchemeNeedsTheLevelSecrets(t *testing.T) {
	s := newSite(t, nil).as(admin.Access{Level: admin.Manage, AllTenants: true})
	const fields = `"url":"https://x.example.com","events":["**"]}`
	before := s.store.writes.Load()
	if p := s.refused(t, "PUT", "endpoints/crm", `{"scheme":"v1a",`+fields, 403); p.Field != "scheme" || s.store.writes.Load() != before {
		t.Errorf("another scheme = %+v; want that it needs the level Secrets, and nothing written", p)
	}
	s.as(operator)
	var changed changed
	s.api(t, "PUT", "endpoints/crm", `{"scheme":"v1a",`+fields, 200, &changed)
	key := changed.Endpoint.PublicKey
	if changed.Secret != "" || !strings.HasPrefix(key, "whpk_") {
		t.Errorf("changed = %+v; want a public key and no secret", changed)
	}
	s.as(admin.Access{Level: admin.Manage, AllTenants: true})
	s.api(t, "PUT", "endpoints/crm", "{"+fields, 200, &changed)
	if changed.Endpoint.PublicKey != key {
		t.Errorf("changed without a scheme = %+v; want it to keep its own", changed)
	}
	s.as(operator)
	if s.api(t, "PUT", "endpoints/crm", `{"scheme":"v1",`+fields, 200, &changed); !strings.HasPrefix(changed.Secret, "whsec_") {
		t.Errorf("back at v1 = %+v; want the new secret, once", changed)
	}
}

func TestDisableAndEnableByAPI(t *testing.T) {
	s := newSite(t, nil)
	var health hooks.EndpointHealth
	s.api(t, "POST", "endpoints/crm/disable", `{"reason":"they asked","until":"2030-01-02T03:04:05Z"}`, 204, nil)
	s.api(t, "GET", "endpoints/crm/health", "", 200, &health)
	if health.State != hooks.StateDisabled || health.Reason != "they asked" || health.Until.Year() != 2030 || health.Waiting.N != 1 {
		t.Errorf("disabled, its health is %+v", health)
	}
	s.refused(t, "POST", "endpoints/crm/disable", `{"until":"2020-01-01T00:00:00Z"}`, 400)
	s.api(t, "POST", "endpoints/crm/enable", "", 204, nil)
	health = hooks.EndpointHealth{}
	if s.api(t, "GET", "endpoints/crm/health", "", 200, &health); health.State != hooks.StateWorking {
		t.Errorf("enabled, its health is %+v; want it working", health)
	}
	s.api(t, "POST", "endpoints/crm/disable", "", 204, nil)
	s.refused(t, "POST", "endpoints/none/enable", "", 404)
}

func TestSendATestByAPI(t *testing.T) {
	s := newSite(t, nil)
	var a struct {
		Code int
		Body string
	}
	s.api(t, "POST", "endpoints/crm/test", `{"type":"invoice.paid"}`, 200, &a)
	if a.Code != 200 || a.Body != `{"ok":true}` {
		t.Errorf("the attempt is %+v; want the answer", a)
	}
	kit.Put(t, s.h, hooks.Endpoint{ID: "gone", Tenant: "acme", URL: "https://gone.example.com/h", Events: []string{"**"}})
	s.api(t, "POST", "endpoints/gone/test", `{"type":"invoice.paid","data":{"n":1}}`, 200, &a)
	if a.Code != http.StatusGone {
		t.Errorf("a test that fails has the code %d; want 410 in an answer 200", a.Code)
	}
	s.refused(t, "POST", "endpoints/crm/test", `{"type":"order.placed"}`, 400) // no example
	s.refused(t, "POST", "endpoints/none/test", `{"type":"invoice.paid"}`, 404)
}

// A receiver would take a test with the id of a real event for that event.
func TestATestCannotChooseItsIDOrTime(t *testing.T) {
	s := newSite(t, nil).as(admin.Access{Level: admin.Replay, AllTenants: true, User: "kim"})
	for field, value := range map[string]string{"id": "evt_paid", "time": "2020-01-02T03:04:05Z"} {
		p := s.refused(t, "POST", "endpoints/crm/test", `{"type":"invoice.paid","data":{"number":1},"`+field+`":"`+value+`"}`, 400)
		if p.Field != field {
			t.Errorf("a test with %s = %+v; want it refused because of that field", field, p)
		}
		w := s.do(t, "POST", "/endpoints/crm/test", "type=invoice.paid&filled=invoice.paid&data=%7B%7D&"+field+"="+value)
		if w.Code != 400 {
			t.Errorf("the form of a test with %s = %d; want 400", field, w.Code)
		}
	}
}

func TestCheckURLByAPI(t *testing.T) {
	s := newSite(t, nil)
	for url, allowed := range map[string]bool{
		"https://x.example.com/h": true, "http://x.example.com/h": false, "https://127.0.0.1/h": false, "nonsense": false, "": false,
	} {
		var answer struct {
			Allowed bool
			Problem string
		}
		s.api(t, "POST", "check-url", `{"url":"`+url+`"}`, 200, &answer)
		if answer.Allowed != allowed || (answer.Problem == "") != allowed {
			t.Errorf("check-url %q = %+v; want allowed: %t", url, answer, allowed)
		}
	}
}
