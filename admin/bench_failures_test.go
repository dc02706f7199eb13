package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// BenchmarkFailures opens the page of groups over 10,500 failures in SQLite, more than
// groups are made of.
func BenchmarkFailures(b *testing.B) {
	store, err := sqlite.Open(b.TempDir() + "/hooks.db")
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	h, err := hooks.New(hooks.Config{
		Store: store, Logger: kit.Silent,
		Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(422, nil, "no such invoice"), nil }),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Register(kit.InvoicePaid); err != nil {
		b.Fatal(err)
	}
	for i := range 21 {
		_, err := h.PutEndpoint(b.Context(), hooks.Endpoint{
			ID: fmt.Sprint("shop-", i), Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}, Retry: []time.Duration{},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for range 500 {
		ev := kit.InvoicePaid.New(kit.Invoice{})
		ev.Tenant = "acme"
		if _, err := h.Publish(b.Context(), ev); err != nil {
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
	for b.Loop() {
		openPage(b, ui, "/failures")
	}
}

func openPage(b *testing.B, ui http.Handler, path string) {
	w := httptest.NewRecorder()
	ui.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		b.Fatalf("GET %s = %d; want 200", path, w.Code)
	}
}
