package lanes

import (
	"slices"
	"time"
)

// Reserve keeps a place for a job that is due now and about to be stored, and
// returns how long to lease it: the place is "expected". If ok is false, store
// the job as waiting, and then call [Set.Left]: the lane is full, held or
// behind, or the Set is closed. End the place with [Set.Push], [Set.Return] or
// [Set.Release].
func (s *Set[J]) Reserve(l Lane) (lease time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return 0, false
	}
	in := s.change(l)
	standing := in.standing()
	if !in.behind && in.room() > 0 && s.free(standing) > s.places(standing)/4 {
		in.expected++
		lease, ok = in.lease, true
	}
	s.settle(in)
	return lease, ok
}

// Push queues a job that was expected and is leased now, until a time on the
// Set's clock. It returns false if the Set is closed: then the job counts as
// being saved, and the caller gives its lease back.
func (s *Set[J]) Push(id string, j J, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		return false
	}
	l.expected--
	if s.open {
		l.queue = append(l.queue, queued[J]{j, until})
	} else {
		l.saving++
	}
	s.settle(l)
	return s.open
}

// Return moves a job from expected to being saved: it was leased, or may have
// been, and is not to be tried.
func (s *Set[J]) Return(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[id]; l != nil {
		l.expected--
		l.saving++
		s.settle(l)
	}
}

// Release ends the place of a job that was expected, because it certainly was
// not stored.
func (s *Set[J]) Release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[id]; l != nil {
		l.expected--
		s.released(l)
	}
}

// Saving adds a job that is being saved to a lane which does not hold it: a
// lease that was found after a claim had failed, for example. If there is no such
// lane, it is made, and forgotten when it is empty.
func (s *Set[J]) Saving(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		l = s.change(Lane{ID: id})
		l.removed = true
	}
	l.saving++
	s.settle(l)
}

// Saved ends the place of a job that was being saved. left reports that the
// store has a due job for the lane now: this one, or the next of its key.
func (s *Set[J]) Saved(id string, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		return
	}
	l.saving--
	s.released(l)
	if left {
		s.leave(l)
	}
}

// Queued returns the jobs of a lane that are queued, first the next to start.
func (s *Set[J]) Queued(id string) []J {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		return nil
	}
	jobs := make([]J, len(l.queue))
	for i, q := range l.queue {
		jobs[i] = q.job
	}
	return jobs
}

// Drop ends the place of a job if it is queued, because a decision has ended
// its lease, and reports whether it was. One that is under way goes on.
func (s *Set[J]) Drop(id string, j J) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		return false
	}
	i := slices.IndexFunc(l.queue, func(q queued[J]) bool { return q.job == j })
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	s.released(l)
	return true
}

// released follows the end of a place.
func (s *Set[J]) released(l *lane[J]) {
	s.claims.changes++
	s.settle(l)
	if s.totals.holds == 0 && len(s.idle.waits) > 0 {
		s.recheck() // a reading may end them now
	}
}
