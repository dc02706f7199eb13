package flow

import "time"

const (
	openAt = 100             // points
	oldRun = 2 * time.Second // how old a run must be to open the circuit
)

// A Run is the failures in a row of an endpoint, as one process has seen them. The zero Run
// is none. After a success the caller sets it to zero.
type Run struct {
	Points int
	Began  time.Time // when the first point came
}

// Fail returns the run after a failed attempt. first says that it was the first attempt of
// its delivery's run.
//
// Only first attempts add points, because retries say nothing new: where 30 % of the events
// always fail, three of four attempts are retries of those, and they would open the circuit
// of an endpoint that takes everything else.
func (r Run) Fail(b Blame, first bool, at time.Time) Run {
	points := rules[b].points
	switch {
	case b.Works():
		return Run{}
	case !first || points == 0:
		return r
	case r.Points == 0 || at.Before(r.Began):
		r.Began = at // the clock may have been set back
	}
	r.Points = min(r.Points+points, openAt)
	return r
}

// Opens reports whether the circuit opens: ten deliveries in a row met a broken endpoint, or
// a hundred were refused, over two seconds at least. So a restart of the receiver that takes
// a second opens nothing, however many deliveries come in it.
func (r Run) Opens(at time.Time) bool { return r.Points >= openAt && at.Sub(r.Began) >= oldRun }
