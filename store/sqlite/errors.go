package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Errors that tell what ails the database. [errors.Is] finds them in what the
// methods of a [Store] return, and [errors.As] the driver's own error beside
// them. When the cause is gone the store works again, without being reopened.
//
// None of them is certain in the sense of [example.com/hooks.Store]: repeat
// the call with the same ids.
var (
	// ErrBusy: another connection or process held the write lock for longer
	// than busy_timeout.
	ErrBusy = errors.New("another transaction holds the database's lock;" +
		" keep transactions short and try again")
	// ErrDeferred: the application's transaction began by reading, and can
	// write no more since another one has written.
	ErrDeferred = errors.New("the transaction began deferred and another write came between" +
		" its first read and this; open the database with _txlock=immediate," +
		" or publish before reading")
	// ErrFull: the disk, a quota or max_page_count.
	ErrFull = errors.New("no space left for the database; free some and try again")
	// ErrIO: the operating system could not read or write the file.
	ErrIO = errors.New("the database file cannot be read or written; check the disk")
	// ErrCorrupt: the file is damaged.
	ErrCorrupt = errors.New("the database file is damaged; restore a backup," +
		" or see sqlite3's .recover")
	// ErrReadOnly: the file, its directory or the file system allows no writing.
	ErrReadOnly = errors.New("the database is read-only;" +
		" check the permissions of the file and its directory")
)

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

// causeOf returns which of this package's errors err stands for, or nil.
func causeOf(err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	switch {
	case !ok:
		return nil
	case e.Code() == lib.SQLITE_BUSY_SNAPSHOT:
		return ErrDeferred
	}
	return causes[e.Code()&0xff]
}
