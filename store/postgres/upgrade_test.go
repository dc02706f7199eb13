package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// formerInsertSQL writes events as programs of version 1 do, which name every column. $1
// and $2 are the numbers of the first and the last.
const formerInsertSQL = `WITH events AS (
		INSERT INTO hooks.events (id, type, tenant, time, ordering_key, idempotency_key, deliver_at,
			expires_at, metadata, fanout, stored, unheard, data)
		SELECT 'evt_' || i, 'invoice.paid', 'acme', now(), '', 'key ' || i, NULL, NULL, '{"a":"b"}', 1, now(), false, '{"n":1}'
		FROM generate_series($1::int, $2::int) AS i
	), keys AS (
		INSERT INTO hooks.keys (tenant, key, event_id, until)
		SELECT 'acme', 'key ' || i, 'evt_' || i, 'infinity' FROM generate_series($1::int, $2::int) AS i
	), attempts AS (
		INSERT INTO hooks.attempts (event_id, subscriber, run, number, token, start, dns, connect, tls, wait, took,
			url, code, error, retry_after, header, body, body_cut, instance)
		SELECT 'evt_' || i, 'crm', 1, 1, 1, now(), 0, 0, 0, 0, 1, '', 200, '', 0, '{"A":["b"]}', 'ok', false, 'a'
		FROM generate_series($1::int, $2::int) AS i
	)
	INSERT INTO hooks.deliveries (event_id, subscriber, type, tenant, ordering_key, status, reason,
		due, run, attempts, lost, token, created, updated, code, error)
	SELECT 'evt_' || i, 'crm', 'invoice.paid', 'acme', '', 4, '', now(), 1, 1, 0, 2, now(), now(), 200, ''
	FROM generate_series($1::int, $2::int) AS i`

// version1 returns a database with the tables of version 1, in which a program of that
// version has delivered n events, and an application has tables of its own.
func version1(t *testing.T, n int) (*pgxpool.Pool, *pgx.ConnConfig) {
	t.Helper()
	pool, config := blank(t)
	runScripts(t, config, 1)
	mustExec(t, pool, formerInsertSQL, 1, n)
	script(t, config, `CREATE TABLE public.orders (id int PRIMARY KEY, event text);
		CREATE INDEX orders_event ON public.orders (event);
		INSERT INTO public.orders SELECT i, 'evt_' || i FROM generate_series(1, 1000) AS i`)
	return pool, config
}

// applicationSQL describes the application's tables: what they are and what is in them.
const applicationSQL = `SELECT (SELECT string_agg(concat_ws(' ', relname, oid, xmin, relfilenode), ', ' ORDER BY relname)
		FROM pg_class WHERE relnamespace = 'public'::regnamespace)
	|| ': ' || (SELECT count(*) || ' ' || md5(string_agg(concat_ws(' ', id, event, xmin, ctid), ' ' ORDER BY id)) FROM public.orders)`

// A database of version 1 is brought up to date in a moment, because no row is touched.
// If the process dies meanwhile, nothing has changed, and another one can do it. With
// -hooks.long there are a million events.
func TestMigrateAFullDatabase(t *testing.T) {
	n := 20_000
	if *long {
		n = 1_000_000
	}
	pool, config := version1(t, n)
	before, application := value[string](t, pool, catalogSQL), value[string](t, pool, applicationSQL)
	s := storeOn(t, pool)

	release := holdEvents(t, config)
	migrated := make(chan error, 1)
	go func() { migrated <- s.Migrate(t.Context()) }()
	if err := killMigration(t, config, migrated); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("Migrate whose connection is terminated = %v; want ErrUnavailable", err)
	}
	if after := value[string](t, pool, catalogSQL); after != before {
		t.Errorf("Migrate that was terminated changed the schema from\n%s\nto\n%s", before, after)
	}
	release()

	start := time.Now()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate after one that was terminated = %v; want nil", err)
	}
	took := time.Since(start)
	t.Logf("%d events with a delivery, a key and an attempt each: %v", n, took)
	if took > time.Minute {
		t.Errorf("Migrate of %d events took %v; want less than a minute", n, took)
	}
	if after := value[string](t, pool, applicationSQL); after != application {
		t.Errorf("Migrate changed the application's tables from\n%s\nto\n%s", application, after)
	}
	for _, table := range []string{"events", "deliveries", "attempts", "keys"} {
		if got := value[int](t, pool, `SELECT count(*) FROM hooks.`+table); got != n {
			t.Errorf("after Migrate hooks.%s has %d rows; want %d", table, got, n)
		}
	}
	page, _, err := s.Events(t.Context(), hooks.Query{Key: "key 1", Tenant: "acme"})
	if err != nil || len(page) != 1 || page[0].ID != "evt_1" || !page[0].Erased.IsZero() {
		t.Errorf("Events of an old key = %+v, %v; want evt_1, not erased", page, err)
	}
	well(t, s, methods...)
}

// holdEvents has somebody use hooks.events, as a backup does, until release is called.
func holdEvents(t *testing.T, config *pgx.ConnConfig) (release func()) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE hooks.events IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
			t.Error(err)
		}
	}
}

// waitingSQL lists the connections that wait for a lock in the middle of migration 2: for
// hooks.events, which is all that anybody holds. The server shows the first kilobyte of its text.
const waitingSQL = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
	AND wait_event_type = 'Lock' AND query LIKE '%Counters by minute%' AND pid <> pg_backend_pid()`

// killMigration terminates the connection of a Migrate that waits for a lock, and returns
// the error of that Migrate.
func killMigration(t *testing.T, config *pgx.ConnConfig, migrated <-chan error) error {
	t.Helper()
	pool := poolOn(t, config)
	for deadline := time.After(10 * time.Second); ; {
		mustExec(t, pool, `SELECT pg_terminate_backend(pid) FROM (`+waitingSQL+`) AS waiting`)
		select {
		case err := <-migrated:
			return err
		case <-deadline:
			t.Fatal("within ten seconds Migrate did not wait for a lock")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// While a migration waits for somebody's transaction, programs of version 1 go on, and so
// they do when it is through.
func TestMigrateBesideProgramsOfVersion1(t *testing.T) {
	pool, config := version1(t, 10)
	release := holdEvents(t, config)
	migrated := make(chan error, 1)
	go func() { migrated <- storeOn(t, poolOn(t, config)).Migrate(t.Context()) }()
	for deadline := time.Now().Add(10 * time.Second); value[int](t, pool, `SELECT count(*) FROM (`+waitingSQL+`) AS waiting`) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("within ten seconds Migrate did not wait for a lock")
		}
	}
	former := poolOn(t, config, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["lock_timeout"] = "3s" // as long as programs of version 1 wait
	})
	for i := range 5 {
		if _, err := former.Exec(t.Context(), formerInsertSQL, 100+i, 100+i); err != nil {
			t.Errorf("publishing while a migration waits: %v", err)
		}
	}
	release()
	if err := soon(t, migrated, "Migrate"); err != nil {
		t.Fatalf("Migrate when the transaction has ended = %v; want nil", err)
	}
	if _, err := former.Exec(t.Context(), formerInsertSQL, 200, 200); err != nil {
		t.Errorf("publishing by a program of version 1 after the migration: %v", err)
	}
	s := storeOn(t, pool)
	if page, _, err := s.Events(t.Context(), hooks.Query{}); err != nil || len(page) != 16 {
		t.Errorf("Events = %d, %v; want the 16 that were published", len(page), err)
	}
	mustEnqueue(t, s, entry("evt_new", "crm"))
	if got := value[int](t, pool, `SELECT fanout FROM hooks.events WHERE id = 'evt_new'`); got != 0 {
		t.Errorf("programs of version 1 read fanout %d of a new event; want 0", got)
	}
}

// Migrate gives up when somebody's transaction does not end, as its caller wishes.
func TestMigrateEndsWithItsContext(t *testing.T) {
	pool, config := version1(t, 1)
	defer holdEvents(t, config)()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := storeOn(t, pool).Migrate(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Migrate when its context ends = %v; want context.DeadlineExceeded", err)
	}
	if got := value[int](t, pool, `SELECT version FROM hooks.meta`); got != 1 {
		t.Errorf("the version is %d; want 1", got)
	}
}

// A Put that emits and a migration want the same two locks: neither is given up.
func TestPutBesideAMigration(t *testing.T) {
	config := database(t)
	s := storeOn(t, poolOn(t, config))
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for i := range 20 {
		done := make(chan error, 1)
		go func() {
			_, err := s.Put(t.Context(), at(0), hooks.Record{Key: fmt.Sprint(i), Data: []byte("1")}, numbered(fmt.Sprint(i, "_"), 3))
			done <- err
		}()
		if _, err := conn.PgConn().Exec(t.Context(), `BEGIN; UPDATE hooks.meta SET version = version WHERE one;
			ALTER TABLE hooks.events ALTER COLUMN fanout SET DEFAULT 0; COMMIT`).ReadAll(); err != nil {
			t.Errorf("a migration beside a Put that emits: %v", err)
		}
		if err := soon(t, done, "Put"); err != nil {
			t.Errorf("Put that emits beside a migration = %v; want nil", err)
		}
	}
}
