package hooks

import (
	"context"
	"log/slog"
	"maps"
	"time"
)

// A Trace has functions that are called when something happens, as in
// [net/http/httptrace]. Each may be nil. They are called from the goroutines that do the
// work, several at once, and these wait for them. They may call every method of [Hooks] but
// Run and Flush, because they are called while no lock is held. A panic in one is logged,
// and ends nothing.
type Trace struct {
	// Publishing is called for each event that is given to Publish, PublishBatch or
	// PublishTx, before it is checked. It may set entries of ev.Metadata, such as the
	// traceparent of what ctx belongs to. Other changes of ev are ignored, and so is
	// Metadata that is too large or not UTF-8. Metadata is a copy, and nil if the event has
	// none. ctx is the caller's. It is not called for the library's own events, such as
	// [DeliveryFailed].
	Publishing func(ctx context.Context, ev *Event)
	// Published is called when an event was stored, and before Publish hands its deliveries
	// over to Run. If r.Duplicate, ev was not stored, and r.EventID is the event that was
	// stored before. In PublishTx the event is written, and not committed yet. ctx is the
	// caller's. It is not called for the library's own events.
	Published func(ctx context.Context, ev Event, r Receipt)
	// Started is called when an attempt begins; d.Attempts does not count it yet. Started
	// returns the context of the attempt, made from ctx, with a span of its own for
	// example; nil stands for ctx. Only the values of that context count: the attempt ends
	// when ctx does.
	Started func(ctx context.Context, d Delivery) context.Context
	// Finished is called when an attempt has ended and its outcome is stored:
	// d is the delivery as it now stands. If it will be tried again, d.Due
	// says when, and a.Error why this attempt failed. ctx has the values of what Started
	// returned, and does not end.
	Finished func(ctx context.Context, d Delivery, a Attempt)
	// Ended is called when a delivery becomes final without an attempt: because
	// it expired, was lost, or its subscriber was deleted. ctx has the values of Run's.
	Ended func(ctx context.Context, d Delivery)
	// StoreError is called when a call of the store by Run or Flush fails. They try again
	// after wait.
	StoreError func(ctx context.Context, err error, wait time.Duration)
}

// A tracer calls the functions of a [Trace]. If one of them panics, the tracer logs it.
type tracer struct {
	Trace
	log   *slog.Logger
	quiet *throttle
}

// call calls f, which is one of the functions, in a worker's goroutine. It reports whether
// f has returned.
func (t *tracer) call(w *worker, name string, f func()) bool {
	fault := <-w.call(f)
	if fault != nil {
		w.leave() // it may have ended
		t.quiet.log(t.log, "hooks: Trace."+name+" did not return; what it was told of goes on", fault)
	}
	return fault == nil
}

// publishing returns an event with the Metadata that the trace has given it.
func (t *tracer) publishing(ctx context.Context, w *worker, ev Event) Event {
	if t.Publishing == nil {
		return ev
	}
	told := ev
	told.Metadata = maps.Clone(ev.Metadata)
	if !t.call(w, "Publishing", func() { t.Publishing(ctx, &told) }) {
		return ev
	}
	if err := checkMetadata(told.Metadata); err != nil && checkMetadata(ev.Metadata) == nil {
		t.quiet.log(t.log, "hooks: Trace.Publishing has made metadata that cannot be stored; the event goes without it",
			&fault{class: classError, text: err.Error()})
		return ev
	}
	ev.Metadata = told.Metadata
	return ev
}

// published tells the trace which events were stored, and which were duplicates.
func (t *tracer) published(ctx context.Context, entries []Entry, receipts []Receipt) {
	if t.Published == nil {
		return
	}
	var w worker
	defer w.leave()
	for i, r := range receipts {
		t.call(&w, "Published", func() { t.Published(ctx, entries[i].Event, r) })
	}
}

// started tells the trace of an attempt that begins, and returns the attempt's context.
func (t *tracer) started(ctx context.Context, w *worker, d Delivery) context.Context {
	if t.Started == nil {
		return ctx
	}
	var made context.Context
	ok := t.call(w, "Started", func() {
		if made = t.Started(ctx, d); made != nil {
			made.Value(deliveryKey{}) // panics here, and not in the attempt, if it holds a nil pointer
		}
	})
	if !ok || made == nil {
		return ctx
	}
	return attemptContext{ctx, made}
}

// An attemptContext ends as its Context does, and has the values of another one.
type attemptContext struct {
	context.Context
	values context.Context
}

// Value returns what the other context has.
func (c attemptContext) Value(key any) any { return c.values.Value(key) }

// storeError tells the trace that the store fails.
func (t *tracer) storeError(ctx context.Context, err error, wait time.Duration) {
	if t.StoreError == nil {
		return
	}
	var w worker
	defer w.leave()
	t.call(&w, "StoreError", func() { t.StoreError(ctx, err, wait) })
}
