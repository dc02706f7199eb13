package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// subscribers lists who an event was addressed to, in order.
func subscribers(t *testing.T, h *hooks.Hooks, event string) (ids []string) {
	t.Helper()
	for _, d := range kit.Deliveries(t, h) {
		if d.Event == event {
			ids = append(ids, d.Subscriber)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestFanOut(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	types := make(map[string]hooks.EventType[int])
	for _, name := range []string{"order.placed", "order.item.added", "order"} {
		types[name] = hooks.EventType[int]{Name: name}
		if err := h.Register(types[name]); err != nil {
			t.Fatal(err)
		}
	}
	types["invoice.paid"] = hooks.EventType[int]{Name: "invoice.paid"}
	for name, events := range map[string][]string{
		"every": {"**"}, "one": {"*"}, "two": {"*.*"}, "paid": {"*.paid"}, "orders": {"order.**"},
		"middle": {"order.*.added"}, "exact": {"order.placed"}, "both": {"order", "order.**", "**"},
	} {
		if err := h.Subscribe(hooks.Handler{Name: name, Events: events, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ typ, want string }{
		{"invoice.paid", "both every paid two"},
		{"order", "both every one"},
		{"order.placed", "both every exact orders two"},
		{"order.item.added", "both every middle orders"},
	} {
		r := kit.Publish(t, h, types[c.typ].New(1))
		got := strings.Join(subscribers(t, h, r.EventID), " ")
		if got != c.want {
			t.Errorf("%s goes to %s; want %s", c.typ, got, c.want)
		}
		if want := len(strings.Fields(c.want)); r.Deliveries != want || r.Duplicate {
			t.Errorf("receipt of %s = %+v; want %d deliveries", c.typ, r, want)
		}
	}
}

// An endpoint receives the events of exactly its own tenant, a handler those
// of all.
func TestTenants(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	if err := h.Subscribe(hooks.Handler{Name: "handler", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Fatal(err)
	}
	for id, tenant := range map[string]string{"none": "", "acme": "acme", "acme2": "acme", "Acme": "Acme", "star": "*"} {
		kit.Put(t, h, hooks.Endpoint{ID: id, Tenant: tenant, URL: "https://example.com/"})
	}
	for _, c := range []struct{ tenant, want string }{
		{"", "handler none"},
		{"acme", "acme acme2 handler"},
		{"Acme", "Acme handler"},
		{"acm", "handler"},
		{"acme2", "handler"},
		{"*", "handler star"},
	} {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		ev.Tenant = c.tenant
		r := kit.Publish(t, h, ev)
		if got := strings.Join(subscribers(t, h, r.EventID), " "); got != c.want {
			t.Errorf("an event of tenant %q goes to %s; want %s", c.tenant, got, c.want)
		}
	}
}

func TestPublishWithoutSubscribers(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	r := kit.Send(t, h)
	if r.Deliveries != 0 || r.Duplicate || r.EventID == "" {
		t.Errorf("receipt = %+v; want an id and no deliveries", r)
	}
	if evs := kit.Events(t, h); len(evs) != 1 || evs[0].ID != r.EventID {
		t.Errorf("stored events = %v; want the one", evs)
	}
}

func TestPublishMakesAnID(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	a, b := kit.Send(t, h).EventID, kit.Send(t, h).EventID
	if len(a) != len("evt_")+36 || !strings.HasPrefix(a, "evt_") || a == b {
		t.Errorf("ids = %s, %s; want two of evt_ and a UUID", a, b)
	}
	if a >= b {
		t.Errorf("ids = %s, %s; want them to grow with time", a, b)
	}
}

func TestBatchIsOneWrite(t *testing.T) {
	store := &watchedStore{Store: memory.New()}
	h := kit.New(t, hooks.Config{Store: store})
	if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Fatal(err)
	}
	var evs []hooks.Event
	for i := range 100 {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
		ev.ID = fmt.Sprint("inv-", i)
		evs = append(evs, ev)
	}
	rs, err := h.PublishBatch(t.Context(), evs)
	if err != nil || len(rs) != len(evs) {
		t.Fatalf("PublishBatch = %d receipts, %v; want 100", len(rs), err)
	}
	for i, r := range rs {
		if want := (hooks.Receipt{EventID: evs[i].ID, Deliveries: 1}); r != want {
			t.Errorf("receipt %d = %+v; want %+v", i, r, want)
		}
	}
	if n := store.enqueues.Load(); n != 1 {
		t.Errorf("the store was called %d times; want once", n)
	}
	if rs, err := h.PublishBatch(t.Context(), nil); err != nil || len(rs) != 0 {
		t.Errorf("PublishBatch of nothing = %v, %v; want nothing", rs, err)
	}
}

func TestPublishWhoseStoreFails(t *testing.T) {
	store := &watchedStore{Store: memory.New()}
	h := kit.New(t, hooks.Config{Store: store})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "https://example.com/"})
	broken := errors.New("disk on fire")
	store.fail.Store(&broken)
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.ID = "inv-1"
	_, one := h.Publish(t.Context(), ev)
	_, two := h.PublishBatch(t.Context(), []hooks.Event{ev, ev})
	for want, err := range map[string]error{"hooks: publish invoice.paid: ": one, "hooks: publish 2 events: ": two} {
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error = %v; want %s and the store's", err, want)
		}
	}
	store.fail.Store(nil)
	if r := kit.Publish(t, h, ev); r.Duplicate || r.Deliveries != 1 {
		t.Errorf("receipt of the repetition = %+v; want a first one", r)
	}
}

// A watchedStore counts writes, keeps what was enqueued, and fails to enqueue
// or put when told to.
type watchedStore struct {
	*memory.Store
	enqueues, puts atomic.Int64
	fail           atomic.Pointer[error]

	mu      sync.Mutex // guards what follows
	entries []hooks.Entry
}

func (s *watchedStore) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	s.enqueues.Add(1)
	if err := s.fail.Load(); err != nil {
		return nil, *err
	}
	s.mu.Lock()
	s.entries = append(s.entries, entries...)
	s.mu.Unlock()
	return s.Store.Enqueue(ctx, now, entries)
}

func (s *watchedStore) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	s.puts.Add(1)
	if err := s.fail.Load(); err != nil {
		return 0, *err
	}
	return s.Store.Put(ctx, now, r, emit)
}

func TestDeliverAtAndExpiresAtAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{})
		if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
		at := time.Now().UTC()
		for _, c := range []struct {
			deliverAt, due time.Time
		}{
			{time.Time{}, at},
			{at.Add(time.Hour), at.Add(time.Hour)},
			{at.Add(-time.Hour), at},
			{at.Add(time.Hour).In(time.FixedZone("", 7200)), at.Add(time.Hour)},
		} {
			ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
			ev.DeliverAt = c.deliverAt
			ev.ExpiresAt = at.Add(2*time.Hour + 999*time.Nanosecond)
			kit.Publish(t, h, ev)
			if d := kit.Deliveries(t, h)[0]; !d.Due.Equal(c.due) || d.Status != hooks.Pending || d.Run != 1 {
				t.Errorf("DeliverAt %v: delivery = %v due %v; want pending due %v", c.deliverAt, d.Status, d.Due, c.due)
			}
			got := kit.Events(t, h)[0]
			if !got.DeliverAt.Equal(c.deliverAt) || got.ExpiresAt != at.Add(2*time.Hour) || got.Time != at {
				t.Errorf("event = %+v; want DeliverAt %v, ExpiresAt in whole µs, Time now, in UTC", got, c.deliverAt)
			}
		}
	})
}

// What is ordered for one subscriber may be unordered for another.
func TestOrderingKeyIsForOrderedSubscribersOnly(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	for _, s := range []hooks.Handler{{Name: "free"}, {Name: "strict", Ordered: true}} {
		s.Events, s.Func = []string{"**"}, kit.Ignore
		if err := h.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	kit.Put(t, h, hooks.Endpoint{ID: "loose", URL: "https://example.com/"})
	kit.Put(t, h, hooks.Endpoint{ID: "line", URL: "https://example.com/", Ordered: true})
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.OrderingKey = "customer-1"
	kit.Publish(t, h, ev)
	for _, d := range kit.Deliveries(t, h) {
		want := ""
		if d.Subscriber == "strict" || d.Subscriber == "line" {
			want = "customer-1"
		}
		if d.OrderingKey != want {
			t.Errorf("OrderingKey for %s = %q; want %q", d.Subscriber, d.OrderingKey, want)
		}
	}
}

func TestPublishTxLeavesEverythingToTheTransaction(t *testing.T) {
	store := memory.New()
	published := 0
	h := kit.New(t, hooks.Config{Store: store, Trace: hooks.Trace{Published: func(context.Context, hooks.Event, hooks.Receipt) { published++ }}})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "https://example.com/"})
	tx := &watchedStore{Store: store}
	rs, err := h.PublishTx(t.Context(), tx, kit.InvoicePaid.New(kit.Invoice{Number: 1}), kit.InvoicePaid.New(kit.Invoice{Number: 2}))
	if err != nil || len(rs) != 2 || rs[0].Deliveries != 1 || rs[1].Deliveries != 1 {
		t.Errorf("PublishTx = %+v, %v; want two receipts with one delivery each", rs, err)
	}
	if tx.enqueues.Load() != 1 || published != 2 {
		t.Errorf("Tx was called %d times, Trace.Published %d; want once, and once for each event", tx.enqueues.Load(), published)
	}
	for _, d := range kit.Deliveries(t, h) {
		if d.Status != hooks.Pending {
			t.Errorf("delivery is %v; want pending, for the transaction may be rolled back", d.Status)
		}
	}
}

func TestTracePublished(t *testing.T) {
	type call struct {
		id string
		r  hooks.Receipt
	}
	var calls []call
	h := kit.New(t, hooks.Config{Trace: hooks.Trace{Published: func(_ context.Context, ev hooks.Event, r hooks.Receipt) { calls = append(calls, call{ev.ID, r}) }}})
	r := kit.Send(t, h)
	if len(calls) != 1 || calls[0].id != r.EventID || calls[0].r != r {
		t.Errorf("Trace.Published was told %+v; want %+v", calls, r)
	}
}

// An enqueuing store does something before an event is stored.
type enqueuing struct {
	*memory.Store
	before func()
}

func (s *enqueuing) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	s.before()
	return s.Store.Enqueue(ctx, now, entries)
}

// Run may begin while an event is on its way to the store: it has looked for
// work too early then, and must look again.
func TestRunBeginsWhileAnEventIsBeingStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &enqueuing{Store: memory.New()}
		h := kit.New(t, hooks.Config{Store: store})
		calls := 0
		if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: func(context.Context, hooks.Event) error {
			calls++
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		store.before = func() {
			kit.Start(t, h)
			synctest.Wait()
		}
		kit.Send(t, h)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("the handler was called %d times; want once, at once", calls)
		}
	})
}

// What a store sets is not taken from the publisher: an event that is published with a time
// of erasing could never be erased.
func TestPublishIgnoresWhatTheStoreSets(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Seq, ev.Erased = 1<<40, time.Now()
	kit.Publish(t, h, ev)
	if got := kit.Events(t, h)[0]; got.Seq == ev.Seq || !got.Erased.IsZero() {
		t.Errorf("stored with Seq %d, erased %v; want what the store sets", got.Seq, got.Erased)
	}
}
