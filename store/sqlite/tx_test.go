package sqlite_test

import (
	"errors"
	"path/filepath"
	"testing"

	driver "modernc.org/sqlite"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// TestADeferredTransactionThatRead is the trap that _txlock=immediate avoids.
func TestADeferredTransactionThatRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for _, c := range []struct {
		params string
		want   error
	}{
		{"?_journal_mode=WAL&_busy_timeout=5000", sqlite.ErrDeferred},
		{"?_journal_mode=WAL&_busy_timeout=5000&_txlock=immediate", nil},
	} {
		db := openDB(t, path+c.params)
		s := share(t, db)
		tx := beginTx(t, db)
		if _, err := tx.Exec(`SELECT count(*) FROM orders`); err != nil {
			t.Fatal(err)
		}
		wrote := make(chan error)
		go func() { wrote <- enqueue(s, entry("between"+c.params, "crm")) }()
		if c.want != nil { // otherwise the write waits for the transaction
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Tx(tx).Records(t.Context(), 0)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Records = %v; want %v", c.params, err, c.want)
		}
		_, err = s.Tx(tx).Enqueue(t.Context(), at(0), []hooks.Entry{entry("e"+c.params, "crm")})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Enqueue = %v; want %v", c.params, err, c.want)
		}
		if e, ok := errors.AsType[*driver.Error](err); c.want != nil && (!ok || e.Code() != 517) {
			t.Errorf("%s: Enqueue = %v; want SQLite's error 517 in it", c.params, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if c.want == nil {
			if err := <-wrote; err != nil {
				t.Error(err)
			}
		}
	}
}

// TestPublishingFirstNeedsNoImmediate shows that the store itself does not
// begin by reading.
func TestPublishingFirstNeedsNoImmediate(t *testing.T) {
	db := appDB(t)
	s := share(t, db)
	tx := beginTx(t, db)
	if _, err := s.Tx(tx).Records(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error)
	go func() { wrote <- enqueue(s, entry("other", "crm")) }()
	if err := enqueue(s.Tx(tx), entry("e", "crm")); err != nil {
		t.Errorf("Enqueue after Records = %v; want nil", err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestTheApplicationsRowsAndEventsCommitTogether(t *testing.T) {
	db := appDB(t)
	s := share(t, db)
	for _, commit := range []bool{false, true} {
		tx := beginTx(t, db)
		if _, err := tx.Exec(`INSERT INTO orders (id) VALUES ('o')`); err != nil {
			t.Fatal(err)
		}
		if err := enqueue(s.Tx(tx), entry("e", "crm")); err != nil {
			t.Fatal(err)
		}
		end := tx.Rollback
		if commit {
			end = tx.Commit
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		var orders int
		if err := db.QueryRow(`SELECT count(*) FROM orders`).Scan(&orders); err != nil {
			t.Fatal(err)
		}
		if got := len(events(t, s)); got != orders || (orders == 1) != commit {
			t.Errorf("commit %v: %d orders and %d events; want them equal", commit, orders, got)
		}
	}
}

func TestATransactionOfAClosedStore(t *testing.T) {
	db := appDB(t)
	s := share(t, db)
	tx := beginTx(t, db)
	defer tx.Rollback()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := enqueue(s.Tx(tx), entry("e", "crm")); !errors.Is(err, hooks.ErrClosed) {
		t.Errorf("Enqueue = %v; want ErrClosed", err)
	}
	if _, err := tx.Exec(`INSERT INTO orders (id) VALUES ('o')`); err != nil {
		t.Errorf("the transaction goes on: %v", err)
	}
}
