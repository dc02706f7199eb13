package systemtest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// newClockYard returns a yard on a store with a clock, and what sets that back by an hour.
func newClockYard(t *testing.T) (y *yard, setBack func()) {
	store := kit.NewClockedStore(t, 0)
	store.Tolerance = 3 * time.Hour
	return newYard(t, store), func() {
		store.Set(func(s *kit.ClockedStore) { s.Clock = func() time.Time { return time.Now().Add(-time.Hour) } })
	}
}

// What failed before the clock was set back is not taken for changed since the action started.
func TestAnActionThatStartsAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, setBack := newClockYard(t)
		y.fail(20)
		setBack()
		time.Sleep(2 * time.Minute)
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		y.run(2 * time.Minute)
		y.wantAction(a.ID, 20, 20, 0, true)
	})
}

// An action whose owner is gone goes on soon, although the clock was set back since, so that
// the lease and the next step seem to be an hour away.
func TestAnOwnerIsReplacedAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, setBack := newClockYard(t)
		y.fail(20)
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay), Rate: hooks.Rate{N: 1, Per: time.Second}})
		sound := y.store
		dying := &dying{ClockedStore: sound.(*kit.ClockedStore)}
		y.store = dying
		stop := kit.StartInBubble(t, y.process())
		time.Sleep(5500 * time.Millisecond)
		dying.dead.Store(true)
		stop()
		setBack()
		y.store = sound
		kit.StartInBubble(t, y.process())
		time.Sleep(time.Minute)
		y.wantAction(a.ID, 20, 20, 0, true)
	})
}

// The Puts of a dying store do nothing from some moment on.
type dying struct {
	*kit.ClockedStore
	dead atomic.Bool
}

func (s *dying) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	if s.dead.Load() {
		return 0, kit.ErrFault
	}
	return s.ClockedStore.Put(ctx, now, r, emit)
}
