package hooks

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

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

// logAttempt writes a line about an attempt, unless one with the same text about the same
// subscriber was written in the last ten minutes.
func (h *Hooks) logAttempt(level slog.Level, text string, id DeliveryID, args ...any) {
	leftOut, ok := h.throttle.pass(throttled{id.Subscriber, text}, time.Now())
	if !ok {
		return
	}
	args = append([]any{"subscriber", id.Subscriber, "event", id.Event}, args...)
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	h.log.Log(context.Background(), level, text, args...)
}
