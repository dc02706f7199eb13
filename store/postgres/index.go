package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
)

// An index is one that a migration makes.
type index struct {
	name, table string // without the schema
	create      string // the statement that makes it, CONCURRENTLY
}

var indexForm = regexp.MustCompile(`CREATE INDEX IF NOT EXISTS (\w+) ON hooks\.(\w+) [^;]*`)

// indexesOf returns the indexes that a script makes.
func indexesOf(script string) (list []index) {
	for _, m := range indexForm.FindAllStringSubmatch(script, -1) {
		create := "CREATE INDEX CONCURRENTLY " + m[0][len("CREATE INDEX IF NOT EXISTS "):]
		list = append(list, index{name: m[1], table: m[2], create: create})
	}
	return list
}

const (
	// smallTable is up to how many bytes of a table an index is made in a moment.
	smallTable = 1 << 20
	// buildLock is held by whoever makes indexes.
	buildLock = migrateLock + 1
)

// errBuilding says that another process makes the indexes.
var errBuilding = errors.New("another process makes indexes")

// wantedSQL returns how large a table is, and whether it has an index: it has none in
// the middle of its making, or if that was interrupted.
const wantedSQL = `SELECT pg_catalog.pg_relation_size(t.oid), EXISTS (
		SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = t.oid AND c.relname = $3 AND i.indisvalid)
	FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
	WHERE n.nspname = $1 AND t.relname = $2`

// wanted returns the indexes that a script would make of large tables.
func (s *Store) wanted(ctx context.Context, tx pgx.Tx, script string) (list []index, err error) {
	file, err := Migrations.ReadFile(script)
	if err != nil {
		return nil, err
	}
	for _, ix := range indexesOf(string(file)) {
		var size int64
		var there bool
		if err := tx.QueryRow(ctx, wantedSQL, s.schema, ix.table, ix.name).Scan(&size, &there); err != nil {
			return nil, err
		}
		if size > smallTable && !there {
			list = append(list, ix)
		}
	}
	return list, nil
}

// build makes the indexes that a script wants, while others go on writing, on a connection of its own, because that
// cannot be done in a transaction. Meanwhile it holds a lock in a transaction that is idle:
// one that runs a statement would be waited for. For that reason nobody waits for the lock.
func (s *Store) build(ctx context.Context, script string) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var locked bool
		err := tx.QueryRow(ctx, `SELECT pg_catalog.pg_try_advisory_xact_lock($1)`, int64(buildLock)).Scan(&locked)
		switch {
		case err != nil:
			return err
		case !locked:
			return errBuilding
		}
		list, err := s.wanted(ctx, tx, script) // others may have made them
		if err != nil || len(list) == 0 {
			return err
		}
		// In the simple protocol: of the other one the server keeps the last statement's
		// snapshot, for which the making of an index would wait.
		if _, err := tx.Conn().PgConn().Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0").ReadAll(); err != nil {
			return err
		}
		conn, err := s.connect(ctx)
		if err != nil {
			return err
		}
		defer s.hangUp(conn)
		return s.buildOn(ctx, conn, list)
	})
}

// hangUp ends a connection of build, and with it what the server still does there.
func (s *Store) hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it is of no use any more
}

func (s *Store) buildOn(ctx context.Context, conn *pgx.Conn, list []index) error {
	var statements []string
	if !s.pollOnly { // behind a pooler, the settings could stay with a connection of others
		statements = append(statements, "SET statement_timeout = 0", "SET lock_timeout = 0")
	}
	for _, ix := range list {
		statements = append(statements, "DROP INDEX CONCURRENTLY IF EXISTS hooks."+ix.name, ix.create)
	}
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(ctx, s.text(statement)).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
