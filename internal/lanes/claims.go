package lanes

import "time"

const (
	// readEvery is how long the store's backlog may go unread while lanes are
	// claimed for, one claim after the other, or 20 times as long as a reading
	// takes, but at most longestRest. So the backlogs of many thousand lanes do
	// not keep the process busy.
	readEvery = 50 * time.Millisecond

	// cheapReading is how long a reading may take for another one to follow at
	// once, if anything may have become due. After a longer one, there is none
	// for nine times as long as it took beyond that, but at most longestRest.
	cheapReading = 10 * time.Millisecond
	longestRest  = time.Second
)

// claims is what a Set knows about due jobs in the store.
type claims[J comparable] struct {
	wants [standings]list[*lane[J]] // lanes to claim for, by standing
	full  list[*lane[J]]            // lanes that have to wait for room

	asking  bool      // claims are being made, so that there is no need to signal
	recheck bool      // any lane may have something due: read before the next claim
	short   bool      // a claim got less than it asked for: read before the loop sleeps
	readAt  time.Time // when the next job that is known becomes due; zero if none is
	lookAt  time.Time // when to read again while lanes are claimed for
	restTo  time.Time // when the next reading may begin

	readings uint64 // how many have begun
	changes  uint64 // how many jobs left their lane or stayed in the store
}

// A Claim says for which lane to lease how many due jobs, and for how long.
// Its places are kept until [Set.Claimed] or [Set.Unclaimed].
type Claim struct {
	ID    string
	Max   int
	Lease time.Duration
}

// A Reading is one reading of the store's backlog.
type Reading struct {
	number  uint64
	changes uint64 // when it began
	began   time.Time
}

// listFor returns the list that a lane belongs to: nil if nothing is known to
// be due for it.
func (c *claims[J]) listFor(l *lane[J], standing standing) *list[*lane[J]] {
	switch {
	case !l.behind && !l.wanted:
		return nil
	case l.roomy():
		return &c.wants[standing]
	default:
		return &c.full
	}
}

// Ready returns a channel that holds a value when [Set.Refill] may have
// something new to say.
func (s *Set[J]) Ready() <-chan struct{} { return s.ready }

func (s *Set[J]) signal() {
	select {
	case s.ready <- struct{}{}:
	default: // a value is there already
	}
}

// Recheck demands a reading before the next claim, because anything may have
// become due.
func (s *Set[J]) Recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recheck()
}

// recheck is Recheck, for methods of the Set.
func (s *Set[J]) recheck() {
	s.claims.recheck = true
	s.signal()
}

// Left reports that a due job stayed in the store, and was left there.
func (s *Set[J]) Left(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[id]; l != nil {
		s.leave(l)
		return
	}
	s.claims.changes++
	s.recheck() // Plan makes the lane
}

// leave is Left, for methods of the Set.
func (s *Set[J]) leave(l *lane[J]) {
	s.claims.changes++
	l.leftAt = s.claims.changes
	l.wanted = true
	s.settle(l)
	if l.removed {
		s.recheck() // it is not the lane that is claimed for, but somebody has to look
	}
}

// Expect reports that a job in the store becomes due at a time.
func (s *Set[J]) Expect(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.claims.readAt; was.IsZero() || at.Before(was) {
		s.claims.readAt = at
		s.signal()
	}
}

// Refill returns claims that need no reading, because something is known to
// be due. If there are none it returns when to read the backlog: now (or a time
// that has passed), later, or, if zero, not before Ready. It takes the value
// out of Ready's channel. One goroutine at a time reads and claims.
func (s *Set[J]) Refill(now time.Time) (list []Claim, read time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ready:
	default:
	}
	if !s.open {
		return nil, time.Time{}
	}
	c := &s.claims
	stale := (c.short || s.totals.behind > 0) && !now.Before(c.lookAt) && (c.short || s.asksAny())
	due := !c.readAt.IsZero() && !now.Before(c.readAt)
	must := c.recheck || due || stale
	if must && !now.Before(c.restTo) {
		return nil, now
	}
	if list = s.ask(); len(list) > 0 {
		return list, time.Time{}
	}
	switch {
	case must || c.short && !s.wanting():
		return nil, later(now, c.restTo)
	case c.short:
		return nil, earliest(c.readAt, later(c.lookAt, c.restTo))
	default:
		return nil, c.readAt
	}
}

// wanting reports whether a lane waits for places of its standing.
func (s *Set[J]) wanting() bool {
	for of := range standings {
		if s.claims.wants[of].n > 0 {
			return true
		}
	}
	return false
}

// asks reports whether a claim can be made for lanes of a standing.
func (s *Set[J]) asks(of standing) bool { return s.claims.wants[of].n > 0 && s.roomy(of) }

func (s *Set[J]) asksAny() bool {
	for of := range standings {
		if s.asks(of) {
			return true
		}
	}
	return false
}

// ask makes claims for the lanes that want some, in turn, while their standing
// has places.
func (s *Set[J]) ask() (list []Claim) {
	s.claims.asking = true
	defer func() { s.claims.asking = false }()
	for of := range standings {
		if !s.asks(of) {
			continue
		}
		for s.claims.wants[of].n > 0 {
			l := s.claims.wants[of].first.of
			c := Claim{l.ID, min(l.ask(), s.free(of)/l.weight()), l.lease}
			if c.Max < 1 {
				break
			}
			list = append(list, c)
			l.expected += c.Max
			l.wanted = false
			l.claim.leave() // it goes to the end of what wants more
			s.settle(l)
		}
	}
	return list
}

// Read says that a reading of the backlog begins.
func (s *Set[J]) Read(now time.Time) Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.claims
	c.recheck, c.short, c.readAt = false, false, time.Time{}
	c.readings++
	return Reading{c.readings, c.changes, now}
}

// Plan returns the claims that follow from a reading. due are the lanes that
// had something due in it, each once; next is when the next of the other jobs
// becomes due, zero if none. After a reading that failed, call Recheck instead.
func (s *Set[J]) Plan(r Reading, due []Lane, next, now time.Time) []Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return nil
	}
	c := &s.claims
	c.readAt = earliest(c.readAt, next)
	took := now.Sub(r.began)
	c.lookAt = now.Add(min(max(readEvery, 20*took), longestRest))
	c.restTo = now.Add(min(9*max(took-cheapReading, 0), longestRest))
	c.asking = true
	show := make([]*lane[J], len(due))
	for i, d := range due {
		l := s.change(d)
		l.seen, l.wanted = r.number, true
		s.settle(l)
		show[i] = l
	}
	for of := range standings {
		s.caughtUp(&c.wants[of], r)
	}
	s.caughtUp(&c.full, r)
	list := s.ask()
	for _, l := range show {
		if l.wanted { // no place was left for it
			l.behind = true
			s.settle(l)
		}
	}
	return list
}

// caughtUp clears the lanes of a list for which the reading shows nothing due,
// unless something was left for them since it began.
func (s *Set[J]) caughtUp(in *list[*lane[J]], r Reading) {
	for k := in.first; k != nil; {
		l := k.of
		k = k.next
		if l.seen != r.number && l.leftAt <= r.changes {
			l.behind, l.wanted = false, false
			s.settle(l)
		}
	}
}

// Claimed ends a claim that leased n jobs. For each of these, Push or Return is
// called besides. A claim that got less than it asked for says that the lane
// has caught up: what is due in the store now came meanwhile, or belongs to
// others, and newer jobs need not wait for it.
func (s *Set[J]) Claimed(c Claim, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < c.Max {
		s.claims.short = true
	}
	if l := s.lanes[c.ID]; l != nil {
		l.expected -= c.Max - n
		l.behind = n >= c.Max
		s.settle(l)
	}
}

// Unclaimed ends a claim that was not made, or failed. What it was for is
// looked for by the next reading.
func (s *Set[J]) Unclaimed(c Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims.recheck = true
	if l := s.lanes[c.ID]; l != nil {
		l.expected -= c.Max
		l.behind, l.wanted = false, false
		s.settle(l)
	}
}
