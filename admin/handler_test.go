package admin_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
)

// A filter that cannot be read must not be left out: the list would show too much.
func TestAQueryStringThatCannotBeReadIsRefused(t *testing.T) {
	s := newSite(t, nil)
	before := s.store.writes.Load()
	for _, query := range []string{"subscriber=erp;x=1", "subscriber=100%", "a;b", "status=failed&%zz=1", strings.Repeat("status=failed&", 10_001)} {
		for _, address := range []string{
			"GET /deliveries", "GET /failures", "GET /events", "GET /endpoints", "GET /actions/new", "GET /search", "GET /types",
			"GET /deliveries/evt_failed.crm", "POST /deliveries/evt_failed.crm/replay", "GET /api/v1/deliveries", "GET /api/v1/events",
			"GET /api/v1/actions", "GET /api/v1/endpoints", "GET /api/v1/health", "POST /api/v1/deliveries/evt_failed.crm/replay",
		} {
			method, path, _ := strings.Cut(address, " ")
			w := s.do(t, method, path+"?"+query, "")
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "The part of the address after the question mark") {
				t.Errorf("%s?%.40s = %d %s; want 400 that names the query string", address, query, w.Code, said(w))
			}
		}
	}
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("the store was written %d times; want none", n)
	}
	if w := s.do(t, http.MethodGet, "/api/v1/deliveries?subscriber=a%3Bb%25", ""); w.Code != http.StatusOK {
		t.Errorf("an escaped semicolon and percent sign = %d %s; want 200", w.Code, w.Body)
	}
}

// A proxy that changes the Host makes the handler's own forms look like those of another
// site, unless browsers send Sec-Fetch-Site, which they do not over plain HTTP.
func TestFormsOfATrustedOriginAreTakenBehindAProxy(t *testing.T) {
	var log bytes.Buffer
	send := func(s *site, origin string) *httptest.ResponseRecorder {
		return s.do(t, http.MethodPost, "http://127.0.0.1:8080/endpoints/crm/enable", "", "Origin", origin)
	}
	s := newSite(t, func(c *admin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if w := send(s, "http://intranet.example"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "admin.Config.TrustedOrigins") {
		t.Errorf("a form of another origin = %d %s; want 403 that says what to do", w.Code, said(w))
	}
	for _, want := range []string{"origin=http://intranet.example", "host=127.0.0.1:8080", "TrustedOrigins"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has %q; want %q in it", log.String(), want)
		}
	}
	s = newSite(t, func(c *admin.Config) {
		c.TrustedOrigins = []string{"http://intranet.example", "https://tools.example:8443"}
	})
	for origin, want := range map[string]int{
		"http://intranet.example": http.StatusSeeOther, "https://tools.example:8443": http.StatusSeeOther, "http://127.0.0.1:8080": http.StatusSeeOther,
		"https://intranet.example": http.StatusForbidden, "http://intranet.example.evil.example": http.StatusForbidden, "null": http.StatusForbidden,
	} {
		if w := send(s, origin); w.Code != want {
			t.Errorf("a form of %s = %d %s; want %d", origin, w.Code, said(w), want)
		}
	}
}

func TestTrustedOriginsThatAreNone(t *testing.T) {
	s := newSite(t, nil)
	for _, origin := range []string{"", "null", "intranet.example", "http://intranet.example/", "http://intranet.example/hooks", "http://a b"} {
		_, err := admin.New(s.h, admin.Config{Authorize: admin.Unprotected, TrustedOrigins: []string{"https://good.example", origin}})
		if err == nil || !strings.Contains(err.Error(), "Config.TrustedOrigins") {
			t.Errorf("New with the trusted origin %q = %v; want an error that says how to write it", origin, err)
		}
	}
}

// A hangUp is a store whose writes are the moment at which the client hangs up.
type hangUp struct {
	hooks.Store
	client context.CancelFunc
}

func (s *hangUp) Unwrap() hooks.Store { return s.Store }

func (s *hangUp) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	n, err := s.Store.Put(ctx, now, r, emit)
	s.client()
	return n, err
}

// What was changed is audited, whether its client waits for the answer or not.
func TestTheAuditOutlivesAClientThatHangsUp(t *testing.T) {
	type key struct{}
	s := newSite(t, nil)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "of the request"))
	defer cancel()
	var told []context.Context
	s.mount(t, newHooks(t, &hangUp{s.store, cancel}), func(c *admin.Config) {
		c.Audit = func(ctx context.Context, _ admin.AuditEntry) { told = append(told, ctx) }
	})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/endpoints/crm/rotate", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	s.ui.ServeHTTP(httptest.NewRecorder(), r)
	if ctx.Err() == nil || len(told) != 1 {
		t.Fatalf("the client hung up: %v, the audit was told %d times; want it told once of a change", ctx.Err(), len(told))
	}
	if err := told[0].Err(); err != nil || told[0].Value(key{}) != "of the request" {
		t.Errorf("Audit got a context that has ended (%v), with the value %v; want the request's values only", err, told[0].Value(key{}))
	}
}

// Browsers resolve relative links by the slashes of the address, and "%2F" is none, so that
// the links of a page at such an address would lead out of the handler.
func TestAnEncodedSlashIsNoSlash(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Prefix = "/admin/hooks" })
	stripped := http.StripPrefix("/admin/hooks", s.ui)
	for _, ui := range []http.Handler{s.ui, stripped} {
		s.ui = ui
		before := s.store.writes.Load()
		for _, path := range []string{
			"deliveries%2Fevt_failed.crm", "deliveries%2fevt_failed.crm%2freplay", "deliveries/evt_failed.crm%2Freplay", "%2F", "/%2F",
			"deliveries%5Cevt_failed.crm", "events/a%5cb", "api/v1%2Ftypes", "api/v1/deliveries/evt_failed.crm%2Freplay",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				w := s.do(t, method, "/admin/hooks/"+path, "")
				if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "href") || w.Header().Get("Location") != "" {
					t.Errorf("%s %s = %d %s; want 404 without links", method, path, w.Code, said(w))
				}
			}
		}
		if n := s.store.writes.Load() - before; n > 0 {
			t.Errorf("the store was written %d times; want none", n)
		}
		for _, path := range []string{"deliveries?subscriber=a%2Fb", "deliveries/evt_failed%2Ecrm"} {
			if w := s.do(t, http.MethodGet, "/admin/hooks/"+path, ""); w.Code != http.StatusOK {
				t.Errorf("GET %s = %d; want 200", path, w.Code)
			}
		}
	}
	outer := http.NewServeMux() // what is above the prefix is not the handler's
	outer.Handle("/shops/{shop}/hooks/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = "/deliveries", ""
		newSite(t, nil).ui.ServeHTTP(w, r)
	}))
	s.ui = outer
	if w := s.do(t, http.MethodGet, "/shops/a%2Fb/hooks/deliveries", ""); w.Code != http.StatusOK {
		t.Errorf("an encoded slash above the prefix = %d; want 200", w.Code)
	}
}

// Applications decide by the path too, and by what they have put into a form.
func TestAuthorizeGetsTheRequestOfTheApplication(t *testing.T) {
	var path, token string
	var large error
	s := newSite(t, func(c *admin.Config) {
		c.Prefix = "/admin/hooks"
		c.Authorize = func(r *http.Request) (admin.Access, error) {
			path = r.URL.Path
			large = r.ParseForm()
			token = r.PostForm.Get("token")
			return operator, nil
		}
	})
	if s.do(t, http.MethodGet, "/admin/hooks/deliveries", ""); path != "/admin/hooks/deliveries" {
		t.Errorf("Authorize gets the path %q; want the whole path", path)
	}
	unstripped := s.ui
	s.ui = http.StripPrefix("/admin/hooks", unstripped)
	if s.do(t, http.MethodGet, "/admin/hooks/deliveries", ""); path != "/deliveries" {
		t.Errorf("Authorize gets the path %q; want it as the application has stripped it", path)
	}
	s.ui = unstripped
	w := s.do(t, http.MethodPost, "/admin/hooks/deliveries/evt_waiting.crm/cancel", "token=t1")
	if token != "t1" || w.Code != http.StatusSeeOther {
		t.Errorf("a form that Authorize reads: token %q, %d; want it read by both, and 303", token, w.Code)
	}
	w = s.do(t, http.MethodPost, "/admin/hooks/selected/replay", "token=t2&id=evt_failed.crm")
	if told := s.audited(); len(told) != 2 || told[1].Target != "evt_failed.crm" {
		t.Errorf("a form that Authorize reads = %d, audited %v; want its ids read too", w.Code, told)
	}
	if s.do(t, http.MethodPost, "/admin/hooks/selected/replay", "token="+strings.Repeat("x", 1<<20)); large == nil {
		t.Error("Authorize can read more than 1 MiB")
	}
}
