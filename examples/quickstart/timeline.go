package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"

	"example.com/hooks"
)

// A timeline prints what happens to the first few events, line by line, and
// counts what happens to all of them.
type timeline struct {
	out     io.Writer
	began   time.Time
	changed chan struct{} // a delivery has ended; holds one

	mu          sync.Mutex // guards what follows, and writing to out
	detail      int        // how many more events are shown line by line
	shown       map[string]bool
	hidden      bool // there were events that are not shown
	published   int
	expected    int // deliveries, those of a former run included
	ended       int // deliveries of these that are final
	subscribers map[string]*tally
}

// A tally counts what hooks did for one subscriber.
type tally struct{ attempts, succeeded, retried, failed, replayed int }

func newTimeline(out io.Writer) *timeline {
	return &timeline{
		out:         out,
		began:       time.Now(),
		changed:     make(chan struct{}, 1),
		detail:      3,
		shown:       make(map[string]bool),
		subscribers: make(map[string]*tally),
	}
}

// trace is how the timeline learns what happens.
func (t *timeline) trace() hooks.Trace {
	return hooks.Trace{Published: t.onPublished, Finished: t.onFinished, Ended: t.onEnded}
}

func (t *timeline) onPublished(_ context.Context, ev hooks.Event, r hooks.Receipt) {
	if r.Duplicate {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published++
	t.expected += r.Deliveries
	t.line(ev.ID, "", "", "", fmt.Sprintf("%d to deliver", r.Deliveries))
}

func (t *timeline) onFinished(_ context.Context, d hooks.Delivery, a hooks.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.tally(d.Subscriber)
	counts.attempts++
	if d.Status == hooks.Retrying {
		counts.retried++
	}
	if d.Status == hooks.Failed {
		t.shown[d.Event] = true // what fails for good is always worth a line
	}
	t.line(d.Event, d.Subscriber, strconv.Itoa(a.Number), answer(a), outcome(d))
	t.end(d)
}

// onEnded hears of deliveries that end without an attempt.
func (t *timeline) onEnded(_ context.Context, d hooks.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line(d.Event, d.Subscriber, "", "", outcome(d))
	t.end(d)
}

// end counts a delivery if it is final. t.mu is held.
func (t *timeline) end(d hooks.Delivery) {
	if !d.Status.Final() {
		return
	}
	if d.Status == hooks.Succeeded {
		t.tally(d.Subscriber).succeeded++
	} else {
		t.tally(d.Subscriber).failed++
	}
	t.ended++
	select {
	case t.changed <- struct{}{}:
	default: // whoever waits will look anyway
	}
}

// tally returns the counts of a subscriber. t.mu is held.
func (t *timeline) tally(subscriber string) *tally {
	if t.subscribers[subscriber] == nil {
		t.subscribers[subscriber] = new(tally)
	}
	return t.subscribers[subscriber]
}

// count returns the counts of a subscriber.
func (t *timeline) count(subscriber string) tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.tally(subscriber)
}

// orders returns how many were published.
func (t *timeline) orders() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.published
}

// answer says what a subscriber made of an attempt, in its own words.
func answer(a hooks.Attempt) string {
	switch {
	case a.Code != 0: // an endpoint that answered
		return fmt.Sprintf("%d %s", a.Code, bytes.TrimSpace(a.Body))
	case a.Error == "": // a handler
		return "ok"
	default:
		return a.Error
	}
}

// outcome says how a delivery stands after that.
func outcome(d hooks.Delivery) string {
	switch d.Status {
	case hooks.Retrying:
		return fmt.Sprintf("next try in %d ms", d.Due.Sub(d.Updated).Milliseconds())
	case hooks.Failed:
		return "failed: " + string(d.Reason)
	default:
		return d.Status.String()
	}
}

// What a line of the timeline has; it fits 80 columns.
const columns = "%8s  %-14s %-9s %3s  %-18.18s  %s\n"

func (t *timeline) heading() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, columns, "time", "event", "to", "try", "answer", "outcome")
}

// line prints a line about an event, if it is one of those shown. t.mu is held.
func (t *timeline) line(event, to, attempt, answer, outcome string) {
	if !t.shown[event] && t.detail > 0 {
		t.shown[event] = true
		t.detail--
	}
	if t.shown[event] {
		fmt.Fprintf(t.out, columns, t.clock(), event, to, attempt, answer, outcome)
		return
	}
	if !t.hidden {
		t.remark("the other events are counted only")
	}
	t.hidden = true
}

// remark prints a line about all events. t.mu is held.
func (t *timeline) remark(text string) { fmt.Fprintf(t.out, "%8s  ... %s\n", t.clock(), text) }

// forged prints what a receiver said to a forgery.
func (t *timeline) forged(event, to, answer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, columns, t.clock(), event, to, "-", answer, "not believed")
}

// showAll shows every event from now on.
func (t *timeline) showAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detail = math.MaxInt
}

// say prints a remark between the lines.
func (t *timeline) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out, fold(fmt.Sprintf(format, args...), ""))
}

// replay expects a delivery once more, and shows it.
func (t *timeline) replay(id hooks.DeliveryID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shown[id.Event] = true
	t.tally(id.Subscriber).replayed++
	t.expected++
}

// resume expects the deliveries that a former run has left.
func (t *timeline) resume(deliveries int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expected += deliveries
}

// wait returns when every delivery is final, or ctx ends.
func (t *timeline) wait(ctx context.Context) error {
	for !t.settled() {
		select {
		case <-t.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// report prints a line every two seconds while something goes on unseen.
func (t *timeline) report(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.progress()
		}
	}
}

func (t *timeline) progress() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hidden && t.ended < t.expected {
		t.remark(fmt.Sprintf("%d orders published, %d of %d deliveries ended", t.published, t.ended, t.expected))
	}
}

// settled reports whether every delivery is final.
func (t *timeline) settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended == t.expected
}

func (t *timeline) clock() string {
	now := time.Since(t.began).Seconds()
	if now < 100 {
		return fmt.Sprintf("%.3f s", now)
	}
	return fmt.Sprintf("%.0f s", now)
}
