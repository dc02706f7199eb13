package hooks

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// noteUntil wakes the goroutine of [dispatcher.endDisablings] if a disabling ends earlier
// than all that it knows of. The caller holds dir.mu.
func (dir *directory) noteUntil(until time.Time) {
	if until.IsZero() || !dir.until.IsZero() && !until.Before(dir.until) {
		return
	}
	dir.until = until
	select {
	case dir.ending <- struct{}{}:
	default: // a signal is pending already
	}
}

// ended returns the endpoints whose disabling has ended by itself, without a record of that
// yet, and when the next one does. Zero: none does.
func (dir *directory) ended(at time.Time) (ids []string, next time.Time) {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	for id, known := range dir.health {
		e := dir.endpoints.byID[id]
		switch {
		case known.Until.IsZero() || known.unreadable != nil || e == nil || dir.healthOf(e) == nil:
		case !at.Before(known.Until):
			ids = append(ids, id)
		case next.IsZero() || known.Until.Before(next):
			next = known.Until
		}
	}
	dir.until = next
	return ids, next
}

// endDisablings writes into the health record of each endpoint that its disabling has ended,
// when its Until has passed, for the sake of the notice. The first process of a fleet does
// it, because the write is a compare-and-set. What is due for the endpoint does not wait for
// that: see [health.disabled].
func (d *dispatcher) endDisablings(ctx context.Context) {
	retry := backoff{report: d.h.storeError}
	for ctx.Err() == nil {
		ids, next := d.h.dir.ended(d.h.now())
		var failed error
		for _, id := range ids {
			failed = cmp.Or(failed, d.endDisabling(ctx, id))
		}
		if failed != nil {
			retry.wait(ctx, failed)
			continue
		}
		retry.reset()
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(min(next.Sub(d.h.now()), longestSleep))
		}
		select {
		case <-ctx.Done():
		case <-d.h.dir.ending:
		case <-timer:
		}
	}
}

// endDisabling writes that the disabling of an endpoint has ended, if it has. The whole of
// it counts as one call of the store.
func (d *dispatcher) endDisabling(ctx context.Context, id string) error {
	_, err := call(ctx, d.store, "Put", callTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.h.writeHealth(ctx, id, func(was *health) (next healthRecord) {
			if was == nil {
				return next
			}
			if next = was.healthRecord; was.disabled(d.h.now()) {
				return next
			}
			return healthRecord{}
		})
	}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil // the endpoint was deleted meanwhile
	}
	return err
}
