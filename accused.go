package hooks

import (
	"context"
	"time"

	"example.com/hooks/retry"
)

// This file is about deliveries that may be what ends the process: a handler that
// overflows the stack, say. Such a delivery must come to an end, and what merely was
// under way beside it must not be blamed.
//
// A delivery that has lost suspectLost leases has its attempts noted in the store
// before they begin. If one that is noted loses its lease, it was under way when a
// process ended: it is accused. Accused deliveries are attempted one at a time in a
// process, and each attempt is charged when it begins. If that charge is the last that
// its policy allows, nothing else is under way at all, so that the next end of the
// process is certainly its doing: then it fails as lost. Any outcome acquits.

// suspectLost is how many leases a delivery may lose before its attempts are noted.
const suspectLost = 2

// classLost is what stands in [Delivery].Error while a noted attempt is under way, and
// for good if it came to no outcome.
const classLost = "lost"

// aloneAtMost is how long an attempt waits for all others to end, and how long these
// then wait for it: a delivery that takes longer can be blamed for another's doing.
const aloneAtMost = time.Minute

func isAccused(dl Delivery) bool { return dl.Lost >= suspectLost && dl.Error == classLost }

// prepare takes the precautions for a delivery that has lost leases, and reports
// whether it may be attempted; release is to be called when that has ended.
func (d *dispatcher) prepare(j *job, p retry.Policy, timeout time.Duration) (release func(), ok bool) {
	release = func() {}
	switch {
	case j.Lost < suspectLost:
		return release, true
	case !isAccused(j.Delivery):
		return release, d.note(j, 0, timeout)
	case isSpent(j.Delivery, p):
		d.endLost(*j)
		return release, false
	}
	if _, again := p.Next(j.Attempts + 1); !again {
		release = d.makeAlone()
	}
	return release, d.note(j, 1, timeout)
}

// isSpent reports whether an accused delivery has used up its attempts.
func isSpent(dl Delivery, p retry.Policy) bool {
	if dl.Attempts == 0 {
		return false
	}
	_, again := p.Next(dl.Attempts)
	return !again
}

func (d *dispatcher) endLost(j job) {
	end := j.Delivery
	end.Status, end.Reason = Failed, Lost
	end.Due = d.h.now()
	end.Updated = end.Due
	d.ledger.enter(outcome{Change: Change{Delivery: end}, lane: j.lane})
}

// note writes to the store that an attempt begins, with so many attempts charged, and
// reports whether it did. If not, the delivery is given back. The note goes through the
// ledger like an outcome, and is tried as often.
func (d *dispatcher) note(j *job, charge int, timeout time.Duration) bool {
	was := j.Delivery
	begun := was
	begun.Attempts += charge
	begun.Error = classLost
	if !d.mayStart(*j, timeout) { // it may have waited to be alone
		d.giveBack(*j)
		return false
	}
	noted := make(chan int64, 1)
	d.ledger.enter(outcome{Change: Change{Delivery: begun}, lane: j.lane, noted: noted})
	select {
	case begun.Token = <-noted:
	case <-d.ctx.Done():
		begun.Token = 0
	}
	if begun.Token > 0 {
		d.noteToken(begun)
		j.Delivery, j.was = begun, &was
	}
	if begun.Token == 0 || !d.mayStart(*j, timeout) {
		d.giveBack(*j) // changes nothing if it was decided elsewhere
		return false
	}
	return true
}

// mayStart reports whether attempts may begin, which ends with Run's context, and
// whether the lease is long enough for this one.
func (d *dispatcher) mayStart(j job, timeout time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open && !d.h.now().Add(timeout+saveWithin).After(j.Due)
}

// makeAlone keeps further attempts from beginning and waits until the caller's is the
// only one that is under way, but not for ever. The others go on when release is
// called, or when it has taken too long.
func (d *dispatcher) makeAlone() (release func()) {
	waited, cancel := context.WithTimeout(d.ctx, aloneAtMost)
	defer cancel()
	d.mu.Lock()
	idle := make(chan struct{}, 1)
	d.alone = idle
	d.checkAlone()
	d.mu.Unlock()
	select {
	case <-idle:
	case <-waited.Done():
	}
	end := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.alone == idle { // else it was released before
			d.alone = nil
			d.schedule()
		}
	}
	timer := time.AfterFunc(aloneAtMost, end)
	return func() {
		timer.Stop()
		end()
	}
}

// enter enters an outcome, and waits until that of an accused delivery is stored:
// another one, begun before that, could end the process.
func (d *dispatcher) enter(o outcome, accused bool) {
	if accused {
		o.saved = make(chan struct{})
	}
	d.ledger.enter(o)
	if accused {
		select {
		case <-o.saved:
		case <-d.ctx.Done():
		}
	}
}

// checkAlone tells who waits for it that no other attempt is under way. d.mu is held.
func (d *dispatcher) checkAlone() {
	if d.alone != nil && d.active == 1 {
		select {
		case d.alone <- struct{}{}:
		default: // it was told
		}
	}
}
