package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// waiting runs f in a bubble beside a Wait, on a store in the application's
// database.
func waiting(
	t *testing.T, shared bool,
	f func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error),
) {
	const params = "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"
	dsn := filepath.Join(t.TempDir(), "app.db") + params
	synctest.Test(t, func(t *testing.T) {
		db := openDB(t, dsn)
		s, err := sqlite.New(db, sqlite.Config{Shared: shared})
		s = untilEnd(t, s, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- s.Wait(ctx) }()
		synctest.Wait()
		f(t, s, db, done)
		cancel()
		synctest.Wait()
	})
}

// asleep fails the test if Wait has returned d from now.
func asleep(t *testing.T, done <-chan error, d time.Duration, why string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("Wait returned %v %s; want it to wait", err, why)
	default:
	}
}

// awake fails the test unless Wait has returned d from now.
func awake(t *testing.T, done <-chan error, d time.Duration, why string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Wait = %v %s; want nil", err, why)
		}
	default:
		t.Errorf("Wait has not returned %v %s", d, why)
	}
}

func TestWaitSeesACommittedTransaction(t *testing.T) {
	waiting(t, false, func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error) {
		tx := beginTx(t, db)
		if err := enqueue(s.Tx(tx), entry("e", "crm")); err != nil {
			t.Fatal(err)
		}
		asleep(t, done, 30*time.Second, "before the commit")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		awake(t, done, 20*time.Millisecond, "after the commit")
	})
}

func TestWaitSeesATransactionCommittedWhileItDidNotRun(t *testing.T) {
	waiting(t, false, func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error) {
		for range 3 {
			tx := beginTx(t, db)
			if err := enqueue(s.Tx(tx), entry("e"+time.Now().String(), "crm")); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			awake(t, done, 20*time.Millisecond, "after the commit")
			again := make(chan error, 1)
			done = again
			go func() { again <- s.Wait(t.Context()) }()
		}
		s.Close()
	})
}

// TestWaitIgnoresOwnWrites has own writes come while a transaction, which in
// the end rolls back, may still commit.
func TestWaitIgnoresOwnWrites(t *testing.T) {
	waiting(t, false, func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error) {
		tx := beginTx(t, db)
		if err := enqueue(s.Tx(tx), entry("never", "crm")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := enqueue(s, entry(time.Now().String(), "crm")); err != nil {
				t.Fatal(err)
			}
			if _, err := deliver20(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			r := hooks.Record{Key: time.Now().String(), Data: []byte("1")}
			if _, err := s.Put(t.Context(), at(0), r, nil); err != nil {
				t.Fatal(err)
			}
			asleep(t, done, 7*time.Millisecond, "after the store's own writes")
		}
		mustExec(t, db, `INSERT INTO orders (id) VALUES ('o')`)
		asleep(t, done, time.Hour, "after writes of the application's that are no events")
	})
}

func TestWaitOnASharedFile(t *testing.T) {
	waiting(t, true, func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error) {
		other := share(t, db)
		asleep(t, done, time.Minute, "before anybody wrote")
		if err := enqueue(other, entry("e", "crm")); err != nil {
			t.Fatal(err)
		}
		awake(t, done, 50*time.Millisecond, "after another Enqueue")

		entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{lane("crm", 1)})
		if err != nil {
			t.Fatal(err)
		}
		again := make(chan error, 1)
		go func() { again <- s.Wait(t.Context()) }()
		asleep(t, again, time.Second, "after its own Claim")
		d := entries[0].Deliveries[0]
		d.Status, d.Due = hooks.Pending, at(0)
		if _, err := other.Update(t.Context(), at(0), []hooks.Change{{Delivery: d}}); err != nil {
			t.Fatal(err)
		}
		awake(t, again, 50*time.Millisecond, "after another Update")
	})
}

// TestWaitSetsNoTimer holds the only connection: to look at the database,
// Wait would have to wait for it.
func TestWaitSetsNoTimer(t *testing.T) {
	waiting(t, false, func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error) {
		tx := beginTx(t, db)
		if err := enqueue(s.Tx(tx), entry("e", "crm")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		asleep(t, done, 61*time.Second, "after a rollback")
		db.SetMaxOpenConns(1)
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := db.Stats().WaitCount
		asleep(t, done, 24*time.Hour, "with nothing to see")
		if n := db.Stats().WaitCount - before; n != 0 {
			t.Errorf("Wait looked %d times in a day without need; want never", n)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWaitLearnsFromOwnWrites is a transaction that took longer than Wait
// looks for it.
func TestWaitLearnsFromOwnWrites(t *testing.T) {
	waiting(t, false, func(t *testing.T, s *sqlite.Store, db *sql.DB, done <-chan error) {
		tx := beginTx(t, db)
		if err := enqueue(s.Tx(tx), entry("e", "crm")); err != nil {
			t.Fatal(err)
		}
		asleep(t, done, time.Hour, "before the commit")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		asleep(t, done, time.Hour, "after a commit an hour later")
		if err := enqueue(s, entry("f", "crm")); err != nil {
			t.Fatal(err)
		}
		awake(t, done, 0, "after the store's next write")
	})
}

func TestWaitEnds(t *testing.T) {
	waiting(t, false, func(t *testing.T, s *sqlite.Store, _ *sql.DB, done <-chan error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v; want context.DeadlineExceeded", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, hooks.ErrClosed) {
			t.Errorf("Wait on a store that closes = %v; want ErrClosed", err)
		}
		if err := s.Wait(t.Context()); !errors.Is(err, hooks.ErrClosed) {
			t.Errorf("Wait on a closed store = %v; want ErrClosed", err)
		}
	})
}
