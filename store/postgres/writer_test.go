package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// narrow is a store whose pool has a single connection, which the test holds until
// release: calls gather meanwhile.
func narrow(t *testing.T) (s *postgres.Store, pool *pgxpool.Pool, release func()) {
	t.Helper()
	pool = poolOn(t, database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(conn.Release)
	t.Cleanup(release)
	return storeOn(t, pool), pool, release
}

// A result is what an Enqueue returned.
type result struct {
	receipts []hooks.Receipt
	err      error
}

// gather calls Enqueue for each batch at the same time, and returns what they
// return, in order.
func gather(t *testing.T, s *postgres.Store, release func(), batches ...[]hooks.Entry) []result {
	t.Helper()
	list := make([]result, len(batches))
	var begun, done sync.WaitGroup
	begun.Add(len(batches))
	for i, entries := range batches {
		done.Go(func() {
			begun.Done()
			list[i].receipts, list[i].err = s.Enqueue(t.Context(), at(0), entries)
		})
	}
	begun.Wait()
	<-time.After(20 * time.Millisecond) // what comes later makes a group of its own, and the test easier
	release()
	done.Wait()
	return list
}

// transactionsSQL counts the transactions that have stored events.
const transactionsSQL = `SELECT count(DISTINCT xmin::text) FROM hooks.events`

func TestPublishesShareTransactions(t *testing.T) {
	s, pool, release := narrow(t)
	var batches [][]hooks.Entry
	for i := range 64 {
		batches = append(batches, []hooks.Entry{entry(fmt.Sprint("evt_", i), "crm")})
	}
	for i, r := range gather(t, s, release, batches...) {
		want := hooks.Receipt{EventID: fmt.Sprint("evt_", i), Deliveries: 1}
		if r.err != nil || len(r.receipts) != 1 || r.receipts[0] != want {
			t.Errorf("Enqueue = %v, %v; want %v", r.receipts, r.err, want)
		}
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.events`); got != 64 {
		t.Errorf("there are %d events; want 64", got)
	}
	if got := value[int](t, pool, transactionsSQL); got > 8 {
		t.Errorf("64 publishes at once took %d transactions; want a few", got)
	}
}

func TestABatchIsOneTransaction(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	const many = 2500 // more than a group has
	receipts, err := s.Enqueue(t.Context(), at(0), numbered("evt_", many))
	if err != nil || len(receipts) != many {
		t.Fatalf("Enqueue = %d receipts, %v; want %d", len(receipts), err, many)
	}
	for i, r := range receipts {
		if want := (hooks.Receipt{EventID: fmt.Sprint("evt_", i), Deliveries: 1}); r != want {
			t.Fatalf("receipt %d = %v; want %v", i, r, want)
		}
	}
	if got := value[int](t, pool, transactionsSQL); got != 1 {
		t.Errorf("a batch took %d transactions; want 1", got)
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries`); got != many {
		t.Errorf("there are %d deliveries; want %d", got, many)
	}
}

// Those that share a transaction see of each other what they would see if they
// came one after the other.
func TestDuplicatesOfOneGroup(t *testing.T) {
	s, pool, release := narrow(t)
	release()
	for _, c := range []struct {
		name    string
		publish func(i int) hooks.Entry
		stored  int
	}{
		{"the same id", func(i int) hooks.Entry { return entry("evt", fmt.Sprint("crm_", i), "audit") }, 1},
		{"the same key", func(i int) hooks.Entry {
			return keyed(entry(fmt.Sprint("evt_", i), "crm", "audit"), "order-7", at(60))
		}, 1},
		{"the same key, of which the time has ended before", func(i int) hooks.Entry {
			return keyed(entry(fmt.Sprint("evt_", i), "crm", "audit"), "expired", at(60))
		}, 1},
		{"the same key, of which the time ends at once", func(i int) hooks.Entry {
			return keyed(entry(fmt.Sprint("evt_", i), "crm", "audit"), "order-7", at(0))
		}, 8},
		{"the same key in different tenants", func(i int) hooks.Entry {
			e := keyed(entry(fmt.Sprint("evt_", i), "crm", "audit"), "order-7", at(60))
			e.Event.Tenant = fmt.Sprint("tenant_", i)
			return e
		}, 8},
		{"the same id, with a key or without", func(i int) hooks.Entry {
			if i%2 == 0 {
				return entry("evt", "crm", "audit")
			}
			return keyed(entry("evt", "crm", "audit"), fmt.Sprint("order-", i), at(60))
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			mustExec(t, pool, `TRUNCATE hooks.events, hooks.deliveries, hooks.keys`)
			_, err := s.Enqueue(t.Context(), at(-100), []hooks.Entry{keyed(entry("old"), "expired", at(-50))})
			if err != nil {
				t.Fatal(err)
			}
			var batches [][]hooks.Entry
			for i := range 8 {
				batches = append(batches, []hooks.Entry{c.publish(i)})
			}
			conn, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			results := gather(t, s, conn.Release, batches...)
			checkDuplicates(t, pool, results, c.stored)
		})
	}
}

// checkDuplicates compares receipts with what is stored: as many events as are
// told to be new, and every duplicate names one of them.
func checkDuplicates(t *testing.T, pool *pgxpool.Pool, results []result, stored int) {
	t.Helper()
	fresh := make(map[string]bool)
	for _, r := range results {
		if r.err != nil {
			t.Fatal(r.err)
		}
		if rec := r.receipts[0]; !rec.Duplicate {
			fresh[rec.EventID] = true
			if rec.Deliveries != 2 {
				t.Errorf("receipt = %v; want 2 deliveries", rec)
			}
		}
	}
	if len(fresh) != stored {
		t.Errorf("receipts say that %d events are new; want %d", len(fresh), stored)
	}
	for _, r := range results {
		if rec := r.receipts[0]; !fresh[rec.EventID] || rec.Duplicate && rec.Deliveries != 0 {
			t.Errorf("receipt = %v; want one of a stored event", rec)
		}
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.events WHERE id <> 'old'`); got != stored {
		t.Errorf("there are %d events; want %d", got, stored)
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries`); got != 2*stored {
		t.Errorf("there are %d deliveries; want %d", got, 2*stored)
	}
	foreign := value[int](t, pool, `SELECT count(*) FROM hooks.keys k JOIN hooks.events e ON e.id = k.event_id
		WHERE e.idempotency_key <> k.key`)
	if foreign != 0 {
		t.Errorf("%d keys are held by events that were published without; want none", foreign)
	}
}

// Somebody's transaction has published an event, without a key, when it is
// published with one. That key stays free.
func TestADuplicateTakesNoKey(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	tx := publisher(t, s, pool, entry("evt_1", "crm"))
	done := make(chan result, 1)
	go func() {
		receipts, err := s.Enqueue(t.Context(), at(0), []hooks.Entry{keyed(entry("evt_1", "crm"), "order-7", at(60))})
		done <- result{receipts, err}
	}()
	settled(t, pool, blockedSQL, 1)
	end(t, tx, true)
	want := hooks.Receipt{EventID: "evt_1", Duplicate: true}
	if got := soon(t, done, "Enqueue"); got.err != nil || got.receipts[0] != want {
		t.Errorf("Enqueue of what is published meanwhile = %v, %v; want %v", got.receipts, got.err, want)
	}
	want = hooks.Receipt{EventID: "evt_2", Deliveries: 1}
	receipts, err := s.Enqueue(t.Context(), at(0), []hooks.Entry{keyed(entry("evt_2", "crm"), "order-7", at(60))})
	if err != nil || receipts[0] != want {
		t.Errorf("Enqueue with a key that only a duplicate had = %v, %v; want %v", receipts, err, want)
	}
}

// A caller that leaves while its call still waits leaves nothing behind.
func TestACallerThatLeavesInTime(t *testing.T) {
	s, pool, release := narrow(t)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 2)
	go func() {
		_, err := s.Enqueue(ctx, at(0), []hooks.Entry{entry("left", "crm", "audit")})
		left <- err
	}()
	go func() {
		_, err := s.Enqueue(ctx, at(0), numbered("left_", 1500)) // alone
		left <- err
	}()
	stays := make(chan error, 1)
	go func() {
		_, err := s.Enqueue(t.Context(), at(0), []hooks.Entry{entry("stays", "crm", "audit")})
		stays <- err
	}()
	<-time.After(20 * time.Millisecond)
	cancel()
	for range cap(left) {
		if err := soon(t, left, "Enqueue"); err != context.Canceled {
			t.Errorf("Enqueue when its context ends = %v; want context.Canceled", err)
		}
	}
	release()
	if err := soon(t, stays, "Enqueue"); err != nil {
		t.Errorf("Enqueue of another caller = %v; want nil", err)
	}
	mustEnqueue(t, s, numbered("after_", 1500)...) // alone: by now the one before would be done
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.events WHERE id = 'left'`); got != 0 {
		t.Errorf("%d events of callers that left are stored; want none", got)
	}
	left1500 := value[int](t, pool, `SELECT count(*) FROM hooks.events WHERE id LIKE 'left\_%'`)
	if left1500 != 0 && left1500 != 1500 {
		t.Errorf("%d of 1500 events of a caller that left are stored; want all or none", left1500)
	}
}

// One that leaves while its transaction is under way is told so at once; what it
// asked for is done whole, or not at all.
func TestACallerThatLeavesLate(t *testing.T) {
	for _, commits := range []bool{true, false} {
		pool := poolOn(t, database(t))
		s := storeOn(t, pool)
		tx := publisher(t, s, pool, keyed(entry("first"), "order-7", at(60)))
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		batch := []hooks.Entry{
			entry("other", "crm", "audit"),
			keyed(entry("second", "crm", "audit"), "order-7", at(60)),
		}
		go func() {
			_, err := s.Enqueue(ctx, at(0), batch)
			left <- err
		}()
		settled(t, pool, blockedSQL, 1)
		cancel()
		start := time.Now()
		if err := soon(t, left, "Enqueue"); err != context.Canceled {
			t.Errorf("Enqueue when its context ends = %v; want context.Canceled", err)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("Enqueue returned %v after its context had ended; want at once", took)
		}
		want, holder := 4, "second"
		if commits {
			want, holder = 2, "first"
		}
		end(t, tx, commits)
		receipts, err := s.Enqueue(t.Context(), at(0), batch)
		if err != nil || receipts[0].EventID != "other" || receipts[1].EventID != holder {
			t.Errorf("Enqueue again = %v, %v; want receipts of other and %s", receipts, err, holder)
		}
		if got := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries`); got != want {
			t.Errorf("there are %d deliveries when the other commits (%v); want %d", got, commits, want)
		}
	}
}

// publisher is a transaction of the application's that has published, and holds
// the ids and keys of what it has.
func publisher(t *testing.T, s *postgres.Store, pool *pgxpool.Pool, entries ...hooks.Entry) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(context.Background()) }) // if the test has failed meanwhile
	mustEnqueue(t, s.Tx(tx), entries...)
	return tx
}

// blockedSQL is 1 when a session waits for another one's lock.
const blockedSQL = `SELECT least(count(*), 1) FROM pg_stat_activity
	WHERE datname = current_database() AND wait_event_type = 'Lock'`

// end commits a transaction, or rolls it back.
func end(t *testing.T, tx pgx.Tx, commit bool) {
	t.Helper()
	f := tx.Rollback
	if commit {
		f = tx.Commit
	}
	if err := f(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Publishing the same events again and again, in two processes, one of which
// delivers, delivers each once.
func TestRepeatedPublishesDeliverOnce(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	h, box := delivering(t, storeOn(t, pool))
	both := []*hooks.Hooks{h, publishing(t, storeOn(t, poolOn(t, config)))}
	const events, goroutines, times = 100, 16, 5
	var wg sync.WaitGroup
	errs := make(chan error, goroutines)
	for g := range goroutines {
		wg.Go(func() { errs <- publishAgain(t.Context(), both[g%2], events, times, g) })
	}
	wg.Wait()
	for range goroutines {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var ids []string
	for i := range events {
		ids = append(ids, fmt.Sprint("evt_", i))
	}
	box.await(t, ids...)
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := box.repeated(); len(got) > 0 {
		t.Errorf("%d events were delivered more than once, such as %s; want none", len(got), got[0])
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries WHERE status = 4 AND attempts = 1`); got != events {
		t.Errorf("%d deliveries have succeeded at once; want %d", got, events)
	}
}

// publishAgain publishes each event some times, beginning with another one in
// each goroutine.
func publishAgain(ctx context.Context, h *hooks.Hooks, events, times, g int) error {
	for n := range events * times {
		ev := invoicePaid.New(invoice{n})
		ev.ID = fmt.Sprint("evt_", (n+g*7)%events)
		r, err := h.Publish(ctx, ev)
		if err != nil {
			return err
		}
		if r.EventID != ev.ID || !r.Duplicate && r.Deliveries != 1 {
			return errors.New("receipt " + fmt.Sprint(r) + " for " + ev.ID)
		}
	}
	return nil
}
