package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"example.com/hooks"
)

const (
	// maxPage bounds the rows of one page.
	maxPage = 1000
	// maxExamined bounds the rows that one page looks at.
	maxExamined = 5000
)

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

// A pager lists rows of a table by seq. The rows of source are found by an index,
// more or less; of those it examines some, by filter.
type pager struct {
	table, columns string
	source, filter condition
	oldestFirst    bool
}

// order returns what is true of a row after a number and of one up to another, and the
// order of rows.
func (p pager) order() (after, upTo, order string) {
	if p.oldestFirst {
		return "seq > ?", "seq <= ?", "seq"
	}
	return "seq < ?", "seq >= ?", "seq DESC"
}

// window is the statement that finds the last of the rows to examine.
func (p pager) window() string {
	after, _, order := p.order()
	last := "min"
	if p.oldestFirst {
		last = "max"
	}
	return fmt.Sprintf(`SELECT count(*), ifnull(%s(seq), 0) FROM (
		SELECT seq FROM %s WHERE %s ORDER BY %s LIMIT %d)`,
		last, p.table, strings.Join(append(p.source.terms, after), " AND "), order, maxExamined)
}

func (p pager) rows() string {
	after, upTo, order := p.order()
	terms := slices.Concat(p.source.terms, p.filter.terms, []string{after, upTo})
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT ?`,
		p.columns, p.table, strings.Join(terms, " AND "), order)
}

// fetch returns the page of q, and where the next one begins.
func fetch[T any](
	ctx context.Context, s *Store, p pager, q hooks.Query,
	each func(*sql.Rows) (T, error), seq func(T) int64,
) (page []T, next string, err error) {
	p.oldestFirst = q.OldestFirst
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

// examine bounds a page that begins after the row with the number from. Where nothing is
// left to filter, its limit is bound enough.
func (s *Store) examine(ctx context.Context, p pager, from int64) (w window, err error) {
	switch {
	case len(p.filter.terms) > 0:
	case p.oldestFirst:
		return window{last: math.MaxInt64}, nil
	default:
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
