package hooks

import (
	"context"
	"fmt"
)

// Replay sends a delivery now. A final one starts again: another run with a full budget of
// attempts, the same event id, the history kept; one whose event has expired ends again at
// once. One that waits is due now, in its present run.
//
// One that is being sent is a [StatusError]: wait for its outcome, or cancel it. One whose
// subscriber was deleted is an [*InvalidError] that wraps [ErrNotFound], also if there is
// an endpoint with the same id now, because that is another one. Other errors are those of
// Delivery.
func (v *view) Replay(ctx context.Context, id DeliveryID) (Delivery, error) {
	if err := v.check(ctx); err != nil {
		return Delivery{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil { // the subscriber may be gone
		return Delivery{}, err
	}
	return v.decide(ctx, id, func(d Delivery) (Delivery, error) {
		switch {
		case v.h.subscriber(d.Subscriber).obstacleTo(d).forGood():
			return d, invalid("DeliveryID", "the subscriber of %v was deleted, so it cannot be sent again; publish another event", id).
				because(ErrNotFound)
		case d.Status == Sending:
			return d, &StatusError{d.DeliveryID, d.Status, d.waiting()}
		case !d.Status.Final():
			return d.move(d.Status, v.h.now())
		}
		d.Run++
		d.Reason, d.Attempts, d.Lost = "", 0, 0
		return d.move(Pending, v.h.now())
	})
}

// Cancel ends a delivery that is not final; a final one is a [StatusError]. An attempt that
// is under way is not called back, but its outcome counts no more. Other errors are those
// of Delivery.
func (v *view) Cancel(ctx context.Context, id DeliveryID) (Delivery, error) {
	return v.decide(ctx, id, func(d Delivery) (Delivery, error) {
		return d.move(Canceled, v.h.now())
	})
}

// decide changes a delivery as somebody wants it: now, and due at once. If it changes
// meanwhile, it is read and decided again.
func (v *view) decide(ctx context.Context, id DeliveryID, how func(Delivery) (Delivery, error)) (Delivery, error) {
	if err := v.check(ctx); err != nil {
		return Delivery{}, err
	}
	h := v.h
	if err := h.sync(ctx, nil); err != nil {
		return Delivery{}, err
	}
	const tries = 5
	for range tries {
		was, err := v.Delivery(ctx, id)
		if err != nil {
			return was, err
		}
		next, err := how(was)
		if err != nil {
			return was, err
		}
		next.Due = next.Updated
		stale, err := h.store.Update(ctx, next.Updated, []Change{{Delivery: next}})
		if err != nil {
			return was, fmt.Errorf("hooks: delivery %v: %w", id, err)
		}
		if len(stale) == 0 {
			h.dispatcher().drop(was)
			h.lookNow()
			next.Token++
			return next, nil
		}
	}
	return Delivery{}, fmt.Errorf("hooks: delivery %v: %w", id, ErrConflict)
}
