package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/internal/pgserver"
	"example.com/hooks/store/postgres"
)

// The line of most tests here: deliveries of one subscriber and ordering key.
const (
	lineSubscriber = "crm"
	lineKey        = "account-7"
)

// linedUp is an event and its one delivery, which stands in a line.
func linedUp(id, subscriber, key string, at time.Time) hooks.Entry {
	return hooks.Entry{
		Event: hooks.Event{ID: id, Type: "invoice.paid", Time: at, Data: []byte(`{}`), OrderingKey: key},
		Deliveries: []hooks.Delivery{{
			DeliveryID:  hooks.DeliveryID{Event: id, Subscriber: subscriber},
			Type:        "invoice.paid",
			OrderingKey: key,
			Status:      hooks.Pending,
			Due:         at,
			Run:         1,
			Created:     at,
			Updated:     at,
		}},
	}
}

// enqueueLine stores events of lineKey, in this order.
func enqueueLine(t *testing.T, to hooks.Tx, at time.Time, ids ...string) {
	t.Helper()
	var entries []hooks.Entry
	for _, id := range ids {
		entries = append(entries, linedUp(id, lineSubscriber, lineKey, at))
	}
	if _, err := to.Enqueue(t.Context(), at, entries); err != nil {
		t.Fatal(err)
	}
}

// claimLine claims up to ten deliveries of lineSubscriber until a minute later.
func claimLine(ctx context.Context, s *postgres.Store, at time.Time) ([]hooks.Delivery, error) {
	entries, err := s.Claim(ctx, at, []hooks.ClaimLane{{
		Subscriber: lineSubscriber, Max: 10, Before: at, LeaseUntil: at.Add(time.Minute),
	}})
	var ds []hooks.Delivery
	for _, e := range entries {
		ds = append(ds, e.Deliveries...)
	}
	return ds, err
}

// wantClaimed claims of lineSubscriber, and fails the test unless it gets exactly
// these events' deliveries.
func wantClaimed(t *testing.T, s *postgres.Store, at time.Time, want ...string) []hooks.Delivery {
	t.Helper()
	ds, err := claimLine(t.Context(), s, at)
	if err != nil {
		t.Fatal(err)
	}
	if got := eventsOf(ds); !slices.Equal(got, want) {
		t.Fatalf("Claim = %v; want %v", got, want)
	}
	return ds
}

func eventsOf(ds []hooks.Delivery) (ids []string) {
	for _, d := range ds {
		ids = append(ids, d.Event)
	}
	return ids
}

// finished is the change that ends a delivery.
func finished(d hooks.Delivery, at time.Time) hooks.Change {
	d.Status, d.Attempts, d.Due, d.Updated = hooks.Succeeded, d.Attempts+1, at, at
	return hooks.Change{Delivery: d}
}

// finish ends a delivery in the store.
func finish(t *testing.T, s *postgres.Store, at time.Time, d hooks.Delivery) {
	t.Helper()
	stale, err := s.Update(t.Context(), at, []hooks.Change{finished(d, at)})
	if err != nil || len(stale) > 0 {
		t.Fatalf("Update(%v succeeded) = stale %v, %v; want it applied", d.DeliveryID, stale, err)
	}
}

// lockLineSQL locks the test's line as claims and updates do. The expression is
// theirs: if it differs, nothing waits for the test, and it fails.
const lockLineSQL = `SELECT pg_advisory_xact_lock(hashtextextended('hooks ' || $1::text || chr(1) || chr(1) || $2::text, 0))`

// A hold is a transaction of the test's that others are made to wait for.
type hold struct {
	tx   pgx.Tx
	pool *pgxpool.Pool // of the same database, to look who waits
}

func holding(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) hold {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(context.Background()) }) // if the test has failed meanwhile
	if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
	return hold{tx, pool}
}

// release ends the transaction.
func (h hold) release(t *testing.T) {
	t.Helper()
	if err := h.tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// await returns when as many sessions of the database wait for a lock as there are
// calls under way: one that does not wait for the lock that it should is over.
func (h hold) await(t *testing.T, calls ...<-chan struct{}) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		var waiting, underWay int
		err := h.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		for _, done := range calls {
			select {
			case <-done:
			default:
				underWay++
			}
		}
		if waiting >= underWay {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s %d sessions wait for a lock; want %d", waiting, underWay)
		}
	}
}

// A call is one under way.
type call[T any] struct {
	value T
	err   error
	done  chan struct{}
}

func async[T any](f func() (T, error)) *call[T] {
	c := &call[T]{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.value, c.err = f()
	}()
	return c
}

func (c *call[T]) result() (T, error) {
	<-c.done
	return c.value, c.err
}

// patiently calls f until the store's calls did not give up waiting for the test:
// that they do after a second, which may pass on a machine that is busy.
func patiently(t *testing.T, f func(*pgxpool.Pool) error) {
	t.Helper()
	for try := range 10 {
		err := f(poolOn(t, database(t)))
		switch {
		case errors.Is(err, postgres.ErrTimeout):
			t.Logf("try %d: %v", try, err)
			continue
		case err != nil:
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the locks that the test holds are given up each time")
}

// While the first of a line ends, another dispatcher's claim meets the second.
// Whichever of the two has the line first, and wherever the other has got to, the
// second is leased by that claim or can be by the next: it never stays parked
// behind a delivery that has ended.
func TestClaimMeetsLineWhoseFirstEnds(t *testing.T) {
	lockRow := `SELECT FROM hooks.deliveries WHERE event_id = 'second' FOR UPDATE`
	for _, c := range []struct {
		name        string
		hold        string
		args        []any
		updateFirst bool
	}{
		{"the claim has the line", lockLineSQL, []any{lineSubscriber, lineKey}, false},
		{"the update has the line", lockLineSQL, []any{lineSubscriber, lineKey}, true},
		{"the claim is about to park", lockRow, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			patiently(t, func(pool *pgxpool.Pool) error {
				at := time.Now().UTC().Truncate(time.Second)
				s := storeOn(t, pool)
				enqueueLine(t, s, at, "first")
				first := wantClaimed(t, s, at, "first")[0]
				enqueueLine(t, s, at, "second")
				h := holding(t, pool, c.hold, c.args...)
				claimed, err := interleave(t, h, first, at, c.updateFirst)
				if err != nil {
					return err
				}
				if len(claimed) == 0 {
					claimed = wantClaimed(t, s, at, "second")
				}
				if ids := eventsOf(claimed); !slices.Equal(ids, []string{"second"}) {
					t.Errorf("Claim while the first ends = %v; want the second or nothing", ids)
				}
				return nil
			})
		})
	}
}

// interleave has one store claim, and another end a delivery of the same line,
// while both wait for the test. It returns what was claimed.
func interleave(t *testing.T, h hold, first hooks.Delivery, at time.Time, updateFirst bool) ([]hooks.Delivery, error) {
	t.Helper()
	claims, updates := storeOn(t, h.pool), storeOn(t, h.pool)
	claim := func() ([]hooks.Delivery, error) { return claimLine(t.Context(), claims, at) }
	update := func() ([]hooks.DeliveryID, error) {
		return updates.Update(t.Context(), at, []hooks.Change{finished(first, at)})
	}
	var claimed *call[[]hooks.Delivery]
	var updated *call[[]hooks.DeliveryID]
	if updateFirst {
		updated = async(update)
		h.await(t, updated.done)
		claimed = async(claim)
	} else {
		claimed = async(claim)
		h.await(t, claimed.done)
		updated = async(update)
	}
	h.await(t, claimed.done, updated.done)
	h.release(t)
	stale, err := updated.result()
	if len(stale) > 0 {
		t.Errorf("Update(first succeeded) is stale; want it applied")
	}
	ds, claimErr := claimed.result()
	return ds, errors.Join(err, claimErr)
}

// Dispatchers that claim a line at once get one lease of it together, or leave it to
// the next claim.
func TestLineHasOneLease(t *testing.T) {
	pool := poolOn(t, database(t))
	at := time.Now().UTC().Truncate(time.Second)
	ids := []string{"first", "second", "third", "fourth"}
	enqueueLine(t, storeOn(t, pool), at, ids...)
	for _, next := range ids {
		var claims []*call[[]hooks.Delivery]
		for range 4 {
			s := storeOn(t, pool)
			claims = append(claims, async(func() ([]hooks.Delivery, error) { return claimLine(t.Context(), s, at) }))
		}
		var leased []hooks.Delivery
		for _, c := range claims {
			ds, err := c.result()
			if err != nil {
				t.Fatal(err)
			}
			leased = append(leased, ds...)
		}
		if len(leased) == 0 {
			leased = wantClaimed(t, storeOn(t, pool), at, next)
		}
		if got := eventsOf(leased); !slices.Equal(got, []string{next}) {
			t.Fatalf("four claims at once = %v; want %s, once", got, next)
		}
		finish(t, storeOn(t, pool), at, leased[0])
	}
}

// The end of a delivery that has an ordering key frees its line; a change that does
// not say that it has one would leave the line blocked for ever, so it is stale.
func TestAChangeNamesTheLine(t *testing.T) {
	s := open(t)
	at := time.Now().UTC().Truncate(time.Second)
	enqueueLine(t, s, at, "first", "second")
	first := wantClaimed(t, s, at, "first")[0]

	silent := finished(first, at)
	silent.Delivery.OrderingKey = ""
	stale, err := s.Update(t.Context(), at, []hooks.Change{silent})
	if err != nil || !slices.Equal(stale, []hooks.DeliveryID{first.DeliveryID}) {
		t.Errorf("Update without the key = stale %v, %v; want it stale", stale, err)
	}
	wantClaimed(t, s, at)
	finish(t, s, at, first)
	wantClaimed(t, s, at, "second")
}

// A line that somebody has locked keeps nobody from claiming others, nor their
// caller waiting.
func TestALockedLineDelaysNoOther(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	at := time.Now().UTC().Truncate(time.Second)
	enqueueLine(t, s, at, "locked")
	e := hooks.Entry{Event: hooks.Event{ID: "free", Type: "a.b", Time: at}}
	e.Deliveries = []hooks.Delivery{{DeliveryID: hooks.DeliveryID{Event: "free", Subscriber: "other"}, Type: "a.b", Status: hooks.Pending, Due: at, Run: 1, Created: at, Updated: at}}
	if _, err := s.Enqueue(t.Context(), at, []hooks.Entry{e}); err != nil {
		t.Fatal(err)
	}
	h := holding(t, pool, lockLineSQL, lineSubscriber, lineKey)
	lanes := []hooks.ClaimLane{
		{Subscriber: lineSubscriber, Max: 5, Before: at, LeaseUntil: at.Add(time.Minute)},
		{Subscriber: "other", Max: 5, Before: at, LeaseUntil: at.Add(time.Minute)},
	}
	got, err := s.Claim(t.Context(), at, lanes)
	if err != nil || len(got) != 1 || got[0].Event.ID != "free" {
		t.Errorf("Claim beside a locked line = %v, %v; want the delivery of the other subscriber", got, err)
	}
	h.release(t)
	wantClaimed(t, s, at, "locked")
}

// A backlog of more lines than the server has room for locks can be claimed.
func TestManyLinesAreClaimed(t *testing.T) {
	few := map[string]string{"max_connections": "40", "max_locks_per_transaction": "10"}
	_, config := ownServer(t, pgserver.Config{Settings: few})
	s := storeOn(t, poolOn(t, config))
	at := time.Now().UTC().Truncate(time.Second)
	const lines = 3000
	var entries []hooks.Entry
	for i := range lines {
		id := fmt.Sprintf("e%d", i)
		e := hooks.Entry{Event: hooks.Event{ID: id, Type: "a.b", Time: at}}
		e.Deliveries = []hooks.Delivery{{
			DeliveryID: hooks.DeliveryID{Event: id, Subscriber: "crm"}, Type: "a.b", OrderingKey: id,
			Status: hooks.Pending, Due: at, Run: 1, Created: at, Updated: at,
		}}
		entries = append(entries, e)
	}
	if _, err := s.Enqueue(t.Context(), at, entries); err != nil {
		t.Fatal(err)
	}
	lane := hooks.ClaimLane{Subscriber: "crm", Max: lines, Before: at, LeaseUntil: at.Add(time.Minute)}
	got, err := s.Claim(t.Context(), at, []hooks.ClaimLane{lane})
	if err != nil || len(got) == 0 {
		t.Errorf("Claim of %d lines = %d entries, %v; want some", lines, len(got), err)
	}
}

// An earlier delivery whose transaction commits late finds a later one in flight.
// It waits for that one, and goes next.
func TestLateCommitWaitsForTheLine(t *testing.T) {
	pool := poolOn(t, database(t))
	s, other := storeOn(t, pool), storeOn(t, pool)
	at := time.Now().UTC().Truncate(time.Second)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) // if the test has failed
	enqueueLine(t, s.Tx(tx), at, "early")
	enqueueLine(t, s, at, "later", "last")
	later := wantClaimed(t, s, at, "later")[0]
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}

	wantClaimed(t, other, at)
	wantParked(t, pool, "early", "last")
	finish(t, s, at, later)
	early := wantClaimed(t, other, at, "early")[0]
	wantClaimed(t, s, at)
	finish(t, other, at, early)
	finish(t, s, at, wantClaimed(t, s, at, "last")[0])
}

// The same, but the later one fails first and is to be tried again: the earlier
// one goes before.
func TestLateCommitGoesBeforeARetry(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	at := time.Now().UTC().Truncate(time.Second)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) // if the test has failed
	enqueueLine(t, s.Tx(tx), at, "early")
	enqueueLine(t, s, at, "later")
	later := wantClaimed(t, s, at, "later")[0]
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	later.Status, later.Attempts, later.Due, later.Updated = hooks.Retrying, 1, at, at
	if _, err := s.Update(t.Context(), at, []hooks.Change{{Delivery: later}}); err != nil {
		t.Fatal(err)
	}
	early := wantClaimed(t, s, at, "early")[0]
	wantClaimed(t, s, at)
	finish(t, s, at, early)
	finish(t, s, at, wantClaimed(t, s, at, "later")[0])
}

// wantParked fails the test unless exactly these events' deliveries are parked.
func wantParked(t *testing.T, pool *pgxpool.Pool, want ...string) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT event_id FROM hooks.deliveries WHERE parked ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("parked are %v; want %v", got, want)
	}
}
