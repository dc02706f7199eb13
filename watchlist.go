package hooks

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

const (
	// failingAfter is how many attempts in a row must fail until the log and
	// [Hooks.Health] say that a subscriber fails.
	failingAfter = 3
	// quietFor is how long after a warning about a subscriber the next one of its
	// kind is held back.
	quietFor = 10 * time.Minute

	sweepAfter = time.Hour   // at the latest: subscribers may have been deleted
	sweepPause = time.Second // at least, between sweeps of a long list
)

// A watchlist decides which lines the log gets about subscribers that fail. It is
// told every outcome that was saved, and remembers only the subscribers whose last
// attempt failed, or about which a line was written in the last ten minutes. The
// caller says what time it is and serializes the calls.
type watchlist struct {
	subscribers map[string]*watched
	lines       []line    // to be logged, in this order
	next        time.Time // when to sweep; zero: not until something is noted
}

// A line is one for the log.
type line struct {
	level slog.Level
	text  string
	attrs []slog.Attr
}

// A watched is a subscriber on the watchlist.
type watched struct {
	streak
	warned  bool      // the log says that it fails
	leftOut int       // times that it failed and recovered, and the log was not told
	quiet   time.Time // until then no warning that it fails

	ended      ended
	endedQuiet time.Time // until then no warning of deliveries that failed for good
}

// A streak is attempts in a row that failed. Its zero value is a subscriber that works.
type streak struct {
	failures int
	since    time.Time // the end of the first of them
	class    string    // of the last
	code     int       // of the last
}

// An ended counts deliveries that failed for good and that the log was not told of.
type ended struct {
	deliveries int
	since      time.Time // when the first of them failed
	last       Delivery
}

func (s streak) fails() bool { return s.failures >= failingAfter }

// note takes in a change that was saved at a time.
func (w *watchlist) note(at time.Time, c Change) {
	d := c.Delivery
	gaveUp, tried := d.Status == Failed, c.Attempt != nil
	s := w.subscribers[d.Subscriber]
	switch {
	case s != nil:
	case gaveUp, tried && d.Status != Succeeded:
		s = new(watched)
		w.subscribers[d.Subscriber] = s
		w.sweepBy(at.Add(sweepAfter))
	default:
		return
	}
	if gaveUp {
		s.end(d)
	}
	switch {
	case tried && d.Status == Succeeded:
		w.recover(d.Subscriber, s)
	case tried:
		s.fail(d)
	}
	w.tell(at, d.Subscriber, s, false)
	if s.forgettable(at) {
		delete(w.subscribers, d.Subscriber)
	}
}

// sweep writes what was held back for long enough, or all of it if the process may
// end now, and forgets subscribers that work or are gone.
func (w *watchlist) sweep(at time.Time, ending bool, gone func(subscriber string) bool) {
	w.next = time.Time{}
	for _, id := range slices.Sorted(maps.Keys(w.subscribers)) {
		s, left := w.subscribers[id], gone(id)
		w.tell(at, id, s, ending || left)
		if left || s.forgettable(at) {
			delete(w.subscribers, id)
			continue
		}
		w.sweepBy(s.sweepAt(at))
	}
	if soonest := at.Add(sweepPause); !w.next.IsZero() && w.next.Before(soonest) {
		w.next = soonest
	}
}

func (w *watchlist) sweepBy(at time.Time) {
	if w.next.IsZero() || at.Before(w.next) {
		w.next = at
	}
}

// tell writes the warnings that are owed: those that are not held back, or all.
func (w *watchlist) tell(at time.Time, id string, s *watched, all bool) {
	switch {
	case !all && at.Before(s.quiet):
	case s.fails() && !s.warned:
		w.write(slog.LevelWarn, "hooks: a subscriber fails", id, append(s.attrs(), some("left_out", s.leftOut)...)...)
		s.warned, s.leftOut, s.quiet = true, 0, w.quiet(at)
	case s.leftOut > 0 && !s.fails():
		w.write(slog.LevelInfo, "hooks: a subscriber failed again and works again", id, slog.Int("left_out", s.leftOut))
		s.leftOut, s.quiet = 0, w.quiet(at)
	}
	if s.ended.deliveries > 0 && (all || !at.Before(s.endedQuiet)) {
		w.write(slog.LevelWarn, "hooks: deliveries failed for good", id, s.ended.attrs()...)
		s.ended, s.endedQuiet = ended{}, w.quiet(at)
	}
}

// quiet returns the end of the quiet time after a line.
func (w *watchlist) quiet(at time.Time) time.Time {
	until := at.Add(quietFor)
	w.sweepBy(until)
	return until
}

// recover ends the streak of a subscriber that took a delivery.
func (w *watchlist) recover(id string, s *watched) {
	switch {
	case s.warned:
		w.write(slog.LevelInfo, "hooks: a subscriber works again", id, s.attrs()...)
	case s.fails():
		s.leftOut++
	}
	s.warned, s.streak = false, streak{}
}

func (w *watchlist) write(level slog.Level, text, id string, attrs ...slog.Attr) {
	w.lines = append(w.lines, line{level, text, append([]slog.Attr{slog.String("subscriber", id)}, attrs...)})
}

// fail adds an attempt that failed, with the delivery as it stood afterwards.
func (s *streak) fail(d Delivery) {
	if s.failures++; s.failures == 1 {
		s.since = d.Updated
	}
	s.class, s.code = d.Error, d.Code
}

func (s streak) attrs() []slog.Attr {
	return append([]slog.Attr{
		slog.Int("failures", s.failures), slog.Time("since", s.since), slog.String("class", s.class),
	}, some("code", s.code)...)
}

// some returns an attribute for a number that says something.
func some(key string, n int) []slog.Attr {
	if n == 0 {
		return nil
	}
	return []slog.Attr{slog.Int(key, n)}
}

// end adds a delivery that failed for good.
func (s *watched) end(d Delivery) {
	if s.ended.deliveries++; s.ended.deliveries == 1 {
		s.ended.since = d.Updated
	}
	s.ended.last = d
}

func (e ended) attrs() []slog.Attr {
	return append([]slog.Attr{
		slog.Int("deliveries", e.deliveries), slog.Time("since", e.since),
		slog.String("event", e.last.Event), slog.String("reason", string(e.last.Reason)),
		slog.String("class", e.last.Error),
	}, some("code", e.last.Code)...)
}

// forgettable reports whether the subscriber works and nothing is held back.
func (s *watched) forgettable(at time.Time) bool {
	return s.failures == 0 && s.leftOut == 0 && s.ended.deliveries == 0 &&
		!at.Before(s.quiet) && !at.Before(s.endedQuiet)
}

// sweepAt returns when to look at the subscriber again.
func (s *watched) sweepAt(at time.Time) time.Time {
	next := at.Add(sweepAfter)
	for _, end := range []time.Time{s.quiet, s.endedQuiet} {
		if end.After(at) && end.Before(next) {
			next = end
		}
	}
	return next
}
