package lanes

import "time"

// A Start is an attempt that has begun. End it with [Set.Finish].
type Start[J comparable] struct {
	Job     J
	Timeout time.Duration // of the attempt

	lane  *lane[J]
	began time.Time
	late  moment[*Start[J]] // in Set.late until it is
}

// A Result is how an attempt went, as far as it matters to its lane.
type Result int

const (
	NotTried   Result = iota // there was no attempt, or it says nothing about the receiver
	Worked                   // it succeeded
	Failed                   // it failed, and says nothing about the receiver's load
	Overloaded               // the receiver took too long, or said that it is overloaded
)

// Next returns an attempt to begin now. If there is none it returns when to
// call Next again, though nothing else has happened; whoever gets that time
// must do so. Zero means not before another call has changed something, or
// that somebody was told a time already that is as early.
func (s *Set[J]) Next(now time.Time) (start *Start[J], again time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLate(now)
	if l := s.pick(); l != nil {
		return s.start(l, now), time.Time{}
	}
	return nil, s.again(now)
}

// noteLate takes note of the attempts that are late now.
func (s *Set[J]) noteLate(now time.Time) {
	for a, ok := s.late.due(now); ok; a, ok = s.late.due(now) {
		s.late.drop(&a.late)
		a.lane.lateAttempts++
		s.settle(a.lane)
	}
}

// pick returns the lane whose turn it is, or nil. Proven lanes and the others
// take turns.
func (s *Set[J]) pick() *lane[J] {
	active := &s.totals.active
	if active[proven]+active[untried]+active[slow] >= s.concurrency {
		return nil
	}
	first, other := s.lines[proven].first, s.pickOther()
	if other != nil && (first == nil || s.othersTurn) {
		s.othersTurn = false
		return other.of
	}
	if first == nil {
		return nil
	}
	s.othersTurn = true
	return first.of
}

// pickOther returns the next lane that is not proven, if one may start.
// Untried ones go first, since each is untried only once.
func (s *Set[J]) pickOther() *link[*lane[J]] {
	active := &s.totals.active
	fits := active[untried]+active[slow] < s.half()
	bounded := active[untried]+active[hanging] < s.firstAttempts()
	switch line := &s.lines[untried]; {
	case line.n > 0 && bounded && (fits || active[untried] < s.quarter()):
		if s.oldestsTurn {
			return line.first
		}
		return line.last
	case fits && (line.n == 0 || active[slow] < s.quarter()):
		return s.lines[slow].first
	default:
		return nil
	}
}

// firstAttempts is how many attempts of untried and hanging lanes there may
// be. Those of hanging ones have no slot of the others; this bounds them.
func (s *Set[J]) firstAttempts() int { return 4 * s.concurrency }

// start begins the next attempt of a lane, which then goes to the end of its
// line.
func (s *Set[J]) start(l *lane[J], now time.Time) *Start[J] {
	if l.counted.standing == untried {
		s.oldestsTurn = !s.oldestsTurn
	}
	a := &Start[J]{Job: l.pop(), Timeout: l.Timeout, lane: l, began: now}
	a.late.of = a
	s.late.set(&a.late, now.Add(l.patience()))
	l.active++
	l.line.leave()
	s.settle(l)
	return a
}

// again returns when something may start, or a job becomes overdue, though
// nothing else happens. An attempt that becomes late may have a slot to leave,
// which matters if a lane waits for one.
func (s *Set[J]) again(now time.Time) time.Time {
	at := s.leases.next()
	if s.lines[proven].n+s.lines[untried].n+s.lines[slow].n > 0 {
		at = earliest(at, s.late.next())
	}
	asked := s.alarm.After(now) || s.alarm.Equal(at)
	if at.IsZero() || asked && !at.Before(s.alarm) {
		return time.Time{}
	}
	s.alarm = at
	return at
}

// Finish ends an attempt: its job is being saved now. Call it before the
// outcome can have been stored.
func (s *Set[J]) Finish(a *Start[J], r Result, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := a.lane
	if a.late.place > 0 {
		s.late.drop(&a.late)
	} else {
		l.lateAttempts--
	}
	l.active--
	l.saving++
	l.learn(r, now.Sub(a.began))
	s.settle(l)
}

// Overdue returns queued jobs whose turn did not come in time: if they started
// now, their leases could end before their attempts. They count as being saved:
// the caller gives their leases back. Call it whenever a time comes that Next
// asked for.
func (s *Set[J]) Overdue(now time.Time) (jobs []J) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alarm.After(now) {
		s.alarm = time.Time{} // it has been heard
	}
	for l, ok := s.leases.due(now); ok; l, ok = s.leases.due(now) {
		jobs = append(jobs, l.pop())
		l.saving++
		s.settle(l)
	}
	return jobs
}
