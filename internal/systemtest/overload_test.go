package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// While older deliveries wait in the store, newer ones queue up behind them, whenever
// they are published.
func TestNewEventsDoNotOvertakeTheBacklog(t *testing.T) {
	for _, c := range []struct {
		name              string
		before, meanwhile int // events published before Run, and while the store is first asked
		pause             time.Duration
	}{
		{name: "published later"},
		{name: "published while the store is asked", pause: 100 * time.Millisecond},
		{name: "published while the store is first asked", meanwhile: 6},
		{name: "published before", before: 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &kit.GatedStore{Store: memory.New()}
				var got, want []string
				h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: 1, Func: func(_ context.Context, ev hooks.Event) error {
					got = append(got, string(ev.Data))
					time.Sleep(time.Second)
					return nil
				}})
				publishMore := func(n int) {
					for range n {
						kit.PlaceOrder(t, h, len(want))
						want = append(want, fmt.Sprintf(`{"id":%d}`, len(want)))
					}
				}
				publishMore(c.before)
				var once sync.Once
				store.AfterBacklog = func() {
					once.Do(func() { publishMore(c.meanwhile) })
					time.Sleep(c.pause)
				}
				kit.StartInBubble(t, h)
				synctest.Wait()
				time.Sleep(900 * time.Millisecond)
				for range 50 {
					time.Sleep(600 * time.Millisecond)
					publishMore(1)
				}
				time.Sleep(200 * time.Second)
				synctest.Wait()
				if !slices.Equal(got, want) {
					t.Errorf("they came as %v; want the order of publishing", got)
				}
			})
		})
	}
}

// Events that are published while a backlog is claimed, piece by piece, come after it.
func TestTheBacklogGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, backlog = 4, 199 // one comes in the first second, two in the second, then four
		var old, early atomic.Int64
		h := kit.Subscribed(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(_ context.Context, ev hooks.Event) error {
			if string(ev.Data) == `{"id":0}` {
				old.Add(1)
			} else if old.Load() < backlog {
				early.Add(1)
			}
			time.Sleep(time.Second)
			return nil
		}})
		for range backlog {
			kit.PlaceOrder(t, h, 0)
		}
		kit.StartInBubble(t, h)
		synctest.Wait()
		for range (2+(backlog-3)/slots)*10 - 5 { // until half a second after the last four have begun
			time.Sleep(100 * time.Millisecond)
			kit.PlaceOrder(t, h, 1)
		}
		if old.Load() < backlog || early.Load() > 0 {
			t.Errorf("%d of %d old ones came, and %d newer ones before the last", old.Load(), backlog, early.Load())
		}
	})
}

// A retry gets its turn in a lane that Publish keeps nearly full.
func TestNewEventsDoNotStarveRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const full = 17 // of 20: there is room for Publish, but none for a claim
		var tries, others atomic.Int64
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Concurrency: 4, Retry: retry.Schedule{time.Second}, Func: func(_ context.Context, ev hooks.Event) error {
			if string(ev.Data) == `{"id":0}` && tries.Add(1) == 1 {
				return errors.New("once more")
			}
			time.Sleep(time.Second)
			others.Add(1)
			return nil
		}})
		for i := range full + 1 {
			kit.PlaceOrder(t, h, i)
		}
		for i := range 30 {
			time.Sleep(time.Second)
			synctest.Wait()
			for range others.Swap(0) {
				kit.PlaceOrder(t, h, full+i+1)
			}
		}
		if tries.Load() != 2 {
			t.Errorf("it was tried %d times in half a minute; want 2", tries.Load())
		}
	})
}

// What does not fit into its lane just while the store is being asked is looked for.
func TestWhatIsLeftWhileTheStoreAnswersIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		var served atomic.Int64
		var once sync.Once
		store := &kit.GatedStore{Store: memory.New()}
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: 1, Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			served.Add(1)
			return nil
		}})
		store.AfterBacklog = func() {
			once.Do(func() {
				for i := range n {
					kit.PlaceOrder(t, h, i)
				}
			})
		}
		kit.StartInBubble(t, h)
		time.Sleep((n + 1) * time.Second)
		synctest.Wait()
		if served.Load() != n {
			t.Errorf("%d of %d were delivered", served.Load(), n)
		}
	})
}

// A lane that has caught up with its backlog takes events from Publish again, though
// one is published whenever the store is asked.
func TestALaneThatHasCaughtUpTakesNewEventsAtOnce(t *testing.T) {
	for _, when := range []string{"backlog", "claim"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const slots, backlog = 64, 200 // claimed in two pieces
				const few, enough = 20, 1000
				var asked atomic.Int64
				store := &kit.GatedStore{Store: memory.New()}
				h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: slots, Func: func(context.Context, hooks.Event) error { return nil }})
				for i := range backlog {
					kit.PlaceOrder(t, h, i)
				}
				more := func() {
					if asked.Add(1) < enough {
						kit.PlaceOrder(t, h, int(asked.Load()))
					}
				}
				if when == "backlog" {
					store.AfterBacklog = more
				} else {
					store.AfterClaim = more
				}
				kit.StartInBubble(t, h)
				synctest.Wait()
				if asked.Load() > few {
					t.Errorf("the store was asked %d times, and the lane has not caught up", asked.Load())
				}
			})
		})
	}
}

// So does one whose events are being stored, left behind, while it catches up.
func TestALaneCatchesUpWithConcurrentPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backlog, publishers, each = 30, 4, 100
		var served atomic.Int64
		store := &kit.GatedStore{Store: memory.New()}
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			served.Add(1)
			return nil
		}})
		for i := range backlog {
			kit.PlaceOrder(t, h, i)
		}
		var claims atomic.Int64
		store.BeforeEnqueue = func() error { time.Sleep(10 * time.Millisecond); return nil }
		store.AfterClaim = func() { claims.Add(1); time.Sleep(4 * time.Millisecond) }
		kit.StartInBubble(t, h)
		var all sync.WaitGroup
		for i := range publishers {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond)
				for range each {
					kit.PlaceOrder(t, h, i)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if served.Load() != backlog+publishers*each || claims.Load() > each/2 {
			t.Errorf("%d were delivered, with %d claims; want %d, and Publish to hand over most", served.Load(), claims.Load(), backlog+publishers*each)
		}
	})
}

// What is published while a claim is under way and what that claim leases fit into
// the lane together.
func TestALaneHoldsNoMoreThanItHasRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, capacity = 1, 5
		var once sync.Once
		store := &kit.GatedStore{Store: memory.New()}
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: slots, Func: func(ctx context.Context, _ hooks.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		for i := range capacity {
			kit.PlaceOrder(t, h, i)
		}
		store.AfterClaim = func() {
			once.Do(func() {
				for i := range capacity {
					kit.PlaceOrder(t, h, i)
				}
			})
		}
		kit.StartInBubble(t, h)
		synctest.Wait()
		if n := countLeased(t, h); n != capacity {
			t.Errorf("%d deliveries are leased; want %d", n, capacity)
		}
	})
}

// What Publish is storing has its place in the lane already.
func TestConcurrentPublishersDoNotOverfillALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, capacity, publishers = 1, 5, 100
		store := &kit.GatedStore{Store: memory.New(), BeforeEnqueue: func() error { time.Sleep(time.Second); return nil }}
		h := kit.Dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: slots, Timeout: time.Minute, Func: func(ctx context.Context, _ hooks.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		var all sync.WaitGroup
		for i := range publishers {
			all.Go(func() { kit.PlaceOrder(t, h, i) })
		}
		all.Wait()
		synctest.Wait()
		if n := countLeased(t, h); n != capacity {
			t.Errorf("%d deliveries are leased; want %d", n, capacity)
		}
	})
}

// Deliveries whose outcomes are being saved leave room for others, claimed or published.
// But a subscriber never has more than ten times its slots in memory.
func TestALaneGoesOnWhileOutcomesAreSaved(t *testing.T) {
	const slots, published = 4, 100
	for _, before := range []int{0, published} {
		t.Run(fmt.Sprintf("%d published before", before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var served atomic.Int64
				stuck := make(chan struct{})
				store := &kit.GatedStore{Store: memory.New(), BeforeUpdate: func() { <-stuck }}
				h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: slots, Func: func(context.Context, hooks.Event) error {
					served.Add(1)
					return nil
				}})
				for i := range before {
					kit.PlaceOrder(t, h, i)
				}
				kit.StartInBubble(t, h)
				synctest.Wait()
				for i := range published - before {
					kit.PlaceOrder(t, h, i)
					synctest.Wait()
				}
				if n := served.Load(); n <= 5*slots || n > 10*slots {
					t.Errorf("%d were tried while none was saved; want more than %d, and %d at most", n, 5*slots, 10*slots)
				}
				close(stuck)
				synctest.Wait()
				if served.Load() != published {
					t.Errorf("%d were tried in the end; want %d", served.Load(), published)
				}
			})
		})
	}
}

// countLeased counts the deliveries that are leased.
func countLeased(t *testing.T, h *hooks.Hooks) int {
	t.Helper()
	page, _, err := h.Deliveries(t.Context(), hooks.Query{Statuses: []hooks.Status{hooks.Sending}})
	if err != nil {
		t.Fatal(err)
	}
	return len(page)
}

func TestBacklogIsDeliveredWithBoundedConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		var active, most, served atomic.Int64
		h := kit.Subscribed(t, hooks.Config{SubscriberConcurrency: 3}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			most.Store(max(most.Load(), active.Add(1)))
			time.Sleep(time.Second)
			active.Add(-1)
			served.Add(1)
			return nil
		}})
		for i := range n {
			kit.PlaceOrder(t, h, i)
		}
		kit.StartInBubble(t, h)
		time.Sleep(n*time.Second/3 + 2*time.Second)
		synctest.Wait()
		if served.Load() != n || most.Load() != 3 {
			t.Errorf("served %d, %d at once; want %d, 3", served.Load(), most.Load(), n)
		}
	})
}

// A backlog is claimed piece by piece without looking at all lanes each time.
func TestABacklogIsNotLookedAtForEachClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks, claims atomic.Int64
		gate := make(chan struct{})
		store := &kit.GatedStore{Store: memory.New(), AfterBacklog: func() { looks.Add(1) }, AfterClaim: func() { claims.Add(1) }}
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			<-gate
			return nil
		}})
		for i := range 400 {
			kit.PlaceOrder(t, h, i)
		}
		kit.StartInBubble(t, h)
		h.Wake(t.Context())
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if c, l := claims.Load(), looks.Load(); c < 20 || l > 4 {
			t.Errorf("the backlog was looked at %d times for %d claims; want 4 times at most for 20 or more", l, c)
		}
	})
}

// A subscriber's slots are as many as there are at most, so that what it leases
// is bounded too.
func TestConcurrencyBeyondReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.Subscribed(t, hooks.Config{Concurrency: 2}, hooks.Handler{Name: "a", Concurrency: 1e6, Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			return nil
		}})
		for i := range 100 {
			kit.PlaceOrder(t, h, i)
		}
		kit.StartInBubble(t, h)
		time.Sleep(1500 * time.Millisecond) // until it has shown that it works
		synctest.Wait()
		page, _, err := h.Deliveries(t.Context(), hooks.Query{Statuses: []hooks.Status{hooks.Sending}, Limit: 200})
		if err != nil || len(page) != 2*5 {
			t.Errorf("%d deliveries are leased, %v; want five for each of 2 slots", len(page), err)
		}
	})
}
