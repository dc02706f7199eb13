package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/internal/pgserver"
	"example.com/hooks/store/postgres"
)

// A crowd publishes until it is told to stop.
type crowd struct {
	h    *hooks.Hooks
	wg   sync.WaitGroup
	quit chan struct{}

	published chan struct{} // one for each event, as far as somebody takes them

	mu           sync.Mutex // guards what follows
	acknowledged []string   // ids of events that Publish has said to be stored
	errs         []error
}

// newCrowd starts n goroutines. Each publishes one event after the other, and the
// same one again after an error.
func newCrowd(t *testing.T, h *hooks.Hooks, n int, next func(goroutine, event, try int) hooks.Event) *crowd {
	c := &crowd{h: h, quit: make(chan struct{}), published: make(chan struct{})}
	for g := range n {
		c.wg.Go(func() {
			for i := 0; c.publish(t, func(try int) hooks.Event { return next(g, i, try) }); i++ {
			}
		})
	}
	return c
}

// publish publishes an event until it is stored, and reports whether to go on.
func (c *crowd) publish(t *testing.T, next func(try int) hooks.Event) bool {
	for try := 0; ; try++ {
		ev := next(try)
		r, err := c.h.Publish(context.Background(), ev)
		c.note(r, err)
		if err == nil {
			if (try == 0 && r.Duplicate) || r.Duplicate != (r.Deliveries == 0) {
				t.Errorf("try %d to publish %s: receipt %+v", try, ev.ID, r)
			}
			select {
			case c.published <- struct{}{}:
			case <-c.quit:
				return false
			default:
			}
			return true
		}
		select {
		case <-c.quit:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (c *crowd) note(r hooks.Receipt, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.acknowledged = append(c.acknowledged, r.EventID)
}

// goOn returns when n more events are published.
func (c *crowd) goOn(t *testing.T, n int) {
	t.Helper()
	for range n {
		soon(t, c.published, "publishing")
	}
}

// stop ends the crowd, and returns what it has published and which errors it got.
func (c *crowd) stop() (acknowledged []string, errs []error) {
	close(c.quit)
	c.wg.Wait()
	return c.acknowledged, c.errs
}

// A server that is restarted, or crashes, loses nothing that Publish has
// acknowledged, and nothing needs to be opened again.
func TestARestartLosesNothing(t *testing.T) {
	server, config := ownServer(t, pgserver.Config{})
	pool := poolOn(t, config)
	h, box := delivering(t, storeOn(t, pool))
	c := newCrowd(t, h, 8, func(g, i, try int) hooks.Event {
		ev := invoicePaid.New(invoice{i})
		ev.ID = fmt.Sprintf("evt_%d_%d", g, i)
		return ev
	})
	for _, mode := range []pgserver.Mode{pgserver.Fast, pgserver.Immediate, pgserver.Fast} {
		c.goOn(t, 100)
		if err := server.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
	}
	c.goOn(t, 100)
	acknowledged, errs := c.stop()
	if len(errs) == 0 {
		t.Error("nobody noticed that the server was restarted")
	}
	for _, err := range errs {
		if !errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("Publish while the server restarts = %v; want ErrUnavailable", err)
		}
	}
	start := time.Now()
	box.await(t, acknowledged...)
	t.Logf("%d events, %d errors; all was delivered %v after the end; %d events twice or more",
		len(acknowledged), len(errs), time.Since(start), len(box.repeated()))
	wantOneOfEach(t, pool, acknowledged)
}

// wantOneOfEach compares what is stored with the ids of receipts.
func wantOneOfEach(t *testing.T, pool *pgxpool.Pool, acknowledged []string) {
	t.Helper()
	stored := make(map[string]bool)
	rows, err := pool.Query(t.Context(), `SELECT e.id FROM hooks.events e JOIN hooks.deliveries d ON d.event_id = e.id
		WHERE d.subscriber = 'crm'`)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		stored[id] = true
	}
	known := make(map[string]bool)
	for _, id := range acknowledged {
		if !stored[id] {
			t.Errorf("event %s was acknowledged; want it stored with its delivery", id)
		}
		if known[id] {
			t.Errorf("event %s was acknowledged twice; want one receipt for each", id)
		}
		known[id] = true
	}
}

// Connections that are ended anywhere, also between a commit and its answer, make
// a publisher repeat what it did. Nothing is lost by that, nor stored twice,
// whether the event is known by its id or by an idempotency key alone.
func TestLostConnectionsLoseNothing(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	h, box := delivering(t, storeOn(t, pool))
	c := newCrowd(t, h, 6, func(g, i, try int) hooks.Event {
		ev := invoicePaid.New(invoice{i})
		ev.ID = fmt.Sprintf("evt_%d_%d", g, i)
		if g%2 == 0 {
			ev.IdempotencyKey = ev.ID
			ev.ID += fmt.Sprint("_", try)
		}
		return ev
	})
	killer, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close(t.Context())
	for range 80 {
		_, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1`)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(rand.N(25 * time.Millisecond))
	}
	c.goOn(t, 20)
	acknowledged, errs := c.stop()
	for _, err := range errs {
		if !errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("Publish when a connection is lost = %v; want ErrUnavailable", err)
		}
	}
	start := time.Now()
	box.await(t, acknowledged...)
	t.Logf("%d events, %d errors; all was delivered %v after the end; %d events twice or more",
		len(acknowledged), len(errs), time.Since(start), len(box.repeated()))
	wantOneOfEach(t, pool, acknowledged)
	twice := value[int](t, pool, `SELECT count(*) - count(DISTINCT split_part(id, '_', 2) || split_part(id, '_', 3))
		FROM (SELECT id FROM hooks.events) AS e`)
	if twice > 0 {
		t.Errorf("%d events are stored twice, by their idempotency keys; want none", twice)
	}
}

// While a transaction of the application's holds idempotency keys, and takes its
// time to commit, publishes with those keys wait for it, and nobody else does.
func TestASlowTransactionHoldsUpNobodyElse(t *testing.T) {
	for _, c := range []struct {
		name    string
		blocked int
		commits bool
	}{
		{"one, and it commits", 1, true},
		{"one, and it rolls back", 1, false},
		{"many", 6, true},
	} {
		t.Run(c.name, func(t *testing.T) { checkSlowTransaction(t, c.blocked, c.commits) })
	}
}

func checkSlowTransaction(t *testing.T, blocked int, commits bool) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	var first []hooks.Entry
	for i := range blocked {
		first = append(first, keyed(entry(fmt.Sprint("first_", i), "audit"), fmt.Sprint("key_", i), at(60)))
	}
	tx := publisher(t, s, pool, first...)
	var gaveUp atomic.Int32
	var calls []<-chan result
	for i := range blocked {
		e := keyed(entry(fmt.Sprint("second_", i), "audit"), fmt.Sprint("key_", i), at(60))
		calls = append(calls, untilAnswered(s, &gaveUp, e))
	}
	settled(t, pool, blockedSQL, 1)
	<-time.After(300 * time.Millisecond) // those that come later may find all in each other's way
	longest := publishAndDeliver(t, s, 30)
	t.Logf("beside %d blocked publishes, the slowest publish and its outcome took %v", blocked, longest)
	if n := int(gaveUp.Load()); n >= blocked {
		t.Errorf("%d blocked publishes were given up %d times before all others were done; want nobody to wait for them", blocked, n)
	}
	end(t, tx, commits)
	for i, c := range calls {
		want := hooks.Receipt{EventID: fmt.Sprint("first_", i), Duplicate: true}
		if !commits {
			want = hooks.Receipt{EventID: fmt.Sprint("second_", i), Deliveries: 1}
		}
		if got := soon(t, c, "Enqueue"); got.err != nil || got.receipts[0] != want {
			t.Errorf("a publish that waited = %v, %v; want %+v", got.receipts, got.err, want)
		}
	}
}

// untilAnswered calls Enqueue, again when it was given up because somebody holds a
// lock, and sends what it returns in the end.
func untilAnswered(s *postgres.Store, gaveUp *atomic.Int32, entries ...hooks.Entry) <-chan result {
	c := make(chan result, 1)
	go func() {
		for {
			receipts, err := s.Enqueue(context.Background(), at(0), entries)
			if !errors.Is(err, postgres.ErrTimeout) {
				c <- result{receipts, err}
				return
			}
			gaveUp.Add(1)
		}
	}()
	return c
}

// publishAndDeliver has n goroutines publish an event each, claim one, and write
// an outcome that emits, and returns the longest time that one of them took.
func publishAndDeliver(t *testing.T, s *postgres.Store, n int) time.Duration {
	t.Helper()
	var longest atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			start := time.Now()
			if err := enqueue(s, entry(fmt.Sprint("free_", i), "crm")); err != nil {
				t.Error(err)
			}
			entries, err := s.Claim(context.Background(), at(0), []hooks.ClaimLane{lane("crm", 1)})
			if err != nil {
				t.Error(err)
			}
			for _, e := range entries {
				ch := hooks.Change{Delivery: e.Deliveries[0], Emit: []hooks.Entry{entry("emitted_"+e.Event.ID, "audit")}}
				ch.Delivery.Status, ch.Delivery.Attempts = hooks.Succeeded, 1
				if _, err := s.Update(context.Background(), at(0), []hooks.Change{ch}); err != nil {
					t.Error(err)
				}
			}
			for took := int64(time.Since(start)); ; {
				if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Duration(longest.Load())
}

// A publish that is blocked for long is given up by the store, whatever the pool's
// statement_timeout. Repeated, it gets its answer.
func TestABlockedPublishIsGivenUp(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	s := storeOn(t, pool)
	limited := storeOn(t, poolOn(t, config, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["statement_timeout"] = "50ms"
	}))
	tx := publisher(t, s, pool, keyed(entry("first", "audit"), "key", at(60)))
	second := []hooks.Entry{keyed(entry("second", "audit"), "key", at(60))}
	if _, err := limited.Enqueue(t.Context(), at(0), second); !errors.Is(err, postgres.ErrTimeout) {
		t.Errorf("Enqueue that is blocked = %v; want ErrTimeout", err)
	}
	end(t, tx, true)
	receipts, err := s.Enqueue(t.Context(), at(0), second)
	if want := (hooks.Receipt{EventID: "first", Duplicate: true}); err != nil || receipts[0] != want {
		t.Errorf("Enqueue again = %v, %v; want %v", receipts, err, want)
	}
}
