package postgres

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"example.com/hooks"
)

// Bounds make looks short while VACUUM cannot clean up.
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
type bounds struct {
	mu sync.Mutex // guards what follows

	now   time.Time // what time it was, by the callers' clock; zero: nobody said
	nowAt time.Time // when that was, by this process's monotonic clock

	dead  int       // entries that the last whole look read in vain; 0 unless they were many
	until time.Time // when the next whole look is due; zero: at once

	names   map[string]bool   // of subscribers that calls have met, at most maxNames
	lanes   map[string]*bound // of these, and of those met since, while looks are dear
	others  place             // of all other subscribers
	looking *look             // the look under way that will move the bounds; nil: none
}

// A place is one in the order of the index, among the entries of a subscriber. The
// zero place comes before all others.
type place struct {
	due time.Time
	seq int64
}

func (p place) before(q place) bool {
	return p.due.Before(q.due) || p.due.Equal(q.due) && p.seq < q.seq
}

func lower(p, q place) place {
	if q.before(p) {
		return q
	}
	return p
}

// A bound is that of one subscriber.
type bound struct {
	from  place     // no look has seen anything below
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
	// What time it is, by the callers' clock, is known for oldTime after a call has told:
	// that clock may have been set since.
	oldTime = 10 * time.Second
)

// told notes what time it is by the callers' clock.
func (b *bounds) told(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.nowAt = now, time.Now()
}

// wantsTime reports whether a look would use bounds if it were told what time it is.
func (b *bounds) wantsTime() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead > 0 && b.isOldLocked()
}

// isOldLocked reports whether no call has told the time lately. b.mu is held.
func (b *bounds) isOldLocked() bool { return time.Since(b.nowAt) > oldTime }

// edge is the latest place for a bound at a time.
func edge(now time.Time) place { return place{due: now.Add(-lateness)} }

// of returns where claims of these subscribers begin, as columns.
func (b *bounds) of(now time.Time, subscribers []string) (dues []time.Time, seqs []int64) {
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
		dues[i], seqs[i] = from.due, from.seq
	}
	return dues, seqs
}

// meetLocked remembers names. b.mu is held.
func (b *bounds) meetLocked(names ...string) {
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

// wrote notes what this store has written, or may have, when the call has returned.
func (b *bounds) wrote(entries []hooks.Entry, changes []hooks.Change) {
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

// freed notes deliveries that are next in their lines since this store's Update.
func (b *bounds) freed(list []hooks.Waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noteLocked(list)
}

func (b *bounds) noteLocked(list []hooks.Waiting) {
	for _, w := range list {
		at := place{due: w.Due}
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
func unfinished(entries []hooks.Entry, changes []hooks.Change) (list []hooks.Waiting) {
	for _, e := range entries {
		for _, d := range e.Deliveries {
			list = append(list, hooks.Waiting{Subscriber: d.Subscriber, Due: d.Due})
		}
	}
	for _, c := range changes {
		if d := &c.Delivery; !d.Status.Final() {
			list = append(list, hooks.Waiting{Subscriber: d.Subscriber, Due: d.Due})
		}
		list = append(list, unfinished(c.Emit, nil)...)
	}
	return list
}

// lowerLocked moves a subscriber's bound down to a place, if it is above. b.mu is held.
func (b *bounds) lowerLocked(subscriber string, to place) {
	l := b.lanes[subscriber]
	if l == nil {
		l = &bound{from: b.others}
		b.lanes[subscriber] = l
	}
	l.from = lower(l.from, to)
	far := b.now.Add(time.Since(b.nowAt) + nearby)
	if to.due.After(far) && (l.later.IsZero() || to.due.Before(l.later)) {
		l.later = to.due
	}
}

// weaknesses returns a sentence while looks are dear.
func (b *bounds) weaknesses() []string {
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
