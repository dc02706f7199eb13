package hooks_test

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
		h := dispatching(t, hooks.Config{}, handlers...)
		for i := range events {
			publish(t, h, i)
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
		h := dispatching(t, hooks.Config{}, handlers...)
		publish(t, h, 0)
		synctest.Wait()
		hang.Store(true)
		for i := range 100 {
			time.Sleep(400 * time.Millisecond)
			publish(t, h, i)
		}
		synctest.Wait()
		if served.Load() != 40+10*100 || late.Load() > 0 {
			t.Errorf("the living got %d, %d of them late; want %d within 1 s", served.Load()-40, late.Load(), 10*100)
		}
	})
}

// While older deliveries wait in the store, newer ones queue up behind them, also
// those published while the store is being asked.
func TestNewEventsDoNotOvertakeTheBacklog(t *testing.T) {
	for _, pause := range []time.Duration{0, 100 * time.Millisecond} {
		t.Run(fmt.Sprintf("store answers after %v", pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &gated{Store: memory.New(), backlog: func() { time.Sleep(pause) }}
				var got []string
				h := dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: 1, Func: func(_ context.Context, ev hooks.Event) error {
					got = append(got, string(ev.Data))
					time.Sleep(time.Second)
					return nil
				}})
				var want []string
				for i := range 100 {
					publish(t, h, i)
					want = append(want, fmt.Sprintf(`{"id":%d}`, i))
					time.Sleep(300 * time.Millisecond)
				}
				time.Sleep(100 * time.Second)
				synctest.Wait()
				if !slices.Equal(got, want) {
					t.Errorf("they came as %v; want the order of publishing", got)
				}
			})
		})
	}
}

// What does not fit into its lane just while the store is being asked is looked for.
func TestWhatIsLeftWhileTheStoreAnswersIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		var served atomic.Int64
		var once sync.Once
		store := &gated{Store: memory.New()}
		h := subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Concurrency: 1, Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			served.Add(1)
			return nil
		}})
		store.backlog = func() {
			once.Do(func() {
				for i := range n {
					publish(t, h, i)
				}
			})
		}
		runUntilCleanup(t, h)
		time.Sleep((n + 1) * time.Second)
		synctest.Wait()
		if served.Load() != n {
			t.Errorf("%d of %d were delivered", served.Load(), n)
		}
	})
}

func TestBacklogIsDeliveredWithBoundedConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		var active, most, served atomic.Int64
		h := subscribed(t, hooks.Config{SubscriberConcurrency: 3}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			most.Store(max(most.Load(), active.Add(1)))
			time.Sleep(time.Second)
			active.Add(-1)
			served.Add(1)
			return nil
		}})
		for i := range n {
			publish(t, h, i)
		}
		runUntilCleanup(t, h)
		time.Sleep(n*time.Second/3 + 2*time.Second)
		synctest.Wait()
		if served.Load() != n || most.Load() != 3 {
			t.Errorf("served %d, %d at once; want %d, 3", served.Load(), most.Load(), n)
		}
	})
}
