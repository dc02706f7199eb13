package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"example.com/hooks"
)

// A report is what the receivers have seen, set against what was published, and
// what the store says of who did it.
type report struct {
	events, keyed int // published; of them with an ordering key
	deliveries    int // to be made
	made          map[string]int
	unmade        int // deliveries that the store does not call succeeded

	lost     int // events that a receiver has not taken, over all receivers
	disorder int // events that were taken after a later one of their account
	repeated int // events that were taken again, after the kill
	late     int // events that were taken again for another reason
	refused  int // requests

	carriedOn time.Duration // from the kill to the first event published after it; zero if there is none
	tookOver  time.Duration // from the kill to the last delivery that A had leased; zero if there is none
}

// report adds up, when all processes have ended.
func (s *show) report(ctx context.Context) (r report, err error) {
	events := s.record.events()
	r.events, r.deliveries = len(events), len(events)*len(s.receivers)
	r.keyed = (len(events) + 1) / 2
	if r.made, err = s.makers(ctx, set(events)); err != nil {
		return r, err
	}
	r.unmade = r.deliveries
	for _, n := range r.made {
		r.unmade -= n
	}
	for _, v := range s.receivers {
		arrivals, refused := v.taken()
		r.refused += refused
		r.audit(events, arrivals, v.ordered, s.estate.of(v.name))
	}
	if e := s.estate; e != nil {
		if first := s.firstArrival(events[e.published:]); !first.IsZero() {
			r.carriedOn = first.Sub(e.killed)
		}
		if len(e.leases) > 0 {
			r.tookOver = e.settled.Sub(e.killed)
		}
	}
	return r, nil
}

// makers counts who made the deliveries of the events.
func (f *fleet) makers(ctx context.Context, of map[string]bool) (made map[string]int, err error) {
	made = make(map[string]int)
	succeeded, err := f.deliveries(ctx, hooks.Succeeded)
	if err != nil {
		return nil, err
	}
	for _, d := range succeeded {
		if !of[d.Event] {
			continue // of another run
		}
		by, ok := f.record.deed(d.DeliveryID)
		if !ok { // its maker was killed before it could tell us; the history knows
			attempts, err := f.hooks.Attempts(ctx, d.DeliveryID)
			if err != nil {
				return nil, err
			}
			by.by = attempts[len(attempts)-1].Instance
		}
		made[by.by]++
	}
	return made, nil
}

// audit compares what one receiver has taken with what was published. Some of
// it a killed process had leased.
func (r *report) audit(events []string, arrivals []arrival, ordered bool, leased map[string]bool) {
	of, seen := set(events), make(map[string]bool)
	latest := make(map[string]int) // number by account
	for _, a := range arrivals {
		if !of[a.event] {
			continue // of another run
		}
		switch {
		case seen[a.event] && leased[a.event]:
			r.repeated++
		case seen[a.event]:
			r.late++
		}
		seen[a.event] = true
		if ordered && a.Account != "" {
			if a.Number < latest[a.Account] {
				r.disorder++
			}
			latest[a.Account] = max(latest[a.Account], a.Number)
		}
	}
	r.lost += len(events) - len(seen)
}

// firstArrival returns when the first of the events was taken; zero if none was.
func (f *fleet) firstArrival(events []string) (first time.Time) {
	of := set(events)
	for _, v := range f.receivers {
		arrivals, _ := v.taken()
		for _, a := range arrivals {
			if of[a.event] && (first.IsZero() || a.at.Before(first)) {
				first = a.at
			}
		}
	}
	return first
}

func set(events []string) map[string]bool {
	m := make(map[string]bool, len(events))
	for _, e := range events {
		m[e] = true
	}
	return m
}

// print says it in words.
func (r report) print(out io.Writer) {
	line := func(what string, n any, format string, args ...any) {
		fmt.Fprintf(out, "%-18s%8v   %s\n", what, n, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(out)
	line("Events published", r.events, "each to 3 receivers: %d deliveries", r.deliveries)
	line("Deliveries made", r.deliveries-r.unmade, "by %s", shares(r.made))
	line("Lost", r.lost, "of them, as the receivers have counted")
	line("Out of order", r.disorder, "of the %d events of accounts, at %s and %s", r.keyed, slow, moody)
	line("Repeated", r.repeated, "taken when A was killed, but not noted yet; the webhook-id is the same")
	if r.late > 0 {
		line("Late", r.late, "taken, but answered after the timeout of %v, and so repeated too", timeout)
	}
	line("Refused", r.refused, "by %s, and tried again", moody)
	if r.carriedOn > 0 {
		line("Carried on", seconds(r.carriedOn), "from the kill to the first delivery of a new event")
	}
	if r.tookOver > 0 {
		line("Taken over", seconds(r.tookOver), "from the kill to the last delivery that A had leased")
	}
	if r.check() == nil {
		fmt.Fprintln(out, "\nNothing was lost, and every account's events came in order.")
	}
}

// shares lists the dispatchers with their numbers.
func shares(of map[string]int) string {
	var list []string
	for _, name := range names {
		if of[name] > 0 {
			list = append(list, fmt.Sprint(name, " ", of[name]))
		}
	}
	return strings.Join(list, ", ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// check returns an error if hooks has broken a promise.
func (r report) check() error {
	var errs []error
	if r.lost > 0 {
		errs = append(errs, fmt.Errorf("%d deliveries are lost", r.lost))
	}
	if r.unmade != 0 {
		errs = append(errs, fmt.Errorf("%d deliveries have not succeeded, says the store", r.unmade))
	}
	if r.disorder > 0 {
		errs = append(errs, fmt.Errorf("%d events came out of order", r.disorder))
	}
	return errors.Join(errs...)
}
