package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"example.com/hooks"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	// maxExamined bounds the rows that one page looks at.
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

// fetch returns the page of q, and where the next one begins.
func fetch[T any](ctx context.Context, s *Store, p pager, q hooks.Query,
	each func(row) (T, error), seq func(T) int64,
) (page []T, next string, err error) {
	from, err := position(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := min(q.Limit, maxLimit)
	if limit <= 0 {
		limit = defaultLimit
	}
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
		return page, strconv.FormatInt(seq(page[limit-1]), 10), nil
	case examined == maxExamined:
		return page, strconv.FormatInt(last, 10), nil
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
	_, err = rows(ctx, s, "list", query, p.args, func(r row) (struct{}, error) {
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

// position is the number below which a page begins.
func position(cursor string) (int64, error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	seq, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || seq <= 0 {
		return 0, &hooks.InvalidError{
			Field:   "Query.Cursor",
			Problem: strconv.Quote(cursor) + ": give what the page before returned as next",
			Err:     err,
		}
	}
	return seq, nil
}

// Attempts is [hooks.Store]'s.
func (s *Store) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	return rows(ctx, s, "attempts", attemptsSQL, []any{id.Event, id.Subscriber}, scanAttempt)
}

// rows returns what each makes of the rows of a query.
func rows[T any](ctx context.Context, s *Store, verb, sql string, args []any, each func(row) (T, error)) (list []T, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := s.pool.Acquire(limited)
	if err != nil {
		return nil, explain(ctx, verb, err)
	}
	defer conn.Release()
	err = s.transact(limited, conn, view(statement{sql, args, func(r row) error {
		v, err := each(r)
		list = append(list, v)
		return err
	}}))
	if err != nil {
		return nil, explain(ctx, verb, err)
	}
	return list, nil
}
