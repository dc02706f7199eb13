package hooks

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A lookout plans the dispatcher's looks. A look reads the backlog, in order to find what
// a transaction has committed of which the store tells nobody. Some commits are announced,
// by Wake or by another process; others are only expected, because PublishTx was called.
// A lookout reads no clock and has no lock.
type lookout struct {
	announced time.Time            // plan a look for a commit that was announced; zero: none
	steps     [lookSteps]time.Time // when each step looks next, see [lookout.expect]; zero: never
	expected  time.Time            // when the last commit was expected
	looked    time.Time            // when the last look began
}

const (
	lookSteps = 8 // the last step waits longer than announceEvery
	lookPause = 4 * time.Millisecond
)

// lookAfter returns how long step i waits after a commit was expected: 1, 2, 4 … 128 ms.
func lookAfter(i int) time.Duration { return time.Millisecond << i }

// announce plans a look at once, because a commit was announced.
func (l *lookout) announce(now time.Time) {
	if l.announced.IsZero() {
		l.announced = now
	}
}

// expect plans looks for a commit that may come soon, one for each step. A step that has
// a look planned already keeps it. When that look begins, the step plans another one.
func (l *lookout) expect(now time.Time) {
	l.expected = now
	for i, at := range l.steps {
		if at.IsZero() {
			l.steps[i] = now.Add(lookAfter(i))
		}
	}
}

// next returns when to look next: at least lookPause after the last look. ok is false if
// no look is planned.
func (l *lookout) next() (at time.Time, ok bool) {
	at = l.announced
	for _, step := range l.steps {
		if !step.IsZero() && (at.IsZero() || step.Before(at)) {
			at = step
		}
	}
	if at.IsZero() {
		return at, false
	}
	if rested := l.looked.Add(lookPause); at.Before(rested) {
		at = rested
	}
	return at, true
}

// look records that a look begins. It takes the place of all looks that were planned
// until now.
func (l *lookout) look(now time.Time) {
	l.looked, l.announced = now, time.Time{}
	for i, at := range l.steps {
		if at.IsZero() || at.After(now) {
			continue
		}
		l.steps[i] = time.Time{}
		if again := l.expected.Add(lookAfter(i)); again.After(now) {
			l.steps[i] = again
		}
	}
}

// looks is a dispatcher's lookout, with the lock that guards it.
type looks struct {
	sooner chan struct{} // tells lookOut that the next look is earlier now; holds one

	mu   sync.Mutex // guards plan
	plan lookout
}

// change calls f to change the plan. It reports whether a look begins now. If a look is
// planned for a later time, lookOut begins it.
func (l *looks) change(now time.Time, f func(*lookout, time.Time)) (look bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, planned := l.plan.next()
	f(&l.plan, now)
	next, ok := l.plan.next()
	if ok && !next.After(now) {
		l.plan.look(now)
		return true
	}
	if ok && (!planned || next.Before(before)) {
		select {
		case l.sooner <- struct{}{}:
		default:
		}
	}
	return false
}

// committed makes the loop look, because a commit was announced.
func (d *dispatcher) committed() { d.planLook((*lookout).announce) }

// expectCommit makes the loop look several times, because the transaction of a PublishTx
// may be committed soon. d may be nil.
func (d *dispatcher) expectCommit(receipts []Receipt) {
	if d != nil && slices.ContainsFunc(receipts, func(r Receipt) bool { return r.Deliveries > 0 }) {
		d.planLook((*lookout).expect)
	}
}

// heard makes the loop look now, because another process has announced a commit. The loop
// looks again later, because that process announces no other commit for announceEvery.
func (d *dispatcher) heard() {
	d.planLook((*lookout).expect)
	d.planLook((*lookout).announce)
}

// planLook calls f to change the plan, and wakes the loop if it has to look now.
func (d *dispatcher) planLook(f func(*lookout, time.Time)) {
	if d.looks.change(time.Now(), f) {
		d.lanes.Recheck()
	}
}

// lookOut begins each look when its time has come, until ctx ends.
func (d *dispatcher) lookOut(ctx context.Context) {
	for ctx.Err() == nil {
		var timer <-chan time.Time
		d.looks.mu.Lock()
		if at, ok := d.looks.plan.next(); ok {
			timer = time.After(time.Until(at))
		}
		d.looks.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-d.looks.sooner:
		case <-timer:
			d.planLook(func(*lookout, time.Time) {}) // changes nothing
		}
	}
}
