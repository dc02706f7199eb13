package flow

import "time"

const (
	quietFor   = 2 * time.Second // without an answer of any endpoint
	silentAt   = 10              // endpoints that gave none
	tryAtLeast = time.Second
	tryAtMost  = 30 * time.Second
)

// A Network is what a process knows of its own network. While many endpoints give no answer
// and none gives one, the network is to blame and no endpoint: the process has stopped.
//
// An answer is an HTTP response, whatever its status. Silence is an attempt without one: the
// name was not found, or the connection was refused, reset or timed out. Make one with
// [NewNetwork].
type Network struct {
	began    time.Time            // the last answer of any endpoint, or of the process's beginning
	answered map[string]time.Time // when each endpoint gave its last answer
	silent   map[string]bool      // endpoints that gave none since began
	stopped  time.Time            // zero: it has not
	next     time.Time            // when the next try may be made
	tried    map[string]bool      // in this round
}

// NewNetwork returns the Network of a process that begins at a time.
func NewNetwork(at time.Time) *Network {
	return &Network{
		began: at, answered: make(map[string]time.Time),
		silent: make(map[string]bool), tried: make(map[string]bool),
	}
}

// Answer records that an endpoint has answered. It reports whether that ends a stop, and
// since when the process had stopped.
func (n *Network) Answer(id string, at time.Time) (since time.Time, ended bool) {
	since, ended = n.stopped, !n.stopped.IsZero()
	n.began, n.answered[id], n.stopped = at, at, time.Time{}
	clear(n.silent)
	clear(n.tried)
	return since, ended
}

// Silence records that an endpoint gave no answer. It reports whether the process has
// stopped, and whether it does so now. Call it before the failure counts for anything: if the
// process has stopped, it counts for nothing.
func (n *Network) Silence(id string, at time.Time) (stopped, now bool) {
	n.silent[id] = true
	if !n.stopped.IsZero() {
		return true, false
	}
	if at.Sub(n.began) < quietFor || len(n.silent) < silentAt {
		return false, false
	}
	n.stopped, n.next = at, at // the first try follows at once
	return true, true
}

// Stopped returns since when the process has stopped; zero: it has not.
func (n *Network) Stopped() time.Time { return n.stopped }

// Forget forgets an endpoint that was deleted.
func (n *Network) Forget(id string) {
	delete(n.answered, id)
	delete(n.silent, id)
	delete(n.tried, id)
}

// Try returns which endpoint a stopped process tries now, of those that have something due,
// or "" if it must wait. again is when to call Try again. It chooses the endpoint that
// answered last, and each once a round: if all tries went to one endpoint, and that one
// really is gone, the process would never go on.
func (n *Network) Try(due []string, at time.Time) (id string, again time.Time) {
	switch {
	case n.stopped.IsZero() || len(due) == 0:
		return "", time.Time{}
	case at.Before(n.next):
		return "", n.next
	}
	if id = n.choose(due); id == "" {
		clear(n.tried)
		id = n.choose(due)
	}
	n.tried[id] = true
	n.next = at.Add(Tenth(n.stopped, at, tryAtLeast, tryAtMost))
	return id, n.next
}

// choose returns the endpoint that answered last and was not tried in this round, or "". The
// first one in order counts of those that answered at the same time, or never.
func (n *Network) choose(due []string) (best string) {
	for _, id := range due {
		if n.tried[id] {
			continue
		}
		later := n.answered[id].Compare(n.answered[best])
		if best == "" || later > 0 || later == 0 && id < best {
			best = id
		}
	}
	return best
}
