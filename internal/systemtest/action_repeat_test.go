package systemtest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// Two steps of the same moment are both made. The first one finds nothing to change, so that
// the second one need not wait, and in a bubble the time stands still.
func TestStepsOfTheSameMoment(t *testing.T) {
	inYards(t, func(y *yard) {
		erase := hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}}
		y.publish("acme", 50)
		a := y.start(erase)
		y.run(10 * time.Second)
		y.wantAction(a.ID, 50, 50, 0, true)
		y.publish("acme", 50)
		a = y.start(erase)
		y.run(10 * time.Second)
		y.wantAction(a.ID, 100, 50, 50, true)
		for _, ev := range kit.Events(y.t, y.h) {
			if ev.Erased.IsZero() {
				y.t.Errorf("event %s was not erased", ev.ID)
			}
		}
	})
}

func TestBackfillStepsOfTheSameMoment(t *testing.T) {
	inYards(t, func(y *yard) {
		e := kit.Put(y.t, y.h, hooks.Endpoint{ID: "new", Tenant: "acme", URL: kit.AnyURL})
		y.publish("acme", 50)
		for _, events := range [][]string{{"order.*"}, e.Events} {
			e.Version, e.Events = 0, events
			kit.Put(y.t, y.h, e)
			if events[0] == "order.*" {
				y.publish("acme", 50)
			}
		}
		y.wantBackfill("new", y.began, 100, 50, 50)
	})
}

// A slow store makes writes that change rows wait.
type slow struct {
	hooks.Store
	wait   func(ctx context.Context, n int64) error // before the n-th write; its error is the write's
	writes atomic.Int64
}

func (s *slow) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	return slowly(ctx, s, func(ctx context.Context) ([]hooks.DeliveryID, error) { return s.Store.Update(ctx, now, c) })
}

func (s *slow) Enqueue(ctx context.Context, now time.Time, e []hooks.Entry) ([]hooks.Receipt, error) {
	return slowly(ctx, s, func(ctx context.Context) ([]hooks.Receipt, error) { return s.Store.Enqueue(ctx, now, e) })
}

func (s *slow) Prune(ctx context.Context, p hooks.Cutoffs) (int, error) {
	return slowly(ctx, s, func(ctx context.Context) (int, error) { return s.Store.Prune(ctx, p) })
}

// slowly makes a write when its wait is over. If its caller has given up by then, it is made
// all the same, a second later.
func slowly[T any](ctx context.Context, s *slow, write func(context.Context) (T, error)) (T, error) {
	if err := s.wait(ctx, s.writes.Add(1)); err != nil {
		go func() {
			time.Sleep(time.Second)
			_, _ = write(context.WithoutCancel(ctx))
		}()
		var none T
		return none, err
	}
	return write(ctx)
}

// A write that takes longer than its caller waits lands while the step is made again. Its
// rows count as done.
func TestWritesOfActionsThatLandLate(t *testing.T) {
	for _, c := range chores {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, shared{memory.New()})
				rows := c.rows(y, 10)
				a := y.start(c.action)
				y.store = &slow{Store: y.store, wait: func(ctx context.Context, n int64) error {
					switch n {
					case 1:
						<-ctx.Done()
						return ctx.Err()
					case 2:
						time.Sleep(3 * time.Second)
					}
					return nil
				}}
				y.run(3 * time.Minute)
				y.wantDone(c, a.ID, rows)
			})
		})
	}
}

// An owner whose write is under way is not overtaken, although the write takes longer than
// the lease lasts.
func TestASlowOwnerRemainsTheOwner(t *testing.T) {
	for _, c := range chores {
		if c.action.Kind != hooks.ActionCancel && c.action.Kind != hooks.ActionErase {
			continue // the others send, and so each process writes
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := shared{memory.New()}
				y := newYard(t, inner)
				rows := c.rows(y, 10)
				a := y.start(c.action)
				first := &slow{Store: inner, wait: func(context.Context, int64) error { time.Sleep(25 * time.Second); return nil }}
				second := &slow{Store: inner, wait: func(context.Context, int64) error { return nil }}
				for _, s := range []*slow{first, second} {
					y.store = s
					kit.StartInBubble(t, y.process())
					time.Sleep(time.Second)
				}
				time.Sleep(53 * time.Second) // what is old is not pruned before a minute has passed
				y.store = inner
				y.wantDone(c, a.ID, rows)
				if n := second.writes.Load(); n > 0 {
					t.Errorf("the other process has made %d writes; want none", n)
				}
			})
		})
	}
}

// An action that is stopped during a slow step counts what that has changed.
func TestStopDuringASlowStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, shared{memory.New()})
		y.schedule(20)
		a := y.start(hooks.Action{Kind: hooks.ActionCancel, Query: queryFor(hooks.ActionCancel), Rate: hooks.Rate{N: 10, Per: time.Second}})
		y.store = &slow{Store: y.store, wait: func(context.Context, int64) error { time.Sleep(25 * time.Second); return nil }}
		stop := kit.StartInBubble(t, y.process())
		time.Sleep(10 * time.Second)
		if _, err := y.h.StopAction(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if a = y.wantAction(a.ID, 20, 10, 0, true); !a.Stopped {
			t.Errorf("Action(%s).Stopped = false; want true", a.ID)
		}
		stop()
	})
}
