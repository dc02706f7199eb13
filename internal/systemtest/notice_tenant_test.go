package systemtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// A notice of a failed delivery reaches endpoints of its tenant only if that tenant is shown
// the delivery. Otherwise it is for handlers alone, and no list of the tenant has it.
func TestNoticesShowATenantNothingElse(t *testing.T) {
	inWards(t, hooks.Endpoint{Tenant: "acme", Events: []string{"**"}}, func(w *ward) {
		told := &gazette{began: w.began}
		told.subscribe(w.t, w.h)
		if err := w.h.Register(fraudFlagged); err != nil {
			w.t.Fatal(err)
		}
		fragile := func(context.Context, hooks.Event) error { return hooks.Permanent(errors.New("it broke")) }
		if err := w.h.Subscribe(hooks.Handler{Name: "fragile", Events: []string{"**"}, Func: fragile}); err != nil {
			w.t.Fatal(err)
		}
		for id, tenant := range map[string]string{"acmes": "acme", "rivals": "rival", "nobodys": ""} {
			kit.Put(w.t, w.h, hooks.Endpoint{ID: id, Tenant: tenant, URL: kit.AnyURL, Events: []string{"hooks.**"}})
		}
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "plain", URL: kit.AnyURL, Events: []string{"invoice.*"}})
		kit.StartInBubble(w.t, w.h)
		w.status = 410
		for _, et := range []hooks.EventType[kit.Invoice]{kit.InvoicePaid, fraudFlagged} {
			for _, tenant := range []string{"acme", ""} {
				ev := et.New(kit.Invoice{Number: 1})
				ev.Tenant = tenant
				kit.Publish(w.t, w.h, ev)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()

		evs, receivers := notices(w.t, w.h, "hooks.delivery.failed")
		var got []string
		for i, ev := range evs {
			n, err := hooks.DeliveryFailed.Decode(ev)
			if err != nil {
				w.t.Fatal(err)
			}
			d := n.Delivery
			got = append(got, strings.Join([]string{d.Type, d.Tenant, d.Subscriber, "->", ev.Tenant, strings.Join(receivers[i], " ")}, ","))
			wantReceivers(w.t, w.h, ev, receivers[i])
		}
		want := []string{
			"fraud.flagged,,fragile,->,,pager",
			"fraud.flagged,acme,fragile,->,,pager",
			"invoice.paid,,fragile,->,,pager",
			"invoice.paid,,plain,->,,nobodys pager",
			"invoice.paid,acme,crm,->,acme,acmes pager",
			"invoice.paid,acme,fragile,->,,pager",
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			w.t.Errorf("notices:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		wantShown(w.t, w.h.Tenant("acme"), "crm")
	})
}

// wantReceivers checks that ExplainEvent names those who have received an event.
func wantReceivers(t *testing.T, h *hooks.Hooks, ev hooks.Event, ids []string) {
	t.Helper()
	routes, err := h.ExplainEvent(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	routes = slices.DeleteFunc(routes, func(r hooks.Route) bool { return !r.Receives })
	var got []string
	for _, r := range routes {
		got = append(got, r.Subscriber)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("ExplainEvent of the notice %s = %v; it went to %v", ev.Data, got, ids)
	}
}

// wantShown checks that a tenant sees one notice, about a delivery to a subscriber, and
// what was sent of it.
func wantShown(t *testing.T, tenant *hooks.Tenant, subscriber string) {
	t.Helper()
	page, _, err := tenant.Events(t.Context(), hooks.Query{})
	page = slices.DeleteFunc(page, func(ev hooks.Event) bool { return ev.Type == "invoice.paid" })
	if err != nil || len(page) != 1 {
		t.Fatalf("the tenant's notices are %v, %v; want one", page, err)
	}
	if n, err := hooks.DeliveryFailed.Decode(page[0]); err != nil || n.Delivery.Subscriber != subscriber {
		t.Errorf("it is about %v, %v; want the delivery to %s", n.Delivery, err, subscriber)
	}
	sent, _, err := tenant.Deliveries(t.Context(), hooks.Query{Event: page[0].ID})
	if err != nil || len(sent) != 1 || sent[0].Subscriber != "acmes" {
		t.Errorf("its deliveries are %v, %v; want the one to acmes", sent, err)
	}
}

// A process that does not know a type cannot tell whether it is private: the notice goes to
// handlers alone.
func TestNoticesOfUnknownTypesAreForHandlers(t *testing.T) {
	inWards(t, hooks.Endpoint{Tenant: "acme"}, func(w *ward) {
		if err := w.h.Register(legacyDone); err != nil {
			w.t.Fatal(err)
		}
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL, Events: []string{"legacy.*"}})
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "acmes", Tenant: "acme", URL: kit.AnyURL, Events: []string{"hooks.**"}})
		ev := legacyDone.New(kit.Invoice{Number: 1})
		ev.Tenant = "acme"
		kit.Publish(w.t, w.h, ev)
		w.status, w.h = 410, w.process() // it has not registered the type
		told := &gazette{began: w.began}
		told.subscribe(w.t, w.h)
		kit.StartInBubble(w.t, w.h)
		time.Sleep(time.Minute)
		told.want(w.t, "1s delivery.failed rejected")
		if evs, receivers := notices(w.t, w.h, "hooks.**"); len(evs) != 1 || evs[0].Tenant != "" || !slices.Equal(receivers[0], []string{"pager"}) {
			w.t.Errorf("notices %v went to %v; want one without a tenant, to pager", evs, receivers)
		}
	})
}

// How many deliveries wait is counted as the endpoint's tenant sees them.
func TestNoticesCountWhatTheTenantSees(t *testing.T) {
	inWards(t, hooks.Endpoint{Tenant: "acme"}, func(w *ward) {
		if err := w.h.Register(legacyDone); err != nil {
			w.t.Fatal(err)
		}
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}})
		for _, et := range []hooks.EventType[kit.Invoice]{legacyDone, legacyDone, kit.InvoicePaid} {
			ev := et.New(kit.Invoice{Number: 1})
			ev.Tenant = "acme"
			kit.Publish(w.t, w.h, ev)
		}
		w.h = w.process()
		private := legacyDone
		private.Private = true // as of the next version of the program
		if err := w.h.Register(private); err != nil {
			w.t.Fatal(err)
		}
		told := &gazette{began: w.began}
		told.subscribe(w.t, w.h)
		w.disable(time.Time{})
		kit.StartInBubble(w.t, w.h)
		told.want(w.t, `0s endpoint.disabled crm crm disabled "it is full" 1`)
	})
}
