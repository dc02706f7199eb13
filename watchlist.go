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
	// quietFor is how long after a warning about a subscriber the next warning of the same
	// kind is held back.
	quietFor = 10 * time.Minute

	sweepAfter = time.Hour   // sweep at least this often: subscribers may have been deleted
	sweepPause = time.Second // and at most this often, because the list may be long
)

// A watchlist decides which lines the log gets about subscribers that fail. Its caller
// passes every outcome that was saved to note, calls sweep when next has come, and writes
// the lines. A watchlist reads no clock and has no lock: the caller has both. It remembers
// a subscriber only while the last attempt failed, or after a line about it was written in
// the last ten minutes.
type watchlist struct {
	subscribers map[string]*watched
	lines       []line    // to be logged, in this order
	next        time.Time // when to call sweep; zero: not before the next note
}

// A line is a line of the log.
type line struct {
	level slog.Level
	text  string
	attrs []slog.Attr
}

// A watched is a subscriber on the watchlist.
type watched struct {
	streak
	warned  bool      // the log has the warning of the present streak
	leftOut int       // how many streaks have ended without a line in the log
	quiet   time.Time // until then the log gets no warning of a streak

	final      finalFailures
	finalQuiet time.Time // until then the log gets no warning of final failures
}

// A streak is a number of attempts in a row that failed. The zero streak is that of a
// subscriber that works.
type streak struct {
	failures int
	since    time.Time // when the first of these attempts ended
	class    string    // the class of the last failure
	code     int       // the HTTP status of the last failure
}

// finalFailures counts deliveries that failed for good and that no line of the log has
// counted yet.
type finalFailures struct {
	deliveries int
	since      time.Time // when the first of them failed
	last       Delivery
}

// fails reports whether the streak is long enough for a warning.
func (s streak) fails() bool { return s.failures >= failingAfter }

// note records a change that was saved, and adds the lines that it causes.
func (w *watchlist) note(at time.Time, c Change) {
	d := c.Delivery
	gaveUp, tried := d.Status == Failed, c.Attempt != nil
	s := w.subscribers[d.Subscriber]
	switch {
	case s != nil:
	case gaveUp, tried && d.Status != Succeeded:
		s = new(watched)
		w.subscribers[d.Subscriber] = s
		w.sweepAtLatest(at.Add(sweepAfter))
	default:
		return
	}
	if gaveUp {
		s.addFinal(d)
	}
	switch {
	case tried && d.Status == Succeeded:
		w.recover(d.Subscriber, s)
	case tried:
		s.fail(d)
	}
	w.writeDue(at, d.Subscriber, s, false)
	if s.forgettable(at) {
		delete(w.subscribers, d.Subscriber)
	}
}

// sweep adds the lines that were held back until now, or all lines if the process may end
// now (ending). It forgets subscribers that work or were deleted (gone).
func (w *watchlist) sweep(at time.Time, ending bool, gone func(subscriber string) bool) {
	w.next = time.Time{}
	for _, id := range slices.Sorted(maps.Keys(w.subscribers)) {
		s, left := w.subscribers[id], gone(id)
		w.writeDue(at, id, s, ending || left)
		if left || s.forgettable(at) {
			delete(w.subscribers, id)
			continue
		}
		w.sweepAtLatest(s.sweepAt(at))
	}
	if soonest := at.Add(sweepPause); !w.next.IsZero() && w.next.Before(soonest) {
		w.next = soonest
	}
}

// sweepAtLatest makes the caller sweep at a time, unless it sweeps before that anyway.
func (w *watchlist) sweepAtLatest(at time.Time) {
	if w.next.IsZero() || at.Before(w.next) {
		w.next = at
	}
}

// writeDue adds the lines about a subscriber that are not held back, or all of its lines.
func (w *watchlist) writeDue(at time.Time, id string, s *watched, all bool) {
	switch {
	case !all && at.Before(s.quiet):
	case s.fails() && !s.warned:
		w.write(slog.LevelWarn, "hooks: a subscriber fails", id, append(s.attrs(), nonZero("left_out", s.leftOut)...)...)
		s.warned, s.leftOut, s.quiet = true, 0, w.startQuiet(at)
	case s.leftOut > 0 && !s.fails():
		w.write(slog.LevelInfo, "hooks: a subscriber failed again and works again", id, slog.Int("left_out", s.leftOut))
		s.leftOut, s.quiet = 0, w.startQuiet(at)
	}
	if s.final.deliveries > 0 && (all || !at.Before(s.finalQuiet)) {
		w.write(slog.LevelWarn, "hooks: deliveries failed for good", id, s.final.attrs()...)
		s.final, s.finalQuiet = finalFailures{}, w.startQuiet(at)
	}
}

// startQuiet returns when the quiet time ends that begins now, with a line. It makes the
// caller sweep then.
func (w *watchlist) startQuiet(at time.Time) time.Time {
	until := at.Add(quietFor)
	w.sweepAtLatest(until)
	return until
}

// recover ends the streak of a subscriber, because an attempt has succeeded.
func (w *watchlist) recover(id string, s *watched) {
	switch {
	case s.warned:
		w.write(slog.LevelInfo, "hooks: a subscriber works again", id, s.attrs()...)
	case s.fails():
		s.leftOut++
	}
	s.warned, s.streak = false, streak{}
}

// write adds a line about a subscriber.
func (w *watchlist) write(level slog.Level, text, id string, attrs ...slog.Attr) {
	w.lines = append(w.lines, line{level, text, append([]slog.Attr{slog.String("subscriber", id)}, attrs...)})
}

// fail adds a failed attempt to the streak. d is the delivery after it.
func (s *streak) fail(d Delivery) {
	if s.failures++; s.failures == 1 {
		s.since = d.Updated
	}
	s.class, s.code = d.Error, d.Code
}

// attrs returns what a line says about the streak.
func (s streak) attrs() []slog.Attr {
	return append([]slog.Attr{
		slog.Int("failures", s.failures), slog.Time("since", s.since), slog.String("class", s.class),
	}, nonZero("code", s.code)...)
}

// nonZero returns an attribute for n, or none if n is 0.
func nonZero(key string, n int) []slog.Attr {
	if n == 0 {
		return nil
	}
	return []slog.Attr{slog.Int(key, n)}
}

// addFinal counts a delivery that failed for good.
func (s *watched) addFinal(d Delivery) {
	if s.final.deliveries++; s.final.deliveries == 1 {
		s.final.since = d.Updated
	}
	s.final.last = d
}

// attrs returns what a line says about the deliveries.
func (f finalFailures) attrs() []slog.Attr {
	return append([]slog.Attr{
		slog.Int("deliveries", f.deliveries), slog.Time("since", f.since),
		slog.String("event", f.last.Event), slog.String("reason", string(f.last.Reason)),
		slog.String("class", f.last.Error),
	}, nonZero("code", f.last.Code)...)
}

// forgettable reports whether the subscriber works, no line about it is held back, and
// its quiet times are over.
func (s *watched) forgettable(at time.Time) bool {
	return s.failures == 0 && s.leftOut == 0 && s.final.deliveries == 0 &&
		!at.Before(s.quiet) && !at.Before(s.finalQuiet)
}

// sweepAt returns when the next sweep must look at the subscriber.
func (s *watched) sweepAt(at time.Time) time.Time {
	next := at.Add(sweepAfter)
	for _, end := range []time.Time{s.quiet, s.finalQuiet} {
		if end.After(at) && end.Before(next) {
			next = end
		}
	}
	return next
}
