package hooks

import (
	"context"
	"fmt"
)

// Delivery returns a delivery as it stands, or [ErrNotFound].
func (h *Hooks) Delivery(ctx context.Context, id DeliveryID) (Delivery, error) {
	if err := checkContext(ctx); err != nil {
		return Delivery{}, err
	}
	return readDelivery(ctx, h.store, id)
}

func readDelivery(ctx context.Context, store Store, id DeliveryID) (Delivery, error) {
	q := Query{Event: id.Event, Subscriber: id.Subscriber, Limit: 1}
	for {
		page, next, err := store.Deliveries(ctx, q)
		switch {
		case err != nil:
			return Delivery{}, fmt.Errorf("hooks: delivery %v: %w", id, err)
		case len(page) > 0:
			return page[0], nil
		case next == "":
			return Delivery{}, fmt.Errorf("hooks: delivery %v: %w", id, ErrNotFound)
		}
		q.Cursor = next
	}
}

// Deliveries lists deliveries, newest first. next goes into q.Cursor for the
// page that follows, and is empty at the end; pages before may be short.
func (h *Hooks) Deliveries(ctx context.Context, q Query) (page []Delivery, next string, err error) {
	if err := checkContext(ctx); err != nil {
		return nil, "", err
	}
	return h.store.Deliveries(ctx, q)
}

// Events lists events, newest first, in pages like those of Deliveries.
func (h *Hooks) Events(ctx context.Context, q Query) (page []Event, next string, err error) {
	if err := checkContext(ctx); err != nil {
		return nil, "", err
	}
	return h.store.Events(ctx, q)
}

// Attempts lists the attempts of a delivery over all its runs, oldest first.
func (h *Hooks) Attempts(ctx context.Context, id DeliveryID) ([]Attempt, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	return h.store.Attempts(ctx, id)
}

// Replay starts a final delivery again: another run with a full budget of
// attempts, the same event id, the history kept. One whose event has expired
// ends again at once. A delivery that is not final
// is a [StatusError].
func (h *Hooks) Replay(ctx context.Context, id DeliveryID) (Delivery, error) {
	return h.decide(ctx, id, func(d Delivery) (Delivery, error) {
		if !d.Status.Final() {
			return d, &StatusError{d.DeliveryID, d.Status, Pending}
		}
		d.Run++
		d.Reason, d.Attempts, d.Lost = "", 0, 0
		return d.move(Pending, h.now())
	})
}

// SendNow makes a waiting delivery due at once. One that is under way or
// final is a [StatusError].
func (h *Hooks) SendNow(ctx context.Context, id DeliveryID) (Delivery, error) {
	return h.decide(ctx, id, func(d Delivery) (Delivery, error) {
		if d.Status.Final() || d.Status == Sending {
			return d, &StatusError{d.DeliveryID, d.Status, d.waiting()}
		}
		return d.move(d.Status, h.now())
	})
}

// Cancel ends a delivery that is not final. An attempt that is under way is
// not called back, but its outcome counts no more.
func (h *Hooks) Cancel(ctx context.Context, id DeliveryID) (Delivery, error) {
	return h.decide(ctx, id, func(d Delivery) (Delivery, error) {
		return d.move(Canceled, h.now())
	})
}

// decide changes a delivery as an operator wants it: now, and due at once.
// If it changes meanwhile, it is read and decided again.
func (h *Hooks) decide(ctx context.Context, id DeliveryID, how func(Delivery) (Delivery, error)) (Delivery, error) {
	if err := checkContext(ctx); err != nil {
		return Delivery{}, err
	}
	if err := h.sync(ctx, nil); err != nil {
		return Delivery{}, err
	}
	const tries = 5
	for range tries {
		was, err := h.Delivery(ctx, id)
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
