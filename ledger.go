package hooks

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A ledger writes outcomes to the store. One write has all the outcomes that were entered
// while the write before it was under way, at most writeAtMost. While the store fails, the
// ledger keeps them and tries again.
type ledger struct {
	h       *Hooks
	store   *boundedStore
	save    func(context.Context, []outcome) (stale []DeliveryID, err error)
	settled func(batch []outcome, stale []DeliveryID) // is called after each write

	values  context.Context // of Run, for the trace; it does not end
	tracing worker          // calls the trace; only run uses it

	signal chan struct{}   // wakes run; holds one
	ctx    context.Context // of the writes; ends when closing takes too long
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	failing atomic.Bool // the last write failed; run tries it again

	mu      sync.Mutex // guards what follows
	pending []outcome
	echoed  map[string]bool // subscribers that have an echo pending
	awaited int             // calls of Publish that may still enter outcomes
	closing bool            // close was called: run returns when nothing is pending or awaited
	stopped bool            // run takes no more outcomes: it has returned or is about to
	late    []DeliveryID    // entered when the ledger had stopped; await logs them
}

// An outcome is a change to be written. Its lane counts it as being saved.
type outcome struct {
	Change
	ctx   context.Context // of the attempt, for the trace; nil without one
	echo  bool            // see [ledger.echo]
	swept bool            // [dispatcher.sweeping] counts it
	exact bool            // nobody holds the delivery: write it only under the token that it has
	steps time.Duration   // how far the clock had been set, in all, when the Due was computed
	noted chan int64      // not nil for a note, see [dispatcher.note]: gets the new token, or 0
	saved chan struct{}   // closed when the outcome is settled; nil if nobody waits for that
}

const writeAtMost = 256 // outcomes in one write

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

// enter takes an outcome, and adds its notice, if there is one. It does not wait until the
// outcome is written.
func (l *ledger) enter(o outcome) {
	_, o.steps = l.h.reading()
	o.Emit = l.h.failureNotice(o.Delivery)
	l.enterAgain(o)
}

// enterAgain takes an outcome that was entered before, and keeps its steps.
func (l *ledger) enterAgain(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		l.late = append(l.late, o.Delivery.DeliveryID)
		return
	}
	l.pending = append(l.pending, o)
	l.wake()
}

// echo writes a delivery back unchanged. The dispatcher calls it after an Enqueue whose
// outcome is unknown: once the store has answered this later write, the Enqueue has
// happened or never will, and a claim finds what it has stored. One echo for each
// subscriber is enough, so echo returns false if one is pending already.
func (l *ledger) echo(dl Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.echoed[dl.Subscriber] {
		return false
	}
	l.echoed[dl.Subscriber] = true
	l.pending = append(l.pending, outcome{Change: Change{Delivery: dl}, echo: true, exact: true})
	l.wake()
	return true
}

// await adds n, which may be negative, to the number of Publish calls that may still enter
// outcomes. The ledger does not stop before that number is 0, or its ctx has ended. await
// also logs the outcomes that came too late. It holds no lock then, because a logger may
// call methods of Hooks.
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
	default: // a signal is pending already
	}
}

// run writes outcomes until the ledger is closed and all of them are written.
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

// next takes the outcomes of the next write. more is false when no outcome will come any
// more; then the ledger has stopped.
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
	l.stopped = n == 0 && l.closing && (l.awaited == 0 || l.ctx.Err() != nil)
	return batch, !l.stopped
}

// write saves a batch. It tries again until the store has taken the batch, unless Run has
// no time left or the error is one that waiting cannot mend.
func (l *ledger) write(batch []outcome) {
	retry := backoff{report: l.h.storeError}
	for {
		stale, err := l.save(l.ctx, batch)
		if err == nil {
			l.failing.Store(false)
			l.reportBatch(batch, stale, retry.fails > 0)
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

// reportBatch tells the trace, and whoever waits for a note, which outcomes were written.
// repeated says that an earlier call for the same batch failed. That call may have written
// outcomes all the same, which the store now calls stale. Other stale outcomes count for
// nothing, because somebody else has decided about the delivery.
func (l *ledger) reportBatch(batch []outcome, stale []DeliveryID, repeated bool) {
	isStale := make(map[DeliveryID]bool, len(stale))
	for _, id := range stale {
		isStale[id] = true
	}
	for _, o := range batch {
		written := !isStale[o.Delivery.DeliveryID] || repeated && l.isWritten(o)
		switch {
		case o.noted != nil && written:
			o.noted <- o.Delivery.Token + 1
		case o.noted != nil:
			o.noted <- 0
		case written:
			l.report(o)
		default:
			l.h.log.Debug("hooks: outcome is stale", "delivery", o.Delivery.DeliveryID.String())
		}
	}
}

// report tells the reporter and the trace of an outcome that was written.
func (l *ledger) report(o outcome) {
	t := &l.h.trace
	l.h.reporter.saved(o.Change)
	if o.Attempt != nil {
		l.count(o.Delivery, *o.Attempt)
	}
	o.Delivery.Token++ // the write has raised the stored one
	switch {
	case o.Attempt != nil && t.Finished != nil:
		t.call(&l.tracing, "Finished", func() { t.Finished(o.ctx, o.Delivery, *o.Attempt) })
	case o.Attempt == nil && o.Delivery.Status.Final() && t.Ended != nil:
		t.call(&l.tracing, "Ended", func() { t.Ended(l.values, o.Delivery) })
	}
}

// count counts an attempt, and notes how the endpoint stands after it. If another subscriber
// has the id of the delivery's by now, that one is told nothing of it.
func (l *ledger) count(d Delivery, a Attempt) {
	if l.h.subscriber(d.Subscriber).obstacleTo(d).forGood() {
		l.h.meter.count("", d.Updated, a)
		return
	}
	l.h.meter.count(d.Subscriber, d.Updated, a)
	if e := l.h.dir.endpoint(d.Subscriber); e != nil {
		e.seen.note(d)
	}
}

// isWritten reports whether an earlier call of ours has written o, which the store now
// calls stale. An attempt is recognised by its run and token, even if the delivery has
// changed since. Another change counts as written if the stored delivery equals it.
func (l *ledger) isWritten(o outcome) bool {
	if o.Attempt != nil {
		attempts, err := l.store.Attempts(l.ctx, o.Delivery.DeliveryID)
		return err == nil && slices.ContainsFunc(attempts, func(a Attempt) bool {
			return a.Run == o.Attempt.Run && a.Token == o.Attempt.Token
		})
	}
	stored, err := readDelivery(l.ctx, l.store, o.Delivery.DeliveryID)
	want := o.Delivery
	return err == nil && stored.Token == want.Token+1 && stored.Status == want.Status &&
		stored.Attempts == want.Attempts && stored.Due.Equal(want.Due) && stored.Updated.Equal(want.Updated)
}

// close waits until all outcomes are written or the deadline has passed, but at least
// 50 ms, so that a last write is tried.
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

// settleAll settles the outcomes of a write. The ledger calls it after each write, with
// those outcomes that the store calls stale.
func (d *dispatcher) settleAll(batch []outcome, stale []DeliveryID) {
	for _, o := range batch {
		if o.noted != nil { // the lease of a note goes on: for an attempt, or to be given back
			continue
		}
		if !slices.Contains(stale, o.Delivery.DeliveryID) || !d.retryStale(o) {
			d.settle(o)
		}
	}
}

// retryStale reports whether a stale outcome is written once more, now or when the claim
// that is under way has been answered. See [leases.judgeStale].
func (d *dispatcher) retryStale(o outcome) bool {
	repeat, wait := d.leases.judgeStale(o)
	if repeat {
		d.ledger.enterAgain(o)
	}
	return repeat || wait
}

// settle ends the lease of a delivery whose outcome is written or stale for good, and
// frees its place in the lane. If the outcome leaves something in the store that is due
// now or later, the lane claims it then.
func (d *dispatcher) settle(o outcome) {
	if !o.exact { // an exact one is of a delivery that nobody holds
		d.queueNext(d.leases.release(o.Delivery.DeliveryID))
	}
	if o.saved != nil {
		close(o.saved)
	}
	d.findNotices(o.Emit)
	due := o.leavesDue(d.h.now())
	if !due && !o.Delivery.Status.Final() {
		d.expect(o.Delivery.Due)
	}
	d.lanes.Saved(o.Delivery.Subscriber, due)
	if o.swept && d.sweeping.Add(-1) == 0 {
		d.lanes.Recheck() // there may be more to sweep
	}
}

// leavesDue reports whether a delivery may be due in the store once o is written: this
// delivery, the next one of its ordering key, or, after an echo, one that an Enqueue has
// stored.
func (o outcome) leavesDue(at time.Time) bool {
	if o.Delivery.Status.Final() {
		return o.Delivery.OrderingKey != ""
	}
	return o.echo || !o.Delivery.Due.After(at)
}
