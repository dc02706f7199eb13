package hooks

import (
	"context"
	"errors"
	"fmt"
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
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.failure != nil {
			return fmt.Errorf("%w: %w", errStopped, d.failure)
		}
		return errStopped
	}
}

// flushed ends the flushes that waited when the backlog was last read, because it
// showed nothing due; unless something is held, or has changed since that reading
// began: an outcome that was saved meanwhile may have freed the next of its line,
// which the answer does not show. d.mu is held.
func (d *dispatcher) flushed() {
	if d.holding() {
		return // when the last outcome is saved, release wakes the loop
	}
	if d.changes != d.readAt {
		if len(d.flushes) > 0 {
			d.wake()
		}
		return
	}
	for _, idle := range d.flushes[:d.asked] {
		close(idle)
	}
	d.flushes = d.flushes[d.asked:]
	d.asked = 0
}

// release takes a delivery out of its lane, or out of the strays if l is nil. d.mu is
// held.
func (d *dispatcher) release(l *lane) {
	d.changes++
	if l == nil {
		d.strays--
	} else {
		l.held--
		d.feed(l)
	}
	if len(d.flushes) > 0 && !d.holding() {
		d.wake()
	}
}

// leave records that due deliveries of a lane stay in the store. d.mu is held.
func (d *dispatcher) leave(l *lane) {
	d.changes++
	l.leave()
	d.feed(l)
}

func (d *dispatcher) holding() bool {
	if d.strays > 0 {
		return true
	}
	for _, l := range d.lanes {
		if l.held > 0 {
			return true
		}
	}
	return false
}
