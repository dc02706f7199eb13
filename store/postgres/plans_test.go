package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
)

// Statements that were planned when the tables were all but empty do not read them
// whole when they are full: what each touches depends on what it was asked for. That
// is so for those that take events for new, and those that look.
func TestPlansOfYoungTablesStayGood(t *testing.T) {
	t.Run("bold", func(t *testing.T) { testPlans(t, false) })
	t.Run("careful", func(t *testing.T) { testPlans(t, true) })
}

func testPlans(t *testing.T, careful bool) {
	pool := poolOn(t, database(t), func(c *pgxpool.Config) { c.MaxConns = 1 }) // one plan for each statement
	s := storeOn(t, pool)
	at := time.Now().UTC().Truncate(time.Second)
	n := 0
	publish := func(subscriber, key string, count int) {
		t.Helper()
		var entries []hooks.Entry
		for range count {
			n++
			id := fmt.Sprintf("e%d", n)
			e := hooks.Entry{Event: hooks.Event{ID: id, Type: "a.b", Time: at}, KeyUntil: at.Add(time.Hour)}
			if key == "" {
				e.Event.IdempotencyKey = id
			}
			e.Deliveries = []hooks.Delivery{{
				DeliveryID: hooks.DeliveryID{Event: id, Subscriber: subscriber}, Type: "a.b", OrderingKey: key,
				Status: hooks.Pending, Due: at, Run: 1, Created: at, Updated: at,
			}}
			entries = append(entries, e)
		}
		if _, err := s.Enqueue(t.Context(), at, entries); err != nil {
			t.Fatal(err)
		}
	}
	cycle := func() {
		t.Helper()
		if careful { // they are, for a second, when they have met what is there
			n--
			publish("free", "", 1)
		}
		publish("free", "", 5)
		publish("lined", "k", 5)
		var changes []hooks.Change
		for _, sub := range []string{"free", "lined"} {
			entries, err := s.Claim(t.Context(), at, []hooks.ClaimLane{{Subscriber: sub, Max: 5, Before: at, LeaseUntil: at.Add(time.Minute)}})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				changes = append(changes, finished(e.Deliveries[0], at))
			}
		}
		if stale, err := s.Update(t.Context(), at, changes); err != nil || len(stale) > 0 || len(changes) == 0 {
			t.Fatalf("Update of %d = %v, %v", len(changes), stale, err)
		}
		if _, err := s.Backlog(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	publish("free", "", 1)
	run(t, pool, `VACUUM ANALYZE hooks.events`)
	run(t, pool, `VACUUM ANALYZE hooks.deliveries`)
	for range 8 {
		cycle()
	}
	for range 20 {
		publish("elsewhere", "", 1000)
	}
	before := tuplesRead(t, pool)
	const cycles = 10
	for range cycles {
		cycle()
	}
	if read := tuplesRead(t, pool) - before; read > 1000*cycles {
		t.Errorf("%d cycles of 10 deliveries read %d rows and index entries, in tables of 20,000; want some hundreds each", cycles, read)
	} else {
		t.Logf("%d rows and index entries a cycle", read/cycles)
	}
}

func run(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// tuplesRead counts what was read of the tables, by index or not.
func tuplesRead(t *testing.T, pool *pgxpool.Pool) (n int64) {
	t.Helper()
	run(t, pool, `SELECT pg_stat_force_next_flush()`)
	err := pool.QueryRow(t.Context(), `SELECT
		(SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'hooks') +
		(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'hooks')`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
