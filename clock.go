package hooks

import (
	"context"
	"fmt"
	"time"
)

// An anchor is a reading of the clock that everything is dated by, the store's
// [Clock] or this machine's, and the moment of this process that belongs to it.
// What has passed since is measured with the monotonic clock.
type anchor struct {
	store time.Time // what that clock said
	local time.Time // this process's time, with its monotonic reading
	wall  time.Time // what this machine's clock said

	steps time.Duration // by how much that clock was set since New, in all
	count int64         // and how often
	set   time.Time     // local time of the last step
	doubt time.Duration // how far ahead the recent steps took it, see [Hooks.prunable]
}

const (
	readClockAfter = time.Minute // clocks drift apart by milliseconds in that time
	slowClock      = time.Second // an answer that takes longer is off by up to half of it
	step           = time.Second // a clock that differs from what has passed by more was set
	trustAfter     = 24 * time.Hour
)

// clocks reads this process's clock and the machine's. They are the same reading,
// unless a test sets the machine's.
func (h *Hooks) clocks() (local, wall time.Time) {
	local = time.Now()
	if h.wall != nil {
		return local, h.wall()
	}
	return local, local.Round(0)
}

// now returns the time by which everything is dated that a store is given or
// that is signed, as stores keep it. With a Clock it is the store's, and sync comes
// before it. Otherwise it is this machine's, which is followed when it was set.
func (h *Hooks) now() time.Time {
	at, _ := h.reading()
	return at
}

// reading is now, and the steps that were noticed until then.
func (h *Hooks) reading() (at time.Time, steps time.Duration) {
	local, wall := h.clocks()
	a := h.anchor.Load()
	if _, ok := h.store.(Clock); !ok && (a == nil || a.at(local).Sub(wall).Abs() > step) {
		a = h.reanchor(a, anchor{store: wall, local: local, wall: wall})
	}
	if a == nil {
		return micro(wall), 0
	}
	return micro(a.at(local)), a.steps
}

// reanchor replaces the anchor a, unless another caller has done so meanwhile, and
// returns the present one. It notices whether the clock was set.
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

// at returns the time that belongs to a moment of this process.
func (a *anchor) at(local time.Time) time.Time { return a.store.Add(local.Sub(a.local)) }

// doubtful returns how far the clock was set forward within the last day.
func (a *anchor) doubtful(local time.Time) time.Duration {
	if local.Sub(a.set) >= trustAfter {
		return 0
	}
	return a.doubt
}

// prunable returns the time by which old things may be forgotten. A clock that was
// set forward is believed a day later: it may be wrong, and what was removed because
// of it would not come back.
func (h *Hooks) prunable() time.Time {
	at := h.now()
	if a := h.anchor.Load(); a != nil {
		at = micro(at.Add(-a.doubtful(time.Now())))
	}
	return at
}

// sync reads the store's clock if it has one and the last reading is too old; in
// tx, the application's transaction, if that is one and can tell. What cannot be
// read, or only slowly, does not replace a reading that is there.
func (h *Hooks) sync(ctx context.Context, tx Tx) error {
	if !h.clockIsStale() {
		return nil
	}
	c := h.store.(Clock)
	if inTx, ok := tx.(Clock); ok {
		c = inTx
	}
	was := h.anchor.Load()
	known := was != nil
	if known { // a later answer would not count
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
	h.reanchor(was, anchor{store: at, local: asked.Add(took / 2), wall: wall.Add(took / 2)})
	return nil
}

// clockIsStale reports whether the store has a clock that must be read again.
func (h *Hooks) clockIsStale() bool {
	_, ok := h.store.(Clock)
	_, wall := h.clocks()
	return ok && h.anchor.Load().stale(wall)
}

// stale reports whether it is time for another reading. It goes by the wall
// clock, for the monotonic one may stand still while the machine is suspended.
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
