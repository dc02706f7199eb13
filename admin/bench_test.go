package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// BenchmarkDeliverBesideReloads delivers events to 20 endpoints, alone and while a page is
// reloaded ten times a second. It goes through these by turns, so that they can be compared
// in one run.
func BenchmarkDeliverBesideReloads(b *testing.B) {
	for range 3 {
		for _, path := range []string{"", "/", "/deliveries", "/endpoints"} {
			b.Run("page="+path, func(b *testing.B) { deliverBeside(b, path) })
		}
	}
}

func deliverBeside(b *testing.B, path string) {
	store, err := sqlite.Open(b.TempDir() + "/hooks.db")
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	h, err := hooks.New(hooks.Config{
		Store: store, Logger: kit.Silent,
		Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(200, nil, ""), nil }),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Register(kit.InvoicePaid); err != nil {
		b.Fatal(err)
	}
	for i := range 20 {
		_, err := h.PutEndpoint(b.Context(), hooks.Endpoint{
			ID: fmt.Sprint("shop-", i), Tenant: fmt.Sprint("t-", i), URL: kit.AnyURL, Events: []string{"**"},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			b.Error(err)
		}
	}()
	ui, err := admin.New(h, admin.Config{Authorize: func(*http.Request) (admin.Access, error) {
		return admin.Access{Level: admin.View, AllTenants: true}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	var reloads sync.WaitGroup
	quit := make(chan struct{})
	if path != "" {
		reloads.Go(func() { reload(ui, path, quit) })
	}
	b.ResetTimer()
	var publishers sync.WaitGroup
	for p := range 16 {
		publishers.Go(func() {
			for i := p; i < b.N; i += 16 {
				ev := kit.InvoicePaid.New(kit.Invoice{})
				ev.Tenant = fmt.Sprint("t-", i%20)
				if _, err := h.Publish(b.Context(), ev); err != nil {
					b.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	if err := h.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	close(quit)
	reloads.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// reload asks for a page ten times a second until quit is closed.
func reload(ui http.Handler, path string, quit <-chan struct{}) {
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for {
		ui.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		select {
		case <-pace.C:
		case <-quit:
			return
		}
	}
}
