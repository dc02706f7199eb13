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

// Run delivers until ctx ends. Then it takes no new work, waits for attempts
// under way up to [Config].DrainTimeout, cancels those that remain, gives
// back what it has leased without charging it, and returns nil. Errors of the
// store do not end it: it waits and tries again, from its first call of the store on.
// A call that does not return within 30 s counts as an error.
//
// Run returns an error only for what waiting cannot mend, within about a second
// whenever it happens: [ErrRunning] when it runs already, [ErrLocked] when another
// dispatcher has the store, [ErrClosed], [ErrTooNew] and [ErrForeign] when the store
// says so, and an [*InvalidError] when the name of a handler is an endpoint's id.
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
		select { // a Flush is at it
		case <-d.stopped:
		case <-ctx.Done():
			return nil
		}
	}
}

// Flush delivers what is due now: when it returns nil, every delivery that was
// due has had an attempt, and its outcome is stored. It does not wait for those
// that are due later, retries of what failed included. While Run runs, Flush
// waits for it; else it does what Run does, for that long. It is for tests,
// commands and jobs that end. Its error is ctx's, any that Run can return, or one that
// says that Run ended meanwhile. Like Run it waits while the store fails: give it a ctx
// that ends.
//
// What a transaction commits more than a second after PublishTx may be missed where the
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

// dispatchOnce is Run until all is flushed.
func (h *Hooks) dispatchOnce(ctx context.Context, d *dispatcher) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.dispatch(running, d) }()
	flushed := d.flush(ctx)
	stop()
	return cmp.Or(<-done, flushed)
}

// dispatch is Run, once it is the only one.
func (h *Hooks) dispatch(ctx context.Context, d *dispatcher) error {
	defer h.end(d)
	return d.dispatch(ctx)
}

// begin makes a dispatcher the running one, for a Flush or for Run, or returns
// [ErrRunning] and the one that is.
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

func (h *Hooks) end(d *dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = nil
	close(d.stopped)
}

// dispatcher returns the running one, or nil.
func (h *Hooks) dispatcher() *dispatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running
}

// lastWords is how long attempts may go on when Run ends because of an error that
// waiting cannot mend. Their outcomes are saved if the store still takes them.
const lastWords = time.Second

// dispatch is Run: it begins, delivers until ctx ends or waiting is of no use, and
// returns why it was of no use.
func (d *dispatcher) dispatch(ctx context.Context) error {
	d.ctx, d.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
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

// failed returns why Run ends; nil if it was told to.
func (d *dispatcher) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// fail ends Run with an error that waiting cannot mend.
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

// drainTime is how long Run may take once it is to end.
func (d *dispatcher) drainTime() time.Duration {
	if d.failed() != nil {
		return min(lastWords, d.h.cfg.DrainTimeout)
	}
	return d.h.cfg.DrainTimeout
}

// remaining is how long Run may still take, or may take once it is to end.
func (d *dispatcher) remaining() time.Duration {
	if deadline := d.deadline.Load(); deadline != nil {
		return time.Until(*deadline)
	}
	return d.drainTime()
}

// lock makes this the store's one dispatcher, if the store wants that. It tries again
// until it has the lock or ctx ends.
func (d *dispatcher) lock(ctx context.Context) (unlock func()) {
	if _, ok := d.h.store.(Exclusive); !ok {
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

func (d *dispatcher) tryLock(ctx context.Context) (free func() error, err error) {
	if err := d.h.sync(ctx, d.store); err != nil {
		return nil, err
	}
	return d.store.Lock(ctx, d.h.now())
}

// recordHandlers makes the handlers of this process known to all others. It tries
// again while the store fails, and ends Run if one is refused.
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

// flush waits until nothing is due in the store, and nothing is held here.
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
