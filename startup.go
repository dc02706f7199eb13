package hooks

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

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
