package systemtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// wantProgress checks how many rows of each action are done.
func (y *yard) wantProgress(ids []string, done ...int) {
	y.t.Helper()
	for i, id := range ids {
		if a, err := y.process().Action(y.t.Context(), id); err != nil || a.Done != done[i] {
			y.t.Errorf("of action %d, %d rows are done, %v; want %d", i, a.Done, err, done[i])
		}
	}
}

// However many actions wait for their next step, the others go on.
func TestActionsThatWaitHoldUpNoOther(t *testing.T) {
	inYards(t, func(y *yard) {
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "erp", Tenant: "acme", URL: kit.AnyURL})
		var ids []string
		for _, event := range y.schedule(10) { // to two endpoints each
			a := hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Event: event}, Rate: hooks.Rate{N: 1, Per: time.Hour}}
			ids = append(ids, y.start(a).ID)
			time.Sleep(time.Second)
		}
		defer kit.StartInBubble(y.t, y.h)()
		time.Sleep(30 * time.Minute)
		y.wantProgress(ids, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
		time.Sleep(time.Hour)
		y.wantProgress(ids, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2)
	})
}

// A tenant with many actions whose steps take long does not hold up the operator and other
// tenants: each has a turn. So has each action of a tenant.
func TestTenantsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, shared{memory.New()})
		y.schedule(10)
		quick := hooks.Rate{N: 100_000, Per: time.Second}
		cancel := hooks.Action{Kind: hooks.ActionCancel, Query: queryFor(hooks.ActionCancel), Rate: quick}
		var many []string
		for range 40 {
			a, err := y.h.Tenant("acme").StartAction(t.Context(), cancel)
			if err != nil {
				t.Fatal(err)
			}
			many = append(many, a.ID)
			time.Sleep(time.Second)
		}
		other := y.publish("other", 1)[0]
		a := y.start(hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Event: other}, Rate: quick})
		b, err := y.h.Tenant("other").StartAction(t.Context(), hooks.Action{Kind: hooks.ActionErase, Query: queryFor(hooks.ActionErase)})
		if err != nil {
			t.Fatal(err)
		}
		y.store = slowReads{y.store}
		kit.StartInBubble(t, y.process())
		time.Sleep(11 * time.Second) // a step takes 2 s or more
		for _, id := range []string{a.ID, b.ID} {
			if a, err := y.h.Action(t.Context(), id); err != nil || a.Finished.IsZero() {
				t.Errorf("action %s has not finished, %v", id, err)
			}
		}
		time.Sleep(2 * time.Minute)
		for _, id := range many {
			if a, err := y.h.Action(t.Context(), id); err != nil || a.Finished.IsZero() {
				t.Errorf("action %s of many has not finished, %v", id, err)
			}
		}
	})
}

// Of a slowReads store, lists take 2 s.
type slowReads struct{ hooks.Store }

func (s slowReads) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	time.Sleep(2 * time.Second)
	return s.Store.Deliveries(ctx, q)
}
