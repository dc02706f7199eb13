package hooks

import (
	"context"
	"fmt"
)

// Event returns an event, or [ErrNotFound].
func (v *view) Event(ctx context.Context, id string) (Event, error) {
	if err := v.begin(ctx); err != nil {
		return Event{}, err
	}
	ev, err := Event{}, ErrNotFound
	if isID(id) { // an empty one would select any
		ev, err = first(ctx, v.h.store.Events, Query{Event: id})
	}
	if err == nil && !v.showsEvent(ev) {
		err = ErrNotFound
	}
	if err != nil {
		return Event{}, fmt.Errorf("hooks: event %q: %w", id, err)
	}
	return ev, nil
}

// Events lists events, newest first, or the oldest first if q says so. It looks at Event,
// Key, Tenant, Types, From, To, OldestFirst, Limit and Cursor of q. Pages are like those of
// Deliveries.
func (v *view) Events(ctx context.Context, q Query) (page []Event, next string, err error) {
	if err := v.begin(ctx); err != nil {
		return nil, "", err
	}
	if q, err = v.query(q, ofEvents); err != nil {
		return nil, "", err
	}
	q, none, err := v.narrow(q)
	if none || err != nil {
		return nil, "", err
	}
	if v.all {
		return v.h.store.Events(ctx, q)
	}
	return fill(ctx, v.h.store.Events, q, v.showsEvent, func(ev Event) int64 { return ev.Seq })
}

// Delivery returns a delivery as it stands, or [ErrNotFound].
func (v *view) Delivery(ctx context.Context, id DeliveryID) (Delivery, error) {
	if err := v.begin(ctx); err != nil {
		return Delivery{}, err
	}
	d, err := readDelivery(ctx, v.h.store, id)
	if err == nil && !v.showsDelivery(d) {
		return Delivery{}, noDelivery(id, ErrNotFound)
	}
	return d, err
}

func readDelivery(ctx context.Context, store Store, id DeliveryID) (Delivery, error) {
	if !isID(id.Event) || !isID(id.Subscriber) { // an empty one would select any
		return Delivery{}, noDelivery(id, ErrNotFound)
	}
	d, err := first(ctx, store.Deliveries, Query{Event: id.Event, Subscriber: id.Subscriber})
	if err != nil {
		return Delivery{}, noDelivery(id, err)
	}
	return d, nil
}

func noDelivery(id DeliveryID, err error) error { return fmt.Errorf("hooks: delivery %v: %w", id, err) }

// first returns the first row of a list, or [ErrNotFound].
func first[T any](
	ctx context.Context, list func(context.Context, Query) (page []T, next string, err error), q Query,
) (row T, err error) {
	q.Limit = 1
	for {
		page, next, err := list(ctx, q)
		switch {
		case err != nil:
			return row, err
		case len(page) > 0:
			return page[0], nil
		case next == "":
			return row, ErrNotFound
		}
		q.Cursor = next
	}
}

// Deliveries lists deliveries, newest first, or the oldest first if q says so. It looks at
// every field of q but Key. A pattern in Types that matches no registered type is an
// [*InvalidError]. Put next into q.Cursor for the page that follows; it is empty at the end.
// A page before the end may be short, even empty. [All] reads all pages.
func (v *view) Deliveries(ctx context.Context, q Query) (page []Delivery, next string, err error) {
	if err := v.begin(ctx); err != nil {
		return nil, "", err
	}
	if q, err = v.query(q, ofDeliveries); err != nil {
		return nil, "", err
	}
	q, none, err := v.narrow(q)
	if none || err != nil {
		return nil, "", err
	}
	if v.all {
		return v.h.store.Deliveries(ctx, q)
	}
	return fill(ctx, v.h.store.Deliveries, q, v.showsDelivery, func(d Delivery) int64 { return d.Seq })
}

// Attempts lists the attempts of a delivery over all its runs, oldest first, or returns
// [ErrNotFound].
func (v *view) Attempts(ctx context.Context, id DeliveryID) ([]Attempt, error) {
	if _, err := v.Delivery(ctx, id); err != nil {
		return nil, err
	}
	return v.h.store.Attempts(ctx, id)
}
