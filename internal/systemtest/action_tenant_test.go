package systemtest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// startActions starts actions that are not acme's, and one that is.
func (e *estate) startActions(t *testing.T) {
	t.Helper()
	a := hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Types: []string{"**"}}}
	start := func(v interface {
		StartAction(ctx context.Context, a hooks.Action) (hooks.Action, error)
	}, id string,
	) {
		a.ID = id
		if _, err := v.StartAction(bg, a); err != nil {
			t.Fatal(err)
		}
	}
	start(e.h, "act_operator")
	start(e.h.Tenant("rival"), "act_rival")
	start(e.acme, "act_acme")
}

// startActionProbes count what a tenant's action would change, or are refused.
var startActionProbes = []probe{
	dryRun(hooks.ActionReplay, func(n names) hooks.Query { return hooks.Query{Subscriber: foreignSubscriber(n)} }),
	dryRun(hooks.ActionCancel, func(n names) hooks.Query {
		return hooks.Query{Event: n.event, Subscriber: foreignSubscriber(n)}
	}),
	dryRun(hooks.ActionCancel, func(n names) hooks.Query { return hooks.Query{Event: foreignEvent(n), Subscriber: "mine"} }),
	dryRun(hooks.ActionReplay, func(n names) hooks.Query { return hooks.Query{Types: []string{n.typ}} }),
	dryRun(hooks.ActionReplay, func(n names) hooks.Query { return hooks.Query{Tenant: n.tenant} }),
	dryRun(hooks.ActionErase, func(n names) hooks.Query { return hooks.Query{Tenant: n.tenant} }),
	dryRun(hooks.ActionErase, func(n names) hooks.Query { return hooks.Query{Types: []string{n.typ}} }),
	dryRun(hooks.ActionErase, func(n names) hooks.Query { return hooks.Query{Event: foreignEvent(n)} }),
	dryRun(hooks.ActionErase, func(n names) hooks.Query { return hooks.Query{Key: "key-of-rival" + n.typ} }),
	dryRun(hooks.ActionBackfill, func(n names) hooks.Query { return hooks.Query{Subscriber: n.endpoint, From: time.Unix(1, 0)} }),
	dryRun(hooks.ActionBackfill, func(n names) hooks.Query {
		return hooks.Query{Subscriber: "mine", From: time.Unix(1, 0), Types: []string{n.typ}}
	}),
	dryRun(hooks.ActionBackfill, func(n names) hooks.Query {
		return hooks.Query{Subscriber: "mine", From: time.Unix(1, 0), Tenant: n.tenant}
	}),
}

// foreignSubscriber returns the subscriber, unless it is acme's and only the event is not.
func foreignSubscriber(n names) string {
	if n.subscriber == "mine" {
		return nobody.subscriber
	}
	return n.subscriber
}

// foreignEvent returns the event, unless it is acme's and only the subscriber is not.
func foreignEvent(n names) string {
	if n.subscriber == "audit" || n.subscriber == "formerly" && n.typ == nobody.typ {
		return nobody.event
	}
	return n.event
}

// dryRun returns a probe that starts an action as a dry run. Its Query only repeats what was
// given.
func dryRun(k hooks.ActionKind, query func(names) hooks.Query) probe {
	return func(t *hooks.Tenant, n names) string {
		a, err := t.StartAction(bg, hooks.Action{Kind: k, Query: query(n), DryRun: true})
		a.Query = hooks.Query{}
		return said(a, err)
	}
}

// An action of a tenant has the rows that the tenant sees, and its list the actions that it
// has started.
func TestTenantsStartTheirOwnActions(t *testing.T) {
	e := newEstate(t)
	for _, c := range []struct {
		kind  hooks.ActionKind
		query hooks.Query
		want  int
	}{
		{hooks.ActionReplay, hooks.Query{Types: []string{"**"}}, 2}, // to mine and gone
		{hooks.ActionErase, hooks.Query{Types: []string{"**"}}, 1},
		{hooks.ActionBackfill, hooks.Query{Subscriber: "mine", From: time.Unix(1, 0)}, 1},
	} {
		a, err := e.acme.StartAction(bg, hooks.Action{Kind: c.kind, Query: c.query, DryRun: true})
		if err != nil || a.Total.N != c.want {
			t.Errorf("a dry run of %s = %+v, %v; want %d rows", c.kind, a, err, c.want)
		}
	}
	action := func(a hooks.Action) string { return a.ID }
	if got := ids(t, e.acme.Actions, action); !slices.Equal(got, []string{"act_acme"}) {
		t.Errorf("Actions of acme = %q; want act_acme", got)
	}
	if got := ids(t, e.h.Actions, action); len(got) != 3 {
		t.Errorf("Actions = %q; want all three", got)
	}
}

// A tenant's erase skips events that wait for a handler, which the tenant is not shown. The
// operator's cancels that delivery.
func TestATenantsEraseCancelsNothingOfHandlers(t *testing.T) {
	inYards(t, func(y *yard) {
		if err := y.h.Subscribe(hooks.Handler{Name: "billing", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			y.t.Fatal(err)
		}
		ids := y.schedule(3)
		if _, err := y.h.Cancel(y.t.Context(), hooks.DeliveryID{Event: ids[0], Subscriber: "billing"}); err != nil {
			y.t.Fatal(err)
		}
		erase := hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Types: []string{"**"}}}
		a, err := y.h.Tenant("acme").StartAction(y.t.Context(), erase)
		if err != nil {
			y.t.Fatal(err)
		}
		y.run(time.Minute)
		y.wantAction(a.ID, 3, 1, 2, true)
		for i, id := range ids {
			for _, subscriber := range []string{"crm", "billing"} {
				if d := kit.Delivery(y.t, y.h, id, subscriber); (d.Status == hooks.Canceled) != (i == 0) {
					y.t.Errorf("%v is %v %s; want canceled: %t", d.DeliveryID, d.Status, d.Reason, i == 0)
				}
			}
		}
		a = y.start(erase)
		y.run(time.Minute)
		y.wantAction(a.ID, 3, 2, 1, true)
		for _, d := range kit.Deliveries(y.t, y.h) {
			if d.Status != hooks.Canceled {
				y.t.Errorf("%v is %v; want canceled", d.DeliveryID, d.Status)
			}
		}
	})
}
