package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"

	"example.com/hooks"
)

func invalidDB(format string, args ...any) error {
	return &hooks.InvalidError{Field: "db", Problem: "sqlite.New: " + fmt.Sprintf(format, args...)}
}

// checkDriver returns an error unless db uses this package's driver. Another
// one for SQLite would do for a while, but its errors are of other types, and
// none would be recognized.
func checkDriver(db *sql.DB) error {
	if db == nil {
		return invalidDB(`it is nil; give what sql.Open("sqlite", …) returns`)
	}
	if _, ok := db.Driver().(*driver.Driver); ok {
		return nil
	}
	// It may be a wrapper, for example one that traces: the errors that it
	// passes on show whose they are.
	_, err := db.Exec("SELECT hooks_no_such_function()")
	if _, ok := errors.AsType[*driver.Error](err); ok {
		return nil
	}
	return invalidDB(`its driver is %T; give a database opened with modernc.org/sqlite, by sql.Open("sqlite", …)`,
		db.Driver())
}

// mainFile returns the path of the file that db is kept in; it is empty for a
// database in memory. It reads nothing from the file.
func mainFile(db *sql.DB) (path string, err error) {
	rows, err := db.Query("PRAGMA database_list")
	if err != nil {
		return "", err
	}
	files, err := scan(rows, func(rows *sql.Rows) (f [2]string, err error) {
		var number int
		err = rows.Scan(&number, &f[0], &f[1])
		return f, err
	})
	for _, f := range files {
		if f[0] == "main" {
			path = f[1]
		}
	}
	return path, err
}

// checkMemory returns an error unless all connections to a database in memory
// see the same one, which has our tables by now.
func checkMemory(db *sql.DB) error {
	if db.Stats().MaxOpenConnections == 1 {
		return nil
	}
	ctx := context.Background()
	first, err := db.Conn(ctx) // held, so that the second is another one
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer second.Close()
	for _, conn := range []*sql.Conn{first, second} {
		version, err := schemaVersion(ctx, conn)
		if err != nil {
			return err
		}
		if version == 0 {
			return invalidDB("it is in memory, where each connection of the pool has a database of its own;" +
				" call db.SetMaxOpenConns(1), or use package store/memory")
		}
	}
	return nil
}
