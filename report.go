package hooks

import (
	"context"
	"log/slog"
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
			lines, next := h.reporter.take(ending, h.isDeleted)
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

// A throttle lets lines of the log about attempts through, of each subscriber and text
// one in [quietFor]. A subscriber that fails at every attempt would otherwise fill the log
// with what its attempts and [Hooks.Health] say as well.
type throttle struct {
	mu    sync.Mutex // guards what follows
	lines map[throttled]*quiet
}

// A throttled is what a line is about.
type throttled struct{ subscriber, text string }

// A quiet is the time after a line in which others like it are only counted.
type quiet struct {
	until   time.Time
	leftOut int
}

// pass reports whether a line may be written at a time, and how many like it were left
// out since the last one.
func (t *throttle) pass(line throttled, at time.Time) (leftOut int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.lines[line]
	if q != nil && at.Before(q.until) {
		q.leftOut++
		return 0, false
	}
	if q != nil {
		leftOut = q.leftOut
	}
	t.forget(at)
	t.lines[line] = &quiet{until: at.Add(quietFor)}
	return leftOut, true
}

// log writes a line about a fault of the application's code.
func (t *throttle) log(to *slog.Logger, text string, f *fault) {
	leftOut, ok := t.pass(throttled{text: text}, time.Now())
	if !ok {
		return
	}
	args := []any{"detail", f.detail()}
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	to.Error(text, args...)
}

// forget drops the lines that have not come for long, once there are many, so that
// subscribers that were deleted do not fill the memory.
func (t *throttle) forget(at time.Time) {
	const many = 1000
	if t.lines == nil || len(t.lines) > many {
		kept := make(map[throttled]*quiet)
		for line, q := range t.lines {
			if at.Before(q.until) {
				kept[line] = q
			}
		}
		t.lines = kept
	}
}

// An attemptLog is the part of the log that is about attempts. Of the lines with the same
// text about the same subscriber it writes one in ten minutes.
type attemptLog struct {
	log   *slog.Logger
	quiet *throttle
}

// write writes a line about an attempt at a delivery, or leaves it out.
func (l attemptLog) write(level slog.Level, text string, id DeliveryID, args ...any) {
	leftOut, ok := l.quiet.pass(throttled{id.Subscriber, text}, time.Now())
	if !ok {
		return
	}
	args = append([]any{"subscriber", id.Subscriber, "event", id.Event}, args...)
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	l.log.Log(context.Background(), level, text, args...)
}
