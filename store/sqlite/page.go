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

// all returns the terms as one.
func (c *condition) all() string {
	return strings.Join(append(slices.Clone(c.terms), "true"), " AND ")
}

func (c *condition) addCommon(q hooks.Query, stored string) {
	c.add(len(q.Types) > 0, "type IN "+anyOf, list(q.Types))
	c.add(!q.From.IsZero(), stored+" >= ?", micros(q.From))
	c.add(!q.To.IsZero(), stored+" < ?", micros(q.To))
}

// A part is rows that an index has in the order of seq, or that are few.
type part struct {
	index string // its name; empty: SQLite chooses one
	condition
}

// A pager lists rows of a table by seq. Each row is in one of the parts at most. Of the
// rows of all parts it examines some, by filter.
type pager struct {
	table, columns string
	parts          []part
	filter         condition
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

// union returns the statement that selects columns of the rows of all parts of which
// terms are true, and its arguments. SQLite merges the parts as it reads them.
func (p pager) union(columns string, also condition) (query string, args []any) {
	var selects []string
	for _, part := range p.parts {
		from := p.table
		if part.index != "" {
			from += " INDEXED BY " + part.index
		}
		selects = append(selects, fmt.Sprintf("SELECT %s FROM %s WHERE %s AND %s", columns, from, part.all(), also.all()))
		args = slices.Concat(args, part.args, also.args)
	}
	return strings.Join(selects, " UNION ALL "), args
}

// window returns the statement that finds the last of the rows to examine, from the row
// with a number on.
func (p pager) window(from int64) (query string, args []any) {
	after, _, order := p.order()
	last := "min"
	if p.oldestFirst {
		last = "max"
	}
	var beyond condition
	beyond.add(true, after, from)
	query, args = p.union("seq", beyond)
	return fmt.Sprintf(`SELECT count(*), ifnull(%s(seq), 0) FROM (%s ORDER BY %s LIMIT %d)`,
		last, query, order, maxExamined), args
}

// rows returns the statement for the rows between two numbers.
func (p pager) rows(from, last int64, limit int) (query string, args []any) {
	after, upTo, order := p.order()
	also := condition{slices.Clone(p.filter.terms), slices.Clone(p.filter.args)}
	also.add(true, after, from)
	also.add(true, upTo, last)
	query, args = p.union(p.columns, also)
	return query + " ORDER BY " + order + " LIMIT ?", append(args, limit)
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
	query, args := p.rows(from, w.last, limit)
	page, err = read(ctx, s, "list", each, query, args...)
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
	query, args := p.window(from)
	windows, err := read(ctx, s, "list", func(rows *sql.Rows) (w window, err error) {
		err = rows.Scan(&w.examined, &w.last)
		return w, err
	}, query, args...)
	if err != nil {
		return w, err
	}
	return windows[0], nil
}
