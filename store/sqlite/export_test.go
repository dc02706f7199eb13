package sqlite

import "database/sql"

// Writer is the pool of the connection that writes.
func (s *Store) Writer() *sql.DB { return s.writer.db }

// Statements are the prepared ones that write, and those that read.
func Statements() (write, read []string) { return writes, reads }
