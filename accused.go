package hooks

import (
	"context"
	"time"

	"example.com/hooks/retry"
)

// This file is about deliveries whose attempts may end the process, such as those of a
// handler that overflows the stack. Such a delivery must fail in the end. Deliveries that
// were merely under way beside it must not be blamed.
//
//   - A delivery that has lost suspectLost leases is suspect: each of its attempts is noted
//     in the store before it begins.
//   - If the attempt was noted and the lease is lost, the attempt was under way when a
//     process ended. Then the delivery is accused.
//   - Accused deliveries are attempted one at a time in a process. Such an attempt is
//     called a trial. It counts in Attempts from its beginning.
//   - If that is the last attempt that the policy allows, nothing else is under way beside
//     it. If the process ends again, this delivery is the cause, and it fails as lost.
//   - Any outcome of an attempt clears the delivery.

// suspectLost is how many leases a delivery may lose before its attempts are noted.
const suspectLost = 2

// classLost is the [Delivery].Error of a noted attempt while it is under way. It stays if
// the attempt has no outcome.
const classLost = "lost"

// aloneAtMost is how long an attempt waits for all others to end, and how long the others
// then wait for it. A delivery that takes longer may be blamed for what another one does.
const aloneAtMost = time.Minute

func isAccused(dl Delivery) bool { return dl.Lost >= suspectLost && dl.Error == classLost }

// trialWait is how long an accused delivery waits for another trial to end. Then it is
// given back, so that other deliveries of its lane get their turn.
const trialWait = time.Second

// prepare takes the precautions for a delivery that has lost leases. If the delivery must
// not be attempted, or not now, ended is true and end is its outcome. A trial lasts until
// j.endTrial is called; [dispatcher.enter] calls it in either case.
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

// beginTrial waits until no other trial is under way, for trialWait at most. It reports
// whether the caller's trial may begin.
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

// endTrial lets another trial begin.
func (d *dispatcher) endTrial() { <-d.trial }

// isSpent reports whether an accused delivery has used up its attempts.
func isSpent(dl Delivery, p retry.Policy) bool {
	if dl.Attempts == 0 {
		return false
	}
	_, again := p.Next(dl.Attempts)
	return !again
}

// lost returns the outcome of an accused delivery that has used up its attempts: it failed
// as [ReasonLost].
func (d *dispatcher) lost(j job) outcome {
	end := j.Delivery
	end.Status, end.Reason = Failed, ReasonLost
	end.Due = d.h.now()
	end.Updated = end.Due
	return outcome{Change: Change{Delivery: end}}
}

// note writes to the store that an attempt begins, and adds charge to Attempts. If it
// cannot be written, ended is true and end gives the delivery back. The note goes through
// the ledger, which tries to write it as often as an outcome.
func (d *dispatcher) note(j *job, charge int, timeout time.Duration) (end outcome, ended bool) {
	was := j.Delivery
	begun := was
	begun.Attempts += charge
	begun.Error = classLost
	if !d.mayStart(*j, timeout) { // the wait for the trial may have used up the lease
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
		return d.givenBack(*j), true // changes nothing if the note was stale
	}
	return outcome{}, false
}

// makeAlone keeps further attempts from beginning, and waits until the caller's attempt is
// the only one under way, or aloneAtMost has passed. Attempts may begin again when release
// is called, or aloneAtMost after makeAlone has returned.
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
		if d.alone == idle { // release and the timer may both call end
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

// checkAloneLocked tells makeAlone if the attempt that it waits for is the only one under
// way. The caller holds d.starting.
func (d *dispatcher) checkAloneLocked() {
	if d.alone != nil && d.underWay == 1 {
		select {
		case d.alone <- struct{}{}:
		default: // makeAlone was told before
		}
	}
}

// enter gives an outcome to the ledger. endTrial is nil unless the attempt was a trial.
// After a trial, enter waits until the outcome is stored before it calls endTrial. If the
// next trial began earlier and ended the process, the outcome of this one would be lost.
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
