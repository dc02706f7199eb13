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
	p := pager{table: "hooks.events", columns: eventColumnsSQL, row: "e", oldestFirst: q.OldestFirst}
	p.addEvents(q)
	return fetch(ctx, s, p, q, scanEvent, func(ev hooks.Event) int64 { return ev.Seq })
}

// Deliveries implements [hooks.Store]. A page has at most 1,000 rows. A cursor that no
// page returned is a [*hooks.InvalidError].
func (s *Store) Deliveries(ctx context.Context, q hooks.Query) (page []hooks.Delivery, next string, err error) {
	p := pager{table: "hooks.deliveries", columns: deliveryColumnsSQL, row: "d", oldestFirst: q.OldestFirst}
	p.addDeliveries(q)
	return fetch(ctx, s, p, q, scanDelivery, func(d hooks.Delivery) int64 { return d.Seq })
}

// A part is rows that an index has in the order of seq, or that are few.
type part struct {
	terms []string // of a WHERE clause
	seq   string   // what stands in the index for the row's seq
}

// A pager lists rows of a table by seq. Each row is in one of the parts at most. Of the
// rows of all parts it examines some, by filter.
type pager struct {
	table, columns, row string
	parts               []part
	filter              []string // terms of a WHERE clause
	args                []any
	partArgs            int  // how many of them, the first, are those of parts
	oldestFirst         bool // the lowest seq comes first, and not the highest
}

// arg keeps a value and returns its place in the statement.
func (p *pager) arg(value any) string {
	p.args = append(p.args, value)
	return "$" + strconv.Itoa(len(p.args))
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
	p.args = slices.Clone(p.args[:p.partArgs])
	beyond, _, order := p.direction()
	query := fmt.Sprintf(`SELECT pg_catalog.count(*), pg_catalog.min(place), pg_catalog.max(place) FROM (
		SELECT place FROM (%s) AS parts ORDER BY place %s LIMIT %d) AS page`,
		p.union("", "LIMIT "+strconv.Itoa(maxExamined), beyond+" "+p.arg(from)), order, maxExamined)
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

// union returns the statement that selects columns, and the place, of the rows of all
// parts whose seq is as the comparisons say, in order and bounded by limit in each part.
func (p *pager) union(columns, limit string, comparisons ...string) string {
	_, _, order := p.direction()
	var selects []string
	for _, part := range p.parts {
		terms := slices.Clone(part.terms)
		if columns != "" { // else the filter is not asked
			terms = append(terms, p.filter...)
		}
		for _, c := range comparisons {
			terms = append(terms, part.seq+" "+c)
		}
		selects = append(selects, fmt.Sprintf("(SELECT %s%s AS place FROM %s %s WHERE %s ORDER BY %[2]s %[6]s %[7]s)",
			columns, part.seq, p.table, p.row, strings.Join(append(terms, "true"), " AND "), order, limit))
	}
	return strings.Join(selects, " UNION ALL ")
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
	beyond, upTo = beyond+" "+p.arg(from), upTo+" "+p.arg(last)
	most := "LIMIT " + p.arg(limit)
	return fmt.Sprintf(`SELECT %s FROM (%s) AS %s ORDER BY place %s %s`,
		p.columns, p.union(p.row+".*, ", most, beyond, upTo), p.row, order, most)
}

// Attempts implements [hooks.Store].
func (s *Store) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	return rows(ctx, s, "attempts", attemptsSQL, []any{id.Event, id.Subscriber}, scanAttempt)
}
