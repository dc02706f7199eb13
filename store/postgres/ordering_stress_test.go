package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// oneLeaseSQL has the database refuse what would be a second lease of a line.
const oneLeaseSQL = `CREATE UNIQUE INDEX one_lease ON hooks.deliveries (subscriber, tenant, ordering_key)
	WHERE status = 3 AND ordering_key <> ''`

// Four stores claim, finish, fail, give back, abandon, cancel and replay
// deliveries of a few lines, all at once. No line has two leases, none is taken
// out of turn, and at the end nothing is left parked.
func TestLinesUnderStress(t *testing.T) {
	pool := poolOn(t, database(t), func(c *pgxpool.Config) { c.MaxConns = 32 })
	if _, err := pool.Exec(t.Context(), oneLeaseSQL); err != nil {
		t.Fatal(err)
	}
	st := newStress(3000)
	var stores []*postgres.Store
	for range 4 {
		stores = append(stores, storeOn(t, pool))
	}
	working, stopWork := context.WithCancel(t.Context())
	meddling, stopMeddling := context.WithCancel(working)
	defer stopWork()
	var producers, meddlers, workers sync.WaitGroup
	for i := range st.keys {
		producers.Go(func() { st.produce(t, stores[i%len(stores)], i) })
	}
	for i := range 8 {
		workers.Go(func() { st.work(working, t, stores[i%len(stores)]) })
	}
	for i := range 2 {
		meddlers.Go(func() { st.meddle(meddling, t, stores[i]) })
	}
	countUntil(t, pool, func(c census) bool { return c.unfinished+c.ended == st.deliveries || t.Failed() })
	producers.Wait()
	stopMeddling()
	meddlers.Wait()
	end := countUntil(t, pool, func(c census) bool { return c.claimable == 0 || t.Failed() })
	stopWork()
	workers.Wait()
	t.Logf("%d deliveries: %d leases, %d of them abandoned; %d canceled, %d replayed; %d ended, %d stuck",
		st.deliveries, st.leased.Load(), st.abandoned.Load(), st.canceled.Load(), st.replayed.Load(), end.ended, end.unfinished)
	if end.unfinished > 0 {
		t.Errorf("%d deliveries are unfinished and no claim returns them; want none", end.unfinished)
	}
	if end.ended != st.deliveries {
		t.Errorf("%d deliveries ended; want %d", end.ended, st.deliveries)
	}
}

// A stress is what the goroutines of the test share.
type stress struct {
	deliveries  int
	subscribers []string
	keys        int

	leased, abandoned, canceled, replayed atomic.Int64

	mu    sync.Mutex      // guards what follows
	ended map[string]bool // deliveries that somebody has begun to end: "key-number"
}

func newStress(deliveries int) *stress {
	return &stress{
		deliveries:  deliveries,
		subscribers: []string{"crm", "erp"},
		keys:        5,
		ended:       make(map[string]bool),
	}
}

// event names number n of a line.
func (st *stress) event(key, n int) string { return fmt.Sprintf("%d-%d", key, n) }

// produce stores all that is to come of a key, one or two at a time, and keeps a
// few ahead of what has ended, so that claims meet them while others end: an event
// has a delivery for each subscriber.
func (st *stress) produce(t *testing.T, s *postgres.Store, key int) {
	const ahead = 3
	each := st.deliveries / len(st.subscribers) / st.keys
	for n := 0; n < each && !t.Failed(); {
		if !st.hasEnded(key, n-ahead) {
			<-time.After(time.Millisecond)
			continue
		}
		var entries []hooks.Entry
		at := time.Now().UTC()
		for range min(1+rand.IntN(2), each-n) {
			e := linedUp(st.event(key, n), st.subscribers[0], fmt.Sprint("key", key), at)
			for _, other := range st.subscribers[1:] {
				d := e.Deliveries[0]
				d.Subscriber = other
				e.Deliveries = append(e.Deliveries, d)
			}
			entries = append(entries, e)
			n++
		}
		if _, err := s.Enqueue(t.Context(), at, entries); err != nil {
			t.Error(err)
			return
		}
	}
}

// hasEnded reports whether number n of a key has ended for one of its subscribers.
func (st *stress) hasEnded(key, n int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return n < 0 || slices.ContainsFunc(st.subscribers, func(sub string) bool {
		return st.ended[sub+"/"+st.event(key, n)]
	})
}

// work is a dispatcher's: it claims and decides at random what becomes of it.
func (st *stress) work(ctx context.Context, t *testing.T, s *postgres.Store) {
	for ctx.Err() == nil {
		at := time.Now().UTC()
		var lanes []hooks.ClaimLane
		for _, sub := range st.subscribers {
			lanes = append(lanes, hooks.ClaimLane{Subscriber: sub, Max: 1 + rand.IntN(8), Before: at, LeaseUntil: at.Add(300 * time.Millisecond)})
		}
		entries, err := s.Claim(context.WithoutCancel(ctx), at, lanes)
		if errors.Is(err, postgres.ErrTimeout) {
			continue // the machine is busy
		}
		if err != nil {
			t.Errorf("Claim = %v; want no error, and no line leased twice", err)
			return
		}
		changes := st.decide(t, entries)
		if len(changes) == 0 {
			continue
		}
		// What is stale here was canceled, or claimed again after its lease.
		if _, err := s.Update(context.WithoutCancel(ctx), time.Now().UTC(), changes); err != nil {
			t.Errorf("Update = %v; want no error", err)
			return
		}
	}
}

// decide what becomes of leased deliveries. One in 200 is forgotten, as by a
// process that dies.
func (st *stress) decide(t *testing.T, entries []hooks.Entry) (changes []hooks.Change) {
	for _, e := range entries {
		for _, d := range e.Deliveries {
			st.leased.Add(1)
			st.checkTurn(t, d)
			d.Updated = time.Now().UTC()
			d.Due = d.Updated
			switch p := rand.IntN(200); {
			case p < 1:
				st.abandoned.Add(1)
				continue
			case p < 40:
				d.Status = hooks.Retrying
				d.Attempts++
				d.Due = d.Due.Add(time.Duration(rand.IntN(5)) * time.Millisecond)
			case p < 60 && d.Attempts == 0:
				d.Status = hooks.Pending
			case p < 70:
				d.Status, d.Reason = hooks.Failed, hooks.ReasonRejected
			default:
				d.Status = hooks.Succeeded
			}
			if d.Status.Final() {
				st.ends(d)
			}
			changes = append(changes, hooks.Change{Delivery: d})
		}
	}
	rand.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	return changes
}

// ends notes that a delivery is about to end.
func (st *stress) ends(d hooks.Delivery) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.ended[d.Subscriber+"/"+d.Event] = true
}

// checkTurn checks that all that were published before a delivery have ended. A
// replayed one has lost its place.
func (st *stress) checkTurn(t *testing.T, d hooks.Delivery) {
	if d.Run > 1 {
		return
	}
	var key, n int
	fmt.Sscanf(d.Event, "%d-%d", &key, &n)
	st.mu.Lock()
	defer st.mu.Unlock()
	if before := st.event(key, n-1); n > 0 && !st.ended[d.Subscriber+"/"+before] {
		t.Errorf("Claim = %v while %v has not ended; want it to wait", d.DeliveryID, before)
	}
}

// meddle is an operator's: it cancels and replays what it finds.
func (st *stress) meddle(ctx context.Context, t *testing.T, s *postgres.Store) {
	for ctx.Err() == nil {
		page, _, err := s.Deliveries(ctx, hooks.Query{
			Limit:    50,
			Statuses: []hooks.Status{[]hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending, hooks.Failed}[rand.IntN(4)]},
		})
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		if len(page) == 0 {
			continue
		}
		d := page[rand.IntN(len(page))]
		count := &st.canceled
		d.Updated = time.Now().UTC()
		d.Due = d.Updated
		if d.Status.Final() {
			d.Run++
			d.Status, d.Reason, d.Attempts, d.Lost, count = hooks.Pending, "", 0, 0, &st.replayed
		} else {
			d.Status = hooks.Canceled
			st.ends(d)
		}
		stale, err := s.Update(context.WithoutCancel(ctx), d.Updated, []hooks.Change{{Delivery: d}})
		if err != nil {
			t.Error(err)
		}
		count.Add(int64(1 - len(stale)))
	}
}

// A census counts deliveries, those that are claimable among the unfinished ones,
// and lines of which all that is unfinished is parked: nobody would free them.
type census struct{ unfinished, claimable, ended, stuck int }

const censusSQL = `SELECT coalesce(sum(unfinished), 0), coalesce(sum(claimable), 0), coalesce(sum(ended), 0),
		count(*) FILTER (WHERE unfinished > 0 AND claimable = 0)
	FROM (SELECT count(*) FILTER (WHERE status <= 3) AS unfinished,
			count(*) FILTER (WHERE status <= 3 AND NOT parked) AS claimable,
			count(*) FILTER (WHERE status > 3) AS ended
		FROM hooks.deliveries GROUP BY subscriber, tenant, ordering_key) AS lines`

// countUntil takes a census again and again until enough is true. At no moment may
// a line be stuck.
func countUntil(t *testing.T, pool *pgxpool.Pool, enough func(census) bool) (c census) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		if err := pool.QueryRow(t.Context(), censusSQL).Scan(&c.unfinished, &c.claimable, &c.ended, &c.stuck); err != nil {
			t.Fatal(err)
		}
		if c.stuck > 0 {
			t.Errorf("%d lines have unfinished deliveries, all of them parked; want none", c.stuck)
			return c
		}
		if enough(c) {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("after two minutes %d deliveries are unfinished, %d of them not parked", c.unfinished, c.claimable)
		}
	}
}
