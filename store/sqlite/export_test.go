package sqlite

import (
	"database/sql"
	"testing"
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
