package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/hooks"
)

const (
	// maxPage bounds the rows of one page.
	maxPage = 1000
	// maxExamined bounds the rows that are read for one page.
	maxExamined = 5000
)

const (
	eventColumns = `seq, id, type, tenant, time, ordering_key, idempotency_key, deliver_at,
		expires_at, metadata, data`
	deliveryColumns = `seq, event_id, subscriber, type, tenant, ordering_key, status, reason, due,
		run, attempts, lost, token, created, updated, code, error`
	attemptsSQL = `SELECT run, number, token, start, dns, connect, tls, wait, took, url, code, error,
		retry_after, header, body, body_cut, instance
		FROM hooks_attempts WHERE event_id = ? AND subscriber = ? ORDER BY id`
)

// Events is [hooks.Store]'s. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Events(
	ctx context.Context, q hooks.Query,
) (page []hooks.Event, next string, err error) {
	var source, filter condition
	source.add(q.Event != "", "id = ?", q.Event)
	filter.addCommon(q, "stored")
	p := pager{table: "hooks_events", columns: eventColumns, source: source, filter: filter}
	return fetch(ctx, s, p, q, scanEvent, func(ev hooks.Event) int64 { return ev.Seq })
}

// Deliveries is [hooks.Store]'s. A page has at most 1,000 rows. A cursor that
// no page returned is a [*hooks.InvalidError].
func (s *Store) Deliveries(
	ctx context.Context, q hooks.Query,
) (page []hooks.Delivery, next string, err error) {
	var source, filter condition
	source.add(q.Event != "", "event_id = ?", q.Event)
	source.add(q.Subscriber != "", "subscriber = ?", q.Subscriber)
	if len(q.Statuses) == 1 { // a literal, for the index of failed ones
		source.add(true, fmt.Sprintf("status = %d", q.Statuses[0]))
	} else {
		filter.add(len(q.Statuses) > 0, "status IN "+anyOf, list(numbers(q.Statuses)))
	}
	filter.addCommon(q, "created")
	p := pager{table: "hooks_deliveries", columns: deliveryColumns, source: source, filter: filter}
	return fetch(ctx, s, p, q, scanDelivery, func(d hooks.Delivery) int64 { return d.Seq })
}

const anyOf = "(SELECT value FROM json_each(?))"

func numbers(statuses []hooks.Status) (list []int64) {
	for _, st := range statuses {
		list = append(list, int64(st))
	}
	return list
}

// A condition is the terms of a WHERE clause.
type condition struct {
	terms []string
	args  []any
}

func (c *condition) add(when bool, term string, args ...any) {
	if when {
		c.terms = append(c.terms, term)
		c.args = append(c.args, args...)
	}
}

func (c *condition) addCommon(q hooks.Query, stored string) {
	c.add(q.Tenant != "", "tenant = ?", q.Tenant)
	c.add(len(q.Types) > 0, "type IN "+anyOf, list(q.Types))
	c.add(!q.From.IsZero(), stored+" >= ?", micros(q.From))
	c.add(!q.To.IsZero(), stored+" < ?", micros(q.To))
}

// A pager lists rows of a table, highest seq first. The rows of source are
// found by an index, more or less; of those it examines some, by filter.
type pager struct {
	table, columns string
	source, filter condition
}

// window is the statement that finds the last of the rows to examine.
func (p pager) window() string {
	return fmt.Sprintf(`SELECT count(*), ifnull(min(seq), 0) FROM (
		SELECT seq FROM %s WHERE %s ORDER BY seq DESC LIMIT %d)`,
		p.table, strings.Join(append(p.source.terms, "seq < ?"), " AND "), maxExamined)
}

func (p pager) rows() string {
	terms := slices.Concat(p.source.terms, p.filter.terms, []string{"seq < ? AND seq >= ?"})
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY seq DESC LIMIT ?`,
		p.columns, p.table, strings.Join(terms, " AND "))
}

// fetch returns the page of q, and the cursor of the page that follows.
func fetch[T any](
	ctx context.Context, s *Store, p pager, q hooks.Query,
	each func(*sql.Rows) (T, error), seq func(T) int64,
) (page []T, next string, err error) {
	from, err := q.Position()
	if err != nil {
		return nil, "", err
	}
	limit := q.PageSize(maxPage)
	w, err := s.examine(ctx, p, from)
	if err != nil {
		return nil, "", err
	}
	page, err = read(ctx, s, "list", each, p.rows(),
		slices.Concat(p.source.args, p.filter.args, []any{from, w.last, limit})...)
	switch {
	case err != nil:
		return nil, "", err
	case len(page) == limit:
		return page, hooks.Cursor(seq(page[limit-1])), nil
	case w.examined == maxExamined:
		return page, hooks.Cursor(w.last), nil
	}
	return page, "", nil
}

// A window is how many rows a page may examine, and the last of them.
type window struct{ examined, last int64 }

// examine bounds a page that begins below from. Where nothing is left to
// filter, its limit is bound enough.
func (s *Store) examine(ctx context.Context, p pager, from int64) (w window, err error) {
	if len(p.filter.terms) == 0 {
		return w, nil
	}
	windows, err := read(ctx, s, "list", func(rows *sql.Rows) (w window, err error) {
		err = rows.Scan(&w.examined, &w.last)
		return w, err
	}, p.window(), append(p.source.args, from)...)
	if err != nil {
		return w, err
	}
	return windows[0], nil
}

// Attempts is [hooks.Store]'s.
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
		fromJSON{&ev.Metadata}, (*[]byte)(&ev.Data))
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
