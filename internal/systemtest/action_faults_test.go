package systemtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A chore is an action with rows for it, and what these are like when each was changed once.
type chore struct {
	name   string
	action hooks.Action
	rows   func(y *yard, n int) (ids []string) // makes n rows
	done   func(d hooks.Delivery, ev hooks.Event) bool
}

// chores are all kinds of actions. Those that send do so to the endpoint "crm".
var chores = []chore{
	{
		"replay",
		hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Statuses: []hooks.Status{hooks.Failed}}},
		(*yard).fail,
		func(d hooks.Delivery, _ hooks.Event) bool { return d.Run == 2 && d.Status == hooks.Succeeded },
	},
	{
		"replay of what waits",
		hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"}},
		(*yard).schedule,
		func(d hooks.Delivery, _ hooks.Event) bool {
			return d.Run == 1 && d.Status == hooks.Succeeded && d.Attempts == 1
		},
	},
	{
		"cancel",
		hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Subscriber: "crm"}},
		(*yard).schedule,
		func(d hooks.Delivery, _ hooks.Event) bool { return d.Status == hooks.Canceled && d.Reason == "" },
	},
	{
		"backfill",
		hooks.Action{Kind: hooks.ActionBackfill, Query: queryFor(hooks.ActionBackfill)},
		(*yard).publishUnheard,
		func(d hooks.Delivery, _ hooks.Event) bool { return d.Status == hooks.Succeeded && d.Attempts == 1 },
	},
	{
		"erase",
		hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}},
		(*yard).schedule,
		func(d hooks.Delivery, ev hooks.Event) bool {
			return d.Status == hooks.Canceled && d.Reason == hooks.ReasonErased && !ev.Erased.IsZero()
		},
	},
}

// schedule publishes n events of acme that are to be delivered in a century.
func (y *yard) schedule(n int) (ids []string) {
	y.t.Helper()
	for i := range n {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
		ev.Tenant, ev.DeliverAt = "acme", time.Now().AddDate(100, 0, 0)
		ids = append(ids, kit.Publish(y.t, y.h, ev).EventID)
	}
	return ids
}

// publishUnheard publishes n events of acme that no endpoint receives until this returns.
func (y *yard) publishUnheard(n int) (ids []string) {
	y.t.Helper()
	was := kit.Put(y.t, y.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL, Events: []string{"order.*"}})
	ids = y.publish("acme", n)
	was.Version, was.Events = 0, []string{"**"}
	kit.Put(y.t, y.h, was)
	return ids
}

// wantDone checks that each row of a chore was changed once, and counted.
func (y *yard) wantDone(c chore, id string, rows []string) {
	y.t.Helper()
	y.wantAction(id, len(rows), len(rows), 0, true)
	events := make(map[string]hooks.Event)
	for _, ev := range kit.Events(y.t, y.h) {
		events[ev.ID] = ev
	}
	for _, row := range rows {
		if d := kit.Delivery(y.t, y.h, row, "crm"); !c.done(d, events[row]) {
			y.t.Errorf("%s: %+v of %+v is not as it should be", c.name, d, events[row])
		}
	}
}

// Whichever call of the store fails while an action is carried out, and whether it had done
// its work: each row is changed once, and the counts are exact.
func TestActionsWhileTheStoreFails(t *testing.T) {
	for _, c := range chores {
		for _, how := range []fate{failsBefore, failsAfter} {
			t.Run(fmt.Sprint(c.name, how), func(t *testing.T) {
				for n, calls := 1, 1; n <= calls; n++ {
					calls = 0
					synctest.Test(t, func(t *testing.T) { failOnce(t, c, nth(n, how, &calls)) })
					if t.Failed() {
						t.Fatalf("call %d of %d", n, calls)
					}
				}
			})
		}
	}
}

func failOnce(t *testing.T, c chore, p plan) {
	store := newFlaky(memory.New(), nil)
	y := newYard(t, store)
	rows := c.rows(y, 5)
	c.action.Rate = hooks.Rate{N: 2, Per: time.Second}
	a := y.start(c.action)
	store.follow(p)
	y.run(time.Minute)
	store.follow(nil)
	y.run(time.Minute) // what the end of the first run has left
	y.wantDone(c, a.ID, rows)
}

// A process that has replayed what waited, and ends before it could count that, is followed
// by another one. By then the deliveries have had an attempt. They count as done, and one
// that had an attempt just before the action changed it counts as skipped.
func TestAStepIsCountedByWhoeverGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New()
		store := newFlaky(inner, nil)
		y := newYard(t, store)
		y.respond(500)
		rows := y.publish("acme", 5)
		y.run(time.Second) // one failed attempt each
		y.respond(500)
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"}})
		puts, between := 0, 0
		store.follow(func(method string) fate {
			if method == "Put" {
				puts++
			}
			if method == "Update" && between == 0 {
				between = attemptOnce(t, inner)
			}
			if puts < 3 || method != "Put" {
				return sound // it becomes the owner, and plans the step
			}
			return failsBefore
		})
		y.run(10 * time.Second)
		store.follow(nil)
		y.wantAction(a.ID, 5, 0, 0, false)
		for _, row := range rows {
			if d := kit.Delivery(t, y.h, row, "crm"); d.Attempts != 2 {
				t.Fatalf("%v has %d attempts; want 2", d.DeliveryID, d.Attempts)
			}
		}
		y.run(10 * time.Second)
		y.wantAction(a.ID, 5, 4, 1, true)
	})
}

// attemptOnce makes a failed attempt at the first delivery to "crm", as another process does,
// and returns 1.
func attemptOnce(t *testing.T, s hooks.Store) int {
	now := time.Now().UTC()
	lane := hooks.ClaimLane{Subscriber: "crm", Max: 1, Before: now.Add(2 * time.Hour), LeaseUntil: now.Add(time.Hour)}
	entries, err := s.Claim(t.Context(), now, []hooks.ClaimLane{lane})
	if err != nil || len(entries) != 1 {
		t.Fatalf("Claim = %v, %v; want one", entries, err)
	}
	d := entries[0].Deliveries[0]
	attempt := hooks.Attempt{Run: d.Run, Number: 2, Token: d.Token, Start: now, Error: "status", Code: 500}
	d.Status, d.Reason, d.Due, d.Updated, d.Attempts = hooks.Failed, hooks.ReasonExhausted, now, now.Add(time.Microsecond), 2
	if stale, err := s.Update(t.Context(), now, []hooks.Change{{Delivery: d, Attempt: &attempt}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it written", stale, err)
	}
	return 1
}

// A delivery whose event was erased is canceled when a dispatcher meets it, however it came
// to be due.
func TestDeliveriesOfErasedEventsAreNotSent(t *testing.T) {
	inYards(t, func(y *yard) {
		ids := y.publish("acme", 2)
		if n, err := y.store.Prune(y.t.Context(), hooks.Cutoffs{Erase: ids[:1], Now: time.Now().UTC()}); n != 1 || err != nil {
			y.t.Fatalf("Prune(Erase) = %d, %v; want 1", n, err)
		}
		e, err := y.h.ExplainDelivery(y.t.Context(), hooks.DeliveryID{Event: ids[0], Subscriber: "crm"})
		if err != nil || e.Code != "erased" || !strings.Contains(e.Text, "cancels it") {
			y.t.Errorf("ExplainDelivery = %+v, %v; want that it was erased", e, err)
		}
		y.run(time.Minute)
		if sent, _ := y.received(); !slices.Equal(sent, ids[1:]) {
			y.t.Errorf("sent %v; want %v", sent, ids[1:])
		}
		if d := kit.Delivery(y.t, y.h, ids[0], "crm"); d.Status != hooks.Canceled || d.Reason != hooks.ReasonErased {
			y.t.Errorf("%v is %v %s; want canceled, erased", d.DeliveryID, d.Status, d.Reason)
		}
	})
}

// Half of all calls fail, and the process ends and begins again and again.
func TestActionsThroughMuchTrouble(t *testing.T) {
	for _, c := range chores {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFlaky(memory.New(), nil)
				y := newYard(t, store)
				rows := c.rows(y, 30)
				c.action.Rate = hooks.Rate{N: 3, Per: time.Second}
				a := y.start(c.action)
				for life := range 20 {
					store.follow(failing(0.3, uint64(life)))
					y.run(1300 * time.Millisecond)
				}
				store.follow(nil)
				y.run(time.Minute)
				y.wantAction(a.ID, 30, 30, 0, true)
				for _, row := range rows {
					d := kit.Delivery(t, y.h, row, "crm")
					if d.Run > 2 || c.action.Kind == hooks.ActionCancel && d.Status != hooks.Canceled {
						t.Errorf("%+v is not as it should be", d)
					}
				}
			})
		})
	}
}
