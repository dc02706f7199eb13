package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// awaken has s connected and calls Wait until ctx ends; each time that it returns
// without an error, the channel gets the time.
func awaken(ctx context.Context, t *testing.T, s *postgres.Store) <-chan time.Time {
	t.Helper()
	connect(ctx, t, s)
	woken := make(chan time.Time, 1000)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := s.Wait(ctx); err == nil {
				woken <- time.Now()
			} else if ctx.Err() == nil {
				t.Errorf("Wait = %v; want nil", err)
				return
			}
		}
	}()
	return woken
}

// connect calls Wait for the first time on a connection.
func connect(ctx context.Context, t *testing.T, s *postgres.Store) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Wait(ctx) }()
	if err := soon(t, done, "Wait"); err != nil {
		t.Fatalf("Wait = %v; want it connected, and to return, for it may have missed something", err)
	}
}

// moment is longer than the store waits before it announces what it wrote.
const moment = 150 * time.Millisecond

// quiet fails the test if Wait returns within a moment, so that what should not come
// shows.
func quiet(t *testing.T, woken <-chan time.Time, why string) {
	t.Helper()
	select {
	case <-woken:
		t.Errorf("Wait returned %s; want it to wait", why)
	case <-time.After(moment):
	}
}

// pair are two stores on the same tables, as of two processes.
func pair(t *testing.T) (a, b *postgres.Store, pool *pgxpool.Pool) {
	t.Helper()
	config := database(t)
	pool = poolOn(t, config)
	return storeOn(t, pool), storeOn(t, poolOn(t, config)), pool
}

func TestWaitHearsOthersPublish(t *testing.T) {
	a, b, _ := pair(t)
	woken := awaken(t.Context(), t, b)
	var took []time.Duration
	for i := range 8 {
		start := time.Now()
		mustEnqueue(t, a, entry(fmt.Sprint("evt_", i), "crm"))
		took = append(took, soon(t, woken, "Wait after another Enqueue").Sub(start))
	}
	t.Logf("from the call of Enqueue to the return of Wait: %v, then %v", took[0], took[1:])
}

func TestWaitIgnoresOwnWrites(t *testing.T) {
	s, other, pool := pair(t)
	mustEnqueue(t, s, entry("evt_0", "crm"))
	woken := awaken(t.Context(), t, s)
	mustEnqueue(t, s, entry("evt_1", "crm"))
	alone := entry("evt_1", "audit")
	alone.Add = true
	mustEnqueue(t, s, alone)
	if _, err := s.Put(t.Context(), at(0), hooks.Record{Key: "endpoint/crm", Data: []byte("1")}, nil); err != nil {
		t.Fatal(err)
	}
	replay(t, s, "crm")
	quiet(t, woken, "after the store's own writes")

	mustExec(t, pool, `CREATE TABLE orders (id text); NOTIFY orders`)
	mustExec(t, pool, `INSERT INTO orders VALUES ('o')`)
	quiet(t, woken, "after writes of the application's that are no events")

	mustEnqueue(t, other, entry("evt_2", "crm"))
	soon(t, woken, "Wait after another's write")
}

// replay delivers what is due of a subscriber, and has it due again.
func replay(t *testing.T, s *postgres.Store, subscriber string) {
	t.Helper()
	entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{lane(subscriber, 10)})
	if err != nil || len(entries) == 0 {
		t.Fatalf("Claim = %v, %v; want something due", entries, err)
	}
	for _, e := range entries {
		d := e.Deliveries[0]
		for _, status := range []hooks.Status{hooks.Succeeded, hooks.Pending} {
			d.Status, d.Due, d.Updated = status, at(0), at(0)
			if status == hooks.Pending {
				d.Run++
			}
			stale, err := s.Update(t.Context(), at(0), []hooks.Change{{Delivery: d}})
			if err != nil || len(stale) > 0 {
				t.Fatalf("Update(%v) = %v, %v; want it applied", status, stale, err)
			}
			d.Token++
		}
	}
}

func TestWaitHearsWhatMakesWork(t *testing.T) {
	a, b, _ := pair(t)
	woken := awaken(t.Context(), t, b)
	for _, c := range []struct {
		name  string
		write func()
	}{
		{"Enqueue", func() { mustEnqueue(t, a, entry("evt_1", "crm")) }},
		{"Update that replays", func() { replay(t, a, "crm") }},
		{"Enqueue of more than fits in a group", func() { mustEnqueue(t, a, numbered("big_", 1100)...) }},
		{"Enqueue of what is added", func() {
			add := entry("evt_1", "audit")
			add.Add = true
			mustEnqueue(t, a, add)
		}},
		{"Put", func() {
			if _, err := a.Put(t.Context(), at(0), hooks.Record{Key: "endpoint/crm", Data: []byte("1")}, nil); err != nil {
				t.Fatal(err)
			}
		}},
		{"Update that emits", func() {
			d := entry("evt_1", "crm").Deliveries[0]
			d.Token, d.Run, d.Status = 3, 2, hooks.Canceled
			emit := []hooks.Entry{entry("emitted", "crm")}
			stale, err := a.Update(t.Context(), at(0), []hooks.Change{{Delivery: d, Emit: emit}})
			if err != nil || len(stale) > 0 {
				t.Fatalf("Update = %v, %v; want it applied", stale, err)
			}
		}},
	} {
		c.write()
		soon(t, woken, "Wait after another "+c.name)
		quietly(woken)
	}
}

// quietly takes what one write may say more than once.
func quietly(woken <-chan time.Time) {
	for {
		select {
		case <-woken:
		case <-time.After(moment):
			return
		}
	}
}

// numbered returns n entries.
func numbered(prefix string, n int) (entries []hooks.Entry) {
	for i := range n {
		entries = append(entries, entry(prefix+strconv.Itoa(i), "crm"))
	}
	return entries
}

// listenersSQL counts the connections that listen, in the test's database.
const listenersSQL = `SELECT count(*) FROM pg_stat_activity
	WHERE datname = current_database() AND query LIKE 'LISTEN%'`

// settled waits until a count in the server is as it should be: a session that has
// ended is shown for a moment more.
func settled(t *testing.T, pool *pgxpool.Pool, query string, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		got := value[int](t, pool, query)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s\n= %d; want %d", query, got, want)
		}
	}
}

func TestWaitEnds(t *testing.T) {
	_, s, pool := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	connect(ctx, t, s)
	settled(t, pool, listenersSQL, 1)
	done := make(chan error, 1)
	go func() { done <- s.Wait(ctx) }()
	cancel()
	if err := soon(t, done, "Wait"); err != context.Canceled {
		t.Errorf("Wait when its context ends = %v; want context.Canceled", err)
	}
	settled(t, pool, listenersSQL, 0)
	if err := s.Wait(ctx); err != context.Canceled {
		t.Errorf("Wait when its context has ended = %v; want context.Canceled", err)
	}
	connect(t.Context(), t, s)
}

// Nobody calls Wait once its context has ended: the connection goes all the same.
func TestNoConnectionOutlivesTheWaiting(t *testing.T) {
	_, s, pool := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	connect(ctx, t, s)
	settled(t, pool, listenersSQL, 1)
	cancel()
	settled(t, pool, listenersSQL, 0)
}

// A call that waits for its turn ends with its own context.
func TestWaitTakesTurns(t *testing.T) {
	connecting, release := make(chan struct{}), make(chan struct{})
	s := storeOn(t, poolOn(t, database(t), func(c *pgxpool.Config) {
		c.BeforeConnect = func(context.Context, *pgx.ConnConfig) error {
			close(connecting) // the first call has the turn
			<-release
			return nil
		}
	}))
	first := make(chan error, 1)
	go func() { first <- s.Wait(t.Context()) }()
	<-connecting
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	second := make(chan error, 1)
	go func() { second <- s.Wait(late) }()
	if err := soon(t, second, "Wait while another connects"); err != context.DeadlineExceeded {
		t.Errorf("Wait while another connects = %v; want its context's error", err)
	}
	close(release)
	if err := soon(t, first, "the first Wait"); err != nil {
		t.Errorf("the first Wait = %v; want nil", err)
	}
}

func TestWaitConnectsAgain(t *testing.T) {
	other, s, pool := pair(t)
	for i := range 3 {
		connect(t.Context(), t, s)
		done := make(chan error, 1)
		go func() { done <- s.Wait(t.Context()) }()
		mustEnqueue(t, other, entry(fmt.Sprint("evt_", i), "crm"))
		if err := soon(t, done, "Wait"); err != nil {
			t.Fatalf("Wait on a new connection = %v; want nil", err)
		}
		go func() { done <- s.Wait(t.Context()) }()
		mustExec(t, pool, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
		if err := soon(t, done, "Wait"); !errors.Is(err, postgres.ErrUnavailable) {
			t.Fatalf("Wait when its connection is ended = %v; want ErrUnavailable", err)
		}
	}
}

// A connection of the store's own is made as the pool would make it.
func TestWaitFollowsThePool(t *testing.T) {
	config := database(t)
	var made atomic.Int32
	notified := func(*pgconn.PgConn, *pgconn.Notification) {} // the application's, for its own connections
	pool := poolOn(t, config, func(c *pgxpool.Config) {
		c.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error {
			made.Add(1)
			cc.RuntimeParams["application_name"] = "of the hour"
			return nil
		}
		c.ConnConfig.OnNotification = notified
	})
	s := storeOn(t, pool)
	value[int](t, pool, `SELECT 1`)
	before := made.Load()
	woken := awaken(t.Context(), t, s)
	if got := made.Load() - before; got != 1 {
		t.Errorf("Wait called BeforeConnect %d times; want once", got)
	}
	settled(t, pool, listenersSQL+` AND application_name = 'of the hour'`, 1)
	mustEnqueue(t, storeOn(t, poolOn(t, config)), entry("evt_1", "crm"))
	soon(t, woken, "Wait on a pool with an OnNotification of the application's")
}

// Without listening, what others publish is found by looking.
func TestPollOnly(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	s, err := postgres.New(pool, postgres.Config{PollOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	h, box := delivering(t, s)
	other := publishing(t, storeOn(t, poolOn(t, config)))
	mustPublish(t, h, invoicePaid.New(invoice{0})) // handed over: now it runs
	start := time.Now()
	for i := range 3 {
		r := mustPublish(t, other, invoicePaid.New(invoice{i}))
		box.await(t, r.EventID)
	}
	took := time.Since(start)
	t.Logf("3 deliveries of another process's events, one after the other, took %v", took)
	if took > 30*time.Second {
		t.Errorf("3 deliveries took %v; want about a second each", took)
	}
	if got := value[int](t, pool, listenersSQL); got != 0 {
		t.Errorf("%d connections listen; want none", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx); err != context.DeadlineExceeded {
		t.Errorf("Wait = %v; want it to wait for its context", err)
	}
}

// A witness is a connection of the test's that listens to all that is announced.
func witness(t *testing.T, config *pgx.ConnConfig, channel string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// announced counts what a witness hears up to the text "end", which the test says.
func announced(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	for ; ; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		note, err := conn.WaitForNotification(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if note.Payload == "end" {
			return n
		}
	}
}

func TestABurstIsAnnouncedSparingly(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	s, conn := storeOn(t, pool), witness(t, config, "hooks_hooks")
	const events, publishers = 800, 16
	var wg sync.WaitGroup
	start := time.Now()
	for p := range publishers {
		wg.Go(func() {
			for i := range events / publishers {
				if err := enqueue(s, entry(fmt.Sprint("evt_", p, "_", i), "crm")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	most := int(took/(100*time.Millisecond)) + 2
	time.Sleep(moment)
	mustExec(t, pool, `NOTIFY hooks_hooks, 'end'`)
	got := announced(t, conn)
	if got == 0 || got > most {
		t.Errorf("%d events in %v were announced %d times; want at most one each 100 ms, %d",
			events, took, got, most)
	}
}

// However commits and announcements follow each other, whoever listens hears of the
// last commit.
func TestNoLastCommitGoesUnheard(t *testing.T) {
	a, b, pool := pair(t)
	woken := awaken(t.Context(), t, b)
	published := 0
	for round := range 8 {
		var wg sync.WaitGroup
		k := 1 + rand.IntN(12)
		for i := range k {
			pause := time.Duration(rand.IntN(120)) * time.Millisecond
			wg.Go(func() {
				<-time.After(pause)
				if err := enqueue(a, entry(fmt.Sprint("evt_", round, "_", i), "crm")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		published += k
		for seen := 0; seen < published; {
			select {
			case <-woken:
			case <-time.After(5 * time.Second):
				t.Fatalf("round %d: Wait has not returned after the last of %d commits", round, k)
			}
			seen = value[int](t, pool, `SELECT count(*) FROM hooks.events`)
		}
	}
}
