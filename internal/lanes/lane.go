package lanes

import "time"

const (
	// lateAfter is when an attempt is late at the earliest.
	lateAfter = 250 * time.Millisecond

	// queueFor is how many jobs may wait for each attempt under way. A lease
	// covers as many timeouts, and one for the attempt itself.
	queueFor = 4

	// SaveWithin is how long it may take to store an outcome. No attempt starts
	// unless its lease covers that, too: a job that could not start in time is
	// handed to the caller, who gives its lease back.
	SaveWithin = 34 * time.Second

	// saving is how long a lease lasts beyond its timeouts. It is somewhat longer
	// than SaveWithin, because attempts do not follow one another at once.
	saving = SaveWithin + time.Second
)

// A standing is what a lane has shown so far.
type standing int

const (
	proven standing = iota
	untried
	hanging
	slow
	standings // how many there are
)

// A lane is the jobs of one subscriber that this process has leased. The mutex
// of its Set guards it. Whoever changes it calls [Set.settle] afterwards.
type lane[J comparable] struct {
	Lane
	lease time.Duration // how long to lease

	// The jobs that it holds, by stage.
	expected int
	queue    []queued[J]
	active   int
	saving   int

	// What it has shown so far.
	allowance    int
	tried        bool          // an attempt has finished
	failedLate   bool          // the last one to finish failed late
	lateAttempts int           // attempts under way that are late
	usual        time.Duration // how long it takes to work: a running mean; zero if it never worked

	// What the store has for it.
	behind bool   // due jobs wait there that newer ones may not overtake
	wanted bool   // due jobs wait there, and no claim since was for them
	leftAt uint64 // claims.changes when one was last left there
	seen   uint64 // the last reading that showed a due one

	removed bool // forget it when it is empty

	// Where it stands. Only settle changes these.
	counted tally
	line    link[*lane[J]]   // in Set.lines
	claim   link[*lane[J]]   // in claims.wants or claims.full
	expires moment[*lane[J]] // in Set.leases
}

// A queued job waits for its attempt.
type queued[J comparable] struct {
	job     J
	expires time.Time // its lease, on the clock of the Set
}

func newLane[J comparable]() *lane[J] {
	l := &lane[J]{allowance: 1}
	l.line.of, l.claim.of, l.expires.of = l, l, l
	return l
}

// set changes the settings. A lane that is held begins anew with one attempt.
func (l *lane[J]) set(to Lane) {
	l.Lane, l.removed = to, false
	l.allowance = max(min(l.allowance, to.Slots), 1)
	lease := (1+queueFor)*to.Timeout + saving
	if l.holds() > 0 {
		lease = max(lease, l.lease) // so that leases end in the order of the queue
	}
	l.lease = lease
}

// limit is how many attempts may be under way at once.
func (l *lane[J]) limit() int { return min(l.Slots, l.allowance) }

// capacity is how many jobs may be expected, queued or active.
func (l *lane[J]) capacity() int { return l.limit() * (1 + queueFor) }

// waiting is how many jobs have not started.
func (l *lane[J]) waiting() int { return l.expected + len(l.queue) }

func (l *lane[J]) holds() int { return l.waiting() + l.active + l.saving }

// room is how many more the lane may take. With those that are being saved it
// may hold twice its capacity: else it would run dry while outcomes are stored.
func (l *lane[J]) room() int {
	return min(l.capacity()-l.waiting()-l.active, 2*l.capacity()-l.holds())
}

// roomy reports whether the lane has enough room for a claim to be worth a
// call of the store: a quarter of its capacity, and at least one place, because
// a lane that is held has no capacity at all.
func (l *lane[J]) roomy() bool { return l.room() >= max((l.capacity()+3)/4, 1) }

// ask returns how many to claim: as many as there is room for, but half of
// that if Publish may hand over newer ones meanwhile.
func (l *lane[J]) ask() int {
	if l.behind {
		return l.room()
	}
	return (l.room() + 1) / 2
}

// startable reports whether a job could start if it were the lane's turn.
func (l *lane[J]) startable() bool { return len(l.queue) > 0 && l.active < l.limit() }

func (l *lane[J]) standing() standing {
	switch {
	case !l.tried && l.lateAttempts > 0:
		return hanging
	case !l.tried:
		return untried
	case l.failedLate || l.lateAttempts > 0:
		return slow
	default:
		return proven
	}
}

// patience is how long an attempt may take before it is late.
func (l *lane[J]) patience() time.Duration { return max(lateAfter, 2*l.usual) }

// maxWeight is the weight of a job that may keep a slot for its whole timeout.
const maxWeight = 8

// weight says how much of its timeout an attempt may keep a slot for, as far as
// is known, in eighths of it.
func (l *lane[J]) weight() int {
	if l.standing() != proven || l.patience() >= l.Timeout {
		return maxWeight
	}
	return 1 + int((maxWeight-1)*l.patience()/l.Timeout)
}

// learn draws the conclusions from an attempt that took some time. The mean
// follows the last eight attempts or so. Only those that worked count in it,
// or the timeouts of a lane that hangs would soon be its usual time.
func (l *lane[J]) learn(r Result, took time.Duration) {
	if r == NotTried {
		return
	}
	l.tried = true
	l.failedLate = r != Worked && took > l.patience()
	switch {
	case r == Overloaded:
		l.allowance = max(l.allowance/2, 1)
	case r == Worked && l.usual == 0:
		l.usual = took
	case r == Worked:
		l.usual += (took - l.usual) / 8
	}
	if r == Worked {
		l.allowance = max(min(l.allowance+1, l.Slots), 1)
	}
}

// overdueAt is when the first queued job must have started: later, its attempt
// could outlast its lease. What a held lane has queued is overdue now.
func (l *lane[J]) overdueAt() time.Time {
	if l.limit() == 0 {
		return time.Unix(0, 0)
	}
	return l.queue[0].expires.Add(-l.Timeout - SaveWithin)
}

// pop takes the first job out of the queue.
func (l *lane[J]) pop() J {
	j := l.queue[0].job
	l.queue[0] = queued[J]{} // let go of the job
	l.queue = l.queue[1:]
	return j
}
