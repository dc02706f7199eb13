package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"
)

// Publish stores ev and one delivery for each of its subscribers, in one write. When its
// error is nil, they are stored and will be delivered. The receipt says how many
// deliveries there are, or that the event was stored before.
//
// If the error is an [*InvalidError] or one of the store's, such as [ErrClosed], nothing was
// stored. After any other error it is unknown whether the event was stored. If ev has an ID
// or an IdempotencyKey, publish it again: if it is stored already, that is a duplicate.
//
// Events of the library's own types, such as [DeliveryFailed], cannot be published.
func (v *view) Publish(ctx context.Context, ev Event) (Receipt, error) {
	receipts, err := v.PublishBatch(ctx, []Event{ev})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// PublishBatch publishes events in one durable write, all or none, and
// returns their receipts in the same order. Errors are those of Publish.
func (v *view) PublishBatch(ctx context.Context, evs []Event) ([]Receipt, error) {
	if err := v.check(ctx); err != nil {
		return nil, err
	}
	h := v.h
	entries, err := v.entries(ctx, nil, evs)
	if err != nil {
		return nil, err
	}
	d := h.dispatcher()
	d.reserve(entries)
	receipts, err := h.store.Enqueue(ctx, h.now(), entries)
	if err != nil {
		d.abandon(entries, certain(err))
		return nil, publishError(evs, err)
	}
	defer d.accept(entries, receipts) // last, whatever the trace does
	h.trace.published(ctx, entries, receipts)
	if h.dispatcher() != d {
		h.lookNow() // Run has begun meanwhile, and may have read the backlog too early
	}
	return v.receipts(entries, receipts, func(id string) bool { return v.finds(ctx, id) }), nil
}

// PublishTx publishes inside the application's own transaction. The events and their
// deliveries exist if and when the transaction commits. tx is what the method Tx of
// [Config].Store returns for the transaction; that of another store is not noticed, and the
// events go there. Call [Hooks.Wake] after the commit, so that delivery begins at once. If
// the program ends before that call, nothing is lost. Errors are those of Publish; after an
// error, roll back.
func (v *view) PublishTx(ctx context.Context, tx Tx, evs ...Event) ([]Receipt, error) {
	if err := v.check(ctx); err != nil {
		return nil, err
	}
	if tx == nil || holdsNil(tx) {
		return nil, invalid("Tx", "it is nil; give what the store's Tx method returns")
	}
	entries, err := v.entries(ctx, tx, evs)
	if err != nil {
		return nil, err
	}
	receipts, err := tx.Enqueue(ctx, v.h.now(), entries)
	if err != nil {
		return nil, publishError(evs, err)
	}
	v.h.trace.published(ctx, entries, receipts)
	v.h.dispatcher().expectCommit(receipts)
	// The store cannot be asked: the transaction may hold the only connection of the pool.
	return v.receipts(entries, receipts, func(string) bool { return false }), nil
}

// publishError says which events an error is about.
func publishError(evs []Event, err error) error {
	if len(evs) == 1 {
		return fmt.Errorf("hooks: publish %s: %w", evs[0].Type, err)
	}
	return fmt.Errorf("hooks: publish %d events: %w", len(evs), err)
}

// entries checks the events, and makes the deliveries to their subscribers. If tx is not
// nil, it reads the subscribers in that transaction.
func (v *view) entries(ctx context.Context, tx Tx, evs []Event) ([]Entry, error) {
	entries := make([]Entry, len(evs))
	var w worker
	defer w.leave()
	for i, ev := range evs {
		ev.Tenant = cmp.Or(ev.Tenant, v.tenant) // the trace is told whose it is
		ev, err := v.complete(v.h.trace.publishing(ctx, &w, ev))
		if err != nil && len(evs) > 1 {
			return nil, fmt.Errorf("%w (event %d of %d)", err, i+1, len(evs))
		}
		if err != nil {
			return nil, err
		}
		if isOwn(ev.Type) {
			return nil, invalid("Event.Type", "%q: only the library itself publishes events of its own types; register a type of yours", ev.Type)
		}
		entries[i].Event = ev
	}
	if err := v.h.refresh(ctx, tx, staleAfter); err != nil {
		return nil, publishError(evs, err)
	}
	at := v.h.now()
	for i := range entries {
		v.h.address(&entries[i], at)
	}
	return entries, nil
}

// complete checks an event and sets what the application has left empty, except for Time,
// which address sets.
func (v *view) complete(ev Event) (_ Event, err error) {
	if ev.Tenant, err = v.own("Event.Tenant", ev.Tenant); err != nil {
		return ev, err
	}
	if ev.ID == "" {
		ev.ID = newID("evt_")
	}
	ev.Time, ev.DeliverAt, ev.ExpiresAt = micro(ev.Time), micro(ev.DeliverAt), micro(ev.ExpiresAt)
	ev.Metadata = maps.Clone(ev.Metadata)
	ev.Seq, ev.Erased = 0, time.Time{} // an event that was read may be published again
	if err := v.checkEvent(ev); err != nil {
		return ev, err
	}
	return ev, nil
}

func (v *view) checkEvent(ev Event) error {
	switch {
	case ev.err != nil:
		return invalid("Event.Data", "encode %s: %v", ev.Type, ev.err).because(ev.err)
	case !v.knows(ev.Type):
		return invalid("Event.Type", "%q is not registered; give its EventType to Register first", ev.Type).because(ErrUnknownType)
	case !isID(ev.ID):
		return invalid("Event.ID", "%q: write 1 to 128 letters, digits, _ and -", ev.ID)
	case len(ev.Data) > v.h.cfg.MaxPayload:
		return invalid("Event.Data", "%d bytes; at most %d: send a reference instead", len(ev.Data), v.h.cfg.MaxPayload).
			because(ErrTooLarge).detail("Config.MaxPayload is the limit")
	case !utf8.Valid(ev.Data) || !json.Valid(ev.Data):
		return invalid("Event.Data", "%s: it is not JSON in UTF-8; encode it, or make the event with EventType.New", ev.Type)
	}
	return cmp.Or(
		checkTimes(ev),
		checkText("Event.Tenant", ev.Tenant, maxName),
		checkText("Event.OrderingKey", ev.OrderingKey, maxKey),
		checkText("Event.IdempotencyKey", ev.IdempotencyKey, maxKey),
		checkMetadata(ev.Metadata),
	)
}

// checkTimes refuses times that no RFC 3339 text can say, and an event that expires before
// it may be delivered.
func checkTimes(ev Event) error {
	for _, t := range []time.Time{ev.Time, ev.DeliverAt, ev.ExpiresAt} {
		if t.Year() < 1 || !t.Before(farFuture) {
			return invalid("Event.Time", "%v: RFC 3339, and so the body, has the years 1 to 9998; the same is true of DeliverAt and ExpiresAt", t)
		}
	}
	if !ev.ExpiresAt.IsZero() && !ev.ExpiresAt.After(ev.DeliverAt) {
		return invalid("Event.ExpiresAt", "it is not after DeliverAt, so that the event could never be delivered")
	}
	return nil
}

const (
	maxKey      = 256      // bytes of an ordering or idempotency key
	maxMetadata = 16 << 10 // bytes of all its keys and values
)

func checkMetadata(m map[string]string) error {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return invalid("Event.Metadata", "%q: it is not UTF-8", k)
		}
	}
	if size > maxMetadata {
		return invalid("Event.Metadata", "%d bytes; at most %d", size, maxMetadata)
	}
	return nil
}

// address adds a delivery for each subscriber of the entry's event.
func (h *Hooks) address(e *Entry, at time.Time) {
	ev := &e.Event
	if ev.Time.IsZero() {
		ev.Time = at
	}
	if ev.IdempotencyKey != "" {
		e.KeyUntil = at.Add(h.cfg.IdempotencyWindow)
	}
	for _, m := range h.dir.matches(ev.Tenant, ev.Type, h.isForHandlers(*ev)) {
		e.Deliveries = append(e.Deliveries, m.delivery(*ev, at, h.dir.since(m.id)))
	}
}

// delivery returns a new delivery of an event to the subscriber. If the subscriber is an
// endpoint, since is what it has as since; otherwise zero.
func (m match) delivery(ev Event, at, since time.Time) Delivery {
	d := Delivery{
		DeliveryID: DeliveryID{ev.ID, m.id},
		Type:       ev.Type,
		Tenant:     ev.Tenant,
		Status:     Pending,
		Due:        later(at, ev.DeliverAt),
		Run:        1,
		Created:    later(at, since), // or it would be taken for one of the endpoint that was deleted
		Updated:    at,
	}
	if m.ordered {
		d.OrderingKey = ev.OrderingKey
	}
	return d
}
