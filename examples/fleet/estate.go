package main

import (
	"time"

	"example.com/hooks"
)

// An estate is what a killed dispatcher has left behind: deliveries that are
// leased to it. The store cannot know that it is dead, so nobody else makes
// them until the leases end.
type estate struct {
	killed    time.Time
	published int // events before that
	leases    map[hooks.DeliveryID]hooks.Delivery
	told      bool
	settled   time.Time // when the last of them had been made by others
}

// of returns the events that were leased for a receiver.
func (e *estate) of(receiver string) map[string]bool {
	if e == nil {
		return nil
	}
	events := make(map[string]bool)
	for id := range e.leases {
		if id.Subscriber == receiver {
			events[id.Event] = true
		}
	}
	return events
}

// sort leaves the leases of the dead: those that nobody has ended since.
func (e *estate) sort(unfinished []hooks.Delivery) {
	now := byID(unfinished)
	for id, was := range e.leases {
		if is := now[id]; is.Status != hooks.Sending || is.Token != was.Token {
			delete(e.leases, id)
		}
	}
}

// end returns when the last lease ends.
func (e *estate) end() (last time.Time) {
	for _, d := range e.leases {
		if d.Due.After(last) {
			last = d.Due
		}
	}
	return last
}

// blocked counts the deliveries that may not overtake one of the leased.
func (e *estate) blocked(unfinished []hooks.Delivery) (n int) {
	type line struct{ subscriber, key string }
	lines := make(map[line]bool)
	for _, d := range e.leases {
		lines[line{d.Subscriber, d.OrderingKey}] = d.OrderingKey != ""
	}
	for _, d := range unfinished {
		if d.Status != hooks.Sending && lines[line{d.Subscriber, d.OrderingKey}] {
			n++
		}
	}
	return n
}

// made reports whether all of them are final.
func (e *estate) made(unfinished []hooks.Delivery) bool {
	for _, d := range unfinished {
		if _, ok := e.leases[d.DeliveryID]; ok {
			return false
		}
	}
	return true
}

// heirs says who made them.
func (e *estate) heirs(r *record) string {
	made := make(map[string]int)
	for id := range e.leases {
		d, _ := r.deed(id)
		made[d.by]++
	}
	return shares(made)
}

func byID(list []hooks.Delivery) map[hooks.DeliveryID]hooks.Delivery {
	m := make(map[hooks.DeliveryID]hooks.Delivery, len(list))
	for _, d := range list {
		m[d.DeliveryID] = d
	}
	return m
}

// execute tells what becomes of the killed one's leases.
func (s *show) execute(unfinished []hooks.Delivery) {
	e := s.estate
	switch {
	case e == nil || !e.settled.IsZero():
	case !e.told:
		e.sort(unfinished)
		if time.Since(e.killed) < tellAfter {
			return
		}
		e.told = true
		s.tell(e, unfinished)
	case e.made(unfinished):
		e.settled = time.Now()
		if len(e.leases) > 0 {
			s.say("The leases of A have ended; what it had begun is delivered: by %s.", e.heirs(s.record))
		}
	}
}

// tell says what waits for the leases, and until when.
func (s *show) tell(e *estate, unfinished []hooks.Delivery) {
	if len(e.leases) == 0 {
		s.say("A has left nothing behind.")
		return
	}
	s.say("Deliveries that are still leased to A: %d. For all that the store knows, A may be slow\n"+
		"and not dead, so they wait until the leases end: at %s at the latest, for a lease is\n"+
		"5 × the timeout of %v + 30 s. Later events of the same accounts wait behind them, %d by\n"+
		"now. All else goes on.",
		len(e.leases), s.at(e.end()), timeout, e.blocked(unfinished))
}
