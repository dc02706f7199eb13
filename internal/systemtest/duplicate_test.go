package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

func TestSameIDTwiceIsADuplicate(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Fatal(err)
	}
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.ID = "inv-1"
	first := kit.Publish(t, h, ev)
	ev.Data = json.RawMessage(`{"number":2}`)
	second := kit.Publish(t, h, ev)
	batch, err := h.PublishBatch(t.Context(), []hooks.Event{ev, ev})
	if err != nil {
		t.Fatal(err)
	}
	if want := (hooks.Receipt{EventID: "inv-1", Deliveries: 1}); first != want {
		t.Errorf("first receipt = %+v; want %+v", first, want)
	}
	for _, r := range append(batch, second) {
		if want := (hooks.Receipt{EventID: "inv-1", Duplicate: true}); r != want {
			t.Errorf("later receipt = %+v; want %+v", r, want)
		}
	}
	if evs := kit.Events(t, h); len(evs) != 1 || string(evs[0].Data) != `{"number":1}` {
		t.Errorf("stored events = %v; want the first only", evs)
	}
	if ds := kit.Deliveries(t, h); len(ds) != 1 {
		t.Errorf("stored deliveries = %v; want one", ds)
	}
}

func TestSameIDTwiceInABatch(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.ID = "inv-1"
	other := kit.InvoicePaid.New(kit.Invoice{Number: 2})
	rs, err := h.PublishBatch(t.Context(), []hooks.Event{ev, other, ev})
	if err != nil || len(rs) != 3 {
		t.Fatalf("PublishBatch = %v, %v; want three receipts", rs, err)
	}
	if rs[0].Duplicate || rs[1].Duplicate || !rs[2].Duplicate || rs[2].EventID != "inv-1" {
		t.Errorf("receipts = %+v; want the third to be a duplicate of the first", rs)
	}
	if n := len(kit.Events(t, h)); n != 2 {
		t.Errorf("stored events = %d; want 2", n)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{})
		if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
		keyed := func(tenant, key string) hooks.Receipt {
			ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
			ev.Tenant, ev.IdempotencyKey = tenant, key
			return kit.Publish(t, h, ev)
		}
		first := keyed("", "k")
		if got, want := keyed("", "k"), (hooks.Receipt{EventID: first.EventID, Duplicate: true}); got != want {
			t.Errorf("same key: receipt = %+v; want %+v", got, want)
		}
		if keyed("acme", "k").Duplicate || keyed("", "K").Duplicate || keyed("", "").Duplicate || keyed("", "").Duplicate {
			t.Error("another tenant, another key, or none is a duplicate; want not")
		}
		time.Sleep(24*time.Hour - time.Second)
		if !keyed("", "k").Duplicate {
			t.Error("the key is free within 24 h; want it taken")
		}
		time.Sleep(time.Second)
		second := keyed("", "k")
		if second.Duplicate || second.EventID == first.EventID {
			t.Errorf("after 24 h: receipt = %+v; want a new event", second)
		}
		if r := keyed("", "k"); !r.Duplicate || r.EventID != second.EventID {
			t.Errorf("after that: receipt = %+v; want a duplicate of the second event", r)
		}
		if n, want := len(kit.Deliveries(t, h)), 6; n != want {
			t.Errorf("deliveries = %d; want %d", n, want)
		}
	})
}

func TestIdempotencyWindowIsConfigurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{IdempotencyWindow: time.Minute})
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		ev.IdempotencyKey = "k"
		kit.Publish(t, h, ev)
		time.Sleep(59 * time.Second)
		if !kit.Publish(t, h, ev).Duplicate {
			t.Error("within the window the key is free; want it taken")
		}
		time.Sleep(time.Second)
		if kit.Publish(t, h, ev).Duplicate {
			t.Error("after the window the key is taken; want it free")
		}
	})
}

// Of many who publish the same at once, one is the first.
func TestRepeatedPublishingMakesNoSecondDelivery(t *testing.T) {
	const publishers, times = 16, 5
	ids := 100
	if *kit.Long {
		ids = 1000
	}
	var calls sync.Map // event id → *atomic.Int64
	h := kit.New(t, hooks.Config{})
	if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: func(_ context.Context, ev hooks.Event) error {
		n, _ := calls.LoadOrStore(ev.ID, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	stop := kit.Start(t, h)
	var firsts, deliveries atomic.Int64
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range ids * times {
				ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
				if n := (i + p) % ids; n%2 == 0 {
					ev.ID = fmt.Sprint("id-", n)
				} else {
					ev.IdempotencyKey = fmt.Sprint("key-", n)
				}
				r, err := h.Publish(t.Context(), ev)
				if err != nil {
					t.Error(err)
					return
				}
				deliveries.Add(int64(r.Deliveries))
				if !r.Duplicate {
					firsts.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if firsts.Load() != int64(ids) || deliveries.Load() != int64(ids) {
		t.Errorf("first receipts = %d with %d deliveries; want %d", firsts.Load(), deliveries.Load(), ids)
	}
	stop()
	if n := len(kit.Deliveries(t, h)); n != ids {
		t.Errorf("stored deliveries = %d; want %d", n, ids)
	}
	for id, n := range calls.Range {
		if n := n.(*atomic.Int64).Load(); n != 1 {
			t.Errorf("handler called %d times for %v; want once", n, id)
		}
	}
}

// An event may be stored although storing it reports an error. What was not
// handed over is looked for as soon as the caller repeats the call, even if
// that is never.
func TestStoredInSpiteOfAnError(t *testing.T) {
	for _, repeat := range []bool{false, true} {
		t.Run(fmt.Sprint("repeated: ", repeat), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &forgetful{Store: memory.New()}
				h := kit.New(t, hooks.Config{Store: store})
				calls := 0
				s := hooks.Handler{Name: "audit", Events: []string{"**"}, Ordered: true, Func: func(context.Context, hooks.Event) error {
					calls++
					return nil
				}}
				if err := h.Subscribe(s); err != nil {
					t.Fatal(err)
				}
				kit.Start(t, h)
				synctest.Wait()
				ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
				ev.ID, ev.OrderingKey = "inv-1", "customer-1"
				if _, err := h.Publish(t.Context(), ev); err == nil {
					t.Fatal("Publish = nil; want the store's error")
				}
				if repeat {
					store.honest = true
					if r := kit.Publish(t, h, ev); !r.Duplicate {
						t.Errorf("receipt = %+v; want a duplicate", r)
					}
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if calls != 1 {
					t.Errorf("the handler was called %d times; want once", calls)
				}
			})
		})
	}
}

// A forgetful store stores events, and says that it may not have.
type forgetful struct {
	*memory.Store
	honest bool
}

func (s *forgetful) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	receipts, err := s.Store.Enqueue(ctx, now, entries)
	if err == nil && !s.honest {
		return nil, errors.New("connection lost")
	}
	return receipts, err
}
