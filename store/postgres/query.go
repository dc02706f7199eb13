package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

const (
	// maxPage bounds the rows of one page.
	maxPage = 1000
	// maxExamined bounds the rows that are read for one page.
	maxExamined = 5000

	attemptsSQL = `SELECT run, number, token, start, dns, connect, tls, wait, took, url, code, error,
		retry_after, header, body, body_cut, instance
		FROM hooks.attempts WHERE event_id = $1 AND subscriber = $2 ORDER BY id`
)

// Events is [hooks.Store]'s. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Events(ctx context.Context, q hooks.Query) (page []hooks.Event, next string, err error) {
	p := pager{table: "hooks.events e", columns: eventColumnsSQL, row: "e"}
	if q.Event != "" {
		p.source = append(p.source, "e.id = "+p.arg(q.Event))
	}
	p.sourceArgs = len(p.args)
	p.addCommon(q, "stored")
	return fetch(ctx, s, p, q, scanEvent, func(ev hooks.Event) int64 { return ev.Seq })
}

// Deliveries is [hooks.Store]'s. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Deliveries(ctx context.Context, q hooks.Query) (page []hooks.Delivery, next string, err error) {
	p := pager{table: "hooks.deliveries d", columns: deliveryColumnsSQL, row: "d"}
	if q.Event != "" {
		p.source = append(p.source, "d.event_id = "+p.arg(q.Event))
	}
	if q.Subscriber != "" {
		p.source = append(p.source, p.ofSubscriber(q))
	}
	p.sourceArgs = len(p.args)
	p.addStatuses(q.Statuses)
	p.addCommon(q, "created")
	return fetch(ctx, s, p, q, scanDelivery, func(d hooks.Delivery) int64 { return d.Seq })
}

// A pager lists rows of a table, highest seq first. The rows of source are found
// by an index, more or less; of those it examines some, by filter.
type pager struct {
	table, columns, row string
	source, filter      []string // terms of a WHERE clause
	args                []any
	sourceArgs          int // how many of them, the first, are source's
}

// arg keeps a value and returns its place in the statement.
func (p *pager) arg(value any) string {
	p.args = append(p.args, value)
	return "$" + strconv.Itoa(len(p.args))
}

// ofSubscriber is written for the index that serves: of one event the primary key,
// of those in flight the one of Claim, else the one of lists.
func (p *pager) ofSubscriber(q hooks.Query) string {
	if q.Event != "" || slices.Equal(q.Statuses, []hooks.Status{hooks.Sending}) {
		return "d.subscriber = " + p.arg(q.Subscriber)
	}
	return "d.subscriber || '' = " + p.arg(q.Subscriber)
}

// addStatuses uses a literal where there is a partial index: of failed ones, and
// of those in flight, which are never parked.
func (p *pager) addStatuses(statuses []hooks.Status) {
	switch {
	case len(statuses) == 0:
	case len(statuses) > 1:
		list := make([]int16, len(statuses))
		for i, st := range statuses {
			list[i] = int16(st)
		}
		p.filter = append(p.filter, "d.status = ANY("+p.arg(list)+"::smallint[])")
	case statuses[0] == hooks.Sending:
		p.source = append(p.source, "d.status = 3 AND NOT d.parked AND d.status <= 3")
	case statuses[0] == hooks.Failed:
		p.source = append(p.source, "d.status = 5")
	default:
		p.filter = append(p.filter, "d.status = "+p.arg(int16(statuses[0]))+"::smallint")
	}
}

func (p *pager) addCommon(q hooks.Query, stored string) {
	if q.Tenant != "" {
		p.filter = append(p.filter, p.row+".tenant = "+p.arg(q.Tenant))
	}
	if len(q.Types) > 0 {
		p.filter = append(p.filter, p.row+".type = ANY("+p.arg(q.Types)+"::pg_catalog.text[])")
	}
	if !q.From.IsZero() {
		p.filter = append(p.filter, p.row+"."+stored+" >= "+p.arg(q.From)+"::pg_catalog.timestamptz")
	}
	if !q.To.IsZero() {
		p.filter = append(p.filter, p.row+"."+stored+" < "+p.arg(q.To)+"::pg_catalog.timestamptz")
	}
}

// fetch returns the page of q, and the cursor of the page that follows.
func fetch[T any](ctx context.Context, s *Store, p pager, q hooks.Query,
	each func(batch.Row) (T, error), seq func(T) int64,
) (page []T, next string, err error) {
	from, err := q.Position()
	if err != nil {
		return nil, "", err
	}
	limit := q.PageSize(maxPage)
	examined, last, err := p.examine(ctx, s, from)
	if err != nil {
		return nil, "", err
	}
	query := p.list(from, last, limit)
	page, err = rows(ctx, s, "list", query, p.args, each)
	switch {
	case err != nil:
		return nil, "", err
	case len(page) == limit:
		return page, hooks.Cursor(seq(page[limit-1])), nil
	case examined == maxExamined:
		return page, hooks.Cursor(last), nil
	}
	return page, "", nil
}

// examine bounds the rows of a page that begins below from: it returns how many
// are to be examined, and the last of them. Where nothing is left to filter, the
// page's limit is bound enough.
func (p pager) examine(ctx context.Context, s *Store, from int64) (examined, last int64, err error) {
	if len(p.filter) == 0 {
		return 0, 0, nil
	}
	p.args = slices.Clone(p.args[:p.sourceArgs])
	terms := append(slices.Clone(p.source), p.row+".seq < "+p.arg(from))
	query := fmt.Sprintf(`SELECT pg_catalog.count(*), coalesce(pg_catalog.min(seq), 0) FROM (
		SELECT %s.seq FROM %s WHERE %s ORDER BY %[1]s.seq DESC LIMIT %[4]d) AS page`,
		p.row, p.table, strings.Join(terms, " AND "), maxExamined)
	_, err = rows(ctx, s, "list", query, p.args, func(r batch.Row) (struct{}, error) {
		return struct{}{}, r.Scan(&examined, &last)
	})
	return examined, last, err
}

// list returns the statement for a page, and keeps its arguments.
func (p *pager) list(from, last int64, limit int) string {
	terms := slices.Concat(p.source, p.filter,
		[]string{p.row + ".seq < " + p.arg(from), p.row + ".seq >= " + p.arg(last)})
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s.seq DESC LIMIT %s`,
		p.columns, p.table, strings.Join(terms, " AND "), p.row, p.arg(limit))
}

// Attempts is [hooks.Store]'s.
func (s *Store) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	return rows(ctx, s, "attempts", attemptsSQL, []any{id.Event, id.Subscriber}, scanAttempt)
}

const (
	// The row is locked until the transaction ends: versions commit in their order.
	nextVersionSQL = `UPDATE hooks.meta SET record_version = record_version + 1 WHERE one`
	putSQL         = `INSERT INTO hooks.records (key, version, data)
		SELECT $1, m.record_version, $2 FROM hooks.meta m
		WHERE m.one AND $3 = coalesce((SELECT CASE WHEN r.data IS NULL THEN 0 ELSE r.version END
			FROM hooks.records r WHERE r.key = $1), 0)
		ON CONFLICT (key) DO UPDATE SET version = excluded.version, data = excluded.data
		RETURNING version`
	// In the application's transaction a bytea may be written in two ways. A text that
	// is null, of a record that was deleted, gives nil.
	recordsSQL = `SELECT key, version, pg_catalog.encode(data, 'hex') FROM hooks.records WHERE version > $1 ORDER BY version`
)

// Put is [hooks.Store]'s. Dispatchers that listen hear of it at once.
func (s *Store) Put(ctx context.Context, _ time.Time, r hooks.Record, emit []hooks.Entry) (version int64, err error) {
	data := r.Data
	if len(data) == 0 {
		data = nil // deleted
	}
	version, err = detached(ctx, func(ctx context.Context) (version int64, err error) {
		err = s.submit(ctx, func() []batch.Statement {
			version = 0
			return []batch.Statement{
				{SQL: nextVersionSQL},
				{SQL: putSQL, Args: []any{r.Key, data, r.Version}, Each: func(r batch.Row) error { return r.Scan(&version) }},
			}
		})
		return version, err
	}, nil)
	switch {
	case err != nil:
		return 0, explain(ctx, "put "+r.Key, err)
	case version == 0:
		return 0, hooks.ErrConflict
	}
	s.herald.owe()
	return version, nil
}

// Records is [hooks.Tx]'s.
func (s *Store) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	return rows(ctx, s, "records", recordsSQL, []any{since}, scanRecord)
}

func scanRecord(r batch.Row) (rec hooks.Record, err error) {
	var data *string
	if err = r.Scan(&rec.Key, &rec.Version, &data); err == nil && data != nil {
		rec.Data, err = hex.DecodeString(*data)
	}
	return rec, err
}
