package lanes

// idle is who waits until nothing is due or held.
type idle struct{ waits []wait }

type wait struct {
	done  chan struct{}
	after uint64 // only a reading with a higher number ends it
}

// Idle returns a channel that is closed when nothing is due in the store and no
// lane holds a job. While jobs come and go all the time, that needs one reading
// during which none does.
func (s *Set[J]) Idle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := wait{make(chan struct{}), s.claims.readings}
	s.idle.waits = append(s.idle.waits, w)
	s.recheck()
	return w.done
}

// Quiet reports that a reading showed nothing due, for no lane and for nobody
// else whom the caller looks after. It ends the waits of those who called Idle
// before the reading began, if what it showed is still true.
func (s *Set[J]) Quiet(r Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle.waits) == 0 || s.totals.holds > 0 {
		return // the end of the last job that is held demands another reading
	}
	if s.claims.changes != r.changes {
		s.recheck()
		return
	}
	var later []wait
	for _, w := range s.idle.waits {
		if w.after < r.number {
			close(w.done)
		} else {
			later = append(later, w)
		}
	}
	s.idle.waits = later
}
