package hooks

import (
	"time"
)

// This file has what the dispatcher does with deliveries of disabled endpoints. They are
// held: they stay in the store as they are, until the endpoint is enabled or their hold
// is over.

const (
	defaultHold = 72 * time.Hour
	maxHold     = 30 * day
)

// holdEnds returns when a delivery of a held subscriber fails, if it is due at a time.
//
// The hold counts from the delivery's Due and not from its Updated or its event's
// DeliverAt, for two reasons. A waiting delivery's Due is never before either of these,
// and a retry that is not due yet is not held. And claims go by Due, so that no delivery
// is examined before its hold is over.
func (s subscriber) holdEnds(due time.Time) time.Time {
	return later(due, s.health.Since).Add(s.hold)
}

// holdIsOver reports whether deliveries of a held subscriber may have been held for too
// long at a time. It is true of all that a claim of [subscriber.overdue] has leased.
func (s subscriber) holdIsOver(at time.Time) bool {
	return s.obstacle == held && !at.Before(s.holdEnds(time.Time{}))
}

// nextLook returns when the dispatcher must look at a held subscriber again: when it is
// enabled by itself, or when the hold is over of a delivery that is due at a time.
func (s subscriber) nextLook(due time.Time) time.Time {
	ends := s.holdEnds(due)
	if until := s.health.Until; !until.IsZero() && until.Before(ends) {
		return until
	}
	return ends
}

// overdue returns the claim of what a held subscriber must fail at a time, a few at once,
// because their hold is over. due is the earliest Due of what waits for it. ok is false if
// there is nothing yet.
func (s subscriber) overdue(due, at time.Time) (sweep ClaimLane, ok bool) {
	if at.Before(s.holdEnds(due)) {
		return ClaimLane{}, false
	}
	return ClaimLane{s.id, cancelStep, at.Add(-s.hold), at.Add(time.Minute)}, true
}

// returnQueued gives back what is queued for a held subscriber. Otherwise it would keep
// its lease until an attempt under way has ended.
func (d *dispatcher) returnQueued(id string) {
	for _, j := range d.lanes.Queued(id) {
		if d.lanes.Drop(id, j) {
			d.lanes.Saving(id)
			d.ledger.enter(d.givenBack(*j))
		}
	}
}

// later returns the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
