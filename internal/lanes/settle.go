package lanes

// A tally is what one lane adds to the totals.
type tally struct {
	standing standing
	active   int
	load     int
	holds    int
	behind   int // 1 if it is behind
}

// totals is the sum of all tallies.
type totals struct {
	active [standings]int // attempts under way
	load   [standings]int // jobs that have not started, each with its weight
	holds  int            // jobs in any stage
	behind int            // lanes that are behind
}

func (t *totals) add(l tally, sign int) {
	t.active[l.standing] += sign * l.active
	t.load[l.standing] += sign * l.load
	t.holds += sign * l.holds
	t.behind += sign * l.behind
}

func (l *lane[J]) tally() tally {
	t := tally{l.standing(), l.active, l.waiting() * l.weight(), l.holds(), 0}
	if l.behind {
		t.behind = 1
	}
	return t
}

// settle brings everything that follows from a lane's state up to date: the
// totals, the lists and calendars that it is in, and whether it exists. It
// follows each change of a lane.
func (s *Set[J]) settle(l *lane[J]) {
	switch {
	case l.removed || l.limit() == 0:
		l.behind, l.wanted = false, false
	case l.wanted && !l.roomy():
		l.behind = true // newer ones must not take the room that it gets
	}

	was := l.counted.standing
	s.totals.add(l.counted, -1)
	l.counted = l.tally()
	s.totals.add(l.counted, +1)

	standing := l.counted.standing
	if l.startable() {
		l.line.move(&s.lines[standing])
	} else {
		l.line.leave()
	}
	l.claim.move(s.claims.listFor(l, standing))
	if len(l.queue) > 0 {
		s.leases.set(&l.expires, l.overdueAt())
	} else {
		s.leases.drop(&l.expires)
	}

	if !s.claims.asking && (s.asks(standing) || s.asks(was)) {
		s.signal()
	}
	if l.removed && l.holds() == 0 {
		delete(s.lanes, l.ID)
	}
}

// half and quarter are the shares of the slots for lanes that are not proven.
func (s *Set[J]) half() int    { return (s.concurrency + 1) / 2 }
func (s *Set[J]) quarter() int { return (s.half() + 1) / 2 }

// places is the load that the lanes of a standing may have: for each slot that
// they surely get, as many jobs of the greatest weight as a lease covers.
func (s *Set[J]) places(of standing) int {
	slots := s.firstAttempts()
	switch of {
	case proven:
		slots = s.half()
	case slow:
		slots = s.quarter()
	}
	return slots * queueFor * maxWeight
}

// free is how much more load the lanes of a standing may take.
func (s *Set[J]) free(of standing) int { return s.places(of) - s.totals.load[of] }

// roomy reports whether a quarter of the places is free. The last quarter is
// for claims: else Publish could take each place that becomes free, and what
// waits in the store for other lanes would never be claimed.
func (s *Set[J]) roomy(of standing) bool { return s.free(of) >= s.places(of)/4 }
