// Package sqlite is a [hooks.Store] in an SQLite file: for an application on
// one machine, with no server beside it.
//
//	store, err := sqlite.Open("hooks.db")
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	h, err := hooks.New(hooks.Config{Store: store})
//
// [Open] keeps events in a file of their own. [New] keeps them in the
// application's database, where [Store.Tx] publishes in its transactions:
//
//	db, err := sql.Open("sqlite", "file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate")
//	...
//	store, err := sqlite.New(db, sqlite.Config{})
//	...
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	receipts, err := h.PublishTx(ctx, store.Tx(tx), event)
//	...
//	err = tx.Commit()
//	h.Wake(ctx)
//
// The import of this package registers the driver "sqlite", modernc.org/sqlite.
//
// Each of the three parameters is needed: busy_timeout lets a transaction wait
// until another one has ended; immediate transactions wait where a deferred one
// that has read would fail at once; and a write-ahead log lets others read
// during a write. They belong in the DSN because a PRAGMA that is executed
// reaches only one connection of the pool.
//
// A call that writes returns when its write is on the disk: the file is synced
// with every commit (synchronous=FULL), and writes that come at the same time
// share one sync. One process at a time may call Run on a file, see [Store.Lock];
// any number of processes may publish to it, if all of them open it as shared, see
// [OpenShared] and [Config]. SQLite's write lock is not fair: beside a process that writes without
// pause, another may get [ErrBusy]. All tables have names that begin with hooks_.
//
// The file and its log beside it must stay where they are while a Store uses
// them. When they are removed or replaced, all methods return [ErrReplaced].
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"example.com/hooks"
)

// A Store is a [hooks.Store], [hooks.Exclusive], [hooks.Waker], [hooks.Weak] and
// [hooks.Reporter]. Make one with [Open] or [New]. Its methods are safe for concurrent use.
//
// The methods return errors that say what ails the database, such as
// [ErrFull]; when the cause is gone they work again, except after
// [ErrReplaced].
type Store struct {
	shared bool // see [Config]
	writer writer
	watch  watch
	lock   lock

	db       *sql.DB // reads
	prepared map[string]*sql.Stmt
	opened   bool // by Open
	done     chan struct{}
}

var (
	_ hooks.Store     = (*Store)(nil)
	_ hooks.Exclusive = (*Store)(nil)
	_ hooks.Waker     = (*Store)(nil)
	_ hooks.Weak      = (*Store)(nil)
	_ hooks.Reporter  = (*Store)(nil)
)

// A Config says how a database is used. The zero Config is for a database that no other
// process writes to.
type Config struct {
	// Shared says that other processes write to the database too. Then the dispatcher looks
	// 20 times a second whether they did. Otherwise it finds what they publish only when
	// it looks for another reason.
	Shared bool
}

// readers is how many queries may run at once in a file of our own.
const readers = 4

// Open opens the file at path, or creates it, readable by its owner only. path
// may have any characters, and always names a file: for a store in memory, use
// package memory.
//
// It returns a [*hooks.InvalidError] if path cannot be a file's,
// [hooks.ErrForeign] if the file has something else in it, [hooks.ErrTooNew] if
// a later version wrote it, and [ErrReadOnly] if it may not be written; none of
// these changes the file. Symbolic links are followed now: if one points
// elsewhere later, this Store keeps the file that it has.
//
// A dispatcher on this Store does not look for what other processes write to the file;
// with [OpenShared] it does.
func Open(path string) (*Store, error) { return openFile(path, Config{}) }

// OpenShared is [Open] for a file that other processes write to as well, because they
// publish to it. Every process opens it in this way; one of them delivers at a time, see
// [Store.Lock].
func OpenShared(path string) (*Store, error) { return openFile(path, Config{Shared: true}) }

func openFile(path string, c Config) (*Store, error) {
	s, err := open(path)
	if _, invalid := errors.AsType[*hooks.InvalidError](err); invalid {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	s.shared = c.Shared
	return s, nil
}

func open(path string) (*Store, error) {
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return nil, invalidPath(path, nil, "write the name of a file; for a store in memory use package store/memory")
	}
	created, err := create(path)
	if err != nil {
		return nil, describe(err, path)
	}
	path, err = realPath(path)
	if err != nil {
		return nil, err
	}
	if !created {
		if err := inspect(path); err != nil {
			return nil, err
		}
	}
	w := dsn(path, "mode=rw", "_busy_timeout=5000", "_journal_mode=WAL", "_synchronous=FULL",
		"_txlock=immediate", "_pragma=journal_size_limit(67108864)")
	r := dsn(path, "mode=rw", "_busy_timeout=5000", "_synchronous=FULL", "_query_only=1")
	s := &Store{opened: true}
	if err := s.writer.file.set(path); err != nil {
		return nil, describe(err, path)
	}
	if err := s.openPools(w, r); err != nil {
		return nil, errors.Join(describe(err, path), s.closePools())
	}
	return s, nil
}

// create makes an empty file for the owner alone, and reports whether it did.
// It must not open one that exists: closing it again would take SQLite's locks
// on it from every other connection of this process.
func create(path string) (bool, error) {
	dir := filepath.Dir(path)
	fi, err := os.Stat(dir)
	if isGone(err) || err == nil && !fi.IsDir() {
		return false, invalidPath(path, err, dir+" is not a directory; create it first")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

func invalidPath(path string, reason error, problem string) error {
	return &hooks.InvalidError{
		Field: "path", Problem: fmt.Sprintf("sqlite.Open(%q): %s", path, problem), Err: reason,
	}
}

// realPath is the same for all names of a file.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// dsn is the URI of the file at path, with the driver's parameters.
func dsn(path string, params ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // before the letter of a drive
	}
	u := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: strings.Join(params, "&")}
	return u.String()
}

func (s *Store) openPools(w, r string) (err error) {
	if s.writer.db, err = sql.Open("sqlite", w); err != nil {
		return err
	}
	s.writer.db.SetMaxOpenConns(1)
	if err := migrate(s.writer.db, true); err != nil {
		return err
	}
	var mode string
	if err := s.writer.db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system allows no write-ahead log"+
			" (journal_mode is %s); use a local one", mode)
	}
	if s.db, err = sql.Open("sqlite", r); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(readers)
	s.db.SetMaxIdleConns(readers)
	return s.begin()
}

// New keeps events in the application's database, in tables of its own. It
// changes no setting of the database; [Store.Weaknesses] tells which of them
// make its promises weaker. db must use this package's driver,
// modernc.org/sqlite, and stays the caller's to close, after the Store.
//
// A pool of a single connection will do, but then a transaction that the
// application holds open holds up everything else. A database in memory needs
// such a pool, or a cache that its connections share: otherwise each of them
// would have a database of its own.
//
// A db that cannot be used is a [*hooks.InvalidError].
func New(db *sql.DB, c Config) (*Store, error) {
	if err := checkDriver(db); err != nil {
		return nil, err
	}
	s := &Store{db: db, shared: c.Shared}
	s.writer.db = db
	err := s.adopt()
	if _, invalid := errors.AsType[*hooks.InvalidError](err); invalid {
		return nil, err
	}
	if err != nil {
		err = adviseTimeout(context.Background(), db, err)
		return nil, fmt.Errorf("sqlite: new: %w", describe(err, s.writer.file.path))
	}
	return s, nil
}

func (s *Store) adopt() error {
	path, err := mainFile(s.db)
	if err != nil {
		return err
	}
	if path != "" {
		if path, err = realPath(path); err != nil {
			return err
		}
	}
	if err := s.writer.file.set(path); err != nil {
		return err
	}
	if err := migrate(s.db, false); err != nil {
		return err
	}
	if path == "" {
		if err := checkMemory(s.db); err != nil {
			return err
		}
	}
	return s.begin()
}

// begin readies s for its first call.
func (s *Store) begin() (err error) {
	s.done = make(chan struct{})
	s.watch.signal = make(chan struct{}, 1)
	s.writer.watch = &s.watch
	s.writer.keep = s.writer.file.path == ""
	if s.writer.prepared, err = prepare(s.writer.db, writes); err != nil {
		return err
	}
	if s.prepared, err = prepare(s.db, reads); err != nil {
		return err
	}
	return s.prepared[seqSQL].QueryRow().Scan(&s.watch.known)
}

// Close waits for calls that are under way; every later one returns
// [hooks.ErrClosed]. The write-ahead log of a file that nobody else has open
// is gone afterwards. A database given to New stays open. Closing again does
// nothing.
func (s *Store) Close() error {
	if !s.writer.close() {
		return nil
	}
	close(s.done)
	var errs []error
	for _, prepared := range []map[string]*sql.Stmt{s.prepared, s.writer.prepared} {
		for _, st := range prepared {
			errs = append(errs, st.Close())
		}
	}
	if s.opened {
		errs = append(errs, s.closePools())
	}
	return explain("close", errors.Join(errs...))
}

// closePools closes what Open opened, the writing connection last: it alone
// may copy the log into the file.
func (s *Store) closePools() error {
	var errs []error
	for _, db := range []*sql.DB{s.db, s.writer.db} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
