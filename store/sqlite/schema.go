package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"example.com/hooks"
)

// migrations hold one script for each version of the schema, in order. Those
// that were ever released never change.
//
//go:embed schema/*.sql
var migrations embed.FS

// applicationID marks files that Open made, for file(1).
const applicationID = 0x686f6f6b // "hook"

// inspect returns an error if the file at path is no store of this version or
// before. It changes nothing, which a connection that writes would do: the
// journal mode is kept in the file.
func inspect(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return invalidPath(path, nil, "it is a directory; write the name of a file")
	}
	if !fi.Mode().IsRegular() {
		return invalidPath(path, nil, "it is no regular file; write the name of one, or of a new one")
	}
	if n := fi.Size(); n > 0 && n < 512 { // SQLite takes it for an empty one
		return fmt.Errorf("%w: the file is too short for an SQLite database", hooks.ErrForeign)
	}
	params := []string{"_busy_timeout=5000", "mode=ro"}
	if !exists(path+"-wal") && !exists(path+"-journal") {
		params = append(params, "immutable=1") // else SQLite would leave an empty log behind
	}
	db, err := sql.Open("sqlite", dsn(path, params...))
	if err != nil {
		return err
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return describe(err, path)
	}
	version, err := schemaVersion(context.Background(), db)
	switch {
	case err != nil:
		return describe(err, path)
	case version == 0 && tables > 0:
		return fmt.Errorf("%w: the database has other tables; choose another file, or share it with New",
			hooks.ErrForeign)
	}
	return tooNew(version)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// describe makes [hooks.ErrForeign] of what is no database, and says what
// other errors about the file at path are about.
func describe(err error, path string) error {
	cause := causeOf(err)
	e, ok := errors.AsType[*driver.Error](err)
	if ok && e.Code()&0xff == lib.SQLITE_CANTOPEN && path != "" && besideReadOnly(path) {
		cause = ErrReadOnly
	}
	switch {
	case cause == ErrCorrupt:
		return fmt.Errorf("%w: the file is no SQLite database, or damaged: %w: %w",
			hooks.ErrForeign, cause, err)
	case cause != nil:
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

func tooNew(version int) error {
	if latest := len(scripts()); version > latest {
		return fmt.Errorf("%w: its schema is version %d, and this program knows %d",
			hooks.ErrTooNew, version, latest)
	}
	return nil
}

func scripts() []string {
	names, _ := fs.Glob(migrations, "schema/*.sql") // the pattern is sound
	return names
}

// A rowQueryer is an *sql.DB or *sql.Conn.
type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// schemaVersion is 0 where there is no schema of ours.
func schemaVersion(ctx context.Context, q rowQueryer) (version int, err error) {
	var tables int
	const ours = `SELECT count(*) FROM sqlite_schema WHERE name = 'hooks_schema'`
	err = q.QueryRowContext(ctx, ours).Scan(&tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	err = q.QueryRowContext(ctx, `SELECT version FROM hooks_schema`).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) || err == nil && version < 1 {
		return 0, fmt.Errorf("%w: its table hooks_schema has no version of ours", hooks.ErrForeign)
	}
	return version, err
}

// migrate brings the schema up to date, all of it or nothing. own says that
// the file is nobody else's.
func migrate(db *sql.DB, own bool) error {
	ctx := context.Background()
	version, err := schemaVersion(ctx, db)
	if err != nil || version == len(scripts()) {
		return err
	}
	if err := tooNew(version); err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := upgrade(ctx, conn, own); err != nil {
		_, rollbackErr := conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollbackErr)
	}
	return nil
}

// upgrade runs the scripts that are missing, inside the transaction that it
// commits. Another process may have run them meanwhile.
func upgrade(ctx context.Context, conn *sql.Conn, own bool) error {
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	if err := tooNew(version); err != nil {
		return err
	}
	for _, name := range scripts()[version:] {
		script, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, string(script)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	mark := fmt.Sprintf(`CREATE TABLE IF NOT EXISTS hooks_schema (version INTEGER NOT NULL) STRICT;
		DELETE FROM hooks_schema; INSERT INTO hooks_schema (version) VALUES (%d);`, len(scripts()))
	if own {
		mark += fmt.Sprintf("PRAGMA application_id = %d;", applicationID)
	}
	if _, err := conn.ExecContext(ctx, mark); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}
