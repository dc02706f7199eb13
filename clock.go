package hooks

import (
	"context"
	"fmt"
	"time"
)

// An anchor is a reading of the reference clock: the store's [Clock], or this machine's
// clock if the store has none. Everything is dated by the reference clock. The time that
// has passed since the reading is measured with this process's monotonic clock.
type anchor struct {
	store time.Time // what the reference clock said
	local time.Time // this process's time at that moment, with a monotonic reading
	wall  time.Time // what this machine's clock said at that moment

	steps time.Duration // by how much the reference clock was set since New, in all
	count int64         // how often it was set
	set   time.Time     // when it was set last, by local time
	doubt time.Duration // how far it was set forward lately, see [Hooks.prunable]
}

const (
	readClockAfter = time.Minute    // clocks drift apart by milliseconds in a minute
	slowClock      = time.Second    // an answer that takes longer is too inexact
	step           = time.Second    // a clock that is off by more than this was set
	trustAfter     = 24 * time.Hour // a clock that was set forward is believed after this
)

// clocks reads this process's clock and this machine's. Both have the same value, unless a
// test sets the machine's clock.
func (h *Hooks) clocks() (local, wall time.Time) {
	local = time.Now()
	if h.wall != nil {
		return local, h.wall()
	}
	return local, local.Round(0)
}

// now returns the time of the reference clock, in UTC and truncated to microseconds, as
// stores keep it. Whatever a store gets or a signature covers is dated by it. If the store
// has a Clock, the caller calls sync first. If not, now notices whether this machine's
// clock was set.
func (h *Hooks) now() time.Time {
	at, _ := h.reading()
	return at
}

// reading returns what now returns, and by how much the clock was set until then.
func (h *Hooks) reading() (at time.Time, steps time.Duration) {
	local, wall := h.clocks()
	a := h.anchor.Load()
	if h.clock == nil && (a == nil || a.at(local).Sub(wall).Abs() > step) {
		a = h.reanchor(a, anchor{store: wall, local: local, wall: wall})
	}
	if a == nil {
		return micro(wall), 0
	}
	return micro(a.at(local)), a.steps
}

// reanchor puts next in the place of anchor a, unless another caller has replaced a
// meanwhile. It returns the present anchor. If next shows that the clock was set, it
// counts the step and wakes the dispatcher.
func (h *Hooks) reanchor(a *anchor, next anchor) *anchor {
	if a != nil {
		next.steps, next.count, next.set, next.doubt = a.steps, a.count, a.set, a.doubtful(next.local)
		if by := next.store.Sub(a.at(next.local)); by.Abs() > step {
			next.steps += by
			next.count++
			next.set, next.doubt = next.local, max(next.doubt+by, 0)
		}
	}
	if h.anchor.CompareAndSwap(a, &next) && a != nil && next.count > a.count {
		if wake := h.stepped.Load(); wake != nil {
			(*wake)()
		}
	}
	return h.anchor.Load()
}

// at returns the time of the reference clock at a moment of this process.
func (a *anchor) at(local time.Time) time.Time { return a.store.Add(local.Sub(a.local)) }

// doubtful returns how far the reference clock was set forward within the last day.
func (a *anchor) doubtful(local time.Time) time.Duration {
	if local.Sub(a.set) >= trustAfter {
		return 0
	}
	return a.doubt
}

// prunable returns the time by which Prune decides what is old. It does not follow a clock
// that was set forward before a day has passed: the clock may be wrong, and what Prune
// removes because of it is lost.
func (h *Hooks) prunable() time.Time {
	at := h.now()
	if a := h.anchor.Load(); a != nil {
		at = micro(at.Add(-a.doubtful(time.Now())))
	}
	return at
}

// sync reads the store's clock, if the store has one and the last reading is too old. It
// reads it in tx if tx is a [Clock]. If the reading fails or is slow, sync keeps the
// anchor that there is. It returns an error only if there is none.
func (h *Hooks) sync(ctx context.Context, tx Tx) error {
	if !h.clockIsStale() {
		return nil
	}
	c := h.clock
	if inTx, ok := tx.(Clock); ok {
		c = inTx
	}
	old := h.anchor.Load()
	known := old != nil
	if known { // an answer that comes later is not used
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, slowClock)
		defer cancel()
	}
	asked, wall := h.clocks()
	at, err := c.Now(ctx)
	took := time.Since(asked)
	switch {
	case err != nil && !known:
		return fmt.Errorf("hooks: read the store's clock: %w", err)
	case known && (err != nil || took > slowClock):
		return nil
	}
	h.reanchor(old, anchor{store: at, local: asked.Add(took / 2), wall: wall.Add(took / 2)})
	return nil
}

// clockIsStale reports whether the store has a clock that must be read again.
func (h *Hooks) clockIsStale() bool {
	_, wall := h.clocks()
	return h.clock != nil && h.anchor.Load().stale(wall)
}

// stale reports whether it is time for another reading. It uses the wall clock, because
// the monotonic clock may stand still while the machine is suspended.
func (a *anchor) stale(wall time.Time) bool {
	if a == nil {
		return true
	}
	age := wall.Sub(a.wall)
	return age < 0 || age >= readClockAfter
}

// micro returns t in UTC, truncated to microseconds; zero stays zero.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
