package systemtest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A dead subscriber holds its own slots only, and a lane that is full leaves
// the rest in the store.
func TestDeadSubscriberDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dead, events = 30, 100
		var handlers []hooks.Handler
		for i := range dead {
			handlers = append(handlers, hooks.Handler{
				Name: fmt.Sprintf("dead%d", i),
				Func: func(ctx context.Context, _ hooks.Event) error { <-ctx.Done(); return ctx.Err() },
			})
		}
		var worst time.Duration
		var served int
		var mu sync.Mutex // guards worst and served
		for i := range 10 {
			handlers = append(handlers, hooks.Handler{Name: fmt.Sprintf("live%d", i), Func: func(_ context.Context, ev hooks.Event) error {
				mu.Lock()
				defer mu.Unlock()
				worst = max(worst, time.Since(ev.Time))
				served++
				return nil
			}})
		}
		h := kit.Dispatching(t, hooks.Config{}, handlers...)
		for i := range events {
			kit.PlaceOrder(t, h, i)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if served != 10*events || worst > time.Second {
			t.Errorf("the living got %d of %d, the worst after %v; want all within 1 s", served, 10*events, worst)
		}
	})
}

// Those that worked and then hang are noticed before they take every slot.
func TestSubscribersThatBeginToHangDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		var late, served atomic.Int64
		var handlers []hooks.Handler
		for i := range 40 {
			handlers = append(handlers, hooks.Handler{Name: fmt.Sprintf("s%02d", i), Func: func(ctx context.Context, ev hooks.Event) error {
				if i < 30 && hang.Load() {
					<-ctx.Done()
					return ctx.Err()
				}
				if served.Add(1); time.Since(ev.Time) > time.Second {
					late.Add(1)
				}
				return nil
			}})
		}
		h := kit.Dispatching(t, hooks.Config{}, handlers...)
		kit.PlaceOrder(t, h, 0)
		synctest.Wait()
		hang.Store(true)
		for i := range 100 {
			time.Sleep(400 * time.Millisecond)
			kit.PlaceOrder(t, h, i)
		}
		synctest.Wait()
		if served.Load() != 40+10*100 || late.Load() > 0 {
			t.Errorf("the living got %d, %d of them late; want %d within 1 s", served.Load()-40, late.Load(), 10*100)
		}
	})
}

// Hanging subscribers leave a working one its own concurrency.
func TestHangingSubscribersLeaveOthersTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := []hooks.Handler{}
		for i := range 30 {
			handlers = append(handlers, hooks.Handler{Name: fmt.Sprint("hang", i), Func: func(ctx context.Context, _ hooks.Event) error {
				<-ctx.Done()
				return ctx.Err()
			}})
		}
		var last atomic.Int64
		handlers = append(handlers, hooks.Handler{Name: "works", Func: func(context.Context, hooks.Event) error {
			time.Sleep(100 * time.Millisecond)
			last.Store(time.Now().UnixMilli())
			return nil
		}})
		h := kit.Subscribed(t, hooks.Config{}, handlers...)
		for i := range 20 {
			kit.PlaceOrder(t, h, i)
		}
		began := time.Now()
		kit.StartInBubble(t, h)
		time.Sleep(time.Minute)
		if took := time.UnixMilli(last.Load()).Sub(began); took > time.Second {
			t.Errorf("20 deliveries of 100 ms, 4 at once, took %v; want about 600 ms", took)
		}
	})
}

// A stingy store is shared, and leases one delivery at a time, as a store may.
type stingy struct {
	hooks.Store
	hooks.Waker
}

func (s stingy) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	for i := range lanes {
		if lanes[i].Subscriber == "quick" {
			lanes = slices.Clone(lanes)
			lanes[i].Max = 1
		}
	}
	return s.Store.Claim(ctx, now, lanes)
}

// A lane with a backlog, be it busy or hanging, delays nothing that becomes due for
// another lane meanwhile.
func TestABacklogHidesNothing(t *testing.T) {
	type party struct {
		*hooks.Hooks
		store *kit.GatedStore
		other *hooks.Hooks // on the same store
	}
	for name, publish := range map[string]func(*testing.T, party, hooks.Event){
		"found by a poll": func(t *testing.T, p party, ev hooks.Event) {
			kit.Publish(t, p.other, ev)
			time.Sleep(1100 * time.Millisecond)
		},
		"scheduled": func(t *testing.T, p party, ev hooks.Event) {
			ev.DeliverAt = time.Now().Add(130 * time.Millisecond)
			kit.Publish(t, p.Hooks, ev)
			time.Sleep(130 * time.Millisecond)
		},
		"of another process": func(t *testing.T, p party, ev hooks.Event) {
			kit.Publish(t, p.other, ev)
			p.store.Woken <- struct{}{}
		},
		"told by Wake": func(t *testing.T, p party, ev hooks.Event) {
			kit.Publish(t, p.other, ev)
			p.Wake(t.Context())
		},
		"of an ordering key": func(t *testing.T, p party, ev hooks.Event) {
			ev.OrderingKey = "k"
			first := ev
			first.Data = []byte(`{"id":0}`)
			kit.Publish(t, p.Hooks, first)
			kit.Publish(t, p.Hooks, ev)
		},
		"leased one by one": func(t *testing.T, p party, ev hooks.Event) {
			first := ev
			first.Data = []byte(`{"id":0}`)
			kit.Publish(t, p.other, first)
			kit.Publish(t, p.other, ev)
			p.Wake(t.Context())
		},
	} {
		for _, takes := range []time.Duration{10 * time.Millisecond, time.Hour} {
			t.Run(fmt.Sprintf("%s, beside a lane that takes %v", name, takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					came := make(chan time.Time, 1)
					slow := hooks.Handler{Name: "slow", Timeout: 2 * time.Hour, Func: func(ctx context.Context, _ hooks.Event) error {
						select {
						case <-time.After(takes):
						case <-ctx.Done():
						}
						return nil
					}}
					quick := hooks.Handler{Name: "quick", Ordered: true, Func: func(_ context.Context, ev hooks.Event) error {
						if string(ev.Data) == `{"id":-1}` {
							came <- time.Now()
						}
						return nil
					}}
					store := &kit.GatedStore{Store: memory.New(), Woken: make(chan struct{})}
					cfg := hooks.Config{Store: stingy{store, store}}
					p := party{kit.Subscribed(t, cfg, slow, quick), store, kit.Subscribed(t, cfg)}
					for i := range 400 {
						kit.Publish(t, p.Hooks, kit.OrderPlaced.New(kit.Order{ID: i}))
					}
					kit.StartInBubble(t, p.Hooks)
					for range 5 { // some of them just after the backlog was looked at
						publish(t, p, kit.OrderPlaced.New(kit.Order{ID: -1}))
						due := time.Now()
						if late := kit.Soon(t, came).Sub(due); late > 4*time.Millisecond { // of the pause between two looks
							t.Errorf("it came %v after it was due; want 4 ms at most", late)
						}
					}
				})
			})
		}
	}
}

// Nor does it keep the dispatcher from cancelling what a deleted endpoint has left.
func TestABacklogDelaysNoSweeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.Subscribed(t, hooks.Config{}, hooks.Handler{Name: "hangs", Timeout: time.Hour, Func: func(ctx context.Context, _ hooks.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		kit.Put(t, h, hooks.Endpoint{ID: "e", URL: kit.AnyURL, Events: []string{"**"}})
		for i := range 1000 {
			kit.PlaceOrder(t, h, i)
		}
		if err := h.DeleteEndpoint(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
		kit.StartInBubble(t, h)
		left := 0
		for _, d := range kit.Deliveries(t, h) {
			if d.Subscriber == "e" && d.Status != hooks.Canceled {
				left++
			}
		}
		if left > 0 {
			t.Errorf("%d of 1000 are not canceled; want none", left)
		}
	})
}
