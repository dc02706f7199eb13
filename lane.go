package hooks

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A lane is one subscriber's part of the dispatcher: the deliveries leased for
// it, waiting and under way. What a lane does not hold stays in the store, so
// memory is bounded by the slots of the lanes and not by the backlog, and a
// subscriber that hangs fills its own lane only. The dispatcher's mutex guards
// all of it.
type lane struct {
	id      string
	slots   int           // attempts at once
	timeout time.Duration // of one

	queue  []*job
	held   int         // leased and not yet written back: coming, queued, under way, or being saved
	coming int         // those that Publish is storing
	asked  int         // what the claim under way may lease
	active []time.Time // starts of the attempts under way, oldest first
	ready  bool        // it stands in the dispatcher's line
	more   bool        // the store has due ones that newer ones may not overtake
	told   bool        // some were left there since the store was last asked
	proven bool        // its last attempt succeeded, or failed without keeping us waiting
}

// A job is a leased delivery with its event, in its lane.
type job struct {
	Delivery
	event Event
	lane  *lane     // nil if this process cannot serve the subscriber
	was   *Delivery // before the attempt under way was noted; nil: it is not
}

// slowAfter is when an attempt under way makes its lane suspect.
const slowAfter = 250 * time.Millisecond

// capacity is how many deliveries may be queued or under way.
func (l *lane) capacity() int { return l.slots * (1 + queueFor) }

// room is how many more it may take. It may hold twice its capacity, with those on
// their way back into the store: else little would be left to begin while that, and a
// claim, are under way.
func (l *lane) room() int {
	busy := l.coming + len(l.queue) + len(l.active)
	return min(l.capacity()-busy, 2*l.capacity()-l.held) - l.asked
}

// roomy reports whether at least a quarter of it is empty.
func (l *lane) roomy() bool { return l.room() >= (l.capacity()+3)/4 }

// hungry reports whether claiming for it is worth a call: not for every slot
// that becomes free, but when a part of it is empty.
func (l *lane) hungry() bool { return (l.more || l.told) && l.roomy() }

// takes reports whether Publish may hand over to it. While older ones wait in the
// store for room, newer ones queue up behind them; else they would be overtaken for
// ever.
func (l *lane) takes() bool { return l.room() > 0 && !l.more }

// leave notes that the store has due ones for it. If a claim has no room for them now,
// newer ones must not take what becomes free.
func (l *lane) leave() {
	l.told = true
	l.more = l.more || !l.roomy()
}

// ask returns how many to claim of what is due: all that it has room for, and half of
// that if newer ones are being handed over meanwhile.
func (l *lane) ask() int {
	l.asked = l.room()
	if !l.more {
		l.asked = (l.asked + 1) / 2
	}
	return l.asked
}

// lease returns until when to lease: long enough for the whole lane to time
// out one after the other, and for the outcomes to be saved. A random part of a
// second tells the leases of one claim from others.
func (l *lane) lease(at time.Time) time.Time {
	return micro(at.Add(l.timeout*(1+queueFor) + saveWithin + rand.N(time.Second)))
}

// saveWithin is how long it may take to save an outcome, so that its lease has not ended
// before: a write that hangs, is left behind, and is repeated.
const saveWithin = callTimeout + 5*time.Second

// startable reports whether a job could start if the dispatcher had a slot.
func (l *lane) startable() bool { return len(l.queue) > 0 && len(l.active) < l.slots }

// suspect reports whether it may be hanging: it has not shown yet that it
// works, failed slowly last time, or keeps an attempt waiting.
func (l *lane) suspect(at time.Time) bool {
	return !l.proven || len(l.active) > 0 && at.Sub(l.active[0]) > slowAfter
}

// first returns the place of the first job, or the first that is not accused; -1 if
// there is none.
func (l *lane) first(accused bool) int {
	return slices.IndexFunc(l.queue, func(j *job) bool { return accused || !isAccused(j.Delivery) })
}

// take takes a job out of the queue.
func (l *lane) take(i int) *job {
	j := l.queue[i]
	copy(l.queue[1:], l.queue[:i]) // i is nearly always 0
	l.queue[0] = nil               // let go of its payload
	l.queue = l.queue[1:]
	return j
}

// finish forgets an attempt that began at a time.
func (l *lane) finish(began time.Time) {
	for i, t := range l.active {
		if t.Equal(began) {
			l.active = append(l.active[:i], l.active[i+1:]...)
			return
		}
	}
}
