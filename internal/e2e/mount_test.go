package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"

	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

// A mount is a way to put the admin handler into an application's router.
type mount struct {
	name   string
	prefix string // Config.Prefix
	root   string // where people open it
	app    func(ui http.Handler) http.Handler
}

var mounts = []mount{
	{"chi, Mount", "/admin/hooks", "/admin/hooks/", func(ui http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Mount("/admin/hooks", ui)
		return r
	}},
	{"chi, Mount in a Route", "/admin/hooks", "/admin/hooks/", func(ui http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Route("/admin", func(r chi.Router) { r.Mount("/hooks", ui) })
		return r
	}},
	{"chi, stripped", "", "/hooks/", func(ui http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Mount("/hooks", http.StripPrefix("/hooks", ui))
		return r
	}},
	{"gin, WrapH", "/admin/hooks", "/admin/hooks/", func(ui http.Handler) http.Handler {
		r := newGin()
		r.Any("/admin/hooks/*path", gin.WrapH(ui))
		return r
	}},
	{"gin, in a Group, stripped", "", "/admin/hooks/", func(ui http.Handler) http.Handler {
		r := newGin()
		r.Group("/admin").Any("/hooks/*path", gin.WrapH(http.StripPrefix("/admin/hooks", ui)))
		return r
	}},
}

func newGin() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	return gin.New()
}

// Each link of the pages works in the routers that people use, from the bare prefix on, and
// what a form has changed is shown afterwards.
func TestRouters(t *testing.T) {
	for _, m := range mounts {
		t.Run(m.name, func(t *testing.T) {
			h, _ := newAPI(t)
			ui, err := admin.New(h, admin.Config{Prefix: m.prefix, Authorize: operator, Logger: kit.Silent})
			check(t, err)
			server := httptest.NewServer(m.app(ui))
			t.Cleanup(server.Close)
			root := server.URL + m.root
			if followed := (&kit.Crawler{Do: server.Client().Do, Root: root}).Crawl(t); len(followed) < 20 {
				t.Errorf("the links led to %q only", followed)
			}
			for address, want := range map[string]string{
				"GET " + strings.TrimSuffix(root, "/"):               root,
				"GET " + root + "deliveries/evt_1.fail":              root + "deliveries/evt_1.fail",
				"GET " + root + "api/v1/types":                       root + "api/v1/types",
				"POST " + root + "deliveries/evt_later.ok/cancel":    root + "deliveries/evt_later.ok",
				"POST " + root + "api/v1/deliveries/evt_1.ok/replay": root + "api/v1/deliveries/evt_1.ok/replay",
			} {
				method, address, _ := strings.Cut(address, " ")
				r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
				check(t, err)
				r.Header.Set("Origin", server.URL)
				resp, err := server.Client().Do(r)
				check(t, err)
				resp.Body.Close()
				at, _, _ := strings.Cut(resp.Request.URL.String(), "?")
				if resp.StatusCode != http.StatusOK || at != want {
					t.Errorf("%s %s = %d at %s; want 200 at %s", method, address, resp.StatusCode, at, want)
				}
			}
		})
	}
}
