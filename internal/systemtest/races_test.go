package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// Room that was reserved for duplicates is free for what came meanwhile.
func TestRoomOfDuplicatesIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.GatedStore{Store: memory.New()}
		var served atomic.Int32
		h := kit.Dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: 1, Func: func(context.Context, hooks.Event) error {
			served.Add(1)
			return nil
		}})
		var evs []hooks.Event
		for i := range 5 {
			ev := kit.OrderPlaced.New(kit.Order{ID: i})
			ev.ID = fmt.Sprint("e", i)
			evs = append(evs, ev)
		}
		publishAll := func() {
			if _, err := h.PublishBatch(t.Context(), evs); err != nil {
				t.Error(err)
			}
		}
		publishAll()
		synctest.Wait()
		release := make(chan struct{})
		store.BeforeEnqueue = kit.Once(release)
		go publishAll()
		synctest.Wait()
		kit.PlaceOrder(t, h, 9)
		close(release)
		synctest.Wait()
		if served.Load() != 6 {
			t.Errorf("%d of 6 were delivered", served.Load())
		}
	})
}

// While an outcome cannot be written, its delivery is not claimed again.
func TestUnwrittenSuccessIsNotSentAgain(t *testing.T) {
	for i := range 20 {
		synctest.Test(t, func(t *testing.T) {
			store := &kit.GatedStore{Store: memory.New()}
			var full atomic.Bool
			store.BeforeWrite = func() error {
				if full.Load() {
					return errors.New("disk full")
				}
				return nil
			}
			var calls atomic.Int32
			h := kit.Dispatching(t, hooks.Config{Store: store, Timeout: time.Second, Logger: kit.Silent}, hooks.Handler{
				Name: "a", Func: func(context.Context, hooks.Event) error { calls.Add(1); return nil },
			})
			full.Store(true)
			kit.PlaceOrder(t, h, 1)
			time.Sleep(40 * time.Second) // more than the lease
			h.Wake(t.Context())
			time.Sleep(10*time.Second + time.Duration(i)*150*time.Millisecond)
			full.Store(false)
			time.Sleep(time.Minute)
			if calls.Load() != 1 {
				t.Errorf("the handler was called %d times; want once", calls.Load())
			}
		})
	}
}

// What waits behind a slow subscriber can be canceled.
func TestCancelBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Concurrency: 1, Func: func(context.Context, hooks.Event) error {
			time.Sleep(5 * time.Second)
			calls.Add(1)
			return nil
		}})
		kit.PlaceOrder(t, h, 1)
		second := kit.PlaceOrder(t, h, 2)
		kit.PlaceOrder(t, h, 3)
		synctest.Wait()
		if _, err := h.Cancel(t.Context(), hooks.DeliveryID{Event: second.EventID, Subscriber: "a"}); err != nil {
			t.Fatal(err)
		}
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls.Load() != 2 {
			t.Errorf("the handler was called %d times; want 2, for the second was canceled", calls.Load())
		}
	})
}

// An endpoint's id does not go to another tenant with what waits for it.
func TestTenantsDoNotInheritDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var evil atomic.Int32
		h := kit.Dispatching(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "evil.example.com" {
				evil.Add(1)
			}
			return kit.Answer(500, nil, ""), nil
		})})
		acme := hooks.Endpoint{ID: "crm", Tenant: "acme", URL: "https://acme.example.com/", Events: []string{"**"}}
		if _, err := h.PutEndpoint(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
		ev := kit.OrderPlaced.New(kit.Order{ID: 1})
		ev.Tenant = "acme"
		r, err := h.Publish(t.Context(), ev)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		other := acme
		other.Tenant, other.URL = "evil", "https://evil.example.com/"
		if _, err := h.PutEndpoint(t.Context(), other); !errors.Is(err, hooks.ErrTaken) {
			t.Errorf("PutEndpoint for another tenant = %v; want ErrTaken", err)
		}
		if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.PutEndpoint(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if d := kit.Delivery(t, h, r.EventID, "crm"); evil.Load() != 0 || d.Status != hooks.Canceled {
			t.Errorf("another tenant got %d requests, and the delivery is %v; want none, canceled", evil.Load(), d.Status)
		}
	})
}

// A subscriber that another process makes is found as soon as the store says
// that something was written.
func TestNewSubscribersOfOthersAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.GatedStore{Store: memory.New(), Woken: make(chan struct{})}
		var calls atomic.Int32
		cfg := hooks.Config{Store: store, Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			return kit.Answer(200, nil, ""), nil
		})}
		here, there := kit.Dispatching(t, cfg), kit.Subscribed(t, cfg)
		here.Wake(t.Context())
		synctest.Wait() // it has just looked
		if _, err := there.PutEndpoint(t.Context(), hooks.Endpoint{ID: "e", URL: "https://example.com/", Events: []string{"**"}}); err != nil {
			t.Fatal(err)
		}
		kit.PlaceOrder(t, there, 1)
		store.Woken <- struct{}{}
		time.Sleep(4 * time.Millisecond) // the pause between two looks
		synctest.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d requests; want 1 within 4 ms", calls.Load())
		}
	})
}

// Publishing that fails keeps no memory, however often.
func TestFailedPublishesKeepNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		failing := func() error {
			if works.Load() {
				return nil
			}
			return errors.New("disk full")
		}
		store := &kit.GatedStore{Store: memory.New(), BeforeEnqueue: failing, BeforeWrite: failing}
		h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent, DrainTimeout: time.Second}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { return nil },
		})
		fail := func(n int) {
			for i := range n {
				if _, err := h.Publish(t.Context(), kit.OrderPlaced.New(kit.Order{ID: i})); err == nil {
					t.Fatal("Publish = nil; want the store's error")
				}
			}
		}
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		fail(1000)
		before := heap()
		fail(50_000)
		if grown := int64(heap()) - int64(before); grown > 2<<20 {
			t.Errorf("50,000 failed publishes keep %d KiB; want next to nothing", grown>>10)
		}
		works.Store(true)
		r := kit.PlaceOrder(t, h, 0)
		time.Sleep(time.Minute)
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Succeeded {
			t.Errorf("what is published afterwards is %v; want it succeeded, because they keep no place", d.Status)
		}
	})
}

// A trace that panics costs the lane no room.
func TestPanickingTraceCostsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int32
		cfg := hooks.Config{Trace: hooks.Trace{Published: func(context.Context, hooks.Event, hooks.Receipt) { panic("trace") }}}
		h := kit.Dispatching(t, cfg, hooks.Handler{Name: "a", Concurrency: 1, Func: func(context.Context, hooks.Event) error {
			served.Add(1)
			return nil
		}})
		for i := range 20 {
			func() {
				defer func() { _ = recover() }()
				kit.PlaceOrder(t, h, i)
			}()
			synctest.Wait()
		}
		if served.Load() != 20 {
			t.Errorf("%d of 20 were delivered", served.Load())
		}
	})
}
