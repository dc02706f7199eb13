package hooks

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// erase erases the events of a step, and cancels their deliveries: before, so that the
// outcomes of attempts that are under way count for nothing, and no response is kept; and
// once more, in case that somebody has replayed one of them in between.
func (r *actionRun) erase(ctx context.Context, step *actionStep, _ time.Time) (t tally, err error) {
	ids := make([]string, 0, len(step.Rows))
	for _, row := range step.Rows {
		switch waits, err := r.waitsForOthers(ctx, row.Event); {
		case err != nil:
			return t, err
		case waits:
			t.add(false)
		default:
			ids = append(ids, row.Event)
		}
	}
	if err := r.cancelRest(ctx, ids, step.At); err != nil {
		return t, err
	}
	if _, err := r.d.store.Prune(ctx, Cutoffs{Erase: ids, Now: step.At}); err != nil {
		return t, err
	}
	if err := r.cancelRest(ctx, ids, step.At); err != nil {
		return t, err
	}
	for _, id := range ids {
		ev, err := first(ctx, r.d.store.Events, Query{Event: id})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return t, err
		}
		t.add(ev.Erased.Equal(step.At))
	}
	return t, nil
}

// waitsForOthers reports whether an event has an unfinished delivery that the tenant who
// started the action is not shown, one to a handler: it is not the tenant's to cancel.
func (r *actionRun) waitsForOthers(ctx context.Context, event string) (bool, error) {
	if r.Tenant == "" {
		return false, nil
	}
	for d, err := range All(ctx, r.d.store.Deliveries, Query{Event: event, Statuses: unfinished}) {
		if err != nil {
			return false, err
		}
		if !r.hasDelivery(r.d.h, d) {
			return true, nil
		}
	}
	return false, nil
}

// cancelRest cancels the unfinished deliveries of events, because these are erased.
func (r *actionRun) cancelRest(ctx context.Context, events []string, at time.Time) error {
	var was []Delivery
	for _, id := range events {
		for d, err := range All(ctx, r.d.store.Deliveries, Query{Event: id, Statuses: unfinished, Limit: ActionCancel.mostRows()}) {
			if err != nil {
				return err
			}
			if was = append(was, d); len(was) < ActionCancel.mostRows() {
				continue
			}
			if err := r.cancelErased(ctx, was, at); err != nil {
				return err
			}
			was = was[:0]
		}
	}
	return r.cancelErased(ctx, was, at)
}

// cancelErased cancels deliveries whose event is erased. If somebody has changed one of them
// meanwhile, it is an error, because then they must be read again.
func (r *actionRun) cancelErased(ctx context.Context, was []Delivery, at time.Time) error {
	changes := make([]Change, len(was))
	for i, d := range was {
		d.Status, d.Reason, d.Due, d.Updated = Canceled, ReasonErased, at, at
		changes[i].Delivery = d
	}
	stale, err := r.update(ctx, was, changes)
	if err == nil && len(stale) > 0 {
		err = errStale
	}
	return err
}

var errStale = fmt.Errorf("hooks: deliveries of an event that is erased: %w", ErrConflict)
