package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
)

// RunWaker checks stores that are a [hooks.Waker]. Each call of open must return two
// stores on the same empty data, as two processes have them, and a function that
// begins a transaction in which s can work, as for [RunTx]; open registers its own
// cleanup with t. The rules wait in real time, for two seconds in all.
func RunWaker(t *testing.T, open func(t *testing.T) (s, other hooks.Store, begin func() Transaction)) {
	for _, r := range wakerRules {
		t.Run(r.name, func(t *testing.T) {
			s, other, begin := open(t)
			r.check(t, s.(waker), other.(waker), begin)
		})
	}
}

type waker interface {
	hooks.Store
	hooks.Waker
}

type wakerRule struct {
	name  string
	check func(t *testing.T, s, other waker, begin func() Transaction)
}

// A waiter calls Wait again and again.
type waiter struct {
	woken  chan struct{} // holds one
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// await begins to wait, and returns when s has heard of a record that other wrote, and has
// nothing more to say.
func await(t *testing.T, s hooks.Waker, other hooks.Store) *waiter {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &waiter{woken: make(chan struct{}, 1), cancel: cancel}
	t.Cleanup(w.end)
	w.done.Go(func() {
		for {
			err := s.Wait(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("Wait = %v; want nil", err)
				return
			}
			select {
			case w.woken <- struct{}{}:
			default:
			}
		}
	})
	put(t, other, "ready", 0, "data")
	if !w.hears(deadline) {
		t.Fatalf("Wait has not returned %v after another store's Put", deadline)
	}
	for w.hears(silence) {
	}
	return w
}

const (
	silence  = 200 * time.Millisecond // longer than a store may keep silent about a write
	deadline = 10 * time.Second
)

// hears reports whether Wait returns within d.
func (w *waiter) hears(d time.Duration) bool {
	select {
	case <-w.woken:
		return true
	case <-time.After(d):
		return false
	}
}

func (w *waiter) end() {
	w.cancel()
	w.done.Wait()
}

var wakerRules = []wakerRule{
	{"Wait returns when another store has written", func(t *testing.T, s, other waker, _ func() Transaction) {
		w := await(t, other, s)
		var d hooks.Delivery
		for _, c := range []struct {
			name  string
			write func()
		}{
			{"Enqueue", func() { enqueue(t, s, at(0), event("1", "a")) }},
			{"Update", func() {
				d = claimOne(t, s, at(0), "a")
				apply(t, s, at(0), outcome(d, hooks.Retrying, at(0)))
			}},
			{"Put", func() { put(t, s, "r", 0, "data") }},
		} {
			c.write()
			if !w.hears(deadline) {
				t.Errorf("Wait has not returned %v after another store's %s", deadline, c.name)
			}
			for w.hears(silence) {
			}
		}
	}},
	{"a store's own writes wake nobody but others", func(t *testing.T, s, other waker, _ func() Transaction) {
		w := await(t, s, other)
		enqueue(t, s, at(0), event("1", "a"))
		put(t, s, "r", 0, "data")
		apply(t, s, at(0), outcome(claimOne(t, s, at(0), "a"), hooks.Succeeded, at(0)))
		if w.hears(silence) {
			t.Error("Wait returned after the store's own writes; want it to wait for those of others")
		}
	}},
	{"Wait returns after a transaction's commit and Wake", func(t *testing.T, s, other waker, begin func() Transaction) {
		w := await(t, other, s)
		tx := begin()
		enqueue(t, tx, at(0), event("1", "a"))
		if w.hears(silence) {
			t.Error("Wait returned before the commit")
		}
		commit(t, tx)
		if err := s.Wake(t.Context()); err != nil {
			t.Errorf("Wake = %v; want nil", err)
		}
		if !w.hears(deadline) {
			t.Errorf("Wait has not returned %v after the commit and Wake", deadline)
		}
		equal(t, "Claim(a)", claimOne(t, other, at(0), "a").Event, "1")
	}},
	{"Wait and Wake end with their context", func(t *testing.T, s, other waker, _ func() Transaction) {
		await(t, s, other).end()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Wait(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait(canceled context) = %v; want context.Canceled", err)
		}
		if err := s.Wake(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Wake(canceled context) = %v; want context.Canceled", err)
		}
	}},
}
