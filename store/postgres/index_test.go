package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks/store/postgres"
)

// buildingSQL lists the connections that make an index, or remove one, and wait for somebody.
const buildingSQL = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
	AND query LIKE '%INDEX CONCURRENTLY%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`

// validSQL counts the indexes of migration 3, and those of them that are whole.
const validSQL = `SELECT count(*) || ' of ' || count(*) FILTER (WHERE i.indisvalid)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relname IN ('deliveries_status', 'deliveries_status_subscriber', 'deliveries_status_tenant', 'deliveries_tenant', 'events_tenant')`

// Migration 3 of a full database makes its indexes while programs of version 2 publish, and
// while somebody's transaction does not end. A process that dies meanwhile leaves version 2,
// and the next ones, of which one waits for the other, make the indexes anew.
func TestMigrateMakesIndexesBesideOthers(t *testing.T) {
	pool, config := blank(t)
	runScripts(t, config, 2)
	mustExec(t, pool, formerInsertSQL, 1, 20_000)
	release := holdDeliveries(t, config)

	first := make(chan error, 1)
	go func() { first <- storeOn(t, poolOn(t, config)).Migrate(t.Context()) }()
	awaitBuild(t, pool)
	former := poolOn(t, config, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["lock_timeout"] = "1s" })
	if _, err := former.Exec(t.Context(), formerInsertSQL, 30_000, 30_000); err != nil {
		t.Errorf("publishing while an index is made: %v", err)
	}
	mustExec(t, pool, `SELECT pg_terminate_backend(pid) FROM (`+buildingSQL+`) AS building`)
	if err := soon(t, first, "Migrate"); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("Migrate whose connection is terminated = %v; want ErrUnavailable", err)
	}
	if got := value[int](t, pool, `SELECT version FROM hooks.meta`); got != 2 {
		t.Errorf("after a migration that was terminated the version is %d; want 2", got)
	}

	const many = 3
	next := make(chan error, many)
	for range many {
		go func() { next <- storeOn(t, poolOn(t, config)).Migrate(t.Context()) }()
	}
	awaitBuild(t, pool)
	release()
	for range many {
		if err := soon(t, next, "Migrate"); err != nil {
			t.Errorf("Migrate after one that was terminated = %v; want nil", err)
		}
	}
	if got := value[string](t, pool, validSQL); got != "5 of 5" {
		t.Errorf("after Migrate there are %s indexes that are whole; want 5 of 5", got)
	}
	if got := value[int](t, pool, `SELECT version FROM hooks.meta`); got != 3 {
		t.Errorf("after Migrate the version is %d; want 3", got)
	}
}

// holdDeliveries has somebody's transaction write a delivery, and end when release is called.
func holdDeliveries(t *testing.T, config *pgx.ConnConfig) (release func()) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE hooks.deliveries SET code = 201 WHERE event_id = 'evt_1'`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
			t.Error(err)
		}
	}
}

// awaitBuild returns when an index that is made waits for a transaction.
func awaitBuild(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); value[int](t, pool, `SELECT count(*) FROM (`+buildingSQL+`) AS building`) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("within ten seconds no index that is made waited for a transaction")
		}
	}
}
