package postgres

import "time"

// A look is one call of Backlog.
type look struct {
	whole bool
	moves bool      // the bounds, when it ends
	began time.Time // by the monotonic clock
	now   time.Time // zero: unknown

	// What a look that is not whole knows, and from where it reads.
	subscribers []string
	from        []time.Time
	seqs        []int64
	others      time.Time

	wrote map[string]place // the lowest places that this store wrote to meanwhile
}

// begin returns a look that is to be made now. It must be ended.
func (b *bounds) begin() *look {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &look{began: time.Now(), moves: b.looking == nil}
	if !b.now.IsZero() {
		l.now = b.now.Add(l.began.Sub(b.nowAt))
	}
	l.whole = b.dead == 0 || l.began.After(b.until) || b.isOldLocked()
	if l.moves {
		l.wrote = make(map[string]place)
		b.looking = l
	}
	if l.whole {
		return l
	}
	latest := edge(l.now)
	l.others = lower(b.others, latest).due
	for s, lane := range b.lanes {
		from := lower(lane.from, latest)
		l.subscribers, l.from, l.seqs = append(l.subscribers, s), append(l.from, from.due), append(l.seqs, from.seq)
	}
	return l
}

// end moves the bounds as a look has found, which read dead entries in vain if it was
// whole, and adds to found what is known beyond its reach.
func (b *bounds) end(l *look, found map[string]place, dead int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !l.whole {
		for s, lane := range b.lanes {
			if _, ok := found[s]; !ok && lane.later.After(l.reach()) {
				found[s] = place{due: lane.later}
			}
		}
	}
	if l.moves {
		b.moveLocked(l, found, dead)
	}
}

// moveLocked sets the bounds to what the look has found. What this store wrote while
// the look was under way may have escaped it. b.mu is held.
func (b *bounds) moveLocked(l *look, found map[string]place, dead int) {
	for s := range found {
		b.meetLocked(s)
	}
	if l.whole {
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
		if !lane.later.After(l.reach()) {
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

// reach is until when a look that is not whole sees what is due.
func (l *look) reach() time.Time { return l.now.Add(nearby) }

// abandon ends a look that has failed, or has been ended.
func (b *bounds) abandon(l *look) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.looking == l {
		b.looking = nil
	}
}
