package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
)

// Migrations hold one script for each version of the schema, in the folder
// migrations and in order, for those who run them with a tool of their own, such
// as goose, tern or atlas. They are written for the schema "hooks". Each is to be
// run once, in a transaction, with a lock_timeout of some hundred milliseconds. Those that
// were ever released never change, and none takes away what the version before needs, so
// that old and new programs work side by side while a fleet is updated. One of the old that
// is started when the scripts have run must not call [Store.Migrate], which returns
// [hooks.ErrTooNew] there.
//
//go:embed migrations/*.sql
var Migrations embed.FS

const migrateLock = 0x686f6f6b73 // "hooks"

// Migrate makes the tables, or brings them up to date. Each version of the schema is made
// in a transaction of its own, so that a process which dies leaves a whole version, and the
// next call goes on from there. It may be called by many processes at once, and whenever
// they start: where nothing is missing it only looks. Programs of the version before go on
// publishing and delivering meanwhile.
//
// Migrate waits up to half a minute for transactions that use the tables, such as a
// backup, and then returns [ErrTimeout]. Nobody else waits behind it for longer than 300 ms.
//
// Indexes of large tables are made CONCURRENTLY, on a connection outside of the pool. That
// takes some seconds per million rows, waits for every transaction in the database that
// began before, and holds up nobody else, so it may take as long as ctx says. A call that
// another process is ahead of waits until that one is done.
//
// It returns [hooks.ErrTooNew] where a later version has been, [hooks.ErrForeign]
// where the schema holds something else, and leaves both as they are.
func (s *Store) Migrate(ctx context.Context) error {
	if ctx == nil {
		return &hooks.InvalidError{Field: "Context", Problem: "it is nil; give context.Background()"}
	}
	return explain(ctx, "migrate", s.migrate(ctx))
}

// migrate runs the scripts that are missing. One that has waited for a lock is rolled back
// and run again, because whoever uses the table waits behind it.
func (s *Store) migrate(ctx context.Context) error {
	for giveUp := time.Now().Add(patience); ; {
		done, err := s.runNext(ctx)
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			continue
		case errors.Is(err, errBuilding):
			giveUp = time.Now().Add(patience)
		case !isLocked(err) || time.Now().After(giveUp):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(migratePause):
		}
	}
}

const (
	// migrateWait is how long a script waits for a lock.
	migrateWait = "300ms"
	// migratePause is how long others can work before a script is run again.
	migratePause = 700 * time.Millisecond
)

// runNext runs the first script that is missing, in a transaction, when the indexes that it
// wants of large tables are there. done reports that none is missing.
func (s *Store) runNext(ctx context.Context) (done bool, err error) {
	wanting := "" // the script that wants them
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := s.suits(tx.Conn()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock($1)`, int64(migrateLock)); err != nil {
			return err
		}
		version, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		scripts, _ := fs.Glob(Migrations, "migrations/*.sql") // the pattern is sound
		if version > len(scripts) {
			return fmt.Errorf("%w: its schema is version %d, and this program knows %d", hooks.ErrTooNew, version, len(scripts))
		}
		if done = version == len(scripts); done {
			return nil
		}
		name := scripts[version]
		if wanted, err := s.wanted(ctx, tx, name); err != nil || len(wanted) > 0 {
			wanting = name
			return err
		}
		if err := s.runScript(ctx, tx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil && wanting != "" {
		err = s.build(ctx, wanting)
	}
	return done, err
}

// runScript runs a script in the store's schema. It does not create one that is
// there, for that takes a right which whoever made it for us may have kept.
func (s *Store) runScript(ctx context.Context, tx pgx.Tx, name string) error {
	file, err := Migrations.ReadFile(name)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_catalog.set_config('lock_timeout', $1, true)`, migrateWait); err != nil {
		return err
	}
	var there bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)`, s.schema).Scan(&there)
	if err != nil {
		return err
	}
	create := "CREATE SCHEMA " + pgx.Identifier{s.schema}.Sanitize() + ";"
	if there {
		create = ""
	}
	script := strings.ReplaceAll(string(file), "CREATE SCHEMA IF NOT EXISTS hooks;", create)
	_, err = tx.Conn().PgConn().Exec(ctx, s.text(script)).ReadAll()
	return err
}

// version is 0 where there is no schema of ours.
func (s *Store) version(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var encoding string
	var tables int
	var ours bool
	err = tx.QueryRow(ctx, `SELECT pg_catalog.current_setting('server_encoding'),
		(SELECT pg_catalog.count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1),
		EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = 'meta' AND a.attname = 'record_version')`,
		s.schema).Scan(&encoding, &tables, &ours)
	switch {
	case err != nil:
		return 0, err
	case encoding != "UTF8":
		return 0, fmt.Errorf("%w: the database's encoding is %s; create one with UTF8", hooks.ErrForeign, encoding)
	case ours:
		err = tx.QueryRow(ctx, s.text(`SELECT version FROM hooks.meta`)).Scan(&version)
		return version, err
	case tables > 0:
		return 0, fmt.Errorf("%w: schema %q has other tables; choose another with Config.Schema", hooks.ErrForeign, s.schema)
	}
	return 0, nil
}
