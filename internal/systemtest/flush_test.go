package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

func TestFlushWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := 0
		h := kit.Subscribed(t, hooks.Config{SubscriberConcurrency: 1}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			served++
			return nil
		}})
		for i := range 100 {
			kit.PlaceOrder(t, h, i)
		}
		began := time.Now()
		if err := h.Flush(t.Context()); err != nil || served != 100 {
			t.Errorf("Flush = %v after %d deliveries; want nil after 100", err, served)
		}
		if took := time.Since(began); took != 100*time.Second {
			t.Errorf("Flush took %v; want to return with the last of 100 deliveries of 1 s each", took)
		}
		page, _, err := h.Deliveries(t.Context(), hooks.Query{Statuses: []hooks.Status{hooks.Succeeded}, Limit: 200})
		if err != nil || len(page) != 100 {
			t.Errorf("%d outcomes are stored, %v; want 100", len(page), err)
		}
		if err := h.Flush(t.Context()); err != nil {
			t.Errorf("Flush of nothing = %v; want nil", err)
		}
	})
}

func TestFlushWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int64
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			if served.Add(1)%2 == 0 {
				return errors.New("later")
			}
			return nil
		}})
		later := kit.OrderPlaced.New(kit.Order{ID: 0})
		later.DeliverAt = time.Now().Add(time.Hour)
		if _, err := h.Publish(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		kit.PlaceOrder(t, h, 1)
		kit.PlaceOrder(t, h, 2)
		began := time.Now()
		if err := h.Flush(t.Context()); err != nil || served.Load() != 2 {
			t.Errorf("Flush = %v after %d attempts; want nil after 2", err, served.Load())
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Flush took %v; want no waiting for what is due later", took)
		}
		if err := h.Run(t.Context()); !errors.Is(err, hooks.ErrRunning) {
			t.Errorf("Run = %v; want ErrRunning: Flush does not end it", err)
		}
	})
}

func TestFlushEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		stuck := hooks.Handler{Name: "a", Func: func(ctx context.Context, _ hooks.Event) error { <-ctx.Done(); return ctx.Err() }}
		h := kit.Subscribed(t, hooks.Config{Store: store, DrainTimeout: time.Second}, stuck)
		stop := kit.StartInBubble(t, h)
		kit.PlaceOrder(t, h, 1)
		other := kit.Subscribed(t, hooks.Config{Store: store})
		if err := other.Flush(t.Context()); !errors.Is(err, hooks.ErrLocked) {
			t.Errorf("Flush beside another dispatcher = %v; want ErrLocked", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush = %v; want its context's error", err)
		}
		flushed := make(chan error, 1)
		go func() { flushed <- h.Flush(t.Context()) }()
		synctest.Wait()
		stop()
		if err := <-flushed; err == nil {
			t.Error("Flush = nil though Run ended before the attempt; want an error")
		}
	})
}

// What is published while the store is being asked what is due is flushed too.
func TestFlushMindsWhatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.GatedStore{Store: memory.New()}
		var served atomic.Int32
		h := kit.Dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Ordered: true, Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			served.Add(1)
			return nil
		}})
		release := make(chan struct{})
		block := kit.Once(release)
		store.AfterBacklog = func() { _ = block() }
		h.Wake(t.Context())
		synctest.Wait()
		ev := kit.OrderPlaced.New(kit.Order{ID: 1})
		ev.OrderingKey = "k"
		if _, err := h.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		flushed := make(chan error, 1)
		go func() { flushed <- h.Flush(t.Context()) }()
		synctest.Wait()
		close(release)
		if err := <-flushed; err != nil || served.Load() != 1 {
			t.Errorf("Flush = %v after %d deliveries; want nil after 1", err, served.Load())
		}
	})
}

// Two Flushes at once, and a Run that comes while one is at it, do not disturb
// each other.
func TestFlushesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.Subscribed(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			return nil
		}})
		done := make(chan error)
		for i := range 20 {
			kit.PlaceOrder(t, h, i)
			go func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				done <- h.Flush(t.Context())
			}()
		}
		time.Sleep(50 * time.Millisecond)
		kit.StartInBubble(t, h)
		for range 20 {
			if err := <-done; err != nil {
				t.Errorf("Flush = %v; want nil", err)
			}
		}
	})
}

// A Flush that comes while another one ends begins again.
func TestFlushWhileAnotherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowUnlock{Store: memory.New(), release: make(chan struct{})}
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		flush := func() chan error {
			done := make(chan error, 1)
			go func() { done <- h.Flush(t.Context()) }()
			synctest.Wait()
			return done
		}
		first := flush()
		r := kit.PlaceOrder(t, h, 1)
		second := flush()
		close(store.release)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Errorf("Flush = %v; want nil of both", err)
		}
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Succeeded {
			t.Errorf("the delivery is %v; want succeeded", d.Status)
		}
	})
}

// A slowUnlock store takes its time to unlock.
type slowUnlock struct {
	*memory.Store
	release chan struct{}
}

func (s *slowUnlock) Lock(ctx context.Context, now time.Time) (func() error, error) {
	unlock, err := s.Store.Lock(ctx, now)
	return func() error {
		<-s.release
		return unlock()
	}, err
}

// A Flush goes by no answer of the store that is older than what it waited for: each
// outcome of a line frees the next one, which an answer that was read before does not
// show.
func TestFlushGoesByNoOldAnswer(t *testing.T) {
	for name, open := range stores(t) {
		for _, late := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 50 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " ", late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const line = 10
					var served atomic.Int32
					h := kit.Dispatching(t, hooks.Config{Store: &tardy{open(t), late}}, hooks.Handler{
						Name: "a", Ordered: true, Func: func(context.Context, hooks.Event) error {
							time.Sleep(time.Millisecond)
							served.Add(1)
							return nil
						},
					})
					for i := range line {
						publishInLine(t, h, i)
					}
					if err := h.Flush(t.Context()); err != nil || served.Load() != line {
						t.Errorf("Flush = %v after %d deliveries; want nil after %d", err, served.Load(), line)
					}
				})
			})
		}
	}
}

// Run does not sleep on an old answer either.
func TestRunGoesByNoOldAnswer(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const line = 10
				var served atomic.Int32
				h := kit.Dispatching(t, hooks.Config{Store: &tardy{open(t), 3 * time.Millisecond}}, hooks.Handler{
					Name: "a", Ordered: true, Func: func(context.Context, hooks.Event) error {
						time.Sleep(time.Millisecond)
						served.Add(1)
						return nil
					},
				})
				for i := range line {
					publishInLine(t, h, i)
				}
				time.Sleep(time.Second)
				if n := served.Load(); n != line {
					t.Errorf("after a second %d of %d were delivered; want all", n, line)
				}
			})
		})
	}
}

// What waits in the line of a subscriber that was deleted ends with a Flush, and soon
// when Run runs, too.
func TestDeletedLinesEnd(t *testing.T) {
	for _, flush := range []bool{true, false} {
		t.Run(fmt.Sprint("flush ", flush), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const line = 5
				store := &kit.GatedStore{Store: memory.New()}
				h := kit.Subscribed(t, hooks.Config{Store: store})
				kit.Put(t, h, hooks.Endpoint{ID: "e", URL: "https://example.com/", Ordered: true, Events: []string{"**"}})
				for i := range line {
					publishInLine(t, h, i)
				}
				if err := h.DeleteEndpoint(t.Context(), "e"); err != nil {
					t.Fatal(err)
				}
				store.BeforeUpdate = func() { time.Sleep(3 * time.Millisecond) } // longer than a look takes
				if flush {
					if err := h.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				} else {
					kit.StartInBubble(t, h)
					time.Sleep(time.Second)
				}
				for _, d := range kit.Deliveries(t, h) {
					if d.Status != hooks.Canceled {
						t.Errorf("%v is %v; want canceled", d.DeliveryID, d.Status)
					}
				}
			})
		})
	}
}

func publishInLine(t *testing.T, h *hooks.Hooks, n int) {
	t.Helper()
	ev := kit.OrderPlaced.New(kit.Order{ID: n})
	ev.OrderingKey = "k"
	kit.Publish(t, h, ev)
}

// stores are those that this package's tests may open in a bubble.
func stores(t *testing.T) map[string]func(*testing.T) exclusiveStore {
	t.Helper()
	return map[string]func(*testing.T) exclusiveStore{
		"memory": func(*testing.T) exclusiveStore { return memory.New() },
		"sqlite": func(t *testing.T) exclusiveStore {
			s, err := sqlite.Open(filepath.Join(t.TempDir(), "hooks.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return s
		},
	}
}

type exclusiveStore interface {
	hooks.Store
	hooks.Exclusive
}

// A tardy store keeps its answers about the backlog to itself for a while, so that
// they are old when they come.
type tardy struct {
	exclusiveStore
	late time.Duration
}

func (s *tardy) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	waiting, err := s.exclusiveStore.Backlog(ctx)
	time.Sleep(s.late)
	return waiting, err
}

// Flush carries out no bulk action, and does not wait for one.
func TestFlushCarriesOutNoAction(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(2)
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		flush(y.t, y.h)
		y.wantAction(a.ID, 2, 0, 0, false)
		y.run(time.Minute)
		y.wantAction(a.ID, 2, 2, 0, true)
	})
}
