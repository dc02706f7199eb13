package hooks

import (
	"math/rand/v2"
	"time"
)

// reserve leases to this dispatcher what Publish is about to store and can be
// tried at once: the common case costs one insert and one update, no claim.
// What is ordered, scheduled, or more than the lane takes stays pending.
func (d *dispatcher) reserve(entries []Entry) {
	if d == nil {
		return
	}
	d.ledger.await(1) // what cannot be begun must be given back
	at := d.h.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open {
		return
	}
	for _, e := range entries {
		for i := range e.Deliveries {
			dl := &e.Deliveries[i]
			l := d.lane(dl.Subscriber)
			if l == nil || !l.takes() || dl.OrderingKey != "" || dl.Due.After(at) {
				continue
			}
			l.held++
			l.coming++
			// A token of its own tells this lease from that of a call which
			// was repeated because it was unknown what became of it.
			dl.Status, dl.Due, dl.Token = Sending, l.lease(at), 1+rand.Int64N(1<<32)
		}
	}
}

// accept takes over what was stored leased, and looks after the rest.
func (d *dispatcher) accept(entries []Entry, receipts []Receipt) {
	if d == nil {
		return
	}
	defer d.ledger.await(-1)
	at := d.h.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range entries {
		for _, dl := range e.Deliveries {
			j := d.arrived(e.Event, dl)
			switch {
			case receipts[i].Duplicate:
				d.unreserve(j)
			case dl.Status != Sending && dl.Due.After(at) && dl.Due.Equal(dl.Created): // the clock was set back
				d.makeDue(dl)
			case dl.Status != Sending:
				d.expect(dl)
			case !d.own(j): // its lease seemed to have ended, and a claim was quicker
				d.release(j.lane)
			case !d.endUntried(j, at):
				d.push(j)
			}
		}
	}
	d.schedule()
}

// abandon is for an Enqueue that failed: for certain, or it may have been
// stored all the same. Then its leases are given back, if they are there; and
// when the store has done what it was asked, it is asked what is due.
func (d *dispatcher) abandon(entries []Entry, certain bool) {
	if d == nil {
		return
	}
	defer d.ledger.await(-1)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range entries {
		for _, dl := range e.Deliveries {
			j := d.arrived(e.Event, dl)
			switch {
			case certain:
				d.unreserve(j)
			case dl.Status == Sending:
				d.ledger.enter(outcome{Change: Change{Delivery: d.back(j)}, lane: j.lane, exact: true})
			default:
				j.lane = d.lane(dl.Subscriber)
				d.ledger.echo(j)
			}
		}
	}
}

// arrived makes a job of a delivery that Publish has stored, or tried to. d.mu is held.
func (d *dispatcher) arrived(ev Event, dl Delivery) job {
	j := job{Delivery: dl, event: ev, lane: d.lanes[dl.Subscriber]}
	if dl.Status == Sending {
		j.lane.coming--
	}
	return j
}

// unreserve forgets a lease that was never stored. d.mu is held.
func (d *dispatcher) unreserve(j job) {
	if j.Status == Sending {
		d.release(j.lane)
	}
}

// expect makes sure that a delivery which stayed in the store is looked for
// when it is due. d.mu is held.
func (d *dispatcher) expect(dl Delivery) {
	l := d.lane(dl.Subscriber)
	if l == nil {
		return
	}
	if !dl.Due.After(d.h.now()) {
		d.leave(l)
		return
	}
	d.expectAt(dl.Due)
}

// makeDue writes a delivery that was stored with a time which is not there yet. d.mu is
// held.
func (d *dispatcher) makeDue(dl Delivery) {
	l := d.lane(dl.Subscriber)
	if l == nil {
		return
	}
	l.held++
	dl.Due = d.h.now()
	d.ledger.enter(outcome{Change: Change{Delivery: dl}, lane: l, echo: true, exact: true})
}

// expectAt wakes the loop if it would sleep past a time. d.mu is held.
func (d *dispatcher) expectAt(due time.Time) {
	if _, steps := d.h.reading(); int64(steps) != d.dated.Load() {
		d.wake() // the clock was set: sleepUntil is of its old time
		return
	}
	if d.sleepUntil.IsZero() || due.Before(d.sleepUntil) {
		d.wake()
	}
}

// push queues a job in its lane. d.mu is held.
func (d *dispatcher) push(j job) {
	j.lane.queue = append(j.lane.queue, &j)
	d.enlist(j.lane)
}
