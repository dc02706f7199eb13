package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Run delivers until ctx ends. Then it takes no new work, and:
//
//   - waits for the attempts under way, for [Config].DrainTimeout at most,
//   - cancels those that remain,
//   - gives back the deliveries that it has leased, without counting an attempt,
//   - returns nil.
//
// Errors of the store do not end Run: it waits and tries again, from its first call of the
// store on. A call that does not return within 30 s counts as an error.
//
// Run returns an error only if waiting cannot mend it, within about a second:
// [ErrRunning] if it runs already, [ErrLocked] if another dispatcher has the store,
// [ErrClosed], [ErrTooNew] and [ErrForeign] if the store says so, and an [*InvalidError] if
// the name of a handler is an endpoint's id.
func (h *Hooks) Run(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	for {
		d, err := h.begin(false)
		switch {
		case err == nil:
			return h.dispatch(ctx, d)
		case !d.flushing:
			return err
		}
		select { // a Flush has the dispatcher: wait until it returns
		case <-d.stopped:
		case <-ctx.Done():
			return nil
		}
	}
}

// Flush delivers the deliveries that are due now. When it returns nil, each of them has had
// an attempt, and the outcomes are stored. Flush does not wait for deliveries that are due
// later; retries of failed attempts are due later, too. It carries out no [Action], and does
// not wait for one: that is for Run. It is for tests, commands and jobs that end.
//
// While Run runs, Flush waits until Run has delivered them. Otherwise Flush does what Run
// does until then. Like Run it waits while the store fails, so give it a ctx that ends. Its
// error is that of ctx, one that Run returns, or one that says that Run ended meanwhile.
//
// Flush may miss what a transaction commits more than a second after PublishTx, if the
// store may be late to find it, see [Store].
//
// Flush needs one moment in which nothing is due or under way. While events are
// published all the time, there may be none before ctx ends.
func (h *Hooks) Flush(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	for {
		d, err := h.begin(true)
		if err == nil {
			return h.dispatchOnce(ctx, d)
		}
		err = d.flush(ctx)
		if !d.flushing || !errors.Is(err, errStopped) {
			return err
		}
	}
}

// dispatchOnce does what Run does until nothing is due or under way.
func (h *Hooks) dispatchOnce(ctx context.Context, d *dispatcher) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.dispatch(running, d) }()
	flushed := d.flush(ctx)
	stop()
	return cmp.Or(<-done, flushed)
}

// dispatch does what Run does, with the dispatcher that begin has made the running one.
func (h *Hooks) dispatch(ctx context.Context, d *dispatcher) error {
	defer h.end(d)
	return d.dispatch(ctx)
}

// begin makes a new dispatcher the running one, for Flush (flushing) or for Run. If there
// is a running one already, begin returns that one and [ErrRunning].
func (h *Hooks) begin(flushing bool) (*dispatcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running != nil {
		return h.running, ErrRunning
	}
	h.running = newDispatcher(h)
	h.running.flushing = flushing
	return h.running, nil
}

// end records that no dispatcher runs any more, and tells everybody who waits for d.
func (h *Hooks) end(d *dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = nil
	close(d.stopped)
}

// dispatcher returns the running dispatcher, or nil.
func (h *Hooks) dispatcher() *dispatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running
}

// lastWords is how long attempts may go on if Run ends because of an error that waiting
// cannot mend. Their outcomes are saved if the store still accepts them.
const lastWords = time.Second

// dispatch locks the store, records the handlers, and delivers until ctx ends or an error
// comes that waiting cannot mend. It returns that error, or nil.
func (d *dispatcher) dispatch(ctx context.Context) error {
	d.ledger.values = context.WithoutCancel(ctx)
	d.ctx, d.cancel = context.WithCancelCause(d.ledger.values)
	defer d.cancel(errDraining)
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	unlock := d.lock(ctx)
	defer unlock()
	d.recordHandlers(ctx)
	if ctx.Err() == nil {
		stop := d.h.report()
		d.run(ctx)
		stop()
	}
	return d.failed()
}

// failed returns the error that ends Run, or nil.
func (d *dispatcher) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// fail ends Run, because of an error that waiting cannot mend. Run returns the first one.
func (d *dispatcher) fail(err error) {
	d.mu.Lock()
	first := d.failure == nil
	if first {
		d.failure = err
	}
	d.mu.Unlock()
	if first {
		d.stop()
		time.AfterFunc(d.drainTime(), func() { d.cancel(errDraining) })
	}
}

// drainTime returns how long Run may go on after it was told to end.
func (d *dispatcher) drainTime() time.Duration {
	if d.failed() != nil {
		return min(lastWords, d.h.cfg.DrainTimeout)
	}
	return d.h.cfg.DrainTimeout
}

// remaining returns how long Run may still go on, if it was told to end. If it was not, it
// returns how long Run may go on when it is told to.
func (d *dispatcher) remaining() time.Duration {
	if deadline := d.deadline.Load(); deadline != nil {
		return time.Until(*deadline)
	}
	return d.drainTime()
}

// lock takes the lock of the store, if it is [Exclusive], so that there is no other
// dispatcher. It tries again until it has the lock or ctx ends.
func (d *dispatcher) lock(ctx context.Context) (unlock func()) {
	if _, ok := optional[Exclusive](d.h.store); !ok {
		return func() {}
	}
	retry := backoff{report: d.h.storeError}
	for ctx.Err() == nil {
		free, err := d.tryLock(ctx)
		if err != nil {
			retry.wait(ctx, err)
			continue
		}
		retry.reset()
		return func() {
			if err := free(); err != nil {
				d.h.log.Warn("hooks: unlock the store", "error", err)
			}
		}
	}
	return func() {}
}

// tryLock tries once to take the lock of the store.
func (d *dispatcher) tryLock(ctx context.Context) (free func() error, err error) {
	if err := d.h.sync(ctx, d.store); err != nil {
		return nil, err
	}
	return d.store.Lock(ctx, d.h.now())
}

// recordHandlers writes the handlers of this process to the store, so that other processes
// publish to them. It tries again while the store fails. If a handler is refused, it ends
// Run.
func (d *dispatcher) recordHandlers(ctx context.Context) {
	d.h.mu.Lock()
	handlers := slices.Collect(maps.Values(d.h.handlers))
	d.h.mu.Unlock()
	var refused []error
	retry := backoff{report: d.h.storeError}
	for _, s := range handlers {
		for ctx.Err() == nil {
			err := d.h.putHandler(ctx, d.store, s)
			if err == nil {
				break
			}
			if _, ok := errors.AsType[*InvalidError](err); ok {
				refused = append(refused, err)
				break
			}
			retry.wait(ctx, err)
		}
	}
	switch {
	case len(refused) > 0:
		d.fail(errors.Join(refused...))
	case ctx.Err() == nil:
		retry.reset()
	}
}

var errStopped = errors.New("hooks: flush: Run ended before all that was due was tried")

// flush waits until nothing is due in the store and this dispatcher holds no delivery.
func (d *dispatcher) flush(ctx context.Context) error {
	select {
	case <-d.lanes.Idle():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		if err := d.failed(); err != nil {
			return fmt.Errorf("%w: %w", errStopped, err)
		}
		return errStopped
	}
}
