package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/hooks"
)

// Enqueue implements [hooks.Tx].
func (s *Store) Enqueue(
	ctx context.Context, now time.Time, entries []hooks.Entry,
) ([]hooks.Receipt, error) {
	return write(ctx, &s.writer, "enqueue", func(t *tx) ([]hooks.Receipt, error) {
		return t.enqueue(now, entries)
	})
}

func (t *tx) enqueue(now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	receipts := make([]hooks.Receipt, len(entries))
	for i, e := range entries {
		r, err := t.store(now, e)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.Event.ID, err)
		}
		receipts[i] = r
	}
	return receipts, nil
}

// store writes one entry.
func (t *tx) store(now time.Time, e hooks.Entry) (r hooks.Receipt, err error) {
	if e.Add {
		return t.storeMissing(e)
	}
	holder, err := t.holder(now, e)
	if err != nil || holder != "" {
		return hooks.Receipt{EventID: holder, Duplicate: true}, err
	}
	added, err := t.addEvent(now, e)
	if err != nil || !added {
		return hooks.Receipt{EventID: e.Event.ID, Duplicate: true}, err
	}
	n, err := t.addDeliveries(e)
	return hooks.Receipt{EventID: e.Event.ID, Deliveries: n}, err
}

const (
	eventSQL  = `SELECT seq FROM hooks_events WHERE id = ?`
	holderSQL = `SELECT event_id FROM hooks_keys WHERE tenant = ? AND key = ? AND until > ?`
	takeSQL   = `INSERT INTO hooks_keys (tenant, key, event_id, until) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET event_id = excluded.event_id, until = excluded.until`
	heardSQL = `UPDATE hooks_events SET unheard = 0 WHERE seq = ? AND unheard = 1`
)

// holder returns the event that stands in the way of one with an idempotency
// key: itself, or the one that has the key. If there is none, it takes the key.
func (t *tx) holder(now time.Time, e hooks.Entry) (id string, err error) {
	ev := &e.Event
	if ev.IdempotencyKey == "" {
		return "", nil
	}
	var seq int64
	err = t.row(eventSQL, []any{ev.ID}, &seq)
	if !errors.Is(err, sql.ErrNoRows) {
		return ev.ID, err
	}
	err = t.row(holderSQL, []any{ev.Tenant, ev.IdempotencyKey, micros(now)}, &id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	_, err = t.exec(takeSQL, ev.Tenant, ev.IdempotencyKey, ev.ID, micros(e.KeyUntil))
	return "", err
}

// storeMissing adds those deliveries that a stored event does not have.
func (t *tx) storeMissing(e hooks.Entry) (r hooks.Receipt, err error) {
	var seq int64
	err = t.row(eventSQL, []any{e.Event.ID}, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return r, hooks.ErrNotFound
	}
	if err != nil {
		return r, err
	}
	n, err := t.addDeliveries(e)
	if err == nil && n > 0 {
		_, err = t.exec(heardSQL, seq)
	}
	return hooks.Receipt{EventID: e.Event.ID, Deliveries: n}, err
}

const addEventSQL = `INSERT INTO hooks_events
	(seq, id, type, tenant, time, ordering_key, idempotency_key, deliver_at, expires_at,
	 metadata, fanout, stored, unheard, data, erased)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// addEvent reports false if the event is there already.
func (t *tx) addEvent(now time.Time, e hooks.Entry) (added bool, err error) {
	seq, err := t.next()
	if err != nil {
		return false, err
	}
	ev := &e.Event
	n, err := t.exec(addEventSQL, seq, ev.ID, ev.Type, ev.Tenant, micros(ev.Time),
		ev.OrderingKey, ev.IdempotencyKey, micros(ev.DeliverAt), micros(ev.ExpiresAt),
		asJSON(ev.Metadata), len(e.Deliveries), micros(now), len(e.Deliveries) == 0, []byte(ev.Data), micros(ev.Erased))
	return n > 0, err
}

// A delivery with an ordering key is parked if another stands at the head of
// its line, for then it is the last.
const (
	addSQL = `INSERT INTO hooks_deliveries
		(seq, event_id, subscriber, type, tenant, ordering_key, status, reason, due, run,
		 attempts, lost, token, created, updated, code, error, parked)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`
	parkLastSQL = `UPDATE hooks_deliveries SET parked = 1 WHERE seq = ? AND EXISTS (
		SELECT 1 FROM hooks_deliveries INDEXED BY hooks_deliveries_line
		WHERE subscriber = ? AND tenant = ? AND ordering_key = ? AND ordering_key <> ''
		AND status <= 3 AND parked = 0 AND seq < ?)`
)

// addDeliveries writes those deliveries of e that are not there yet, and
// counts them.
func (t *tx) addDeliveries(e hooks.Entry) (n int, err error) {
	for _, d := range e.Deliveries {
		d.Event = e.Event.ID
		added, err := t.addDelivery(d)
		if err != nil {
			return 0, err
		}
		if added {
			n++
		}
	}
	return n, nil
}

func (t *tx) addDelivery(d hooks.Delivery) (added bool, err error) {
	seq, err := t.next()
	if err != nil {
		return false, err
	}
	n, err := t.exec(addSQL, seq, d.Event, d.Subscriber, d.Type, d.Tenant, d.OrderingKey,
		int64(d.Status), string(d.Reason), micros(d.Due), d.Run, d.Attempts, d.Lost, d.Token,
		micros(d.Created), micros(d.Updated), d.Code, d.Error)
	if err == nil && n > 0 && d.OrderingKey != "" {
		_, err = t.exec(parkLastSQL, seq, d.Subscriber, d.Tenant, d.OrderingKey, seq)
	}
	return n > 0, err
}

// asJSON returns m as JSON, and nil if it is empty.
func asJSON[V any](m map[string]V) any {
	if len(m) == 0 {
		return nil
	}
	b, _ := json.Marshal(m) // maps of strings always can be
	return string(b)
}
