package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// An appWork is a transaction of the application's, with one of the drivers.
type appWork struct {
	tx       hooks.Tx
	exec     func(sql string) error
	query    func(sql string) (string, error)
	commit   func() error
	rollback func() error
}

// appWorks begin transactions with each driver.
func appWorks(t *testing.T, s *postgres.Store, config *pgx.ConnConfig) map[string]func() appWork {
	ctx := context.Background()
	pool, db := poolOn(t, config), sqlDB(t, config)
	return map[string]func() appWork{
		"Tx": func() appWork {
			tx, err := pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return appWork{
				tx:       s.Tx(tx),
				exec:     func(sql string) error { _, err := tx.Exec(ctx, sql); return err },
				query:    func(sql string) (v string, err error) { return v, tx.QueryRow(ctx, sql).Scan(&v) },
				commit:   func() error { return tx.Commit(ctx) },
				rollback: func() error { return tx.Rollback(ctx) },
			}
		},
		"SQLTx": func() appWork {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return appWork{
				tx:       s.SQLTx(tx),
				exec:     func(sql string) error { _, err := tx.Exec(sql); return err },
				query:    func(sql string) (v string, err error) { return v, tx.QueryRow(sql).Scan(&v) },
				commit:   tx.Commit,
				rollback: tx.Rollback,
			}
		},
	}
}

// rich are events of every kind that PublishTx may write.
func rich(t *testing.T, h *hooks.Hooks, tx hooks.Tx, name string) {
	t.Helper()
	plain, keyed, ordered := invoicePaid.New(invoice{1}), invoicePaid.New(invoice{2}), invoicePaid.New(invoice{3})
	keyed.IdempotencyKey, ordered.OrderingKey = "key of "+name, "line of "+name
	again := keyed
	if _, err := h.PublishTx(t.Context(), tx, plain, keyed, ordered); err != nil {
		t.Fatal(err)
	}
	if r, err := h.PublishTx(t.Context(), tx, again); err != nil || !r[0].Duplicate {
		t.Fatalf("PublishTx(again) = %v, %v; want a duplicate", r, err)
	}
}

// locksSQL lists the kinds of locks that the transaction has, beside those of its own id
// and of the tables that it writes to and their indexes.
const locksSQL = `SELECT coalesce(string_agg(DISTINCT locktype || ' ' || mode || ' ' || coalesce(relation::regclass::text, classid::regclass::text, ''), ', '), '')
	FROM pg_locks WHERE pid = pg_backend_pid()
	AND locktype NOT IN ('virtualxid', 'transactionid')
	AND NOT (locktype = 'relation' AND mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))`

// What is published in the application's transaction adds rows to it, and nothing that
// others have to wait for: no lock, and no notification, which would queue its commit up
// behind others'. The server refuses to prepare a transaction that notifies.
func TestPublishingAddsNothingToTheCommit(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	if value[string](t, pool, `SHOW max_prepared_transactions`) == "0" {
		t.Skip("the server's max_prepared_transactions is 0; it must be above")
	}
	s, conn := storeOn(t, pool), witness(t, config, "hooks_hooks")
	h := publishing(t, s)
	_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: "http://127.0.0.1/", Events: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(moment)
	mustExec(t, pool, `NOTIFY hooks_hooks, 'end'`)
	announced(t, conn)
	for name, begin := range appWorks(t, s, config) {
		work := begin()
		defer work.rollback() // nothing, if all is well
		rich(t, h, work.tx, name)
		if locks, err := work.query(locksSQL); err != nil || locks != "" {
			t.Errorf("%s: after PublishTx the transaction has the locks %q, %v; want none", name, locks, err)
		}
		if err := work.exec(`PREPARE TRANSACTION '` + name + `'`); err != nil {
			t.Fatalf("%s: PREPARE TRANSACTION after PublishTx = %v; want nil", name, err)
		}
		if err := work.commit(); err != nil { // nothing, after that
			t.Fatal(err)
		}
		mustExec(t, pool, `COMMIT PREPARED '`+name+`'`)
		<-time.After(moment)
		mustExec(t, pool, `NOTIFY hooks_hooks, 'end'`)
		if n := announced(t, conn); n > 0 {
			t.Errorf("%s: the commit was announced %d times; want not at all", name, n)
		}
		entries, err := s.Claim(t.Context(), time.Now(), []hooks.ClaimLane{{
			Subscriber: "crm", Max: 9, Before: time.Now(), LeaseUntil: time.Now().Add(time.Hour),
		}})
		if err != nil || len(entries) != 3 {
			t.Errorf("%s: after COMMIT PREPARED, Claim = %d events, %v; want 3", name, len(entries), err)
		}
	}
}

// A dispatcher in another process delivers what a transaction has published when that is
// committed, and Wake was called; and nothing of one that is rolled back.
func TestWakeDelivers(t *testing.T) {
	config := database(t)
	s := storeOn(t, poolOn(t, config))
	here := publishing(t, s)
	_, box := delivering(t, storeOn(t, poolOn(t, config)))
	for name, begin := range appWorks(t, s, config) {
		undone := begin()
		if _, err := here.PublishTx(t.Context(), undone.tx, invoicePaid.New(invoice{1})); err != nil {
			t.Fatal(err)
		}
		if err := undone.rollback(); err != nil {
			t.Fatal(err)
		}
		here.Wake(t.Context())
		work := begin()
		r, err := here.PublishTx(t.Context(), work.tx, invoicePaid.New(invoice{2}))
		if err != nil || r[0].Deliveries != 1 {
			t.Fatalf("%s: PublishTx = %v, %v; want one delivery", name, r, err)
		}
		if err := work.commit(); err != nil {
			t.Fatal(err)
		}
		here.Wake(t.Context())
		box.await(t, r[0].EventID)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if n := len(box.times); n != 2 {
		t.Errorf("%d events were delivered; want the 2 that were committed", n)
	}
}

// Wake tells of what the store has written as well, and of nothing when it polls only.
func TestWakeAnnounces(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	conn := witness(t, config, "hooks_hooks")
	mute, err := postgres.New(pool, postgres.Config{PollOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		store *postgres.Store
		want  int
	}{{storeOn(t, pool), 3}, {mute, 0}} {
		for range 3 {
			if err := c.store.Wake(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, pool, `NOTIFY hooks_hooks, 'end'`)
		if got := announced(t, conn); got != c.want {
			t.Errorf("3 calls of Wake were heard %d times; want %d", got, c.want)
		}
	}
	s := storeOn(t, pool)
	for i := range 2 { // the second one is owed when Wake is called
		mustEnqueue(t, s, entry(fmt.Sprint("evt_", i), "crm"))
	}
	if err := s.Wake(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-time.After(moment)
	mustExec(t, pool, `NOTIFY hooks_hooks, 'end'`)
	if got := announced(t, conn); got != 2 {
		t.Errorf("2 writes and Wake were heard %d times; want twice, the second one by Wake", got)
	}
}
