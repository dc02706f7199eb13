package hooks

import (
	"context"
	"errors"
)

var errStopped = errors.New("hooks: flush: Run ended before all that was due was tried")

// flush waits until nothing is due, nor under way here.
func (d *dispatcher) flush(ctx context.Context) error {
	idle := make(chan struct{})
	d.mu.Lock()
	d.flushes = append(d.flushes, idle)
	d.mu.Unlock()
	d.wake()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		return errStopped
	}
}

// flushed ends the flushes that waited before the store was asked, for it said
// that it has nothing due, unless a lane holds something. d.mu is held.
func (d *dispatcher) flushed() {
	if d.holding() {
		return // the last outcome to be written has the store asked again
	}
	for _, idle := range d.flushes[:d.asked] {
		close(idle)
	}
	d.flushes = d.flushes[d.asked:]
	d.asked = 0
}

// release takes a delivery out of its lane. d.mu is held.
func (d *dispatcher) release(l *lane) {
	l.held--
	d.feed(l)
	if len(d.flushes) > 0 && !d.holding() {
		d.wake()
	}
}

func (d *dispatcher) holding() bool {
	for _, l := range d.lanes {
		if l.held > 0 {
			return true
		}
	}
	return false
}
