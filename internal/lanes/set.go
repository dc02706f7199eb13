// Package lanes decides which leased jobs may start, and how many more to
// lease. Each subscriber has a [Lane]: the jobs that this process has leased
// for it. All lanes of a process make a [Set].
//
// A Set owns its lock and its methods may be called concurrently. It calls
// nobody, starts no goroutine and no timer, and is told what time it is. It
// knows how many due jobs a lane holds, but not what a job is: its caller
// stores, leases and tries jobs, and tells the Set what happened.
//
//	s := lanes.New[*job](64)
//	s.Open()
//	lease, ok := s.Reserve(lanes.Lane{ID: "a", Slots: 4, Timeout: 15 * time.Second})
//	// Store the job, leased for that long. Then:
//	s.Push("a", j, leaseEnds)
//	start, again := s.Next(time.Now()) // nil: call Next again at that time
//	// Try start.Job. Then:
//	s.Finish(start, lanes.Worked, time.Now())
//	// Store the outcome. Then:
//	s.Saved("a", false)
//
// # Stages
//
// A job that a lane holds is in one of four stages: expected (its place is
// kept while it is being stored or claimed), queued, active (an attempt is
// under way), or saving (its outcome is being stored). Every place that
// [Set.Reserve] or a [Claim] takes ends exactly once, by [Set.Release],
// [Set.Drop], [Set.Saved], or as the part of a claim that found nothing.
//
// # Standings
//
// What a lane has shown so far is its standing:
//
//   - proven: its last attempt worked, or failed quickly;
//   - untried: it has finished no attempt yet;
//   - hanging: it is untried, and its first attempt is late;
//   - slow: its last attempt failed late, or one under way is late.
//
// An attempt is late when it takes longer than 250 ms, and longer than twice
// the time in which this lane usually works. So a receiver that always takes
// 500 ms is not slow, and one that begins to hang is noticed soon.
//
// # Rules
//
// These hold after each call. The tests recount them.
//
//  1. A lane has at most min(Slots, allowance) attempts under way. The
//     allowance begins at 1, grows by 1 with each attempt that worked, and is
//     halved when the receiver is overloaded.
//  2. At most concurrency attempts are under way, without those of hanging
//     lanes. An attempt of an untried lane starts only while fewer than
//     4 × concurrency attempts of untried and hanging lanes are under way.
//  3. Slow and untried lanes start only while they have less than half of the
//     slots together, but untried ones always may have a quarter; and slow ones
//     may have only a quarter while an untried one waits. So nobody waits for
//     long for lanes that are known to be slow or not known at all.
//  4. A lane that could start a job if it were its turn stands in the line of
//     its standing, once, and in no other. Proven lanes and the others take turns. The
//     lanes of a line take turns, too; of the untried ones, the newest and the
//     oldest by turns, so that a new lane need not wait for all that hang.
//  5. A lane is behind while due jobs wait for it in the store that newer ones
//     may not overtake: Reserve refuses. That begins with a claim that got all
//     it asked for, or with a due job that finds no room. It ends with a claim
//     that got less, or with a later reading that shows none.
//  6. A lane holds at most 5 jobs for each of its min(Slots, allowance) that
//     are expected, queued or active, and twice as many with those being saved.
//     (When the allowance falls, it takes nothing until that is true again.)
//  7. The lanes of a standing together hold only so many jobs that have not
//     started as can start before their leases end. What could not start in time
//     all the same is handed to the caller by [Set.Overdue].
//  8. A wait for [Set.Idle] ends only after a reading that began later, showed
//     nothing due, and during which no job left its lane and none stayed in the
//     store, and if nothing is held then.
//
// A call costs the same however many lanes there are, except that [Set.Refill],
// [Set.Plan] and [Set.Overdue] walk the lanes that they speak of, and
// [Set.Close] walks all. (Jobs with deadlines stand in heaps, bounded by rules
// 2 and 7.)
package lanes

import (
	"sync"
	"time"
)

// A Lane is how one subscriber is to be called. [Set.Reserve] and [Set.Plan]
// create a lane and change its settings.
type Lane struct {
	ID string

	// Slots is how many attempts may be under way at once. Zero holds the
	// lane: no job is reserved, claimed or started, those that are queued are
	// overdue, and Idle does not wait for what is due in the store.
	Slots int

	// Timeout is how long an attempt may take. It says how long leases are.
	Timeout time.Duration
}

// A Set is the lanes of one process. Make one with [New]. Its exported methods
// take the lock; the others are called with the lock held.
type Set[J comparable] struct {
	concurrency int           // attempts at once
	ready       chan struct{} // Refill may say something new; holds one

	mu     sync.Mutex // guards what follows, and all lanes
	open   bool
	lanes  map[string]*lane[J]
	totals totals

	// Lanes that could start a job, by standing.
	lines       [standings]list[*lane[J]]
	othersTurn  bool // the next slot is for lanes that are not proven
	oldestsTurn bool // the next untried lane is the one that waits longest

	late   calendar[*Start[J]] // attempts under way, by when they become late
	leases calendar[*lane[J]]  // lanes with queued jobs, by when the first must have started
	alarm  time.Time           // when a caller of Next was asked to call again

	claims claims[J]
	idle   idle
}

// New returns a Set that starts at most concurrency attempts at once, at least
// one. It is closed until [Set.Open] is called. J is usually a pointer.
func New[J comparable](concurrency int) *Set[J] {
	const most = 1 << 24 // so that multiples of it fit into an int of 32 bits
	return &Set[J]{
		concurrency: min(max(concurrency, 1), most),
		ready:       make(chan struct{}, 1),
		lanes:       make(map[string]*lane[J]),
		claims:      claims[J]{recheck: true},
	}
}

// Open lets jobs be reserved, claimed and started.
func (s *Set[J]) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
	s.signal()
}

// Close ends that for ever, and returns what is queued. These jobs count as
// being saved: the caller gives their leases back and calls [Set.Saved] for
// each. Attempts under way go on. Close walks all lanes.
func (s *Set[J]) Close() []J {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
	var queued []J
	for _, l := range s.lanes {
		for len(l.queue) > 0 {
			queued = append(queued, l.pop())
			l.saving++
		}
		s.settle(l)
	}
	return queued
}

// Remove forgets a lane as soon as it holds nothing. It is for subscribers
// that were deleted. Reserve and Plan make the lane anew.
func (s *Set[J]) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[id]; l != nil {
		l.removed = true
		s.settle(l)
	}
}

// change returns the lane that has these settings from now on.
func (s *Set[J]) change(to Lane) *lane[J] {
	l := s.lanes[to.ID]
	if l == nil {
		l = newLane[J]()
		s.lanes[to.ID] = l
	}
	to.Slots = min(max(to.Slots, 0), s.concurrency)
	l.set(to)
	return l
}
