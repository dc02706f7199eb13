package hooks

import (
	"context"
	"sync"
	"time"
)

// A reporter keeps the watchlist of a Hooks. The ledger tells it what was saved,
// [Hooks.Health] reads it, and a goroutine of its own writes the lines to the log: no
// lock is held, and no outcome waits, while the logger is called.
type reporter struct {
	signal chan struct{} // there are lines to write, or to write earlier; holds one

	mu   sync.Mutex // guards what follows
	list watchlist
}

func newReporter() *reporter {
	return &reporter{
		signal: make(chan struct{}, 1),
		list:   watchlist{subscribers: make(map[string]*watched)},
	}
}

// saved notes a change that the store has taken.
func (r *reporter) saved(c Change) {
	r.mu.Lock()
	was := r.list.next
	r.list.note(time.Now(), c)
	news := len(r.list.lines) > 0 || !r.list.next.Equal(was)
	r.mu.Unlock()
	if !news {
		return
	}
	select {
	case r.signal <- struct{}{}:
	default: // a signal is pending already
	}
}

// take returns the lines to write now, all of them if the process may end, and when
// to come back; zero: after the next signal.
func (r *reporter) take(ending bool, gone func(subscriber string) bool) (lines []line, next time.Time) {
	at := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.list
	if ending || !l.next.IsZero() && !at.Before(l.next) {
		l.sweep(at, ending, gone)
	}
	lines, l.lines = l.lines, nil
	return lines, l.next
}

// failing returns the subscribers that fail.
func (r *reporter) failing() map[string]streak {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]streak)
	for id, s := range r.list.subscribers {
		if s.fails() {
			all[id] = s.streak
		}
	}
	return all
}

// report writes to the log what is saved from now on, in a goroutine that ends with
// stop. Then all is written, also what would have been held back.
func (h *Hooks) report() (stop func()) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for ending := false; ; {
			lines, next := h.reporter.take(ending, h.dir.isDeleted)
			for _, l := range lines {
				h.log.LogAttrs(context.Background(), l.level, l.text, l.attrs...)
			}
			if ending {
				return
			}
			var timer <-chan time.Time
			if !next.IsZero() {
				timer = time.After(time.Until(next))
			}
			select {
			case <-h.reporter.signal:
			case <-timer:
			case <-quit:
				ending = true
			}
		}
	})
	return func() {
		close(quit)
		done.Wait()
	}
}
