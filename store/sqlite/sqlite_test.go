package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
	"example.com/hooks/store/storetest"
)

// at is a moment some seconds after that at which all tests begin.
func at(seconds int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC).
		Add(time.Duration(seconds) * time.Second)
}

// entry is an event with deliveries that are due at once.
func entry(id string, subscribers ...string) hooks.Entry {
	e := hooks.Entry{Event: hooks.Event{
		ID: id, Type: "invoice.paid", Time: at(0), Data: []byte(`{"id":"` + id + `","cents":4200}`),
	}}
	for _, s := range subscribers {
		e.Deliveries = append(e.Deliveries, hooks.Delivery{
			DeliveryID: hooks.DeliveryID{Event: id, Subscriber: s}, Type: e.Event.Type,
			Status: hooks.Pending, Due: at(0), Run: 1, Created: at(0), Updated: at(0),
		})
	}
	return e
}

func lane(subscriber string, max int) hooks.ClaimLane {
	return hooks.ClaimLane{Subscriber: subscriber, Max: max, Before: at(0), LeaseUntil: at(60)}
}

func enqueue(s hooks.Tx, entries ...hooks.Entry) error {
	_, err := s.Enqueue(context.Background(), at(0), entries)
	return err
}

// open opens the store at path, and closes it when the test ends.
func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(path)
	return untilEnd(tb, s, err)
}

func openShared(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.OpenShared(path)
	return untilEnd(tb, s, err)
}

// untilEnd returns a store that is closed when the test ends.
func untilEnd(tb testing.TB, s *sqlite.Store, err error) *sqlite.Store {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestOpen(t *testing.T) {
	storetest.Run(t, func(t *testing.T) hooks.Store { return openTemp(t) })
}

// TestNew checks the store on a pool of a single connection, which it must
// never wait for while it holds it.
func TestNew(t *testing.T) {
	storetest.Run(t, func(t *testing.T) hooks.Store {
		db := appDB(t)
		db.SetMaxOpenConns(1)
		return share(t, db)
	})
}

func TestOpenIsDurable(t *testing.T) {
	storetest.RunDurable(t, func(t *testing.T) func() hooks.Store {
		path := filepath.Join(t.TempDir(), "hooks.db")
		return func() hooks.Store { return open(t, path) }
	})
}

func TestNewIsDurable(t *testing.T) {
	storetest.RunDurable(t, func(t *testing.T) func() hooks.Store {
		db := appDB(t)
		return func() hooks.Store { return share(t, db) }
	})
}

// TestOpenTx has the application's transactions on a pool of its own.
func TestOpenTx(t *testing.T) {
	storetest.RunTx(t, func(t *testing.T) (hooks.Store, func() storetest.Transaction) {
		path := filepath.Join(t.TempDir(), "hooks.db")
		s := open(t, path)
		return s, begin(t, s, openDB(t, path))
	})
}

func TestNewTx(t *testing.T) {
	storetest.RunTx(t, func(t *testing.T) (hooks.Store, func() storetest.Transaction) {
		db := appDB(t)
		s := share(t, db)
		return s, begin(t, s, db)
	})
}

// TestSharedFileWakes has two stores on a file, as two processes have them.
func TestSharedFileWakes(t *testing.T) {
	storetest.RunWaker(t, func(t *testing.T) (s, other hooks.Store, _ func() storetest.Transaction) {
		path := filepath.Join(t.TempDir(), "hooks.db")
		a, b := openShared(t, path), openShared(t, path)
		return a, b, begin(t, a, openDB(t, path))
	})
}

func begin(t *testing.T, s *sqlite.Store, db *sql.DB) func() storetest.Transaction {
	return func() storetest.Transaction {
		tx := beginTx(t, db)
		return storetest.Transaction{Tx: s.Tx(tx), Commit: tx.Commit, Rollback: tx.Rollback}
	}
}

func beginTx(tb testing.TB, db *sql.DB) *sql.Tx {
	tb.Helper()
	tx, err := db.Begin()
	if err != nil {
		tb.Fatal(err)
	}
	return tx
}

// appDB is a database of the application's, with a table of its own.
func appDB(tb testing.TB) *sql.DB {
	tb.Helper()
	return openDB(tb, filepath.Join(tb.TempDir(), "app.db")+"?_journal_mode=WAL&_busy_timeout=10000")
}

func openDB(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	if _, err := db.Exec(`CREATE TABLE IF NOT EXISTS orders (id TEXT)`); err != nil {
		tb.Fatal(err)
	}
	return db
}

func share(tb testing.TB, db *sql.DB) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.New(db, sqlite.Config{})
	return untilEnd(tb, s, err)
}

func mustExec(tb testing.TB, db *sql.DB, query string, args ...any) {
	tb.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		tb.Fatal(err)
	}
}

// setting is the value of a PRAGMA.
func setting(tb testing.TB, db *sql.DB, name string) (value string) {
	tb.Helper()
	if err := db.QueryRow("PRAGMA " + name).Scan(&value); err != nil {
		tb.Fatal(err)
	}
	return value
}

// dropConnection makes the pool open another.
func dropConnection(tb testing.TB, db *sql.DB) {
	tb.Helper()
	conn, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// database/sql panics without a context, and its lock is never free again.
func TestWithoutAContext(t *testing.T) {
	s := openTemp(t)
	var none context.Context
	for name, call := range map[string]func() error{
		"Weaknesses": func() error { _, err := s.Weaknesses(none); return err },
		"Wait":       func() error { return s.Wait(none) },
		"Backlog":    func() error { _, err := s.Backlog(none); return err },
		"Put":        func() error { _, err := s.Put(none, at(0), hooks.Record{Key: "a"}, nil); return err },
	} {
		err := call()
		if inv, ok := errors.AsType[*hooks.InvalidError](err); !ok || inv.Field != "Context" {
			t.Errorf("%s(nil) = %v; want an InvalidError for Context", name, err)
		}
	}
	if _, err := s.Backlog(t.Context()); err != nil {
		t.Errorf("Backlog afterwards = %v; want nil", err)
	}
}
