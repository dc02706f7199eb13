package hooks

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A lookout plans when to look for commits that nobody tells of. It reads no clock and
// has no lock.
type lookout struct {
	told   time.Time            // look for a commit that somebody has told of; zero: there is none
	steps  [lookSteps]time.Time // the next look of each step, see [lookout.expect]; zero: none is planned
	latest time.Time            // when a commit was last expected
	looked time.Time            // when the last look began
}

const (
	lookSteps = 8 // the last one is longer than announceEvery
	lookPause = 4 * time.Millisecond
)

// lookAfter is how long after an event step i looks: 1, 2, 4 … 128 ms.
func lookAfter(i int) time.Duration { return time.Millisecond << i }

// tell plans a look at once, because something was committed.
func (l *lookout) tell(now time.Time) {
	if l.told.IsZero() {
		l.told = now
	}
}

// expect plans looks for a commit that may come soon. A step that has a look planned
// keeps it, and is planned anew when that look begins.
func (l *lookout) expect(now time.Time) {
	l.latest = now
	for i, at := range l.steps {
		if at.IsZero() {
			l.steps[i] = now.Add(lookAfter(i))
		}
	}
}

// next returns when to look, at least lookPause after the last look. ok is false if no
// look is planned.
func (l *lookout) next() (at time.Time, ok bool) {
	at = l.told
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

// look begins a look, which serves all that were planned until now.
func (l *lookout) look(now time.Time) {
	l.looked, l.told = now, time.Time{}
	for i, at := range l.steps {
		if at.IsZero() || at.After(now) {
			continue
		}
		l.steps[i] = time.Time{}
		if again := l.latest.Add(lookAfter(i)); again.After(now) {
			l.steps[i] = again
		}
	}
}

// looks are a dispatcher's lookout, and the goroutine that follows it.
type looks struct {
	sooner chan struct{} // holds one: the next look is earlier than it was

	mu   sync.Mutex // guards plan
	plan lookout
}

// change calls f, and reports whether a look begins now.
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

// committed has the loop look, because something was committed.
func (d *dispatcher) committed() { d.planLook((*lookout).tell) }

// expectCommit has the loop look when a PublishTx of this process may be committed.
func (d *dispatcher) expectCommit(receipts []Receipt) {
	if d != nil && slices.ContainsFunc(receipts, func(r Receipt) bool { return r.Deliveries > 0 }) {
		d.planLook((*lookout).expect)
	}
}

// heard has the loop look now, because another process has told of something, and again
// while that one may have more and keeps silent; see announceEvery.
func (d *dispatcher) heard() {
	d.planLook((*lookout).expect)
	d.planLook((*lookout).tell)
}

func (d *dispatcher) planLook(f func(*lookout, time.Time)) {
	if d.looks.change(time.Now(), f) {
		d.lanes.Recheck()
	}
}

// lookOut begins the looks that are planned, until ctx ends.
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
			d.planLook(func(*lookout, time.Time) {})
		}
	}
}
