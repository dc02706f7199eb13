package systemtest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// Whoever puts many endpoints at once gets no more than one by one.
func TestTenantEndpointsAreCountedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{Store: &slowPut{Store: memory.New()}, TenantEndpoints: 2})
		acme := h.Tenant("acme")
		var made atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := acme.PutEndpoint(t.Context(), hooks.Endpoint{URL: kit.AnyURL, Events: []string{"**"}}); err == nil {
					made.Add(1)
				}
			})
		}
		all.Wait()
		if n := made.Load(); n != 2 {
			t.Errorf("%d endpoints were made; want 2", n)
		}
	})
}

// A slowPut is a store that takes a second to write a record.
type slowPut struct{ hooks.Store }

func (s *slowPut) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	time.Sleep(time.Second)
	return s.Store.Put(ctx, now, r, emit)
}

// What only the operator can change is in the Detail, not in the text for who typed it.
func TestDetailsAreForTheOperator(t *testing.T) {
	h := kit.New(t, hooks.Config{MaxPayload: 8, TenantEndpoints: 1})
	acme := h.Tenant("acme")
	put := func() error {
		_, err := acme.PutEndpoint(t.Context(), hooks.Endpoint{URL: kit.AnyURL, Events: []string{"**"}})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	_, large := acme.Publish(t.Context(), kit.InvoicePaid.New(kit.Invoice{Number: 1}))
	_, noMatch := acme.PutEndpoint(t.Context(), hooks.Endpoint{URL: kit.AnyURL, Events: []string{"x.*"}})
	_, _, noType := acme.Events(t.Context(), hooks.Query{Types: []string{"x.*"}})
	for err, detail := range map[error]string{
		large: "Config.MaxPayload", put(): "Config.TenantEndpoints", noMatch: "invoice.paid", noType: "invoice.paid",
	} {
		inv, ok := errors.AsType[*hooks.InvalidError](err)
		if !ok || !strings.Contains(inv.Detail, detail) || strings.Contains(err.Error(), detail) {
			t.Errorf("error %v has the Detail %q; want %s there, and only there", err, inv.Detail, detail)
		}
	}
}
