package systemtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// described returns routes as words: id, "+" or "-", reason.
func described(routes []hooks.Route) string {
	var words []string
	for _, r := range routes {
		sign := "-"
		if r.Receives {
			sign = "+"
		}
		words = append(words, r.Subscriber+sign+r.Because)
	}
	return strings.Join(words, " ")
}

// Who would receive an event is who does when it is published; and the others are told why.
func TestEventsAreExplained(t *testing.T) {
	store := memory.New()
	flagged := hooks.EventType[string]{Name: "fraud.flagged", Private: true}
	worker := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, hooks.Handler{Name: "elsewhere", Func: kit.Ignore})
	if err := worker.Flush(t.Context()); err != nil { // it records the handler
		t.Fatal(err)
	}
	h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "audit", Func: kit.Ignore})
	if err := h.Register(flagged); err != nil {
		t.Fatal(err)
	}
	if err := h.Subscribe(hooks.Handler{Name: "mailer", Func: kit.Ignore, Events: []string{"order.*"}}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []hooks.Endpoint{
		{ID: "all", Events: []string{"**"}},
		{ID: "orders", Events: []string{"order.*"}},
		{ID: "acme-all", Tenant: "acme", Events: []string{"**"}},
		{ID: "acme-orders", Tenant: "acme", Events: []string{"order.placed"}},
	} {
		e.URL = kit.AnyURL
		kit.Put(t, h, e)
	}
	for _, c := range []struct{ typ, tenant, want string }{
		{"invoice.paid", "", "acme-all-tenant acme-orders-tenant all+pattern audit+pattern elsewhere+pattern mailer-pattern orders-pattern"},
		{"order.placed", "", "acme-all-tenant acme-orders-tenant all+pattern audit+pattern elsewhere+pattern mailer+pattern orders+pattern"},
		{"invoice.paid", "acme", "acme-all+pattern acme-orders-pattern all-tenant audit+pattern elsewhere+pattern mailer-pattern orders-tenant"},
		{"order.placed", "zeta", "acme-all-tenant acme-orders-tenant all-tenant audit+pattern elsewhere+pattern mailer+pattern orders-tenant"},
		{"fraud.flagged", "", "acme-all-tenant acme-orders-tenant all-private audit+pattern elsewhere+pattern mailer-pattern orders-pattern"},
		{"hooks.endpoint.enabled", "", "acme-all-tenant acme-orders-tenant all-pattern audit-pattern elsewhere-pattern mailer-pattern orders-pattern"},
		{"fraud.flagged", "acme", "acme-all-private acme-orders-pattern all-tenant audit+pattern elsewhere+pattern mailer-pattern orders-tenant"},
	} {
		ev := hooks.Event{Type: c.typ, Tenant: c.tenant, Data: []byte("1")}
		routes, err := h.ExplainEvent(t.Context(), ev)
		if got := described(routes); err != nil || got != c.want {
			t.Errorf("ExplainEvent(%s of %q) = %s, %v; want %s", c.typ, c.tenant, got, err, c.want)
		}
		if n := len(kit.Events(t, h)); n > 0 {
			t.Fatalf("%d events are stored after ExplainEvent; want none", n)
		}
	}
	wantRoutesFollowed(t, h)
	if err := h.DisableEndpoint(t.Context(), "all", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	routes, err := h.ExplainEvent(t.Context(), kit.InvoicePaid.New(kit.Invoice{}))
	want := "acme-all-tenant acme-orders-tenant all+disabled audit+pattern elsewhere+pattern mailer-pattern orders-pattern"
	if got := described(routes); err != nil || got != want {
		t.Errorf("with a disabled endpoint, ExplainEvent = %s, %v; want %s", got, err, want)
	}
}

// wantRoutesFollowed publishes an event and checks that those receive it who should.
func wantRoutesFollowed(t *testing.T, h *hooks.Hooks) {
	t.Helper()
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Tenant = "acme"
	routes, err := h.ExplainEvent(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range routes {
		if r.Receives {
			want = append(want, r.Subscriber)
		}
	}
	kit.Publish(t, h, ev)
	for _, d := range kit.Deliveries(t, h) {
		got = append(got, d.Subscriber)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the event went to %v; ExplainEvent says %v", got, want)
	}
}

// All that receive an event are listed; of the others 1,000, and those that are nearest.
func TestExplanationsOfEventsAreBounded(t *testing.T) {
	h := kit.Subscribed(t, hooks.Config{}, hooks.Handler{Name: "audit", Func: kit.Ignore})
	if err := h.Subscribe(hooks.Handler{Name: "mailer", Func: kit.Ignore, Events: []string{"order.*"}}); err != nil {
		t.Fatal(err)
	}
	put := func(id, tenant, pattern string) {
		kit.Put(t, h, hooks.Endpoint{ID: id, Tenant: tenant, URL: kit.AnyURL, Events: []string{pattern}})
	}
	for i := range 1005 {
		put(fmt.Sprintf("a-other-%04d", i), "other", "**")
		put(fmt.Sprintf("b-acme-%04d", i), "acme", "invoice.*")
	}
	put("c-acme", "acme", "order.*")
	explain := func() (receive int, others []hooks.Route) {
		t.Helper()
		routes, err := h.ExplainEvent(t.Context(), hooks.Event{Type: "invoice.paid", Tenant: "acme", Data: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(routes, func(a, b hooks.Route) int { return strings.Compare(a.Subscriber, b.Subscriber) }) {
			t.Error("the routes are not in the order of their ids")
		}
		for _, r := range routes {
			if r.Receives {
				receive++
			} else {
				others = append(others, r)
			}
		}
		return receive, others
	}
	receive, others := explain()
	last := described(others[997:])
	if receive != 1006 || len(others) != 1000 || last != "a-other-0997-tenant c-acme-pattern mailer-pattern" {
		t.Errorf("ExplainEvent = %d that receive it and %d that do not, … %s; want 1006 and 1000, and the nearest in any case",
			receive, len(others), last)
	}
	for i := range 1005 {
		put(fmt.Sprintf("d-acme-%04d", i), "acme", "order.*")
	}
	_, others = explain()
	if first, last := described(others[:1]), described(others[999:]); len(others) != 1000 || first != "c-acme-pattern" || last != "d-acme-0998-pattern" {
		t.Errorf("ExplainEvent = %d that do not receive it, from %s to %s; want 1000 of its tenant", len(others), first, last)
	}
}

func TestOnlyEventsThatCanBePublishedAreExplained(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store, MaxPayload: 10})
	for _, c := range []struct {
		ev       hooks.Event
		field    string
		sentinel error
		advice   string
	}{
		{hooks.Event{Type: "order.placed", Data: []byte("1")}, "Event.Type", hooks.ErrUnknownType, "Register"},
		{hooks.Event{Type: "invoice.paid"}, "Event.Data", nil, "JSON"},
		{hooks.Event{Type: "invoice.paid", Data: []byte("12345678901")}, "Event.Data", hooks.ErrTooLarge, "10"},
		{hooks.Event{Type: "invoice.paid", Data: []byte("1"), ID: "a b"}, "Event.ID", nil, "letters"},
		{hooks.EventType[func()]{Name: "invoice.paid"}.New(nil), "Event.Data", nil, "encode"},
	} {
		routes, err := h.ExplainEvent(t.Context(), c.ev)
		kit.WantInvalid(t, err, c.field, c.sentinel, c.advice)
		if routes != nil {
			t.Errorf("ExplainEvent(%+v) = %v with an error; want nil", c.ev, routes)
		}
	}
	kit.WantEmpty(t, h, store)
}
