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

// trialWait is how long an accused delivery waits for the attempt of another one
// to end. Then it is given back, and others of its lane get their turn.
const trialWait = time.Second

// prepare takes the precautions for a delivery that has lost leases. If it is not
// to be attempted (now), ended is true, and end is what becomes of it. The trial of
// an accused delivery lasts until endTrial is called, which [dispatcher.enter] does
// in either case.
func (d *dispatcher) prepare(j *job, p retry.Policy, timeout time.Duration) (end outcome, ended bool) {
	switch {
	case j.Lost < suspectLost:
		return outcome{}, false
	case !isAccused(j.Delivery):
		return d.note(j, 0, timeout)
	case isSpent(j.Delivery, p):
		return d.lost(*j), true
	case !d.beginTrial():
		return d.givenBack(*j), true
	}
	j.endTrial = d.endTrial
	if _, again := p.Next(j.Attempts + 1); !again {
		release := d.makeAlone()
		j.endTrial = func() {
			release()
			d.endTrial()
		}
	}
	return d.note(j, 1, timeout)
}

// beginTrial waits until no other accused delivery is being attempted, but not for
// long, and reports whether that is so.
func (d *dispatcher) beginTrial() bool {
	timer := time.NewTimer(trialWait)
	defer timer.Stop()
	select {
	case d.trial <- struct{}{}:
		return true
	case <-timer.C:
	case <-d.ctx.Done():
	}
	return false
}

func (d *dispatcher) endTrial() { <-d.trial }

// isSpent reports whether an accused delivery has used up its attempts.
func isSpent(dl Delivery, p retry.Policy) bool {
	if dl.Attempts == 0 {
		return false
	}
	_, again := p.Next(dl.Attempts)
	return !again
}

// lost returns the outcome of an accused delivery that has used up its attempts.
func (d *dispatcher) lost(j job) outcome {
	end := j.Delivery
	end.Status, end.Reason = Failed, Lost
	end.Due = d.h.now()
	end.Updated = end.Due
	return outcome{Change: Change{Delivery: end}}
}

// note writes to the store that an attempt begins, with so many attempts charged. If
// that fails, ended is true, and the delivery is given back. The note goes through the
// ledger like an outcome, and is tried as often.
func (d *dispatcher) note(j *job, charge int, timeout time.Duration) (end outcome, ended bool) {
	was := j.Delivery
	begun := was
	begun.Attempts += charge
	begun.Error = classLost
	if !d.mayStart(*j, timeout) { // it may have waited for its trial, or to be alone
		return d.givenBack(*j), true
	}
	noted := make(chan int64, 1)
	d.ledger.enter(outcome{Change: Change{Delivery: begun}, noted: noted})
	select {
	case begun.Token = <-noted:
	case <-d.ctx.Done():
		begun.Token = 0
	}
	if begun.Token > 0 {
		d.leases.noteToken(begun)
		j.Delivery, j.was = begun, &was
	}
	if begun.Token == 0 || !d.mayStart(*j, timeout) {
		return d.givenBack(*j), true // this changes nothing if it was decided elsewhere
	}
	return outcome{}, false
}

// makeAlone keeps further attempts from beginning and waits until the caller's is the
// only one that is under way, but not for ever. The others go on when release is
// called, or when it has taken too long.
func (d *dispatcher) makeAlone() (release func()) {
	waited, cancel := context.WithTimeout(d.ctx, aloneAtMost)
	defer cancel()
	idle := make(chan struct{}, 1)
	d.starting.Lock()
	d.alone = idle
	d.checkAloneLocked()
	d.starting.Unlock()
	select {
	case <-idle:
	case <-waited.Done():
	}
	end := func() {
		d.starting.Lock()
		defer d.starting.Unlock()
		if d.alone == idle { // else it was released before
			d.alone = nil
			d.launchLocked()
		}
	}
	timer := time.AfterFunc(aloneAtMost, end)
	return func() {
		timer.Stop()
		end()
	}
}

// checkAloneLocked tells who waits for it that no other attempt is under way.
func (d *dispatcher) checkAloneLocked() {
	if d.alone != nil && d.underWay == 1 {
		select {
		case d.alone <- struct{}{}:
		default: // it was told
		}
	}
}

// enter enters an outcome. If it ends the trial of an accused delivery, enter waits
// until the outcome is stored, because another trial, begun before that, could end
// the process. endTrial is nil if it does not.
func (d *dispatcher) enter(o outcome, endTrial func()) {
	if endTrial == nil {
		d.ledger.enter(o)
		return
	}
	defer endTrial()
	o.saved = make(chan struct{})
	d.ledger.enter(o)
	select {
	case <-o.saved:
	case <-d.ctx.Done():
	}
}
