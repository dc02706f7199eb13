package hooks

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"example.com/hooks/internal/lanes"
	"example.com/hooks/retry"
)

// A job is a leased delivery with its event. It belongs to whoever holds it: its
// lane, then the goroutine of its attempt.
type job struct {
	Delivery
	event    Event
	was      *Delivery // before the attempt under way was noted; nil: it is not
	endTrial func()    // see [dispatcher.prepare]; nil if no trial is under way
}

// A verdict is how an attempt went, as far as it decides what happens next.
type verdict struct {
	ok        bool
	permanent bool          // never try again
	after     time.Duration // not before; at most longestAfter counts
}

// longestAfter bounds what a subscriber can ask for with Retry-After.
const longestAfter = 24 * time.Hour

// A target is a subscriber, ready for one attempt.
type target struct {
	policy retry.Policy
	// try makes the attempt and fills in what is to be known of it.
	try func(ctx context.Context, j job, a *Attempt) verdict
}

// target returns the subscriber as it now is; ok is false if this process
// cannot reach it (any more).
func (h *Hooks) target(id string) (t target, ok bool) {
	if e := h.dir.endpoint(id); e != nil && e.closed == nil {
		t = target{try: func(ctx context.Context, j job, a *Attempt) verdict { return h.post(ctx, e, j, a) }}
		if e.Retry != nil {
			t.policy = retry.Schedule(e.Retry)
		}
	} else if s, ok := h.handler(id); ok {
		t = target{s.Retry, func(ctx context.Context, j job, a *Attempt) verdict { return h.call(ctx, s, j, a) }}
	} else {
		return target{}, false
	}
	if t.policy == nil {
		t.policy = h.cfg.Retry
	}
	return t, true
}

// attempt tries a delivery once. It returns the outcome to save, and what that
// says about the receiver.
func (d *dispatcher) attempt(w *worker, j *job, timeout time.Duration) (outcome, lanes.Result) {
	d.leases.update(j)
	t, ok := d.h.target(j.Subscriber)
	if end, ended := d.endUnstarted(*j, timeout, ok); ended {
		return end, lanes.NotTried
	}
	if end, ended := d.prepare(j, t.policy, timeout); ended {
		return end, lanes.NotTried
	}
	if f := d.h.trace.Started; f != nil {
		d.h.trace.call(w, "Started", func() { f(j.before()) })
	}
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	began := time.Now()
	a, v := d.h.try(ctx, w, t, j, Attempt{
		Run:      j.Run,
		Number:   j.before().Attempts + 1,
		Token:    j.Token,
		Start:    d.h.now(),
		Instance: d.h.cfg.Instance,
	})
	a.Took = time.Since(began).Truncate(time.Microsecond)
	if !v.ok && context.Cause(ctx) == errDraining {
		return d.givenBack(*j), lanes.NotTried
	}
	end := j.conclude(*a, v, t.policy, d.h.now(), rand.Float64())
	return outcome{Change: Change{Delivery: end, Attempt: a}}, resultOf(*a, v)
}

// resultOf returns what an attempt says about its receiver.
func resultOf(a Attempt, v verdict) lanes.Result {
	switch {
	case v.ok:
		return lanes.Worked
	case a.Error == classTimeout,
		a.Code == http.StatusBadGateway, a.Code == http.StatusServiceUnavailable, a.Code == http.StatusGatewayTimeout:
		return lanes.Overloaded
	default:
		return lanes.Failed
	}
}

// try makes one attempt, in the worker's goroutine and contained, with all that the
// application's code does in it: the handler, the methods of the error that it
// returns, the transport. If that does not return in time, it is left behind to end
// by itself.
func (h *Hooks) try(ctx context.Context, w *worker, t target, j *job, a Attempt) (*Attempt, verdict) {
	const grace = 50 * time.Millisecond // for what minds its context
	type trial struct {                 // the goroutine's own until it is done
		Attempt
		verdict
	}
	made := &trial{Attempt: a}
	done := w.call(func() { made.verdict = t.try(ctx, *j, &made.Attempt) })
	var f *fault
	select {
	case f = <-done:
	case <-ctx.Done():
		select {
		case f = <-done:
		case <-time.After(grace):
			h.logAttempt(slog.LevelWarn, "hooks: an attempt ignores that its time is over; its goroutine is left behind", j.DeliveryID)
			w.leave()
			late := a // the goroutine may still write to what it has
			late.Error = classTimeout
			return &late, verdict{}
		}
	}
	if f != nil {
		w.leave() // it may have ended
		h.failed(&made.Attempt, *j, f)
		return &made.Attempt, verdict{}
	}
	return &made.Attempt, made.verdict
}

// failed notes that a fault has ended an attempt. What is kept of an endpoint's is the
// class alone, as of every other failure without a response.
func (h *Hooks) failed(a *Attempt, j job, f *fault) {
	a.Error = f.class
	detail := f.detail()
	if a.URL == "" {
		a.Body, a.BodyCut = cutText(detail)
	} else {
		detail = f.careful()
	}
	h.logAttempt(slog.LevelError, "hooks: attempt ended by a "+f.class, j.DeliveryID, "detail", detail)
}

// before returns the delivery as it was before the present attempt was noted.
func (j job) before() Delivery {
	d := j.Delivery
	if j.was != nil {
		d.Attempts, d.Error = j.was.Attempts, j.was.Error
	}
	return d
}

// conclude returns the delivery as it stands after attempt a, which ended at
// a time. random, in [0, 1), is the jitter's.
func (j job) conclude(a Attempt, v verdict, p retry.Policy, at time.Time, random float64) Delivery {
	end := j.before()
	end.Attempts++
	end.Code, end.Error = a.Code, a.Error
	end.Due, end.Updated = at, at
	if v.ok {
		end.Status = Succeeded
		return end
	}
	wait, again := p.Next(end.Attempts)
	due := at.Add(max(retry.Jitter(wait, random), min(v.after, longestAfter)))
	switch expires := j.event.ExpiresAt; {
	case v.permanent:
		end.Status, end.Reason = Failed, Rejected
	case !again:
		end.Status, end.Reason = Failed, Exhausted
	case !expires.IsZero() && !due.Before(expires):
		end.Status, end.Reason = Failed, Expired
	default:
		end.Status, end.Due = Retrying, micro(due)
	}
	return end
}

// endUnstarted returns the outcome of a leased delivery if it is not to be
// tried, and reports whether that is so: the subscriber was deleted or is
// another tenant's (canceled); the event has expired (failed); this process
// cannot serve the subscriber, is draining, or the lease is too short for an
// attempt that takes timeout (given back).
func (d *dispatcher) endUnstarted(j job, timeout time.Duration, servable bool) (end outcome, ended bool) {
	at := d.h.now()
	o := outcome{Change: Change{Delivery: j.Delivery}}
	o.Delivery.Due, o.Delivery.Updated = at, at
	switch expires := j.event.ExpiresAt; {
	case d.h.dir.isDeleted(j.Subscriber), d.h.dir.isOthers(j.Delivery):
		o.Delivery.Status = Canceled
	case !expires.IsZero() && !at.Before(expires):
		o.Delivery.Status, o.Delivery.Reason = Failed, Expired
	case !servable, !d.mayStart(j, timeout):
		return d.givenBack(j), true
	default:
		return outcome{}, false
	}
	return o, true
}

// mayStart reports whether attempts may begin, and whether the lease is long
// enough for this one and for saving its outcome.
func (d *dispatcher) mayStart(j job, timeout time.Duration) bool {
	return !d.draining.Load() && !d.h.now().Add(timeout+saveWithin).After(j.Due)
}

// givenBack returns a lease uncharged: the delivery is due again at once.
func (d *dispatcher) givenBack(j job) outcome {
	back := j.before()
	back.Status, back.Due = back.waiting(), d.h.now()
	return outcome{Change: Change{Delivery: back}}
}
