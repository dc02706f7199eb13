package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/pgserver"
)

// The dispatchers. A is the one that is killed, and C replaces it.
var names = []string{"A", "B", "C"}

// A show is a fleet, and what happens to it.
type show struct {
	options
	*fleet
	*timeline
	estate *estate // nil while nobody was killed
}

// run shows a fleet at work until all is delivered, and reports.
func run(ctx context.Context, o options, out io.Writer) (r report, err error) {
	if o.events < 1 {
		return r, errors.New("-n: at least one event is needed")
	}
	url, stop, err := pgserver.Use(ctx, o.db)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	f, err := assemble(ctx, url)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	s := &show{options: o, fleet: f, timeline: newTimeline(out)}
	s.introduce(o.db)
	if err := s.play(ctx); err != nil {
		return r, err
	}
	if r, err = s.report(ctx); err != nil {
		return r, err
	}
	r.print(out)
	return r, r.check()
}

// play is what happens, from the first event to the last delivery.
func (s *show) play(ctx context.Context) error {
	if err := errors.Join(s.dispatcher("A"), s.dispatcher("B")); err != nil {
		return err
	}
	if err := errors.Join(s.await(ctx, "A", isReady), s.await(ctx, "B", isReady)); err != nil {
		return err
	}
	if err := s.publisher(s.events, s.over); err != nil {
		return err
	}
	s.heading()
	if s.killAt > 0 {
		if err := s.disaster(ctx); err != nil {
			return err
		}
	}
	if err := s.watch(ctx, s.settled); err != nil {
		return err
	}
	s.say("Everything is delivered. All are told to stop (SIGTERM): they finish what they have begun.")
	return s.stop()
}

// disaster kills A in the middle of a request, and starts C after a while.
func (s *show) disaster(ctx context.Context) error {
	if err := s.watch(ctx, s.after(s.killAt)); err != nil {
		return err
	}
	if err := s.await(ctx, "A", isBusy); err != nil && ctx.Err() != nil {
		return err
	}
	killed := time.Now()
	s.kill("A") // even if there is little to do, and it is not busy
	unfinished, err := s.unfinished(ctx)
	if err != nil {
		return err
	}
	dead, _ := s.record.worker("A")
	s.estate = &estate{
		killed:    killed,
		published: len(s.record.events()),
		leases:    byID(unfinished),
	}
	s.say("A is killed (SIGKILL), in the middle of %d requests. B goes on alone.", len(dead.underWay))
	if err := s.watch(ctx, s.after(s.killAt+replaceAfter)); err != nil {
		return err
	}
	s.say("C is started, to replace A.")
	return s.dispatcher("C")
}

const (
	replaceAfter = 8 * time.Second
	tellAfter    = 3 * time.Second // by then all that is leased to others has been made
)

func isReady(w worker) bool { return w.ready }

// isBusy is the middle of a request of which others have to wait for the end.
func isBusy(w worker) bool {
	for id, key := range w.underWay {
		if id.Subscriber == slow && key != "" {
			return true
		}
	}
	return false
}

// await waits until a dispatcher is as it should be, but not for ever.
func (s *show) await(ctx context.Context, name string, is func(worker) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, fmt.Errorf("%s does nothing for 5 s", name))
	defer cancel()
	return s.record.await(ctx, name, is)
}

// watch prints a line each second until it is over.
func (s *show) watch(ctx context.Context, over func(unfinished []hooks.Delivery, published bool) bool) error {
	for {
		if err := s.next(ctx); err != nil {
			return err
		}
		all := !s.runs(publisherRole) // before the store is asked
		unfinished, err := s.unfinished(ctx)
		if err != nil {
			return err
		}
		s.line(s.fleet, unfinished)
		s.execute(unfinished)
		if err := s.check(); err != nil {
			return err
		}
		if over(unfinished, all) {
			return nil
		}
	}
}

// after is over when that much time has passed.
func (s *show) after(t time.Duration) func([]hooks.Delivery, bool) bool {
	return func([]hooks.Delivery, bool) bool { return time.Since(s.began) >= t }
}

// settled is over when all is published and delivered.
func (s *show) settled(unfinished []hooks.Delivery, published bool) bool {
	return published && len(unfinished) == 0
}
