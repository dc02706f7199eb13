package hooks

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A reporter owns the watchlist of a Hooks. The ledger tells it which changes were saved.
// [Hooks.Health] reads which subscribers fail. The goroutine of [Hooks.report] writes the
// lines to the log. So no lock is held while the logger is called, and no outcome waits
// for it.
type reporter struct {
	signal chan struct{} // tells the goroutine to call take again; holds one

	mu   sync.Mutex // guards what follows
	list watchlist
}

func newReporter() *reporter {
	return &reporter{
		signal: make(chan struct{}, 1),
		list:   watchlist{subscribers: make(map[string]*watched)},
	}
}

// saved notes a change that the store has saved.
func (r *reporter) saved(c Change) {
	r.mu.Lock()
	before := r.list.next
	r.list.note(time.Now(), c)
	changed := len(r.list.lines) > 0 || !r.list.next.Equal(before)
	r.mu.Unlock()
	if !changed {
		return
	}
	select {
	case r.signal <- struct{}{}:
	default: // a signal is pending already
	}
}

// take returns the lines to write now, or all of them if the process may end (ending), and
// when to call it next. Zero means after the next signal.
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

// failing returns the streaks of the subscribers that fail, by id.
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

// report starts the goroutine that writes the reporter's lines to the log. stop ends it,
// and returns when all lines are written, those that were held back included.
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

// A throttle limits the lines about attempts: of each subscriber and text, it lets one line
// through in [quietFor]. Otherwise a subscriber whose attempts all fail would fill the log.
// The attempts in the store and [Hooks.Health] say the same.
type throttle struct {
	mu    sync.Mutex // guards what follows
	lines map[throttled]*quiet
}

// A throttled names lines that are alike.
type throttled struct{ subscriber, text string }

// A quiet is the time after a line, in which lines like it are counted and not written.
type quiet struct {
	until   time.Time
	leftOut int
}

// pass reports whether a line may be written now, and how many lines like it were left out
// since the last one that was written.
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

// log writes a line about a fault of the application's code, unless one with the same text
// was written in the last ten minutes.
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

// forget removes lines whose quiet time is over, if the throttle remembers many. Otherwise
// lines about deleted subscribers would fill the memory.
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
