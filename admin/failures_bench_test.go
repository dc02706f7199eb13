package admin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// BenchmarkFailures shows the groups of 10,000 failures in SQLite, and of one subscriber.
func BenchmarkFailures(b *testing.B) {
	store, err := sqlite.Open(b.TempDir() + "/hooks.db")
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	h, err := hooks.New(hooks.Config{
		Store: store, Logger: kit.Silent,
		Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(503, nil, "try later, request 17"), nil }),
	})
	if err == nil {
		err = h.Register(kit.InvoicePaid)
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		e := hooks.Endpoint{ID: id, Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}, Retry: []time.Duration{}}
		if _, err := h.PutEndpoint(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	for range 21 {
		evs := make([]hooks.Event, 100)
		for i := range evs {
			evs[i] = kit.InvoicePaid.New(kit.Invoice{})
			evs[i].Tenant = "acme"
		}
		if _, err := h.PublishBatch(b.Context(), evs); err != nil {
			b.Fatal(err)
		}
	}
	if err := h.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	ui, err := admin.New(h, admin.Config{Authorize: func(*http.Request) (admin.Access, error) {
		return admin.Access{Level: admin.View, AllTenants: true}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{"/failures", "/failures?subscriber=a", "/"} {
		b.Run("page="+path, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				ui.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				if w.Code != http.StatusOK {
					b.Fatalf("%s = %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
}
