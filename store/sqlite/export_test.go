package sqlite

import (
	"database/sql"
	"math"
	"testing"

	"example.com/hooks"
)

// Writer is the pool of the connection that writes.
func (s *Store) Writer() *sql.DB { return s.writer.db }

// Statements are the prepared ones that write, and those that read.
func Statements() (write, read []string) { return writes, reads }

// FileChecks are what is done before a write, and after its commit.
func (s *Store) FileChecks(tb testing.TB) (check, checkCommit func() error) {
	conn, err := s.writer.db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return s.writer.file.check, func() error { return s.writer.file.checkCommit(conn) }
}

// A Query is a statement of a list or count, its arguments, and how many rows it may look at.
type Query struct {
	SQL  string
	Args []any
	Most int
}

// DeliveryQueries are those of a list of deliveries, and of a count.
func DeliveryQueries(q hooks.Query) []Query {
	p := deliveryPager(q)
	count, args := p.count(10_000)
	return append(p.queries(q), Query{count, args, maxCounted + 1})
}

// EventQueries are those of a list of events.
func EventQueries(q hooks.Query) []Query { return eventPager(q).queries(q) }

// queries are those that a page takes: for the last row that it may examine, and if its
// limit is bound enough, for its rows.
func (p pager) queries(q hooks.Query) []Query {
	p.oldestFirst = q.OldestFirst
	from, _ := q.Position() // the view has checked it
	if len(p.filter.terms) > 0 {
		window, args := p.window(from)
		return []Query{{window, args, maxExamined}}
	}
	last := int64(0)
	if p.oldestFirst {
		last = math.MaxInt64
	}
	limit := q.PageSize(maxPage)
	rows, args := p.rows(from, last, limit)
	return []Query{{rows, args, limit + len(p.parts)}} // of each part that is merged, one row ahead
}
