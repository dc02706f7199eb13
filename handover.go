package hooks

import (
	"math/rand/v2"
	"time"
)

// reserve leases to this dispatcher those deliveries that Publish is about to store and
// that can be tried at once. So the common case costs one insert and one update, and no
// claim. A delivery that is ordered or scheduled, whose subscriber cannot be called, or
// that has no place in its lane, is stored as waiting.
func (d *dispatcher) reserve(entries []Entry) {
	if d == nil {
		return
	}
	d.ledger.await(1) // what cannot be tried is given back
	at := d.h.now()
	for _, e := range entries {
		for i := range e.Deliveries {
			dl := &e.Deliveries[i]
			if dl.OrderingKey != "" || dl.Due.After(at) {
				continue
			}
			s := d.h.subscriber(dl.Subscriber)
			if s.obstacleTo(*dl) != noObstacle {
				continue
			}
			lease, ok := d.lanes.Reserve(s.lane())
			if !ok {
				continue
			}
			// A call whose outcome is unknown may be repeated. The random token
			// tells this lease from that of the first call.
			dl.Status, dl.Due, dl.Token = Sending, leaseUntil(at, lease), 1+rand.Int64N(1<<32)
		}
	}
}

// leaseUntil returns when a lease ends that begins at a time. A random part of
// a second tells the leases of one claim from those of others.
func leaseUntil(at time.Time, lease time.Duration) time.Time {
	return micro(at.Add(lease + rand.N(time.Second)))
}

// accept takes over what was stored as leased, and sees to it that what was
// stored as waiting is found.
func (d *dispatcher) accept(entries []Entry, receipts []Receipt) {
	if d == nil {
		return
	}
	defer d.ledger.await(-1)
	clock, at := time.Now(), d.h.now()
	queued := false
	for i, e := range entries {
		for _, dl := range e.Deliveries {
			switch leased := dl.Status == Sending; {
			case receipts[i].Duplicate && leased:
				d.lanes.Release(dl.Subscriber)
			case receipts[i].Duplicate:
			case !leased:
				d.stayed(dl, at)
			case !d.leases.own(dl): // it seemed to have ended, and a claim was quicker
				d.lanes.Release(dl.Subscriber)
			case d.admit(&job{Delivery: dl, event: e.Event}, clock, at):
				queued = true
			}
		}
	}
	if queued {
		d.launch()
	}
}

// admit queues a leased delivery whose place is kept, unless it is not to be
// tried. It reports whether it did. clock and at are the same moment: by this
// process's clock, and by the clock that leases are dated by.
func (d *dispatcher) admit(j *job, clock, at time.Time) bool {
	s := d.h.subscriber(j.Subscriber)
	if end, ended := d.endUnstarted(*j, s, s.timeout); ended {
		d.lanes.Return(j.Subscriber)
		d.ledger.enter(end)
		return false
	}
	if !d.lanes.Push(j.Subscriber, j, clock.Add(j.Due.Sub(at))) {
		d.ledger.enter(d.givenBack(*j))
		return false
	}
	return true
}

// abandon undoes reserve when Enqueue failed. If certainly nothing was stored,
// it ends the places. Otherwise the leases may exist: it gives them back, and
// has the backlog read once the store has answered that later write.
func (d *dispatcher) abandon(entries []Entry, certain bool) {
	if d == nil {
		return
	}
	defer d.ledger.await(-1)
	for _, e := range entries {
		for _, dl := range e.Deliveries {
			switch leased := dl.Status == Sending; {
			case certain && leased:
				d.lanes.Release(dl.Subscriber)
			case certain:
			case leased:
				d.lanes.Return(dl.Subscriber)
				back := d.givenBack(job{Delivery: dl, event: e.Event})
				back.exact = true
				d.ledger.enter(back)
			case d.looksFor(dl.Subscriber):
				d.lanes.Saving(dl.Subscriber)
				if !d.ledger.echo(dl) {
					d.lanes.Saved(dl.Subscriber, false)
				}
			}
		}
	}
}

// stayed sees to it that a delivery which was stored as waiting is found when it
// is due. at is the present.
func (d *dispatcher) stayed(dl Delivery, at time.Time) {
	switch s := d.h.subscriber(dl.Subscriber); {
	case s.obstacle == held:
		d.expect(s.nextLook(dl.Due))
	case !s.servable():
	case !dl.Due.After(at):
		d.lanes.Left(dl.Subscriber)
	case dl.Due.Equal(dl.Created): // not scheduled: the clock was set back meanwhile
		d.makeDue(dl)
	default:
		d.expect(dl.Due)
	}
}

// looksFor reports whether the dispatcher reads the backlog for the sake of a subscriber:
// it can call the subscriber, or must know when that is no longer held.
func (d *dispatcher) looksFor(id string) bool {
	s := d.h.subscriber(id)
	return s.servable() || s.obstacle == held
}

// makeDue writes a delivery that is due with the present as its time, because
// the time that it was stored with has not come yet.
func (d *dispatcher) makeDue(dl Delivery) {
	d.lanes.Saving(dl.Subscriber)
	dl.Due = d.h.now()
	d.ledger.enter(outcome{Change: Change{Delivery: dl}, echo: true, exact: true})
}

// expect has the backlog read when a delivery in the store becomes due.
func (d *dispatcher) expect(due time.Time) {
	d.lanes.Expect(time.Now().Add(due.Sub(d.h.now())))
}
