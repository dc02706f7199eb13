package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

// A mount is a way to put the handler into an application.
type mount struct {
	name   string
	prefix string // Config.Prefix
	root   string // where people open it
	app    func(t *testing.T, ui http.Handler) http.Handler
}

// at mounts a handler with ServeMux, with and without the slash.
func at(path string, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path+"/", h)
	mux.Handle(path, h)
	return mux
}

// proxied serves what is at the path from of an application at the path to of a proxy.
func proxied(t *testing.T, from, to string, app http.Handler) http.Handler {
	t.Helper()
	behind := httptest.NewServer(app)
	t.Cleanup(behind.Close)
	target, err := url.Parse(behind.URL + from)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(to+"/", http.StripPrefix(to, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // or browsers' Origin would not be the Host's
	}}))
	return mux
}

var mounts = []mount{
	{"at the root", "", "/", func(_ *testing.T, ui http.Handler) http.Handler { return ui }},
	{"by ServeMux", "/hooks", "/hooks/", func(_ *testing.T, ui http.Handler) http.Handler { return at("/hooks", ui) }},
	{"by ServeMux, two segments", "/admin/hooks", "/admin/hooks/", func(_ *testing.T, ui http.Handler) http.Handler {
		return at("/admin/hooks", ui)
	}},
	{"stripped, Prefix given", "/admin/hooks", "/admin/hooks/", func(_ *testing.T, ui http.Handler) http.Handler {
		return at("/admin/hooks", http.StripPrefix("/admin/hooks", ui))
	}},
	{"stripped, no Prefix", "", "/admin/hooks/", func(_ *testing.T, ui http.Handler) http.Handler {
		return at("/admin/hooks", http.StripPrefix("/admin/hooks", ui))
	}},
	{"stripped with its slash", "", "/hooks/", func(_ *testing.T, ui http.Handler) http.Handler {
		return at("/hooks", http.StripPrefix("/hooks", ui))
	}},
	{"behind a proxy that strips", "/admin/hooks", "/tools/admin/hooks/", func(t *testing.T, ui http.Handler) http.Handler {
		return proxied(t, "", "/tools", at("/admin/hooks", ui))
	}},
	{"behind a proxy that strips all", "", "/tools/hooks/", func(t *testing.T, ui http.Handler) http.Handler {
		return proxied(t, "", "/tools/hooks", ui)
	}},
	{"behind a proxy that adds", "/very/deep/hooks", "/", func(t *testing.T, ui http.Handler) http.Handler {
		return proxied(t, "/very/deep/hooks", "", at("/very/deep/hooks", ui))
	}},
}

// Wherever the handler is mounted, each link of its pages works.
func TestMounts(t *testing.T) {
	for _, m := range mounts {
		t.Run(m.name, func(t *testing.T) {
			s := newSite(t, func(c *admin.Config) { c.Prefix = m.prefix })
			server := httptest.NewServer(m.app(t, s.ui))
			t.Cleanup(server.Close)
			root := server.URL + m.root
			followed := (&kit.Crawler{Do: server.Client().Do, Root: root}).Crawl(t)
			for _, path := range []string{"", "deliveries", "deliveries/evt_failed.crm", "events/evt_paid", "endpoints/crm", "api/v1/openapi.json"} {
				if !slices.Contains(followed, path) && !strings.HasPrefix(path, "api/") {
					t.Errorf("no link led to %q; %d were followed", path, len(followed))
				}
				if got := fetch(t, server, http.MethodGet, root+path); got.StatusCode != 200 || got.Request.URL.String() != root+path {
					t.Errorf("GET %s = %d at %s; want 200 there", root+path, got.StatusCode, got.Request.URL)
				}
			}
			if m.root != "/" {
				bare := strings.TrimSuffix(root, "/")
				if got := fetch(t, server, http.MethodGet, bare); got.StatusCode != 200 || got.Request.URL.String() != root {
					t.Errorf("GET %s = %d at %s; want 200 at %s", bare, got.StatusCode, got.Request.URL, root)
				}
			}
			at := root + "deliveries/evt_waiting.crm"
			if got := fetch(t, server, http.MethodPost, at+"/cancel"); got.StatusCode != 200 || !strings.HasPrefix(got.Request.URL.String(), at) ||
				got.Request.Method != http.MethodGet {
				t.Errorf("POST %s = %d by %s at %s; want the page of the delivery", at+"/cancel", got.StatusCode, got.Request.Method, got.Request.URL)
			}
		})
	}
}

// fetch sends a request as a page of the same origin does, and follows where it is sent.
func fetch(t *testing.T, server *httptest.Server, method, address string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", server.URL)
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// A path that the handler does not have is most often a wrong mount, so the answer says
// where the handler believes that it is.
func TestAWrongMountIsNamed(t *testing.T) {
	for prefix, want := range map[string]string{"": "Config.Prefix is empty", "/admin/hooks": "at /admin/hooks, as admin.Config.Prefix says"} {
		s := newSite(t, func(c *admin.Config) { c.Prefix = prefix })
		for _, path := range []string{"/elsewhere/deliveries", "/elsewhere/api/v1/types", "/admin/hooksdeliveries", "/x"} {
			if w := s.do(t, http.MethodGet, path, ""); w.Code != 404 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("with the Prefix %q, GET %s = %d %s; want 404 and %q", prefix, path, w.Code, w.Body, want)
			}
		}
	}
	s := newSite(t, func(c *admin.Config) { c.Prefix = "/admin/hooks" })
	if w := s.do(t, http.MethodPost, "/admin/hooks", ""); w.Code != 404 {
		t.Errorf("POST to the bare prefix = %d; want 404, and no redirect that loses the body", w.Code)
	}
}

// A path that does not begin with the prefix is the handler's only if the application has
// stripped the prefix, which the address of the request shows.
func TestAPathOutsideThePrefixIsNotFound(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Prefix = "/admin/hooks" })
	whole := s.ui
	for _, path := range []string{"/", "/deliveries", "/endpoints/crm/disable", "/api/v1/deliveries", "/admin", "/admin/", "/admin/hooksdeliveries", "/x/admin/hooks/deliveries"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if w := s.do(t, method, path, ""); w.Code != 404 || !strings.Contains(w.Body.String(), "at /admin/hooks, as admin.Config.Prefix says") {
				t.Errorf("%s %s = %d %s; want 404 that says where the handler is", method, path, w.Code, said(w))
			}
		}
	}
	s.ui = http.StripPrefix("/elsewhere", whole)
	if w := s.do(t, http.MethodGet, "/elsewhere/deliveries", ""); w.Code != 404 {
		t.Errorf("another prefix that is stripped = %d; want 404", w.Code)
	}
	for _, strip := range []string{"/admin/hooks", "/tools/admin/hooks", "/tools"} {
		s.ui = http.StripPrefix(strip, whole)
		path := "/tools/admin/hooks/deliveries"
		if strip == "/admin/hooks" {
			path = "/admin/hooks/deliveries"
		}
		if w := s.do(t, http.MethodGet, path, ""); w.Code != 200 {
			t.Errorf("%s where %s is stripped = %d %s; want 200", path, strip, w.Code, said(w))
		}
	}
}

// A prefix may be called like a page.
func TestAPrefixThatIsCalledLikeAPage(t *testing.T) {
	for _, prefix := range []string{"/events", "/deliveries", "/api", "/assets", "/api/v1"} {
		s := newSite(t, func(c *admin.Config) { c.Prefix = prefix })
		for what, ui := range map[string]http.Handler{"whole": s.ui, "stripped": http.StripPrefix(prefix, s.ui)} {
			s.ui = at(prefix, ui)
			for _, path := range []string{"/", "/events", "/events/evt_paid", "/deliveries", "/deliveries/evt_paid.crm", "/api/v1/events"} {
				if w := s.do(t, http.MethodGet, prefix+path, ""); w.Code != 200 {
					t.Errorf("%s, GET %s = %d %s; want 200", what, prefix+path, w.Code, w.Header().Get("Location"))
				}
			}
			if w := s.do(t, http.MethodGet, prefix, ""); w.Code != 307 {
				t.Errorf("%s, GET %s = %d; want 307 to the slash", what, prefix, w.Code)
			}
		}
	}
}

func TestPrefixesThatAreNone(t *testing.T) {
	s := newSite(t, nil)
	for _, prefix := range []string{"hooks", "/hooks/", "/", "//hooks", "/a/../b", "/a//b", "https://example.com/hooks"} {
		_, err := admin.New(s.h, admin.Config{Prefix: prefix, Authorize: admin.Unprotected})
		if err == nil || !strings.Contains(err.Error(), "Config.Prefix") {
			t.Errorf("New with the Prefix %q = %v; want an error that says how to write it", prefix, err)
		}
	}
	_, err := admin.New(nil, admin.Config{Prefix: "x"})
	for _, want := range []string{"Authorize", "Prefix", "Hooks is nil"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New with all wrong = %v; want %q in it", err, want)
		}
	}
}
