package systemtest_test

import (
	"fmt"
	"slices"
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

// Four actions are carried out at once, those that started first first.
func TestActionsTakeTurns(t *testing.T) {
	inYards(t, func(y *yard) {
		y.schedule(1)
		var ids []string
		for range 6 {
			ids = append(ids, y.start(hooks.Action{
				Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"}, Rate: hooks.Rate{N: 1, Per: time.Minute},
			}).ID)
			time.Sleep(time.Second)
		}
		if err := y.h.DisableEndpoint(y.t.Context(), "crm", "", time.Time{}); err != nil {
			y.t.Fatal(err)
		}
		y.run(time.Hour)
		var finished []string
		page, _, err := y.process().Actions(y.t.Context(), hooks.Query{})
		if err != nil {
			y.t.Fatal(err)
		}
		for _, a := range page {
			if !a.Finished.IsZero() {
				finished = append(finished, a.ID)
			}
		}
		slices.Reverse(finished)
		if !slices.Equal(finished, ids) {
			y.t.Errorf("finished %v; want all of %v", finished, ids)
		}
	})
}
