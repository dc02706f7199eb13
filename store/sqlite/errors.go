package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"example.com/hooks"
)

// Errors that tell what ails the database. [errors.Is] finds them in what the
// methods of a [Store] return, and [errors.As] the driver's own error beside
// them, if there is one. When the cause is gone the store works again, without
// being reopened; only ErrReplaced stays.
//
// After one of them it is unknown whether the write happened. Repeat the call
// with the same ids: what is stored already is not stored twice.
var (
	// ErrBusy: another connection or process held the write lock for longer
	// than busy_timeout. If that is 0, as it is unless the DSN sets it, nothing
	// waits at all, and the error's text says so.
	ErrBusy = errors.New("another transaction holds the database's lock;" +
		" keep transactions short and try again")
	// ErrDeferred: the application's transaction began by reading, and can
	// write no more since another one has written.
	ErrDeferred = errors.New("the transaction began deferred and another write came between" +
		" its first read and this; open the database with _txlock=immediate," +
		" or publish before reading")
	// ErrFull: the disk is full, or a quota or max_page_count is reached.
	ErrFull = errors.New("no space left for the database; free some and try again")
	// ErrIO: the operating system could not read or write the file.
	ErrIO = errors.New("the database file cannot be read or written; check the disk," +
		" and that the file's directory exists and allows writing")
	// ErrCorrupt: the file is damaged.
	ErrCorrupt = errors.New("the database file is damaged; restore a backup," +
		" or see sqlite3's .recover")
	// ErrReadOnly: the file, its directory or the file system allows no writing.
	ErrReadOnly = errors.New("the database is read-only;" +
		" check the permissions of the file and its directory")
	// ErrReplaced: while the program ran, the database file or its write-ahead
	// log was removed, renamed, or replaced by another one, perhaps together
	// with its directory. What is written now would be lost with the program's
	// end, and so nothing is acknowledged any more: the write that found out may
	// have been done in the file that is gone, and every later call returns
	// ErrReplaced too, until the program opens a store again. [hooks.Hooks.Run]
	// keeps trying, as after other errors of the store; no waiting helps.
	//
	// The path of the file is looked at before and after each transaction that
	// writes, and before each other call. On Windows, which lets nobody remove
	// a file that is open, it hardly ever occurs.
	ErrReplaced = errors.New("the database file or its log was removed or replaced while the program ran;" +
		" put the right file back and restart the program")
)

// timeoutRemedy says how transactions come to wait for each other.
const timeoutRemedy = "Add _pragma=busy_timeout(5000) to the DSN"

// causes are the primary result codes of SQLite that an error stands for.
var causes = map[int]error{
	lib.SQLITE_BUSY:     ErrBusy,
	lib.SQLITE_LOCKED:   ErrBusy,
	lib.SQLITE_FULL:     ErrFull,
	lib.SQLITE_IOERR:    ErrIO,
	lib.SQLITE_CANTOPEN: ErrIO,
	lib.SQLITE_CORRUPT:  ErrCorrupt,
	lib.SQLITE_NOTADB:   ErrCorrupt,
	lib.SQLITE_READONLY: ErrReadOnly,
}

// check returns why a call with this context is not to begin, or nil. A nil context is
// refused, because database/sql would panic while it holds a lock that every later call
// waits for.
func check(ctx context.Context) error {
	if ctx == nil {
		return &hooks.InvalidError{Field: "Context", Problem: "it is nil; give context.Background()"}
	}
	return ctx.Err()
}

// explain wraps err with what was being done, and with its cause when SQLite
// told one.
func explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	if cause := causeOf(err); cause != nil {
		return fmt.Errorf("sqlite: %s: %w: %w", verb, cause, err)
	}
	return fmt.Errorf("sqlite: %s: %w", verb, err)
}

// causeOf returns which of this package's errors err stands for, or nil. err
// is SQLite's, or of the operating system about a file beside the database.
func causeOf(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	switch {
	case !ok:
		return systemCause(err)
	case e.Code() == lib.SQLITE_BUSY_SNAPSHOT:
		return ErrDeferred
	case e.Code() == lib.SQLITE_READONLY_DBMOVED:
		return ErrReplaced
	}
	return causes[e.Code()&0xff]
}

func systemCause(err error) error {
	for cause, reasons := range map[error][]error{
		ErrReadOnly: {syscall.EROFS, fs.ErrPermission},
		ErrFull:     {syscall.ENOSPC, syscall.EDQUOT},
		ErrIO:       {syscall.EIO},
	} {
		for _, reason := range reasons {
			if errors.Is(err, reason) {
				return cause
			}
		}
	}
	return nil
}

// adviseTimeout adds to an error about the lock that q, where it occurred, does
// not wait for locks.
func adviseTimeout(ctx context.Context, q rowQueryer, err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok || e.Code()&0xff != lib.SQLITE_BUSY || e.Code() == lib.SQLITE_BUSY_SNAPSHOT {
		return err
	}
	var timeout int
	if q.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&timeout) != nil || timeout > 0 {
		return err
	}
	return fmt.Errorf("busy_timeout is 0, so nothing waits for the lock. %s: %w", timeoutRemedy, err)
}
