// Package bounds makes looks at the backlog short while VACUUM cannot clean up.
//
// Claim and Backlog read the index deliveries_due from a subscriber's first entry
// on. Each delivery that ends leaves one or two dead entries there. Normally they
// disappear as fast as they come. But a transaction with an old snapshot, such as a
// backup's, keeps them all: beside it, each look would read every delivery that has
// ended since.
//
// So the store counts how many dead entries a whole look at the backlog has read.
// While these are many, it remembers for each subscriber below which place no look
// has seen anything, and begins there. That place is never later than a second ago,
// and goes down with what this store itself writes. What others make claimable below
// it is found by the next whole look: a transaction that commits more than a second
// after its deliveries were due, or a line that another process frees. Whole looks
// are repeated so often that they take a twentieth of the time.
//
// A subscriber's bound helps only if its name is known, even if it has nothing to do
// just now: a look for strangers reads all dead entries between two names. So the store
// keeps the names that its calls have met, while looks are cheap, too.
//
// The bounds can miss only something that lies below them, and only while looks are
// dear. At all other times every look is whole.
package bounds

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"example.com/hooks"
)

// Bounds are those of one store. The zero value has none: the first look is a whole one.
// Methods are safe for concurrent use.
type Bounds struct {
	mu sync.Mutex // guards what follows

	now   time.Time // the time by the callers' clock, as Told was given it; zero: never
	nowAt time.Time // the same moment by this process's clock

	dead  int       // dead entries that the last whole look read; 0 unless they were many
	until time.Time // when the next whole look is due; zero: at once

	names   map[string]bool   // of subscribers that calls have met, at most maxNames
	lanes   map[string]*bound // of these, and of those met since, while looks are dear
	others  Place             // the bound of all other subscribers
	looking *Look             // the look under way that will move the bounds; nil: none
}

// A Place is one in the order of the index, among the entries of a subscriber. The
// zero Place comes before all others.
type Place struct {
	Due time.Time
	Seq int64
}

func (p Place) before(q Place) bool {
	return p.Due.Before(q.Due) || p.Due.Equal(q.Due) && p.Seq < q.Seq
}

func lower(p, q Place) Place {
	if q.before(p) {
		return q
	}
	return p
}

// A bound is that of one subscriber.
type bound struct {
	from  Place     // no look has seen anything below
	later time.Time // when something is due that looks do not come to yet; zero: nothing is known
}

const (
	// Fewer dead entries than manyDead are read in some milliseconds.
	manyDead = 2000
	// More names than maxNames are forgotten, all of them: each costs a look that is not
	// whole a seek.
	maxNames = 10_000
	// A late commit is given this long, as seen from the present, to be found at once.
	lateness = time.Second
	// A look that is not whole also finds what is due within nearby: about when the
	// next one comes.
	nearby = time.Second
	// Whole looks begin rarely times their duration apart, but shortestBlind at least, so
	// that few looks wait for one, and longestBlind at most. Claims use the bounds until
	// grace later, because it is Backlog that makes the whole looks.
	rarely        = 20
	shortestBlind = time.Second
	longestBlind  = 29 * time.Second
	grace         = time.Second
	// What Told was given counts for oldTime, because the callers' clock may have been set
	// since.
	oldTime = 10 * time.Second
)

// Told records that the callers' clock showed now when this process's clock showed at.
func (b *Bounds) Told(now, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.nowAt = now, at
}

// WantsTime reports whether the next look would use bounds if Told were called first.
func (b *Bounds) WantsTime() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead > 0 && b.isOldLocked()
}

// isOldLocked reports whether Told was called too long ago.
func (b *Bounds) isOldLocked() bool { return time.Since(b.nowAt) > oldTime }

// edge is the latest place for a bound at a time.
func edge(now time.Time) Place { return Place{Due: now.Add(-lateness)} }

// Of returns the places where claims of these subscribers begin, as two columns.
func (b *Bounds) Of(now time.Time, subscribers []string) (dues []time.Time, seqs []int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meetLocked(subscribers...)
	dues, seqs = make([]time.Time, len(subscribers)), make([]int64, len(subscribers))
	if b.dead == 0 || time.Now().After(b.until.Add(grace)) {
		return dues, seqs
	}
	for i, s := range subscribers {
		from := b.others
		if l := b.lanes[s]; l != nil {
			from = l.from
		}
		from = lower(from, edge(now))
		dues[i], seqs[i] = from.Due, from.Seq
	}
	return dues, seqs
}

// meetLocked remembers the names of subscribers.
func (b *Bounds) meetLocked(names ...string) {
	for _, s := range names {
		if b.names[s] {
			continue
		}
		if b.names == nil || len(b.names) >= maxNames {
			b.names = make(map[string]bool)
		}
		b.names[strings.Clone(s)] = true // s may be a part of something large
	}
}

// Wrote records what this store has written, or may have written. The store calls it when
// the write has returned.
func (b *Bounds) Wrote(entries []hooks.Entry, changes []hooks.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range entries {
		for j := range entries[i].Deliveries {
			b.meetLocked(entries[i].Deliveries[j].Subscriber)
		}
	}
	if b.dead > 0 || b.looking != nil {
		b.noteLocked(unfinished(entries, changes))
	}
}

// Freed records deliveries that an Update of this store has made the next of their lines.
func (b *Bounds) Freed(list []hooks.BacklogLane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noteLocked(list)
}

func (b *Bounds) noteLocked(list []hooks.BacklogLane) {
	for _, w := range list {
		at := Place{Due: w.Due}
		if l := b.looking; l != nil {
			if low, ok := l.wrote[w.Subscriber]; !ok || at.before(low) {
				l.wrote[w.Subscriber] = at
			}
		}
		if b.dead > 0 {
			b.lowerLocked(w.Subscriber, at)
		}
	}
}

// unfinished returns what entries and changes leave to be done.
func unfinished(entries []hooks.Entry, changes []hooks.Change) (list []hooks.BacklogLane) {
	for _, e := range entries {
		for _, d := range e.Deliveries {
			list = append(list, hooks.BacklogLane{Subscriber: d.Subscriber, Due: d.Due})
		}
	}
	for _, c := range changes {
		if d := &c.Delivery; !d.Status.Final() {
			list = append(list, hooks.BacklogLane{Subscriber: d.Subscriber, Due: d.Due})
		}
		list = append(list, unfinished(c.Emit, nil)...)
	}
	return list
}

// lowerLocked moves a subscriber's bound down to a place, if the bound is above it.
func (b *Bounds) lowerLocked(subscriber string, to Place) {
	l := b.lanes[subscriber]
	if l == nil {
		l = &bound{from: b.others}
		b.lanes[subscriber] = l
	}
	l.from = lower(l.from, to)
	far := b.now.Add(time.Since(b.nowAt) + nearby)
	if to.Due.After(far) && (l.later.IsZero() || to.Due.Before(l.later)) {
		l.later = to.Due
	}
}

// Weaknesses tells the operator, in a text for [hooks.Weak], that looks are dear. It
// returns nil if they are not.
func (b *Bounds) Weaknesses() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == 0 {
		return nil
	}
	return []string{fmt.Sprintf("An old snapshot keeps %d dead entries in the index that claims read:"+
		" what a transaction commits more than a second after it was due may wait for half a minute,"+
		" and ordered deliveries get slower. Look for the oldest backend_xmin in pg_stat_activity,"+
		" for replication slots and prepared transactions, and end what holds it;"+
		" set idle_in_transaction_session_timeout.", b.dead)}
}
