package hooks

import (
	"context"
	"fmt"
	"time"
)

// An anchor is a reading of the store's [Clock], and the moment of this process
// that belongs to it. What has passed since is measured with the monotonic
// clock, so that setting the machine's own clock moves nothing.
type anchor struct {
	store time.Time
	local time.Time
}

const (
	readClockAfter = time.Minute // clocks drift apart by milliseconds in that time
	slowClock      = time.Second // an answer that takes longer is off by up to half of it
)

// now returns the time by which everything is dated that a store is given or
// that is signed, as stores keep it: the store's, if it is a Clock, else this
// machine's. With a Clock, sync comes before it.
func (h *Hooks) now() time.Time {
	a := h.anchor.Load()
	if a == nil {
		return micro(time.Now())
	}
	return micro(a.store.Add(time.Since(a.local)))
}

// sync reads the store's clock if it has one and the last reading is too old; in
// tx, the application's transaction, if that is one and can tell. What cannot be
// read, or only slowly, does not replace a reading that is there.
func (h *Hooks) sync(ctx context.Context, tx Tx) error {
	if !h.behind() {
		return nil
	}
	c := h.store.(Clock)
	if inTx, ok := tx.(Clock); ok {
		c = inTx
	}
	asked := time.Now()
	at, err := c.Now(ctx)
	took := time.Since(asked)
	known := h.anchor.Load() != nil
	switch {
	case err != nil && !known:
		return fmt.Errorf("hooks: read the store's clock: %w", err)
	case known && (err != nil || took > slowClock):
		return nil
	}
	h.anchor.Store(&anchor{store: at, local: asked.Add(took / 2)})
	return nil
}

// behind reports whether the store's clock, if it has one, is to be read.
func (h *Hooks) behind() bool {
	_, ok := h.store.(Clock)
	return ok && h.anchor.Load().stale()
}

// stale reports whether it is time for another reading. It goes by the wall
// clock, for the monotonic one may stand still while the machine is suspended.
func (a *anchor) stale() bool {
	if a == nil {
		return true
	}
	age := time.Now().Round(0).Sub(a.local.Round(0))
	return age < 0 || age >= readClockAfter
}

// micro returns t in UTC, truncated to microseconds; zero stays zero.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
