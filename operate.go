package hooks

import (
	"context"
	"fmt"
	"time"
)

// Replay sends a delivery now, and returns it as it then stands.
//
//   - A final delivery starts another run, with as many attempts as a new one. The event's
//     ID stays the same, and so the webhook-id; earlier attempts stay in the history. If
//     the event has expired, the delivery fails again at once.
//   - A delivery that waits becomes due now, in its present run.
//   - A delivery that is being sent is a [*StatusError]: wait for its outcome, or cancel it.
//   - A delivery whose subscriber was deleted is an [*InvalidError] that wraps
//     [ErrNotFound]. So it is if there is an endpoint with the same id now, because that is
//     another one.
//   - A delivery whose event was erased is an [*InvalidError], too.
//
// Other errors are those of Delivery.
func (v *view) Replay(ctx context.Context, id DeliveryID) (Delivery, error) {
	if err := v.check(ctx); err != nil {
		return Delivery{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil { // the subscriber may be gone
		return Delivery{}, err
	}
	return v.decide(ctx, id, func(d Delivery) (Delivery, error) {
		return v.h.replayed(ctx, v.h.store, d, v.h.now())
	})
}

// replayed returns a delivery as it is when it is sent again at a time. If it cannot be, the
// error is an [*InvalidError] or a [*StatusError]; any other one is the store's.
func (h *Hooks) replayed(ctx context.Context, store Store, d Delivery, at time.Time) (Delivery, error) {
	switch {
	case h.subscriber(d.Subscriber).obstacleTo(d).forGood():
		return d, invalid("DeliveryID", "the subscriber of %v was deleted, so it cannot be sent again; publish another event", d.DeliveryID).
			because(ErrNotFound)
	case d.Status == Sending:
		return d, &StatusError{d.DeliveryID, d.Status, d.waiting()}
	}
	ev, err := first(ctx, store.Events, Query{Event: d.Event})
	switch {
	case err != nil:
		return d, noDelivery(d.DeliveryID, err)
	case !ev.Erased.IsZero():
		return d, invalid("DeliveryID", "the event of %v was erased at %s, so there is nothing to send; publish another event",
			d.DeliveryID, stamp(ev.Erased))
	case !d.Status.Final():
		return d.move(d.Status, at)
	}
	d.Run++
	d.Reason, d.Attempts, d.Lost = "", 0, 0
	return d.move(Pending, at)
}

// Cancel ends a delivery that is not final, and returns it; a final one is a [*StatusError].
// An attempt that is under way goes on, but its outcome is not stored any more. Other errors
// are those of Delivery.
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
