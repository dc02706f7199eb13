package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

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

// Events implements [hooks.Store]. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Events(ctx context.Context, q hooks.Query) (page []hooks.Event, next string, err error) {
	p := pager{table: "hooks.events e", columns: eventColumnsSQL, row: "e", oldestFirst: q.OldestFirst}
	if q.Event != "" {
		p.source = append(p.source, "e.id = "+p.arg(q.Event))
	}
	if q.Key != "" {
		p.source = append(p.source, p.ofKey(q))
	}
	p.sourceArgs = len(p.args)
	p.addCommon(q, "stored")
	return fetch(ctx, s, p, q, scanEvent, func(ev hooks.Event) int64 { return ev.Seq })
}

// Deliveries implements [hooks.Store]. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Deliveries(ctx context.Context, q hooks.Query) (page []hooks.Delivery, next string, err error) {
	p := pager{table: "hooks.deliveries d", columns: deliveryColumnsSQL, row: "d", oldestFirst: q.OldestFirst}
	p.addDeliveries(q)
	return fetch(ctx, s, p, q, scanDelivery, func(d hooks.Delivery) int64 { return d.Seq })
}

// A pager lists rows of a table by seq. The rows of source are found by an index, more or
// less; of those it examines some, by filter.
type pager struct {
	table, columns, row string
	source, filter      []string // terms of a WHERE clause
	args                []any
	sourceArgs          int  // how many of them, the first, are source's
	oldestFirst         bool // the lowest seq comes first, and not the highest
}

// arg keeps a value and returns its place in the statement.
func (p *pager) arg(value any) string {
	p.args = append(p.args, value)
	return "$" + strconv.Itoa(len(p.args))
}

// ofKey returns the condition of the event that has an idempotency key. Another one that
// was stored later under the same id does not have it.
func (p *pager) ofKey(q hooks.Query) string {
	tenant, key := p.arg(q.Tenant), p.arg(q.Key)
	return "e.id = (SELECT k.event_id FROM hooks.keys k WHERE k.tenant = " + tenant + " AND k.key = " + key +
		") AND e.tenant = " + tenant + " AND e.idempotency_key = " + key
}

// addDeliveries adds the conditions of a list of deliveries.
func (p *pager) addDeliveries(q hooks.Query) {
	if q.Event != "" {
		p.source = append(p.source, "d.event_id = "+p.arg(q.Event))
	}
	if q.Subscriber != "" {
		p.source = append(p.source, p.ofSubscriber(q))
	}
	p.sourceArgs = len(p.args)
	p.addStatuses(q.Statuses)
	p.addOutcomes(q)
	p.addCommon(q, "created")
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
		p.filter = append(p.filter, p.ofStatuses(statuses))
	case statuses[0] == hooks.Sending:
		p.source = append(p.source, "d.status = 3 AND NOT d.parked AND d.status <= 3")
	case statuses[0] == hooks.Failed:
		p.source = append(p.source, "d.status = 5")
	default:
		p.filter = append(p.filter, "d.status = "+p.arg(int16(statuses[0]))+"::smallint")
	}
}

func (p *pager) ofStatuses(statuses []hooks.Status) string {
	list := make([]int16, len(statuses))
	for i, st := range statuses {
		list[i] = int16(st)
	}
	return "d.status = ANY(" + p.arg(list) + "::smallint[])"
}

// addOutcomes adds what no index serves.
func (p *pager) addOutcomes(q hooks.Query) {
	if len(q.Reasons) > 0 {
		list := make([]string, len(q.Reasons))
		for i, r := range q.Reasons {
			list[i] = string(r)
		}
		p.filter = append(p.filter, "d.reason = ANY("+p.arg(list)+"::pg_catalog.text[])")
	}
	if len(q.Errors) > 0 {
		p.filter = append(p.filter, "d.error = ANY("+p.arg(q.Errors)+"::pg_catalog.text[])")
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

// examine bounds the rows of a page that begins beyond from: it returns how many are to
// be examined, and the last of them. Where nothing is left to filter, the page's limit is
// bound enough.
func (p pager) examine(ctx context.Context, s *Store, from int64) (examined, last int64, err error) {
	if len(p.filter) == 0 {
		return 0, p.end(), nil
	}
	p.args = slices.Clone(p.args[:p.sourceArgs])
	beyond, _, order := p.direction()
	terms := append(slices.Clone(p.source), p.row+".seq "+beyond+" "+p.arg(from))
	query := fmt.Sprintf(`SELECT pg_catalog.count(*), pg_catalog.min(seq), pg_catalog.max(seq) FROM (
		SELECT %s.seq FROM %s WHERE %s ORDER BY %[1]s.seq %[4]s LIMIT %[5]d) AS page`,
		p.row, p.table, strings.Join(terms, " AND "), order, maxExamined)
	var lowest, highest *int64 // nil if there are none
	_, err = rows(ctx, s, "list", query, p.args, func(r batch.Row) (struct{}, error) {
		return struct{}{}, r.Scan(&examined, &lowest, &highest)
	})
	switch {
	case err != nil || examined == 0:
		return 0, p.end(), err
	case p.oldestFirst:
		return examined, *highest, nil
	}
	return examined, *lowest, nil
}

// direction returns, in SQL, what a row's seq is to that of the row before its page, what
// it is to that of the last row of its page, and the order of rows.
func (p *pager) direction() (beyond, upTo, order string) {
	if p.oldestFirst {
		return ">", "<=", "ASC"
	}
	return "<", ">=", "DESC"
}

// end returns the seq that ends all pages.
func (p *pager) end() int64 {
	if p.oldestFirst {
		return math.MaxInt64
	}
	return 0
}

// list returns the statement for a page, and keeps its arguments.
func (p *pager) list(from, last int64, limit int) string {
	beyond, upTo, order := p.direction()
	terms := slices.Concat(p.source, p.filter,
		[]string{p.row + ".seq " + beyond + " " + p.arg(from), p.row + ".seq " + upTo + " " + p.arg(last)})
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s.seq %s LIMIT %s`,
		p.columns, p.table, strings.Join(terms, " AND "), p.row, order, p.arg(limit))
}

// Attempts implements [hooks.Store].
func (s *Store) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	return rows(ctx, s, "attempts", attemptsSQL, []any{id.Event, id.Subscriber}, scanAttempt)
}
