package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"example.com/hooks"
)

const (
	eventColumns = `seq, id, type, tenant, time, ordering_key, idempotency_key, deliver_at,
		expires_at, metadata, data, erased`
	deliveryColumns = `seq, event_id, subscriber, type, tenant, ordering_key, status, reason, due,
		run, attempts, lost, token, created, updated, code, error`
	attemptsSQL = `SELECT run, number, token, start, dns, connect, tls, wait, took, url, code, error,
		retry_after, header, body, body_cut, instance
		FROM hooks_attempts WHERE event_id = ? AND subscriber = ? ORDER BY id`
)

// Events implements [hooks.Store]. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Events(
	ctx context.Context, q hooks.Query,
) (page []hooks.Event, next string, err error) {
	p := eventPager(q)
	return fetch(ctx, s, p, q, scanEvent, func(ev hooks.Event) int64 { return ev.Seq })
}

// Deliveries implements [hooks.Store]. A page has at most 1,000 rows. A cursor that
// no page returned is a [*hooks.InvalidError].
func (s *Store) Deliveries(
	ctx context.Context, q hooks.Query,
) (page []hooks.Delivery, next string, err error) {
	p := deliveryPager(q)
	return fetch(ctx, s, p, q, scanDelivery, func(d hooks.Delivery) int64 { return d.Seq })
}

// Count implements [hooks.Reporter].
func (s *Store) Count(ctx context.Context, q hooks.Query, most int) (hooks.Count, error) {
	p := deliveryPager(q)
	query, args := p.count(max(most, 0))
	counts, err := read(ctx, s, "count", func(rows *sql.Rows) (c hooks.Count, err error) {
		var looked int
		err = rows.Scan(&looked, &c.N)
		c.More = c.N > most || looked > maxCounted && len(p.filter.terms) > 0
		c.N = min(c.N, max(most, 0))
		return c, err
	}, query, args...)
	if err != nil {
		return hooks.Count{}, err
	}
	return counts[0], nil
}

const anyOf = "(SELECT value FROM json_each(?))"

// Attempts implements [hooks.Store].
func (s *Store) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	return read(ctx, s, "attempts", scanAttempt, attemptsSQL, id.Event, id.Subscriber)
}

// read returns what each makes of the rows of a query, on a connection that
// does not write.
func read[T any](
	ctx context.Context, s *Store, verb string,
	each func(*sql.Rows) (T, error), query string, args ...any,
) ([]T, error) {
	if err := check(ctx); err != nil {
		return nil, err
	}
	leave, err := s.writer.enter(verb)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return nil, explain(verb, adviseTimeout(ctx, s.db, err))
	}
	list, err := scan(rows, each)
	return list, explain(verb, adviseTimeout(ctx, s.db, err))
}

func (s *Store) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if st, ok := s.prepared[query]; ok {
		return st.QueryContext(ctx, args...)
	}
	return s.db.QueryContext(ctx, query, args...)
}

// scan makes a list of rows and closes them.
func scan[T any](rows *sql.Rows, each func(*sql.Rows) (T, error)) (list []T, err error) {
	defer rows.Close()
	for rows.Next() {
		item, err := each(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, rows.Err()
}

func scanEvent(rows *sql.Rows) (ev hooks.Event, err error) {
	err = rows.Scan(&ev.Seq, &ev.ID, &ev.Type, &ev.Tenant, (*stamp)(&ev.Time),
		&ev.OrderingKey, &ev.IdempotencyKey, (*stamp)(&ev.DeliverAt), (*stamp)(&ev.ExpiresAt),
		fromJSON{&ev.Metadata}, (*[]byte)(&ev.Data), (*stamp)(&ev.Erased))
	return ev, err
}

func scanDelivery(rows *sql.Rows) (d hooks.Delivery, err error) {
	err = rows.Scan(&d.Seq, &d.Event, &d.Subscriber, &d.Type, &d.Tenant, &d.OrderingKey,
		&d.Status, &d.Reason, (*stamp)(&d.Due), &d.Run, &d.Attempts, &d.Lost, &d.Token,
		(*stamp)(&d.Created), (*stamp)(&d.Updated), &d.Code, &d.Error)
	return d, err
}

func scanAttempt(rows *sql.Rows) (a hooks.Attempt, err error) {
	err = rows.Scan(&a.Run, &a.Number, &a.Token, (*stamp)(&a.Start),
		&a.DNS, &a.Connect, &a.TLS, &a.Wait, &a.Took, &a.URL, &a.Code, &a.Error,
		&a.RetryAfter, fromJSON{&a.Header}, &a.Body, &a.BodyCut, &a.Instance)
	return a, err
}

// A stamp scans a time.
type stamp time.Time

func (s *stamp) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time is %T, not an integer", src)
	}
	*s = stamp(fromMicros(n))
	return nil
}

// micros returns t as it is stored. What is beyond the year 9999 is stored as
// its end.
func micros(t time.Time) int64 {
	const end = 253402300799_999999
	switch {
	case t.IsZero():
		return 0
	case t.Unix() > end/1_000_000:
		return end
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// fromJSON scans JSON, or NULL, into what to points to.
type fromJSON struct{ to any }

func (j fromJSON) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(src), j.to)
	}
	return fmt.Errorf("JSON is %T, not text", src)
}
