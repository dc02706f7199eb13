package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"example.com/hooks"
)

// Claim implements [hooks.Store]. It meets no delivery that waits for another of its
// ordering key, for those are parked when they are written.
func (s *Store) Claim(
	ctx context.Context, now time.Time, lanes []hooks.ClaimLane,
) ([]hooks.Entry, error) {
	return write(ctx, &s.writer, "claim", func(t *tx) ([]hooks.Entry, error) {
		var leased []hooks.Delivery
		for _, l := range lanes {
			ds, err := t.lease(now, l)
			if err != nil {
				return nil, err
			}
			leased = append(leased, ds...)
		}
		return t.withEvents(leased)
	})
}

// Statuses stand in these statements as they do in the conditions of the
// partial indexes: with bound parameters SQLite could not use them. The
// unfinished ones are those up to 3; a list of them would cost SQLite a
// temporary table for every row that it changes, and index. Where an
// index is named, another would look better to SQLite if the application has
// it gather statistics of the tables (ANALYZE), and be a scan. The two halves of
// dueSQL are merged as they are read; neither is read beyond what the claim takes.
const (
	dueSQL = `SELECT ` + deliveryColumns + ` FROM hooks_deliveries INDEXED BY hooks_deliveries_due
		WHERE subscriber = ?1 AND due <= ?2 AND status < 3 AND parked = 0
		UNION ALL
		SELECT ` + deliveryColumns + ` FROM hooks_deliveries INDEXED BY hooks_deliveries_leased
		WHERE subscriber = ?1 AND due <= min(?2, ?3) AND status = 3 AND parked = 0
		ORDER BY due, seq LIMIT ?4`
	leaseSQL = `UPDATE hooks_deliveries
		SET status = 3, due = ?, lost = lost + (status = 3), token = token + 1
		WHERE seq IN (SELECT value FROM json_each(?))`
	eventsSQL = `SELECT ` + eventColumns + ` FROM hooks_events
		WHERE id IN (SELECT value FROM json_each(?))`
)

// lease claims one lane's deliveries, oldest due first.
func (t *tx) lease(now time.Time, l hooks.ClaimLane) ([]hooks.Delivery, error) {
	if l.Max <= 0 {
		return nil, nil
	}
	rows, err := t.query(dueSQL, l.Subscriber, micros(l.Before), micros(now), l.Max)
	if err != nil {
		return nil, err
	}
	due, err := scan(rows, scanDelivery)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	seqs := make([]int64, len(due))
	for i := range due {
		d := &due[i]
		seqs[i] = d.Seq
		if d.Status == hooks.Sending {
			d.Lost++
		}
		d.Status, d.Due = hooks.Sending, fromMicros(micros(l.LeaseUntil))
		d.Token++
	}
	_, err = t.exec(leaseSQL, micros(l.LeaseUntil), list(seqs))
	return due, err
}

// withEvents returns deliveries together with their events.
func (t *tx) withEvents(ds []hooks.Delivery) ([]hooks.Entry, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	entries := hooks.GroupByEvent(ds)
	ids, place := make([]string, len(entries)), make(map[string]int, len(entries))
	for i, e := range entries {
		ids[i], place[e.Event.ID] = e.Event.ID, i
	}
	rows, err := t.query(eventsSQL, list(ids))
	if err != nil {
		return nil, err
	}
	events, err := scan(rows, scanEvent)
	for _, ev := range events {
		entries[place[ev.ID]].Event = ev
	}
	return entries, err
}

// list returns the JSON of values, for json_each.
func list[T ~int64 | ~string](values []T) string {
	b, _ := json.Marshal(values) // numbers and strings always can be
	return string(b)
}

// Each recursion goes from one subscriber to the next, with a seek for each: the first
// through what waits, the second through the leases that there are.
const backlogSQL = `WITH RECURSIVE waiting (subscriber) AS (
		SELECT (SELECT subscriber FROM hooks_deliveries INDEXED BY hooks_deliveries_due
			WHERE subscriber >= '' AND status < 3 AND parked = 0 ORDER BY subscriber LIMIT 1)
		UNION ALL
		SELECT (SELECT d.subscriber FROM hooks_deliveries AS d INDEXED BY hooks_deliveries_due
			WHERE d.subscriber > waiting.subscriber AND d.status < 3 AND d.parked = 0
			ORDER BY d.subscriber LIMIT 1)
		FROM waiting WHERE waiting.subscriber IS NOT NULL
	), leased (subscriber) AS (
		SELECT (SELECT subscriber FROM hooks_deliveries INDEXED BY hooks_deliveries_leased
			WHERE subscriber >= '' AND status = 3 AND parked = 0 ORDER BY subscriber LIMIT 1)
		UNION ALL
		SELECT (SELECT d.subscriber FROM hooks_deliveries AS d INDEXED BY hooks_deliveries_leased
			WHERE d.subscriber > leased.subscriber AND d.status = 3 AND d.parked = 0
			ORDER BY d.subscriber LIMIT 1)
		FROM leased WHERE leased.subscriber IS NOT NULL
	)
	SELECT subscriber, (SELECT d.due FROM hooks_deliveries AS d INDEXED BY hooks_deliveries_due
		WHERE d.subscriber = waiting.subscriber AND d.status < 3 AND d.parked = 0
		ORDER BY d.due LIMIT 1)
	FROM waiting WHERE subscriber IS NOT NULL
	UNION ALL
	SELECT subscriber, (SELECT d.due FROM hooks_deliveries AS d INDEXED BY hooks_deliveries_leased
		WHERE d.subscriber = leased.subscriber AND d.status = 3 AND d.parked = 0
		ORDER BY d.due LIMIT 1)
	FROM leased WHERE subscriber IS NOT NULL`

// Backlog implements [hooks.Store]. Deliveries that wait for another of their
// ordering key never count. The list is in the order of subscribers.
func (s *Store) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	list, err := read(ctx, s, "backlog", func(rows *sql.Rows) (w hooks.BacklogLane, err error) {
		err = rows.Scan(&w.Subscriber, (*stamp)(&w.Due))
		return w, err
	}, backlogSQL)
	slices.SortFunc(list, func(a, b hooks.BacklogLane) int {
		return cmp.Or(cmp.Compare(a.Subscriber, b.Subscriber), a.Due.Compare(b.Due))
	})
	return slices.CompactFunc(list, func(a, b hooks.BacklogLane) bool { return a.Subscriber == b.Subscriber }), err
}
