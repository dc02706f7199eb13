package flow

import "time"

const (
	failsFor     = time.Minute    // without a success, until it is recorded
	recordEvery  = time.Minute    // how often a process records that it goes on
	beginsAnew   = 48 * time.Hour // without a failure
	warnAfter    = 4 * 24 * time.Hour
	disableAfter = 5 * 24 * time.Hour
)

// A Spell is the time for which an endpoint fails. Since and Last are recorded for all
// processes. The zero Spell is none.
type Spell struct {
	Since time.Time // of its first failure
	Last  time.Time // of the last one that was recorded
}

// A Local is what one process has seen of a spell that may not be recorded yet. After a
// success the caller sets it to zero.
type Local struct {
	Began time.Time // when the first failure came without a success since
	Last  time.Time // when the last one came
}

// Fail returns what the process knows after a failure that counts for disabling.
func (l Local) Fail(at time.Time) Local {
	if l.Began.IsZero() || at.Before(l.Began) || at.Sub(l.Last) > beginsAnew {
		l.Began = at
	}
	l.Last = at
	return l
}

// Record returns the spell to record after a failure at l.Last, and whether it differs from
// the recorded one by so much that it is worth a write. An endpoint that fails half of the
// time costs no write, because no minute passes without a success.
//
// A spell begins anew with a failure long after the last one: idle time does not count, nor
// does an outage of last month. While the circuit is open it never does, because then nothing
// but probes could fail.
func (s Spell) Record(l Local, open bool) (next Spell, write bool) {
	at := l.Last
	if at.Sub(l.Began) < failsFor {
		return s, false
	}
	switch {
	case s.Since.IsZero(), !open && at.Sub(s.Last) > beginsAnew:
		return Spell{Since: l.Began, Last: at}, true
	case at.Sub(s.Last) < recordEvery:
		return s, false
	}
	return Spell{Since: s.Since, Last: at}, true
}

// Warns reports whether the endpoint's owner must be told at a time that it will be
// disabled, a day before it can be.
func (s Spell) Warns(at time.Time) bool { return s.lasted(at) >= warnAfter }

// Disables reports whether an endpoint is disabled if one of its deliveries fails for good
// at a time.
func (s Spell) Disables(at time.Time) bool { return s.lasted(at) >= disableAfter }

func (s Spell) lasted(at time.Time) time.Duration {
	if s.Since.IsZero() {
		return 0
	}
	return at.Sub(s.Since)
}
