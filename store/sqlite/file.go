package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"syscall"
)

// A dbFile is the database file that a store has open. It notices when the
// file was removed or replaced: SQLite would go on to write into the one that
// it has open, which nobody finds any more when it is closed.
type dbFile struct {
	path string      // absolute, without symbolic links; empty in memory
	info os.FileInfo // of the file that path led to when the store was made

	// replaced is set once and never cleared. When the file is put back, some
	// connections may have opened the one that stood in its place.
	replaced atomic.Bool

	// Only the writer's goroutine uses what follows.
	conn any         // the driver's connection that committed last
	log  os.FileInfo // the write-ahead log that it has open
}

// set notes the path, and which file it leads to now. A file that replaces it
// before SQLite has opened it is refused later, and the other order of the two
// would accept it.
func (f *dbFile) set(path string) (err error) {
	f.path = path
	if path != "" {
		f.info, err = os.Stat(path)
	}
	return err
}

// check returns [ErrReplaced] if path does not lead to the same file any more.
// If it cannot tell, for example because a directory may not be searched, it
// returns nil, because the open file can be written all the same.
func (f *dbFile) check() error {
	if f.path == "" {
		return nil
	}
	if f.replaced.Load() {
		return ErrReplaced
	}
	now, err := os.Stat(f.path)
	if isGone(err) || err == nil && !os.SameFile(now, f.info) {
		return f.lost()
	}
	return nil
}

// checkCommit is check after a commit on conn, which is durable only if the
// write-ahead log, too, is still the one that conn has open. SQLite deletes a
// log when its last connection closes, and never while conn is open.
func (f *dbFile) checkCommit(conn *sql.Conn) error {
	if err := f.check(); err != nil || f.path == "" {
		return err
	}
	log, err := os.Stat(f.path + "-wal")
	if isGone(err) {
		var mode string
		if conn.QueryRowContext(context.Background(), "PRAGMA journal_mode").Scan(&mode) == nil && mode == "wal" {
			return f.lost()
		}
		return nil
	}
	if err != nil {
		return nil
	}
	same := driverConn(conn)
	if same != nil && same == f.conn && !os.SameFile(log, f.log) {
		return f.lost()
	}
	f.conn, f.log = same, log
	return nil
}

func (f *dbFile) lost() error {
	f.replaced.Store(true)
	return ErrReplaced
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// driverConn returns the driver's connection beneath conn if it is a pointer,
// which can be compared, or else nil.
func driverConn(conn *sql.Conn) (c any) {
	_ = conn.Raw(func(dc any) error {
		if reflect.TypeOf(dc).Kind() == reflect.Pointer {
			c = dc
		}
		return nil
	})
	return c
}

// besideReadOnly reports whether no file can be made beside the one at path
// because its directory or file system allows no writing. SQLite, which makes
// its log there, says only that it "cannot open".
func besideReadOnly(path string) bool {
	probe, err := os.CreateTemp(filepath.Dir(path), ".hooks-*")
	if err != nil {
		return causeOf(err) == ErrReadOnly
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	return false
}
