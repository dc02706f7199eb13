package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// A heldSnapshot is a database in which somebody's transaction keeps dead entries in
// the index that claims read.
type heldSnapshot struct {
	t    *testing.T
	pool *pgxpool.Pool
	now  time.Time // as the stores are told
	n    int       // events so far
}

// holdSnapshot opens a transaction that keeps what it can see until the test ends.
func holdSnapshot(t *testing.T, change ...func(*pgxpool.Config)) *heldSnapshot {
	t.Helper()
	config := database(t)
	holder, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Close(context.Background()) })
	for _, sql := range []string{`BEGIN ISOLATION LEVEL REPEATABLE READ`, `SELECT count(*) FROM hooks.events`} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return &heldSnapshot{t: t, pool: poolOn(t, config, change...), now: time.Now().UTC().Truncate(time.Microsecond)}
}

// kill leaves n dead entries of a subscriber in the index, of deliveries that were due
// some minutes ago.
func (h *heldSnapshot) kill(subscriber string, n int) {
	h.t.Helper()
	mustExec(h.t, h.pool, `INSERT INTO hooks.deliveries (event_id, subscriber, type, tenant, ordering_key, status, reason,
			due, run, attempts, lost, token, created, updated, code, error)
		SELECT 'dead ' || i, $1, 'a.b', '', '', 1, '', $2::timestamptz - i * interval '1 ms', 1, 0, 0, 0, $2, $2::timestamptz - i * interval '1 ms', 0, ''
		FROM generate_series(1, $3::int) AS i`, subscriber, h.now.Add(-time.Minute), n)
	mustExec(h.t, h.pool, `UPDATE hooks.deliveries SET status = 4 WHERE subscriber = $1`, subscriber)
}

// store returns a store that has noticed the dead entries, if there are any.
func (h *heldSnapshot) store() *postgres.Store {
	h.t.Helper()
	s := storeOn(h.t, h.pool)
	h.look(s)
	h.backlog(s)
	return s
}

// look tells a store what time it is.
func (h *heldSnapshot) look(s *postgres.Store) { h.claim(s, "nobody", 1) }

func (h *heldSnapshot) backlog(s *postgres.Store) map[string]time.Time {
	h.t.Helper()
	list, err := s.Backlog(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	due := make(map[string]time.Time)
	for _, w := range list {
		due[w.Subscriber] = w.Due
	}
	return due
}

// publish stores an event for a subscriber, due at a time, and returns its id.
func (h *heldSnapshot) publish(to hooks.Tx, subscriber string, due time.Time) string {
	h.t.Helper()
	h.n++
	e := entry(fmt.Sprint("e", h.n), subscriber)
	e.Deliveries[0].Due = due
	if _, err := to.Enqueue(h.t.Context(), h.now, []hooks.Entry{e}); err != nil {
		h.t.Fatal(err)
	}
	return e.Event.ID
}

func (h *heldSnapshot) claim(s *postgres.Store, subscriber string, most int) []hooks.Delivery {
	h.t.Helper()
	entries, err := s.Claim(h.t.Context(), h.now, []hooks.ClaimLane{{
		Subscriber: subscriber, Max: most, Before: h.now, LeaseUntil: h.now.Add(time.Minute),
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	var ds []hooks.Delivery
	for _, e := range entries {
		ds = append(ds, e.Deliveries...)
	}
	return ds
}

// update writes deliveries back, none of which may be stale.
func (h *heldSnapshot) update(s *postgres.Store, changes ...hooks.Change) {
	h.t.Helper()
	if stale, err := s.Update(h.t.Context(), h.now, changes); err != nil || len(stale) > 0 {
		h.t.Fatalf("Update = %v, %v; want none stale", stale, err)
	}
}

// wantFound fails the test unless a store sees that a subscriber's delivery is due,
// and claims it.
func (h *heldSnapshot) wantFound(s *postgres.Store, subscriber string, ids ...string) []hooks.Delivery {
	h.t.Helper()
	h.look(s)
	if due, ok := h.backlog(s)[subscriber]; !ok || due.After(h.now) {
		h.t.Errorf("Backlog()[%s] = %v; want what is due at %v", subscriber, due, h.now)
	}
	ds := h.claim(s, subscriber, 10)
	if got := eventsOf(ds); !slices.Equal(got, ids) {
		h.t.Errorf("Claim(%s) = %v; want %v", subscriber, got, ids)
	}
	return ds
}

// many is enough for looks to be dear.
const many = 4000

// Beside a held snapshot a claim, a backlog and an update touch about as many of the
// server's pages as they do elsewhere, however many deliveries have ended.
func TestLooksStayShortBesideAHeldSnapshot(t *testing.T) {
	h := holdSnapshot(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	s := h.store()
	const cycles = 20
	cycle := func() int64 {
		before := buffersTouched(t, h.pool)
		for range cycles {
			id := h.publish(s, "crm", h.now)
			d := h.wantFound(s, "crm", id)[0]
			h.update(s, finished(d, h.now))
			h.claim(s, "gone", 1)
		}
		return (buffersTouched(t, h.pool) - before) / cycles
	}
	cycle() // plans
	usual := cycle()
	h.kill("crm", 5*many)
	h.kill("gone", many)
	h.now = h.now.Add(10 * time.Second)
	s = h.store()
	cycle() // makes crm known
	beside := cycle()
	t.Logf("buffers a cycle: %d, and beside dead entries %d", usual, beside)
	if beside > 3*usual+200 {
		t.Errorf("a cycle touched %d buffers beside %d dead entries, and %d without; want at most thrice as many", beside, 6*many, usual)
	}
}

// buffersTouched counts the pages of hooks that were touched.
func buffersTouched(t *testing.T, pool *pgxpool.Pool) int64 {
	t.Helper()
	mustExec(t, pool, `SELECT pg_stat_force_next_flush()`)
	return value[int64](t, pool, `SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::bigint
		FROM pg_statio_user_tables WHERE schemaname = 'hooks'`)
}

// What becomes due as it always does is found at once beside a held snapshot,
// whoever has written it, and so is whatever the store itself has written.
func TestFindsAtOnceBesideAHeldSnapshot(t *testing.T) {
	h := holdSnapshot(t)
	old := h.now.Add(-time.Hour)
	h.kill("crm", many)
	s, other := h.store(), h.store()

	t.Run("what another store publishes, to whomever", func(t *testing.T) {
		for _, subscriber := range []string{"crm", "zz", "aa", "bb", "crn"} {
			h.wantFound(s, subscriber, h.publish(other, subscriber, h.now))
		}
		var ids []string
		for i := range 20 {
			ids = append(ids, h.publish(other, fmt.Sprint("new", i), h.now))
		}
		for i, id := range ids {
			h.wantFound(s, fmt.Sprint("new", i), id)
		}
	})
	t.Run("what it publishes itself, due long ago", func(t *testing.T) {
		for _, subscriber := range []string{"crm", "unknown"} {
			h.wantFound(s, subscriber, h.publish(s, subscriber, old))
		}
	})
	t.Run("what it gives back, replays and frees", func(t *testing.T) {
		d := h.wantFound(s, "crm", h.publish(other, "crm", h.now))[0]
		d.Status, d.Due = hooks.Pending, old
		h.update(s, hooks.Change{Delivery: d})
		d = h.wantFound(s, "crm", d.Event)[0]
		h.update(s, finished(d, h.now))
		d.Token++
		d.Status, d.Run, d.Due = hooks.Pending, 2, old
		h.update(s, hooks.Change{Delivery: d})
		h.update(s, finished(h.wantFound(s, "crm", d.Event)[0], h.now))
		enqueueLine(t, s, old, "first", "second")
		first := h.claim(s, lineSubscriber, 10)
		h.now = h.now.Add(time.Second)
		h.backlog(s)
		h.update(s, finished(first[0], h.now))
		h.update(s, finished(h.wantFound(s, lineSubscriber, "second")[0], h.now))
	})
	t.Run("what a claim has left in doubt", func(t *testing.T) {
		id := h.publish(s, "doubt", old)
		tx, err := h.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `UPDATE hooks.deliveries SET status = 3, due = now() + interval '1 h' WHERE event_id = $1`, id); err != nil {
			t.Fatal(err)
		}
		for range 3 { // it passes over what is locked
			h.look(s)
			h.backlog(s)
			if ds := h.claim(s, "doubt", 10); len(ds) > 0 {
				t.Fatalf("Claim = %v; want nothing, for it is locked", ds)
			}
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.wantFound(s, "doubt", id)
	})
	t.Run("leases that end, retries and what was scheduled", func(t *testing.T) {
		lost := h.publish(other, "lost", h.now)
		h.claim(other, "lost", 1)
		later := h.publish(other, "later", h.now.Add(50*time.Second))
		for range 70 {
			h.now = h.now.Add(time.Second)
			h.look(s)
			h.backlog(s)
		}
		h.wantFound(s, "lost", lost)
		h.wantFound(s, "later", later)
	})
	t.Run("everything of a deleted subscriber", func(t *testing.T) {
		want := []string{h.publish(other, "deleted", h.now), h.publish(other, "deleted", h.now.Add(time.Hour))}
		h.look(s)
		h.backlog(s)
		entries, err := s.Claim(t.Context(), h.now, []hooks.ClaimLane{{
			Subscriber: "deleted", Max: 10, Before: h.now.AddDate(100, 0, 0), LeaseUntil: h.now.Add(time.Minute),
		}})
		if err != nil || len(entries) != len(want) {
			t.Errorf("Claim = %d, %v; want %d", len(entries), err, len(want))
		}
	})
	t.Run("what is due after the clock was set back", func(t *testing.T) {
		h.now = h.now.Add(-time.Hour)
		for _, subscriber := range []string{"crm", "nobody yet"} {
			id := h.publish(other, subscriber, h.now)
			if got := eventsOf(h.claim(s, subscriber, 1)); !slices.Equal(got, []string{id}) {
				t.Errorf("Claim(%s) = %v; want %s", subscriber, got, id)
			}
		}
		for _, subscriber := range []string{"crm", "nobody else"} {
			h.now = h.now.Add(-time.Hour)
			h.wantFound(s, subscriber, h.publish(other, subscriber, h.now))
		}
	})
}

// Beside a held snapshot, a transaction that commits more than a second after its
// deliveries were due is found by the next whole look, which comes after a second or
// twenty times what that takes.
func TestLateCommitsAreFoundBesideAHeldSnapshot(t *testing.T) {
	h := holdSnapshot(t)
	h.kill("crm", many)
	s := h.store()
	tx, err := h.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := h.publish(s.Tx(tx), "crm", h.now)
	h.now = h.now.Add(5 * time.Second)
	h.look(s)
	h.backlog(s)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	began, looks := time.Now(), 0
	for len(h.claim(s, "crm", 10)) == 0 {
		if looks++; time.Since(began) > 30*time.Second {
			t.Fatalf("Claim does not find %s 30 s after its commit", id)
		}
		h.backlog(s)
	}
	t.Logf("found after %v and %d looks", time.Since(began), looks)
}

// While dead entries are many, Weaknesses says so; afterwards all looks are whole.
func TestAHeldSnapshotIsAWeakness(t *testing.T) {
	h := holdSnapshot(t)
	h.kill("few", 1000)
	s := h.store()
	weaknesses := func() []string {
		t.Helper()
		list, err := s.Weaknesses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The tests' server has settings that are weaknesses, too.
		return slices.DeleteFunc(list, func(w string) bool { return strings.Contains(w, " is off: ") })
	}
	if got := weaknesses(); len(got) > 0 {
		t.Errorf("Weaknesses beside a few dead entries = %q; want none", got)
	}
	h.kill("crm", many)
	h.backlog(s)
	if got := weaknesses(); len(got) != 1 || !strings.Contains(got[0], "backend_xmin") {
		t.Errorf("Weaknesses beside %d dead entries = %q; want one that says where to look", many, got)
	}
	mustExec(t, h.pool, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'idle in transaction'`)
	for began := time.Now(); len(weaknesses()) > 0; h.backlog(s) {
		mustExec(t, h.pool, `VACUUM hooks.deliveries`)
		if time.Since(began) > 30*time.Second {
			t.Fatal("Weaknesses do not end within 30 s of the snapshot")
		}
	}
}

// Two stores do random things at random times, beside a held snapshot and without.
// Each claim gets exactly what is due, and the backlog has everybody who has something.
func TestNothingIsMissedBesideAHeldSnapshot(t *testing.T) {
	h := holdSnapshot(t)
	h.kill("s1", many)
	h.kill("gone", 10)
	stores := []*postgres.Store{h.store(), h.store()}
	chance := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		h.now = h.now.Add(time.Duration(chance.IntN(4000)) * time.Millisecond)
		s := stores[chance.IntN(2)]
		subscriber := fmt.Sprint("s", chance.IntN(4))
		switch chance.IntN(4) {
		case 0:
			h.publish(s, subscriber, h.now)
		case 1:
			h.publish(s, subscriber, h.now.Add(time.Duration(chance.IntN(20))*time.Second))
		case 2:
			h.wantBacklog(s)
		case 3:
			h.claimAndAnswer(s, subscriber, chance)
		}
	}
}

// wantBacklog fails the test unless the backlog has all subscribers with something due.
func (h *heldSnapshot) wantBacklog(s *postgres.Store) {
	h.t.Helper()
	h.look(s)
	backlog := h.backlog(s)
	want := value[[]string](h.t, h.pool, `SELECT coalesce(array_agg(DISTINCT subscriber), '{}') FROM hooks.deliveries
		WHERE status <= 3 AND due <= $1`, h.now)
	for _, subscriber := range want {
		if due, ok := backlog[subscriber]; !ok || due.After(h.now) {
			h.t.Fatalf("Backlog()[%s] = %v; want what is due at %v", subscriber, due, h.now)
		}
	}
}

// claimAndAnswer claims some deliveries, which must be those that are due first, and
// finishes, retries, gives back or forgets each.
func (h *heldSnapshot) claimAndAnswer(s *postgres.Store, subscriber string, chance *rand.Rand) {
	h.t.Helper()
	most := 1 + chance.IntN(5)
	want := value[[]string](h.t, h.pool, `SELECT coalesce(array_agg(event_id ORDER BY due, seq), '{}') FROM (
		SELECT event_id, due, seq FROM hooks.deliveries WHERE status <= 3 AND subscriber = $1 AND due <= $2
		ORDER BY due, seq LIMIT $3) AS d`, subscriber, h.now, most)
	ds := h.claim(s, subscriber, most)
	if got := eventsOf(ds); !slices.Equal(got, want) {
		h.t.Fatalf("Claim(%s) = %v; want %v", subscriber, got, want)
	}
	for _, d := range ds {
		switch chance.IntN(4) {
		case 0:
			h.update(s, finished(d, h.now))
		case 1:
			d.Status, d.Due = hooks.Retrying, h.now.Add(time.Duration(chance.IntN(30))*time.Second)
			h.update(s, hooks.Change{Delivery: d})
		case 2:
			d.Status, d.Due = hooks.Pending, h.now
			h.update(s, hooks.Change{Delivery: d})
		}
	}
}

// A Prune goes on where the last one has stopped, and reads again what that has removed
// only when it seems to be done; what is older by then is removed all the same.
func TestPruneGoesOnBesideAHeldSnapshot(t *testing.T) {
	h := holdSnapshot(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	s := h.store()
	h.kill("crm", many)
	read := func() int64 {
		mustExec(t, h.pool, `SELECT pg_stat_force_next_flush()`)
		return value[int64](t, h.pool, `SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'deliveries_done'`)
	}
	prune := func() int {
		n, err := s.Prune(t.Context(), hooks.Cutoffs{Done: h.now, Limit: many / 10})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, removed := read(), 0
	for range 5 {
		removed += prune()
	}
	h.kill("late", 1)
	mustExec(t, h.pool, `UPDATE hooks.deliveries SET updated = updated - interval '1 h' WHERE subscriber = 'late'`)
	for n := 1; n > 0; {
		n = prune()
		removed += n
	}
	if left := value[int](t, h.pool, `SELECT count(*) FROM hooks.deliveries`); left > 0 || removed != many+1 {
		t.Errorf("Prune removed %d and left %d; want %d and none", removed, left, many+1)
	}
	if got := read() - before; got > 4*many {
		t.Errorf("removing %d read %d entries; want at most four each", many, got)
	} else {
		t.Logf("removing %d read %d entries", many, got)
	}
}
