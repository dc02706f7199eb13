package systemtest_test

import (
	"context"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// An askedStore counts the lists of deliveries that it is asked for.
type askedStore struct {
	hooks.Store
	lists int
}

func (s *askedStore) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	s.lists++
	return s.Store.Deliveries(ctx, q)
}

// The store is not asked for what a tenant may not see: how much it examines would tell how
// much there is.
func TestTheStoreIsNotAskedForOthersDeliveries(t *testing.T) {
	store := &askedStore{Store: memory.New()}
	h := kit.New(t, hooks.Config{Store: store})
	kit.Put(t, h, hooks.Endpoint{ID: "rival", Tenant: "rival", URL: kit.AnyURL})
	kit.Put(t, h, hooks.Endpoint{ID: "mine", Tenant: "acme", URL: kit.AnyURL})
	for id, want := range map[string]int{"rival": 0, "none": 0, "mine": 1} {
		store.lists = 0
		page, next, err := h.Tenant("acme").Deliveries(t.Context(), hooks.Query{Subscriber: id})
		if err != nil || len(page) > 0 || next != "" || store.lists != want {
			t.Errorf("Deliveries of %s = %v, %q, %v; the store was asked %d times; want nothing, asked %d times", id, page, next, err, store.lists, want)
		}
	}
}

// How full a tenant's pages are does not tell how many deliveries there are to handlers.
func TestPagesOfTenantsAreFull(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	kit.Put(t, h, hooks.Endpoint{ID: "mine", Tenant: "acme", URL: kit.AnyURL})
	for _, name := range []string{"a", "z", "zz"} {
		if err := h.Subscribe(hooks.Handler{Name: name, Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
	}
	const events = 60
	for i := range events {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
		ev.Tenant = "acme"
		kit.Publish(t, h, ev)
	}
	for _, limit := range []int{1, 7, 50, 60, 100} {
		for _, oldestFirst := range []bool{false, true} {
			q := hooks.Query{Limit: limit, OldestFirst: oldestFirst, Statuses: []hooks.Status{hooks.Pending}}
			left, seen := events, make(map[string]bool)
			for {
				page, next, err := h.Tenant("acme").Deliveries(t.Context(), q)
				if err != nil || len(page) != min(limit, left) {
					t.Fatalf("with Limit %d a page has %d rows, %v, where %d are left", limit, len(page), err, left)
				}
				for _, d := range page {
					if d.Subscriber != "mine" || seen[d.Event] {
						t.Fatalf("with Limit %d a page has %v; want each of mine once", limit, d.DeliveryID)
					}
					seen[d.Event] = true
				}
				left -= len(page)
				if q.Cursor = next; next == "" {
					break
				}
			}
			if left != 0 {
				t.Errorf("with Limit %d, %d rows are missing", limit, left)
			}
		}
	}
}

// A page of one row does not show by its next that there is something which is not shown.
func TestTenantsDoNotFindWhatIsHiddenRowByRow(t *testing.T) {
	e := newEstate(t)
	for what, foreign := range e.foreign() {
		orDefault(&foreign, nobody)
		for _, q := range []hooks.Query{
			{Subscriber: foreign.subscriber},
			{Event: foreign.event, Subscriber: foreign.subscriber},
			{Subscriber: foreign.subscriber, Statuses: []hooks.Status{hooks.Succeeded}},
		} {
			if foreign.subscriber == "mine" && q.Event == "" {
				continue // acme's own
			}
			q.Limit = 1
			if page, next, err := e.acme.Deliveries(bg, q); len(page) > 0 || next != "" || err != nil {
				t.Errorf("%s: Deliveries(%+v) = %d rows, %q, %v; want none, and no next", what, q, len(page), next, err)
			}
		}
		if foreign.event == e.own {
			continue
		}
		if page, next, err := e.acme.Events(bg, hooks.Query{Event: foreign.event, Limit: 1}); len(page) > 0 || next != "" || err != nil {
			t.Errorf("%s: Events(%s) = %d rows, %q, %v; want none, and no next", what, foreign.event, len(page), next, err)
		}
	}
	_, _, err := e.acme.Deliveries(bg, hooks.Query{Subscriber: "audit", Cursor: "x"})
	kit.WantInvalid(t, err, "Query.Cursor", nil, "page before")
}

// Whoever publishes with the idempotency key of an event that is not shown learns that the
// key is taken, and not by what.
func TestReceiptsNameNoHiddenEvent(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store})
	if err := h.Register(fraudFlagged); err != nil {
		t.Fatal(err)
	}
	publish := func(et hooks.EventType[kit.Invoice], key string) string {
		ev := et.New(kit.Invoice{Number: 1})
		ev.Tenant, ev.IdempotencyKey = "acme", key
		return kit.Publish(t, h, ev).EventID
	}
	shown := publish(kit.InvoicePaid, "shown")
	publish(fraudFlagged, "hidden")
	for key, want := range map[string]string{"shown": shown, "hidden": ""} {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 2})
		ev.IdempotencyKey = key
		r, err := h.Tenant("acme").Publish(t.Context(), ev)
		if err != nil || !r.Duplicate || r.EventID != want {
			t.Errorf("Publish with the key of what is %s = %+v, %v; want a duplicate of %q", key, r, err, want)
		}
		// In a transaction nobody is asked, because it may hold the only connection.
		rs, err := h.Tenant("acme").PublishTx(t.Context(), store, ev)
		if err != nil || !rs[0].Duplicate || rs[0].EventID != "" {
			t.Errorf("PublishTx with the key of what is %s = %+v, %v; want a duplicate of nothing named", key, rs, err)
		}
	}
}
