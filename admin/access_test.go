package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

// ids are what {…} stands for in a route, by the part of the path before it. Only what waits
// can be canceled: see address.
var ids = map[string]string{
	"events": "evt_paid", "deliveries": "evt_failed.crm", "endpoints": "crm", "handlers": "old-mailer", "types": "invoice.paid",
	"actions": "act_1",
}

// bodies are sent to the routes that need one.
var bodies = map[string]string{
	"POST api/v1/events":              `{"type":"invoice.paid","tenant":"acme","data":{}}`,
	"POST api/v1/events/explain":      `{"type":"invoice.paid","data":{}}`,
	"POST api/v1/endpoints":           `{"url":"https://new.example.com","tenant":"acme","events":["invoice.*"]}`,
	"PUT api/v1/endpoints/{id}":       `{"url":"https://new.example.com","events":["invoice.*"]}`,
	"POST api/v1/endpoints/{id}/test": `{"type":"invoice.paid"}`,
	"POST api/v1/check-url":           `{"url":"https://new.example.com"}`,
	"POST api/v1/actions":             `{"kind":"replay","query":{"subscriber":"crm","statuses":["failed"]}}`,
	"POST api/v1/actions/count":       `{"kind":"replay","query":{"subscriber":"crm","statuses":["failed"]}}`,
	"POST selected/replay":            "id=evt_failed.crm",
	"POST selected/cancel":            "id=evt_waiting.crm",
}

// address returns the path of a route, with ids in it.
func address(t *testing.T, rt admin.Route, ids map[string]string) string {
	t.Helper()
	parts := strings.Split(strings.TrimSuffix(rt.Path, "{$}"), "/")
	for i, p := range parts {
		if !strings.HasPrefix(p, "{") {
			continue
		}
		id, ok := ids[parts[i-1]]
		if !ok {
			t.Fatalf("%s: say in access_test.go what %s of %s is", rt.Path, p, parts[i-1])
		}
		parts[i] = id
	}
	if parts[len(parts)-1] == "cancel" {
		return strings.Replace("/"+strings.Join(parts, "/"), "evt_failed", "evt_waiting", 1)
	}
	return "/" + strings.Join(parts, "/")
}

// said returns what an answer says, without the page around it.
func said(w *httptest.ResponseRecorder) string {
	text := w.Body.String()
	if _, alert, ok := strings.Cut(text, `role="alert">`); ok {
		text, _, _ = strings.Cut(alert, "</p>")
	}
	return text[:min(len(text), 300)]
}

func name(rt admin.Route) string { return rt.Method + " " + rt.Path }

func isAPI(rt admin.Route) bool { return strings.HasPrefix(rt.Path, "api/") }

// expected returns the status that refuses a request, and zero for one that is let through.
func expected(rt admin.Route, a admin.Access, crossSite bool) int {
	switch {
	case a.Level == admin.None:
		return http.StatusForbidden
	case rt.Operator && !a.AllTenants:
		return http.StatusNotFound
	case a.Level < rt.Level, crossSite && rt.Method != http.MethodGet:
		return http.StatusForbidden
	}
	return 0
}

// Each route is asked by each level, as the operator and as a tenant, from a page of the
// site itself and of another one.
func TestEveryRouteIsForItsLevel(t *testing.T) {
	shared := newSite(t, nil) // of those that are refused, because nothing changes
	for _, rt := range admin.Routes() {
		for level := admin.None; level <= admin.Secrets; level++ {
			for _, who := range []admin.Access{operator, customer} {
				for _, from := range []string{"same-origin", "cross-site"} {
					who.Level = level
					want := expected(rt, who, from == "cross-site")
					s := shared
					if want == 0 && rt.Method != http.MethodGet {
						s = newSite(t, nil)
					}
					checkRoute(t, s.as(who), rt, who, from, want)
				}
			}
		}
	}
}

// checkRoute sends one request. want is the status that refuses it; zero: it is let through.
func checkRoute(t *testing.T, s *site, rt admin.Route, who admin.Access, from string, want int) {
	t.Helper()
	what := fmt.Sprintf("%s by %v (all tenants: %t), %s", name(rt), who.Level, who.AllTenants, from)
	before := s.store.writes.Load()
	s.audited()
	w := s.do(t, rt.Method, address(t, rt, ids), bodies[name(rt)], "Sec-Fetch-Site", from)
	written := s.store.writes.Load() - before
	switch {
	case want != 0 && (w.Code != want || written > 0):
		t.Errorf("%s = %d, with %d writes; want %d, and none", what, w.Code, written, want)
	case want == 0 && isAPI(rt) && w.Code >= 300:
		t.Errorf("%s = %d %s; want success", what, w.Code, said(w))
	case want == 0 && (w.Code == 403 || w.Code == 404 || w.Code == 405 || w.Code >= 500):
		t.Errorf("%s = %d %s; want it let through", what, w.Code, said(w))
	case rt.Method == http.MethodGet && written > 0:
		t.Errorf("%s wrote %d times; want GET to change nothing", what, written)
	}
	checkAudit(t, s, rt, who, what, want != 0)
}

func checkAudit(t *testing.T, s *site, rt admin.Route, who admin.Access, what string, refused bool) {
	t.Helper()
	told := s.audited()
	if rt.Action == "" {
		if len(told) > 0 {
			t.Errorf("%s: the audit was told %v; want nothing, because nothing is changed", what, told)
		}
		return
	}
	if len(told) != 1 {
		t.Errorf("%s: the audit was told %d times; want once", what, len(told))
		return
	}
	e := told[0]
	if e.Action != rt.Action || e.User != who.User || refused && e.Refused == "" || isAPI(rt) && (e.Refused != "") != refused || e.Time.IsZero() {
		t.Errorf("%s: the audit was told %+v; want %s by %s, refused: %t", what, e, rt.Action, who.User, refused)
	}
	if strings.Contains(rt.Path, "{id}") && !strings.Contains(address(t, rt, ids), e.Target) {
		t.Errorf("%s: the audit was told of %q; want the id", what, e.Target)
	}
}

// Whatever changes something has a name for the audit, unless it is known to change nothing.
func TestEveryChangeHasAnAction(t *testing.T) {
	asks := map[string]bool{"POST api/v1/events/explain": true, "POST api/v1/check-url": true, "POST api/v1/actions/count": true, "POST endpoints/{id}/example": true}
	for _, rt := range admin.Routes() {
		if want := rt.Method != http.MethodGet && !asks[name(rt)]; (rt.Action != "") != want {
			t.Errorf("%s has the action %q; want one: %t", name(rt), rt.Action, want)
		}
		if rt.Level < admin.View {
			t.Errorf("%s is for the level %v; want at least View", name(rt), rt.Level)
		}
	}
}

// Strangers are told nothing of the handler: what exists and what does not is answered alike.
func TestStrangersAreToldNothing(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Prefix = "/admin/hooks" })
	refusals := map[string]func(){
		"no access": func() { s.as(admin.Access{}) },
		"an error":  func() { s.as(operator).refusal = errors.New("not signed in") },
	}
	for what, refuse := range refusals {
		refuse()
		for _, from := range []string{"", "api/v1/"} {
			there := s.do(t, http.MethodGet, "/admin/hooks/"+from+"deliveries", "").Body.String()
			for _, address := range []string{
				"GET /admin/hooks/" + from + "x", "POST /admin/hooks/" + from + "events/evt_paid", "PATCH /admin/hooks/" + from + "deliveries",
				"GET /" + from + "elsewhere", "POST /" + from + "deliveries", "GET /admin/hooks//" + from + "x", "GET /admin/hooks/assets/none.css",
			} {
				method, path, _ := strings.Cut(address, " ")
				w := s.do(t, method, path, "")
				body := w.Body.String()
				if w.Code != http.StatusForbidden || w.Header().Get("Allow") != "" || said(w) == "" || strings.HasPrefix(there, "{") && strings.HasPrefix(body, "{") && body != there {
					t.Errorf("%s, %s = %d %s, Allow %q; want the 403 of every address", what, address, w.Code, said(w), w.Header().Get("Allow"))
				}
				for _, secret := range []string{"Prefix", "/admin/hooks", hooks.Version, "takes", "Event types"} {
					if strings.Contains(body, secret) {
						t.Errorf("%s, %s tells a stranger %q", what, address, secret)
					}
				}
			}
			if strings.Contains(there, hooks.Version) {
				t.Errorf("%s: the 403 of a page tells a stranger the version", what)
			}
		}
	}
	s.refusal = nil
	s.as(admin.Access{Level: admin.View, Tenant: "acme"})
	if w := s.do(t, http.MethodPatch, "/admin/hooks/events/evt_paid", ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
		t.Errorf("a method that is not there = %d, Allow %q; want 405 and GET", w.Code, w.Header().Get("Allow"))
	}
}

func TestAccessThatIsNone(t *testing.T) {
	for what, a := range map[string]admin.Access{
		"zero":                 {},
		"no level":             {AllTenants: true, User: "kim"},
		"no tenant":            {Level: admin.Secrets, User: "kim"},
		"a level below None":   {Level: -1, AllTenants: true},
		"a level beyond all":   {Level: admin.Secrets + 1, AllTenants: true},
		"a tenant, no level":   {Tenant: "acme"},
		"a user and no access": {User: "kim"},
	} {
		s := newSite(t, nil).as(a)
		for _, rt := range admin.Routes() {
			if w := s.do(t, rt.Method, address(t, rt, ids), bodies[name(rt)]); w.Code != http.StatusForbidden {
				t.Errorf("access %q: %s = %d; want 403", what, name(rt), w.Code)
			}
		}
	}
}

// A User that no audit and no action can have would otherwise fail each bulk action.
func TestAUserOfManyLinesIsRefused(t *testing.T) {
	for user, want := range map[string]int{
		"": 200, strings.Repeat("u", 128): 200, "Kim Ødegård": 200,
		strings.Repeat("u", 129): 403, "kim\nadmin": 403, "kim\x00": 403, "\xff": 403,
	} {
		var log bytes.Buffer
		s := newSite(t, func(c *admin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		s.as(admin.Access{Level: admin.Secrets, AllTenants: true, User: user})
		if w := s.do(t, http.MethodGet, "/api/v1/types", ""); w.Code != want {
			t.Errorf("the user %q = %d; want %d", user, w.Code, want)
		}
		if told := strings.Contains(log.String(), "mistake in the application") && strings.Contains(log.String(), "level=ERROR"); told != (want == 403) {
			t.Errorf("the user %q: the log has %q; want it told there: %t", user, log.String(), want == 403)
		}
	}
}

func TestAnErrorOfAuthorizeIsNotShown(t *testing.T) {
	s := newSite(t, nil)
	s.refusal = errors.New("session store at 10.0.0.7 is down")
	for _, rt := range admin.Routes() {
		w := s.do(t, rt.Method, address(t, rt, ids), bodies[name(rt)])
		if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("%s = %d %s; want 403 without the error", name(rt), w.Code, w.Body)
		}
	}
}

// A panic of Authorize is the application's: the server recovers it, as it does with others,
// and nothing was answered or done.
func TestAPanicOfAuthorizeLetsNobodyIn(t *testing.T) {
	s := newSite(t, func(c *admin.Config) {
		c.Authorize = func(*http.Request) (admin.Access, error) { panic("no session") }
	})
	server := httptest.NewUnstartedServer(s.ui)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	before := s.store.writes.Load()
	for _, rt := range admin.Routes() {
		r, err := http.NewRequestWithContext(t.Context(), rt.Method, server.URL+address(t, rt, ids), strings.NewReader(bodies[name(rt)]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if resp, err := server.Client().Do(r); err == nil {
			resp.Body.Close()
			t.Errorf("%s = %d; want no answer", name(rt), resp.StatusCode)
		}
	}
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("the store was written %d times; want none", n)
	}
}

func TestUnprotectedAnswersOnLoopbackOnly(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Authorize = admin.Unprotected })
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8080": 200, "127.0.0.1": 200, "127.0.0.1:8080": 200, "127.8.9.1": 200, "[::1]": 200, "[::1]:8080": 200,
		"evil.example": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "evil.example:80": 403, "": 403,
		"0.0.0.0": 403, "10.0.0.1": 403, "[::]": 403, "192.168.1.1:80": 403, "localhost:80:evil.example": 403, "::1.evil.example": 403,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/types", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ui.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q = %d; want %d", host, w.Code, want)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/deliveries", nil)
	w := httptest.NewRecorder()
	s.ui.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), "Unprotected") {
		t.Error("the page does not say that it is unprotected")
	}
}

// Browsers do not send Sec-Fetch-Site over plain HTTP, but they send Origin.
func TestWritesOfAnotherOriginAreRefused(t *testing.T) {
	for origin, allowed := range map[string]bool{
		"": true, "http://app.example": true,
		"http://evil.example": false, "http://app.example:8080": false, "null": false, "http://app.example.evil.example": false,
	} {
		s := newSite(t, nil)
		for _, rt := range admin.Routes() {
			if rt.Method == http.MethodGet || !isAPI(rt) || rt.Method == http.MethodDelete && allowed {
				continue
			}
			r := httptest.NewRequestWithContext(t.Context(), rt.Method, "http://app.example"+address(t, rt, ids), strings.NewReader(bodies[name(rt)]))
			r.Header.Set("Content-Type", "application/json")
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			w := httptest.NewRecorder()
			s.ui.ServeHTTP(w, r)
			if (w.Code != http.StatusForbidden) != allowed {
				t.Errorf("%s from %q = %d; want it allowed: %t", name(rt), origin, w.Code, allowed)
			}
		}
	}
}

func TestEveryAnswerIsSafeToEmbed(t *testing.T) {
	s := newSite(t, nil)
	paths := []string{"/nothing", "/api/v1/nothing", "//", "/assets/none.css"}
	for _, rt := range admin.Routes() {
		paths = append(paths, address(t, rt, ids)) // with GET: for some this is a 405
	}
	for _, a := range []admin.Access{operator, {}} {
		for _, path := range paths {
			w := s.as(a).do(t, http.MethodGet, path, "")
			head := w.Header()
			policy := head.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") ||
				!strings.Contains(policy, "base-uri 'none'") || !strings.Contains(policy, "form-action 'self'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s has the policy %q; want a strict one", path, policy)
			}
			for field, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
				"Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := head.Get(field); got != want {
					t.Errorf("%s has %s: %q; want %q", path, field, got, want)
				}
			}
			if head.Get("Content-Type") == "" && w.Code != http.StatusSeeOther {
				t.Errorf("%s has no Content-Type", path)
			}
		}
	}
}

func TestAssetsAreKeptForEver(t *testing.T) {
	s := newSite(t, nil).as(admin.Access{})
	page := s.do(t, http.MethodGet, "/", "").Body.String() // 403, with the style sheet
	_, rest, ok := strings.Cut(page, `rel="stylesheet" href="./`)
	name, _, _ := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no style sheet in %s", page)
	}
	w := s.do(t, http.MethodGet, "/"+name, "")
	if kept := w.Header().Get("Cache-Control"); w.Code != 200 || kept != "public, max-age=31536000, immutable" {
		t.Errorf("%s = %d, Cache-Control %q; want it kept for ever, and shown to everybody", name, w.Code, kept)
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("%s has the header %v", name, w.Header())
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	s := newSite(t, nil)
	before := s.store.writes.Load()
	for _, rt := range admin.Routes() {
		if rt.Method == http.MethodGet {
			continue
		}
		large := `{"type":"` + strings.Repeat("x", 1<<20) + `"}`
		if !isAPI(rt) {
			large = "reason=" + strings.Repeat("x", 1<<20)
		}
		if w := s.do(t, rt.Method, address(t, rt, ids), large); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s with more than 1 MiB = %d; want 413", name(rt), w.Code)
		}
	}
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("the store was written %d times; want none", n)
	}
}

// What a tenant is shown has nothing of others: neither rows nor names.
func TestATenantIsShownItsOwnOnly(t *testing.T) {
	s := newSite(t, nil).as(customer)
	for _, rt := range admin.Routes() {
		if rt.Method != http.MethodGet || rt.Operator {
			continue
		}
		text := s.do(t, http.MethodGet, address(t, rt, ids), "").Body.String()
		for _, theirs := range []string{"globex", "erp.example.com", "old-mailer", "fraud.flagged", "mailer\"", ">mailer<"} {
			if at := strings.Index(text, theirs); at >= 0 {
				t.Errorf("%s shows %q to another tenant: …%s…", name(rt), theirs, text[max(0, at-100):min(len(text), at+100)])
			}
		}
	}
}

// No answer of a page or of the API has a secret. Somebody with the level Secrets is shown
// the header's values, in the request of a delivery, but never the secret.
func TestNoAnswerHasASecret(t *testing.T) {
	shared := newSite(t, nil)
	for _, rt := range admin.Routes() {
		for _, level := range []admin.Level{admin.Manage, admin.Secrets} {
			s := shared
			if rt.Method != http.MethodGet && level >= rt.Level {
				s = newSite(t, nil)
			}
			s.as(admin.Access{Level: level, AllTenants: true})
			body := bodies[name(rt)]
			if rt.Method == http.MethodPut {
				body = `{"url":"https://new.example.com","events":["invoice.*"],"header":{"X-Key":"***"}}`
			}
			w := s.do(t, rt.Method, address(t, rt, ids), body)
			shown := kit.Haystack{Name: fmt.Sprintf("%s by %v", name(rt), level), Data: fmt.Appendf(w.Body.Bytes(), "%v %+v", w.Header(), s.audited())}
			shown.Search(t, "the secret", crmSecret)
			if level < admin.Secrets || !strings.HasSuffix(rt.Path, "/{id}/request") && rt.Path != "deliveries/{id}" {
				shown.Search(t, "the header's value", crmHeader)
			}
		}
	}
}
