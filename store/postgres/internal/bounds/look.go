package bounds

import "time"

// A Look is one call of Backlog.
type Look struct {
	// Whole: the look reads all that is unfinished. Else it reads only what is due before
	// Reach, and begins at the places that follow.
	Whole bool

	Subscribers []string    // those that have a place of their own
	From        []time.Time // and the Due of each place
	Seqs        []int64     // and its Seq
	Others      time.Time   // the Due at which it begins for all other subscribers

	moves bool             // End moves the bounds
	began time.Time        // by this process's clock
	now   time.Time        // when it began, by the callers' clock; zero: unknown
	wrote map[string]Place // the lowest places that this store has written to since it began
}

// Begin returns a look that is made now. The caller calls Abandon when it is over, and
// before that End if it has succeeded.
func (b *Bounds) Begin() *Look {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &Look{began: time.Now(), moves: b.looking == nil}
	if !b.now.IsZero() {
		l.now = b.now.Add(l.began.Sub(b.nowAt))
	}
	l.Whole = b.dead == 0 || l.began.After(b.until) || b.isOldLocked()
	if l.moves {
		l.wrote = make(map[string]Place)
		b.looking = l
	}
	if l.Whole {
		return l
	}
	latest := edge(l.now)
	l.Others = lower(b.others, latest).Due
	for s, lane := range b.lanes {
		from := lower(lane.from, latest)
		l.Subscribers, l.From, l.Seqs = append(l.Subscribers, s), append(l.From, from.Due), append(l.Seqs, from.Seq)
	}
	return l
}

// End moves the bounds to what a look has found: the first place of each subscriber, and,
// if it was whole, how many dead entries it has read. End adds to found what is known to
// be due after the look's Reach.
func (b *Bounds) End(l *Look, found map[string]Place, dead int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !l.Whole {
		for s, lane := range b.lanes {
			if _, ok := found[s]; !ok && lane.later.After(l.Reach()) {
				found[s] = Place{Due: lane.later}
			}
		}
	}
	if l.moves {
		b.moveLocked(l, found, dead)
	}
}

// moveLocked sets the bounds to what the look has found, and to what this store has
// written since it began, because the look may have missed that.
func (b *Bounds) moveLocked(l *Look, found map[string]Place, dead int) {
	for s := range found {
		b.meetLocked(s)
	}
	if l.Whole {
		b.dead, b.lanes = 0, nil
		if dead <= manyDead || l.now.IsZero() {
			return
		}
		b.dead, b.lanes = dead, make(map[string]*bound, len(b.names))
		for s := range b.names {
			b.lanes[s] = &bound{}
		}
		b.until = l.began.Add(min(max(rarely*time.Since(l.began), shortestBlind), longestBlind))
	}
	b.others = edge(l.now)
	for _, lane := range b.lanes {
		lane.from = b.others
		if !lane.later.After(l.Reach()) {
			lane.later = time.Time{}
		}
	}
	for s, at := range found {
		b.lowerLocked(s, at)
	}
	for s, at := range l.wrote {
		b.lowerLocked(s, at)
	}
}

// Reach returns the latest Due that a look reads if it is not whole.
func (l *Look) Reach() time.Time { return l.now.Add(nearby) }

// Abandon ends the recording of what the store writes meanwhile. It follows every look,
// whether that has succeeded or not.
func (b *Bounds) Abandon(l *Look) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.looking == l {
		b.looking = nil
	}
}
