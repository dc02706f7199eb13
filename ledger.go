package hooks

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A ledger writes outcomes to the store, as many at once as have come together
// while the last write was under way. It keeps them while the store fails.
type ledger struct {
	h       *Hooks
	store   *boundedStore
	save    func(context.Context, []outcome) (stale []DeliveryID, err error)
	settled func(done []outcome, stale []DeliveryID) // is told what was written, or was stale

	tracing worker // calls the trace; run's own

	signal chan struct{}   // there is something to write; holds one
	ctx    context.Context // of the writes; ends when closing takes too long
	cancel context.CancelFunc
	done   chan struct{} // run has returned

	failing atomic.Bool // the last write failed, and is to be repeated

	mu      sync.Mutex // guards what follows
	pending []outcome
	echoed  map[string]bool // subscribers that an echo is pending for
	awaited int             // calls of Publish that may enter more
	closing bool            // run returns when all is written
	gone    bool            // run has returned, or will
	late    []DeliveryID    // whose outcomes came when it was gone; the log does not know yet
}

// An outcome is a change to be written. Its lane counts it as being saved.
type outcome struct {
	Change
	echo  bool          // see [ledger.echo]
	exact bool          // of a delivery that is not held, and only if its token is still the same
	steps time.Duration // of the clock, before its Due was set
	noted chan int64    // of a note, which ends no lease: the token it led to, 0 if it was not written; else nil
	saved chan struct{} // closed when it is settled; nil if nobody waits for that
}

const writeAtMost = 256 // outcomes at once

func newLedger(
	h *Hooks, store *boundedStore,
	save func(context.Context, []outcome) ([]DeliveryID, error), settled func([]outcome, []DeliveryID),
) *ledger {
	l := &ledger{
		h: h, store: store, save: save, settled: settled,
		signal: make(chan struct{}, 1), done: make(chan struct{}), echoed: make(map[string]bool),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// enter takes an outcome, without waiting for it to be written.
func (l *ledger) enter(o outcome) {
	_, o.steps = l.h.reading()
	l.again(o)
}

// again takes an outcome that was entered before.
func (l *ledger) again(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		l.late = append(l.late, o.Delivery.DeliveryID)
		return
	}
	l.pending = append(l.pending, o)
	l.wake()
}

// echo writes a delivery back unchanged. It follows an Enqueue whose outcome is
// unknown: once this later write is answered, the earlier one has happened or never
// will, and what is due for the subscriber is claimed. One for each subscriber is
// enough, so that echo returns false if one is pending already.
func (l *ledger) echo(dl Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone || l.echoed[dl.Subscriber] {
		return false
	}
	l.echoed[dl.Subscriber] = true
	l.pending = append(l.pending, outcome{Change: Change{Delivery: dl}, echo: true, exact: true})
	l.wake()
	return true
}

// await keeps the ledger open for n more callers, or fewer, and tells the log what
// came too late. No lock is held, because a logger may call methods of Hooks.
func (l *ledger) await(n int) {
	l.mu.Lock()
	l.awaited += n
	l.wake()
	late := l.late
	l.late = nil
	l.mu.Unlock()
	for _, id := range late {
		l.h.log.Warn("hooks: too late to give back a lease; it ends by itself", "delivery", id.String())
	}
}

func (l *ledger) wake() {
	select {
	case l.signal <- struct{}{}:
	default: // it will look anyway
	}
}

// run writes until the ledger is closed and all is written.
func (l *ledger) run() {
	defer close(l.done)
	defer l.tracing.leave()
	for {
		batch, more := l.next()
		if !more {
			return
		}
		if len(batch) > 0 {
			l.write(batch)
			continue
		}
		select {
		case <-l.signal:
		case <-l.ctx.Done():
		}
	}
}

// next takes what is to be written now; more is false when nothing will come.
func (l *ledger) next() (batch []outcome, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.pending), writeAtMost)
	batch, l.pending = l.pending[:n:n], slices.Grow(l.pending[n:], n) // about as many come next
	for _, o := range batch {
		if o.echo {
			delete(l.echoed, o.Delivery.Subscriber)
		}
	}
	l.gone = n == 0 && l.closing && (l.awaited == 0 || l.ctx.Err() != nil)
	return batch, !l.gone
}

// write saves a batch, however often that must be tried, unless trying is of no use.
func (l *ledger) write(batch []outcome) {
	retry := backoff{report: l.h.storeError}
	for {
		stale, err := l.save(l.ctx, batch)
		if err == nil {
			l.failing.Store(false)
			l.tell(batch, stale, retry.fails > 0)
			retry.reset()
			l.settled(batch, stale)
			return
		}
		l.failing.Store(true)
		if l.ctx.Err() != nil || lasting(err) {
			l.h.log.Error("hooks: outcomes could not be saved before Run returned; these deliveries will be sent again",
				"deliveries", len(batch), "error", err)
			return
		}
		retry.wait(l.ctx, err)
	}
}

// tell the trace, and who waits for a note, what was written. What was stale has been
// decided elsewhere; or here, if an earlier call has written it though its answer was an
// error, or came too late.
func (l *ledger) tell(batch []outcome, stale []DeliveryID, repeated bool) {
	skip := make(map[DeliveryID]bool, len(stale))
	for _, id := range stale {
		skip[id] = true
	}
	for _, o := range batch {
		written := !skip[o.Delivery.DeliveryID] || repeated && l.isOurs(o)
		switch {
		case o.noted != nil && written:
			o.noted <- o.Delivery.Token + 1
		case o.noted != nil:
			o.noted <- 0
		case written:
			l.trace(o)
		default:
			l.h.log.Debug("hooks: outcome is stale", "delivery", o.Delivery.DeliveryID.String())
		}
	}
}

func (l *ledger) trace(o outcome) {
	t := &l.h.trace
	l.h.reporter.saved(o.Change)
	o.Delivery.Token++ // as it now stands
	switch {
	case o.Attempt != nil && t.Finished != nil:
		t.call(&l.tracing, "Finished", func() { t.Finished(o.Delivery, *o.Attempt) })
	case o.Attempt == nil && o.Delivery.Status.Final() && t.Ended != nil:
		t.call(&l.tracing, "Ended", func() { t.Ended(o.Delivery) })
	}
}

// isOurs reports whether the store has o, which it calls stale, from an earlier call of
// ours. An attempt tells by its token, also when the delivery has changed since; another
// change is taken for ours if the delivery is what we made of it.
func (l *ledger) isOurs(o outcome) bool {
	if o.Attempt != nil {
		attempts, err := l.store.Attempts(l.ctx, o.Delivery.DeliveryID)
		return err == nil && slices.ContainsFunc(attempts, func(a Attempt) bool {
			return a.Run == o.Attempt.Run && a.Token == o.Attempt.Token
		})
	}
	is, err := readDelivery(l.ctx, l.store, o.Delivery.DeliveryID)
	was := o.Delivery
	return err == nil && is.Token == was.Token+1 && is.Status == was.Status &&
		is.Attempts == was.Attempts && is.Due.Equal(was.Due) && is.Updated.Equal(was.Updated)
}

// close waits until all is written, but not beyond the deadline, nor less than
// it takes to try.
func (l *ledger) close(deadline time.Time) {
	const atLeast = 50 * time.Millisecond
	timer := time.AfterFunc(max(time.Until(deadline), atLeast), l.cancel)
	defer timer.Stop()
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.wake()
	<-l.done
	l.cancel()
}

// settleAll is told by the ledger what has been written, or was stale.
func (d *dispatcher) settleAll(done []outcome, stale []DeliveryID) {
	for _, o := range done {
		if o.noted != nil { // its attempt begins now, or it is given back
			continue
		}
		if !slices.Contains(stale, o.Delivery.DeliveryID) || !d.keeps(o) {
			d.settle(o)
		}
	}
}

// keeps reports whether a stale outcome is to be written all the same.
func (d *dispatcher) keeps(o outcome) bool {
	repeat, wait := d.leases.stale(o)
	if repeat {
		d.ledger.again(o)
	}
	return repeat || wait
}

// settle ends the place of a delivery whose outcome was written, and sees to it that
// what that leaves in the store is found.
func (d *dispatcher) settle(o outcome) {
	if !o.exact { // else it is not held
		d.resume(d.leases.letGo(o.Delivery.DeliveryID))
	}
	if o.saved != nil {
		close(o.saved)
	}
	due := o.leavesDue(d.h.now())
	if !due && !o.Delivery.Status.Final() {
		d.expect(o.Delivery.Due)
	}
	d.lanes.Saved(o.Delivery.Subscriber, due)
}

// leavesDue reports whether a delivery is due in the store when o is saved: this one,
// the next of its ordering key, or, after an echo, what an Enqueue may have stored.
func (o outcome) leavesDue(at time.Time) bool {
	if o.Delivery.Status.Final() {
		return o.Delivery.OrderingKey != ""
	}
	return o.echo || !o.Delivery.Due.After(at)
}
