package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"example.com/hooks"
)

// Update implements [hooks.Store]. When an entry of an Emit cannot be enqueued, it
// returns [hooks.ErrNotFound] and has changed nothing at all.
func (s *Store) Update(
	ctx context.Context, now time.Time, changes []hooks.Change,
) ([]hooks.DeliveryID, error) {
	return write(ctx, &s.writer, "update", func(t *tx) (stale []hooks.DeliveryID, err error) {
		for _, c := range changes {
			applied, err := t.apply(now, c)
			if err != nil {
				return nil, err
			}
			if !applied {
				stale = append(stale, c.Delivery.DeliveryID)
			}
		}
		return stale, nil
	})
}

// apply reports false, and has done nothing, when c is stale.
func (t *tx) apply(now time.Time, c hooks.Change) (applied bool, err error) {
	applied, err = t.overwrite(c.Delivery)
	if err == nil && !applied {
		applied, err = t.move(c.Delivery)
	}
	if err != nil || !applied {
		return false, err
	}
	if err := t.mark(); err != nil {
		return false, err
	}
	if c.Attempt != nil {
		if err := t.addAttempt(c.Delivery.DeliveryID, c.Attempt); err != nil {
			return false, err
		}
	}
	_, err = t.enqueue(now, c.Emit)
	return true, err
}

const (
	overwriteSQL = `UPDATE hooks_deliveries
		SET status = ?, reason = ?, due = ?, run = ?, attempts = ?, lost = ?,
		updated = ?, code = ?, error = ?, token = token + 1
		WHERE event_id = ? AND subscriber = ? AND token = ? AND run >= ? AND ordering_key = ''`
	placeSQL = `SELECT seq, run, tenant, ordering_key FROM hooks_deliveries
		WHERE event_id = ? AND subscriber = ? AND token = ?`
	moveSQL = `UPDATE hooks_deliveries
		SET status = ?, reason = ?, due = ?, run = ?, attempts = ?, lost = ?,
		updated = ?, code = ?, error = ?, token = token + 1, seq = ?, parked = ordering_key <> ''
		WHERE seq = ?`
	addAttemptSQL = `INSERT INTO hooks_attempts
		(event_id, subscriber, run, number, token, start, dns, connect, tls, wait, took, url, code, error,
		 retry_after, header, body, body_cut, instance)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// overwrite writes d if it keeps its place: it has no ordering key, and its
// run is not a new one. That is nearly always, and one statement.
func (t *tx) overwrite(d hooks.Delivery) (done bool, err error) {
	n, err := t.exec(overwriteSQL, append(fields(d), d.Event, d.Subscriber, d.Token, d.Run)...)
	return n > 0, err
}

// fields are what an Update writes.
func fields(d hooks.Delivery) []any {
	return []any{
		int64(d.Status), string(d.Reason), micros(d.Due), d.Run, d.Attempts, d.Lost,
		micros(d.Updated), d.Code, d.Error,
	}
}

// move writes d, in a place of its own if its run is a new one.
func (t *tx) move(d hooks.Delivery) (done bool, err error) {
	var seq int64
	var run int
	l := line{subscriber: d.Subscriber}
	err = t.row(placeSQL, []any{d.Event, d.Subscriber, d.Token}, &seq, &run, &l.tenant, &l.key)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	place := seq
	if d.Run > run {
		if place, err = t.next(); err != nil {
			return false, err
		}
	}
	if _, err := t.exec(moveSQL, append(fields(d), place, seq)...); err != nil {
		return false, err
	}
	return true, t.advance(l)
}

// A line is the unfinished deliveries of one subscriber, tenant and ordering
// key. One of them, its head, is not parked.
type line struct{ subscriber, tenant, key string }

const (
	headSQL = `SELECT seq, status FROM hooks_deliveries INDEXED BY hooks_deliveries_line
		WHERE subscriber = ? AND tenant = ? AND ordering_key = ? AND ordering_key <> ''
		AND status <= 3 AND parked = 0 ORDER BY seq LIMIT 1`
	nextSQL = `SELECT seq, status FROM hooks_deliveries INDEXED BY hooks_deliveries_line
		WHERE subscriber = ? AND tenant = ? AND ordering_key = ? AND ordering_key <> ''
		AND status <= 3 AND parked = 1 ORDER BY seq LIMIT 1`
	parkSQL = `UPDATE hooks_deliveries SET parked = ? WHERE seq = ?`
)

// advance makes the first delivery of a line its head, unless the head that
// it has is in flight.
func (t *tx) advance(l line) error {
	if l.key == "" {
		return nil
	}
	head, status, err := t.first(headSQL, l)
	if err != nil {
		return err
	}
	next, _, err := t.first(nextSQL, l)
	if err != nil {
		return err
	}
	if next == 0 || head != 0 && (status == hooks.Sending || head < next) {
		return nil
	}
	if head != 0 {
		if _, err := t.exec(parkSQL, 1, head); err != nil {
			return err
		}
	}
	_, err = t.exec(parkSQL, 0, next)
	return err
}

// first returns the delivery of a line that query finds, and 0 if there is
// none.
func (t *tx) first(query string, l line) (seq int64, status hooks.Status, err error) {
	err = t.row(query, []any{l.subscriber, l.tenant, l.key}, &seq, &status)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	return seq, status, err
}

func (t *tx) addAttempt(id hooks.DeliveryID, a *hooks.Attempt) error {
	_, err := t.exec(addAttemptSQL, id.Event, id.Subscriber, a.Run, a.Number, a.Token,
		micros(a.Start), int64(a.DNS), int64(a.Connect), int64(a.TLS), int64(a.Wait), int64(a.Took),
		a.URL, a.Code, a.Error, int64(a.RetryAfter), asJSON(a.Header), a.Body, a.BodyCut, a.Instance)
	return err
}
