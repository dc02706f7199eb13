package hooks

import (
	"context"
	"log/slog"
	"math/rand/v2"
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

// attempt tries a delivery once. It returns the outcome to save, and what that
// says about the receiver.
func (d *dispatcher) attempt(w *worker, j *job, timeout time.Duration) (outcome, lanes.Result) {
	d.leases.update(j)
	s := d.h.subscriber(j.Subscriber)
	if end, ended := d.endUnstarted(*j, s, timeout); ended {
		return end, lanes.NotTried
	}
	if end, ended := d.prepare(j, s.policy, timeout); ended {
		return end, lanes.NotTried
	}
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	traced := d.h.trace.started(ctx, w, j.before())
	began := time.Now()
	a, v, blame := d.h.try(traced, w, s.sender, j, Attempt{
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
	end := j.conclude(*a, v, s.policy, d.h.now(), rand.Float64())
	o := outcome{Change: Change{Delivery: end, Attempt: a}}
	if d.h.trace.Finished != nil {
		o.ctx = context.WithoutCancel(traced)
	}
	return o, blame
}

// try makes one attempt. The application's code that it calls (the handler, the methods
// of the error that this returns, the transport) runs in the worker's goroutine, contained.
// If it does not return in time, it is left behind and ends by itself.
func (h *Hooks) try(ctx context.Context, w *worker, to sender, j *job, a Attempt) (*Attempt, verdict, lanes.Result) {
	const grace = 50 * time.Millisecond // for what minds its context
	type trial struct {                 // the goroutine's own until it is done
		Attempt
		verdict
		result lanes.Result
	}
	made := &trial{Attempt: a}
	done := w.call(func() { made.verdict, made.result = to.send(ctx, j.before(), j.event, &made.Attempt) })
	var f *fault
	select {
	case f = <-done:
	case <-ctx.Done():
		select {
		case f = <-done:
		case <-time.After(grace):
			h.attemptLog.write(slog.LevelWarn, "hooks: an attempt ignores that its time is over; its goroutine is left behind", j.DeliveryID)
			w.leave()
			late := a // the goroutine may still write to what it has
			late.Error = classTimeout
			return &late, verdict{}, blame(&late)
		}
	}
	if f != nil {
		w.leave() // it may have ended
		h.failed(&made.Attempt, j.DeliveryID, f)
		return &made.Attempt, verdict{}, blame(&made.Attempt)
	}
	return &made.Attempt, made.verdict, made.result
}

// failed records in a that a fault has ended the attempt. For an endpoint it keeps only
// the class, as after every other failure without a response, because the detail may
// quote a secret.
func (h *Hooks) failed(a *Attempt, id DeliveryID, f *fault) {
	a.Error = f.class
	detail := f.detail()
	if a.URL == "" {
		a.Body, a.BodyCut = cutText(detail)
	} else {
		detail = f.careful()
	}
	h.attemptLog.write(slog.LevelError, "hooks: attempt ended by a "+f.class, id, "detail", detail)
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
		end.Status, end.Reason = Failed, ReasonRejected
	case !again:
		end.Status, end.Reason = Failed, ReasonExhausted
	case !expires.IsZero() && !due.Before(expires):
		end.Status, end.Reason = Failed, ReasonExpired
	default:
		end.Status, end.Due = Retrying, micro(due)
	}
	return end
}

// endUnstarted returns the outcome of a leased delivery if it is not to be tried, and
// reports whether one of these is so:
//
//   - The subscriber must not have it, for good: it is canceled.
//   - The event was erased: it is canceled.
//   - The event has expired, or the hold of a disabled endpoint is over: it has failed.
//   - There is another obstacle, attempts may not start, or the lease is too short for
//     one that takes timeout: it is given back.
func (d *dispatcher) endUnstarted(j job, s subscriber, timeout time.Duration) (end outcome, ended bool) {
	at := d.h.now()
	o := outcome{Change: Change{Delivery: j.Delivery}}
	o.Delivery.Due, o.Delivery.Updated = at, at
	obstacle := s.obstacleTo(j.Delivery)
	switch expires := j.event.ExpiresAt; {
	case obstacle.forGood():
		o.Delivery.Status, o.Delivery.Reason = Canceled, ReasonDeleted
	case !j.event.Erased.IsZero():
		o.Delivery.Status, o.Delivery.Reason = Canceled, ReasonErased
	case !expires.IsZero() && !at.Before(expires), s.holdIsOver(at):
		o.Delivery.Status, o.Delivery.Reason = Failed, ReasonExpired
	case obstacle != noObstacle, !d.mayStart(j, timeout):
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
	return outcome{Change: Change{Delivery: j.before().Released(d.h.now())}}
}
