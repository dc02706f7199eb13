// Package flow decides how endpoints are treated that fail, slow down or ask for a pause,
// and what a process does that has lost its network.
//
// Each decision is a function of what was seen and of the time. Nothing here asks a clock,
// starts a goroutine, knows a store or takes a lock: its caller keeps the values, and calls
// the methods of one value from one goroutine at a time. So each rule can be tried with any
// times in any order.
//
//   - [Blame] says what a failed attempt counts for.
//   - [Run] counts failures in a row, and says when the circuit opens.
//   - [ProbeAt] says when an endpoint whose circuit is open is tried again.
//   - [Pause] says how long an endpoint that asked for it gets nothing.
//   - [Spell] says since when an endpoint fails, and when it is disabled for that.
//   - [Network] says when a process must take its own network to be down.
//   - [OwnWait] says how long a delivery waits that this process could not send.
package flow

import "time"

// Tenth returns a tenth of the time from since to now, at least lo and at most hi. All waits
// that grow use it. So a wait needs no count of steps, and every process with the same since
// comes to the same wait. A since that is zero or in the future gives lo.
func Tenth(since, now time.Time, lo, hi time.Duration) time.Duration {
	if since.IsZero() {
		return lo
	}
	return min(max(now.Sub(since)/10, lo), hi)
}

const (
	probeAtLeast = 30 * time.Second
	probeAtMost  = 5 * time.Minute

	// probeSlack is how much longer than one attempt the next probe waits, so that the
	// outcome of the one before is known.
	probeSlack = 5 * time.Second
)

// ProbeAt returns when the next probe of an endpoint may be sent, if one is sent now. The
// circuit is open since a time, and an attempt may take timeout.
func ProbeAt(since, now time.Time, timeout time.Duration) time.Time {
	return now.Add(max(Tenth(since, now, probeAtLeast, probeAtMost), timeout+probeSlack))
}

const (
	pauseAtLeast = time.Second
	pauseAtMost  = 5 * time.Minute // unless the receiver names a longer one
	namedAtMost  = time.Hour

	// PauseRecorded is the shortest pause that other processes are told of. Writing a
	// record for a shorter one would cost more than the requests that it prevents.
	PauseRecorded = 10 * time.Second
)

// Pause returns for how long an endpoint gets nothing after it has asked for a pause. named
// is the time that it asked for, or zero. worked is when its last attempt succeeded, or, if
// none did, when this process first called it. So an endpoint that names no time, or always
// zero, is asked less and less often while nothing succeeds.
func Pause(named time.Duration, worked, now time.Time) time.Duration {
	return max(min(named, namedAtMost), Tenth(worked, now, pauseAtLeast, pauseAtMost))
}

const (
	ownAtLeast = time.Minute
	ownAtMost  = 10 * time.Minute
)

// OwnWait returns how long a delivery waits that this process could not send for a reason of
// its own. before is what it waited the last time for such a reason; zero: it did not.
func OwnWait(before time.Duration) time.Duration {
	return min(max(2*min(before, ownAtMost), ownAtLeast), ownAtMost)
}
