package systemtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// A broken store returns an error from some calls of one method. It is a Waker and a
// Clock, too.
type broken struct {
	*memory.Store
	method   string
	err      error
	after    int64 // how many calls work
	failures int64 // how many fail then; 0: all that follow
	calls    atomic.Int64
	wake     chan struct{}
}

func newBroken(method string, err error, after, failures int64) *broken {
	return &broken{
		Store: memory.New(), method: method, err: err, after: after, failures: failures,
		wake: make(chan struct{}, 1),
	}
}

func (s *broken) fail(method string) error {
	if method != s.method {
		return nil
	}
	n := s.calls.Add(1) - s.after
	if n <= 0 || s.failures > 0 && n > s.failures {
		return nil
	}
	return fmt.Errorf("broken: %w", s.err)
}

func (s *broken) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	if err := s.fail("Records"); err != nil {
		return nil, err
	}
	return s.Store.Records(ctx, since)
}

func (s *broken) Claim(ctx context.Context, now time.Time, l []hooks.ClaimLane) ([]hooks.Entry, error) {
	if err := s.fail("Claim"); err != nil {
		return nil, err
	}
	return s.Store.Claim(ctx, now, l)
}

func (s *broken) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	if err := s.fail("Update"); err != nil {
		return nil, err
	}
	return s.Store.Update(ctx, now, c)
}

func (s *broken) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	if err := s.fail("Backlog"); err != nil {
		return nil, err
	}
	return s.Store.Backlog(ctx)
}

func (s *broken) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	if err := s.fail("Put"); err != nil {
		return 0, err
	}
	return s.Store.Put(ctx, now, r, emit)
}

func (s *broken) Prune(ctx context.Context, p hooks.Cutoffs) (int, error) {
	if err := s.fail("Prune"); err != nil {
		return 0, err
	}
	return s.Store.Prune(ctx, p)
}

func (s *broken) Lock(ctx context.Context, now time.Time) (func() error, error) {
	if err := s.fail("Lock"); err != nil {
		return nil, err
	}
	return s.Store.Lock(ctx, now)
}

func (s *broken) Now(context.Context) (time.Time, error) {
	return time.Now(), s.fail("Now")
}

func (s *broken) Wait(ctx context.Context) error {
	select {
	case <-s.wake:
		return s.fail("Wait")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *broken) Wake(context.Context) error { return s.fail("Wake") }

// brokenMethods are those that the dispatcher calls, with how many calls of each may work
// before one fails.
var brokenMethods = map[string][]int64{
	"Lock": {0}, "Now": {0, 1}, "Records": {0, 1, 3}, "Put": {0}, "Backlog": {0, 3},
	"Claim": {0, 3}, "Update": {0, 3}, "Prune": {0}, "Wait": {0, 3},
}

var lastingErrors = []error{hooks.ErrLocked, hooks.ErrClosed, hooks.ErrTooNew, hooks.ErrForeign}

// What waiting cannot mend ends Run at once, wherever it happens, and Run says what it
// was; so does Flush. What is under way has a second to end.
func TestRunEndsWithWhatWaitingCannotMend(t *testing.T) {
	for method, afters := range brokenMethods {
		for _, after := range afters {
			for _, want := range lastingErrors {
				t.Run(fmt.Sprintf("%s after %d: %v", method, after, want), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						checkRunEnds(t, newBroken(method, want, after, 0), want)
					})
				})
			}
		}
	}
}

func checkRunEnds(t *testing.T, store *broken, want error) {
	t.Helper()
	slow := hooks.Handler{Name: "a", Concurrency: 1, Func: func(ctx context.Context, _ hooks.Event) error {
		select {
		case <-time.After(15 * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, slow)
	web := kit.Subscribed(t, hooks.Config{Store: store.Store, Logger: kit.Silent}, hooks.Handler{Name: "a", Func: kit.Ignore})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- h.Run(ctx) }()
	var failed time.Time
	for i := range 1000 {
		if kit.PlaceOrder(t, web, i); len(store.wake) == 0 {
			store.wake <- struct{}{}
		}
		time.Sleep(100 * time.Millisecond)
		if failed.IsZero() && store.calls.Load() > store.after {
			failed = time.Now()
		}
		select {
		case err := <-ended:
			if !errors.Is(err, want) {
				t.Errorf("Run = %v; want %v", err, want)
			}
			if took := time.Since(failed); took > 1500*time.Millisecond {
				t.Errorf("Run returned %v after the error; want a second at most", took)
			}
			if err := h.Flush(t.Context()); store.method != "Wait" && store.method != "Prune" && !errors.Is(err, want) {
				t.Errorf("Flush = %v; want %v", err, want)
			}
			return
		default:
		}
	}
	t.Errorf("Run did not return within 100 s; want it to, with %v", want)
}

// Everything else is mended by waiting, at the start as well as later: Run goes on.
func TestRunWaitsForTheStore(t *testing.T) {
	for method, afters := range brokenMethods {
		for _, after := range afters {
			for _, fault := range []error{kit.ErrFault, hooks.ErrConflict, hooks.ErrNotFound, context.DeadlineExceeded} {
				t.Run(fmt.Sprintf("%s after %d: %v", method, after, fault), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { checkRunWaits(t, newBroken(method, fault, after, 25)) })
				})
			}
		}
	}
}

func checkRunWaits(t *testing.T, store *broken) {
	t.Helper()
	a, _ := kit.Counting("a")
	web := kit.Subscribed(t, hooks.Config{Store: store.Store}, a)
	kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
	for i := range 100 {
		if kit.PlaceOrder(t, web, i); len(store.wake) == 0 {
			store.wake <- struct{}{}
		}
		time.Sleep(time.Second)
	}
	time.Sleep(3 * time.Minute) // beyond all leases
	if n := store.calls.Load(); n <= store.after+store.failures {
		t.Errorf("%s was called %d times; want it repeated until it works", store.method, n)
	}
	for _, d := range kit.Deliveries(t, web) {
		if d.Status != hooks.Succeeded || d.Lost > 0 {
			t.Fatalf("%v is %v, %d lost; want succeeded, none", d.DeliveryID, d.Status, d.Lost)
		}
	}
}

// A Run that begins while somebody else holds SQLite's write lock delivers when that has
// gone.
func TestRunWaitsForTheWriteLock(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db")+
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, err := sqlite.New(db, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	a, calls := kit.Counting("a")
	reported := make(chan error, 1000)
	cfg := hooks.Config{Store: store, Logger: kit.Silent}
	cfg.Trace.StoreError = func(_ context.Context, err error, _ time.Duration) { reported <- err }
	h := kit.Subscribed(t, cfg, a)
	r := kit.PlaceOrder(t, h, 1)
	tx, err := db.Begin() // immediate
	if err != nil {
		t.Fatal(err)
	}
	kit.Start(t, h)
	for range 2 {
		if err := kit.Soon(t, reported); !errors.Is(err, sqlite.ErrBusy) {
			t.Errorf("StoreError(%v); want ErrBusy", err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := h.Flush(t.Context()); err != nil || calls.Of(r.EventID) != 1 {
		t.Errorf("Flush = %v after %d deliveries; want nil after 1", err, calls.Of(r.EventID))
	}
}

// Before Run ends with an error that waiting cannot mend, it saves what the store still
// takes: what is under way has a second, and what has not begun is given back.
func TestRunSavesWhatItCanBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newBroken("Wait", hooks.ErrForeign, 0, 0)
		quick := hooks.Handler{Name: "quick", Func: func(context.Context, hooks.Event) error {
			time.Sleep(800 * time.Millisecond)
			return nil
		}}
		slow := hooks.Handler{Name: "slow", Concurrency: 1, Func: func(ctx context.Context, _ hooks.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, quick, slow)
		ended := make(chan error, 1)
		go func() { ended <- h.Run(t.Context()) }()
		synctest.Wait()
		kit.PlaceOrder(t, h, 0) // then "quick" is known to work, and may have two at once
		time.Sleep(time.Second)
		kit.PlaceOrder(t, h, 1)
		kit.PlaceOrder(t, h, 2)
		synctest.Wait()
		flushed := make(chan error, 1)
		go func() { flushed <- h.Flush(t.Context()) }()
		synctest.Wait()
		store.wake <- struct{}{}
		if err := <-ended; !errors.Is(err, hooks.ErrForeign) {
			t.Errorf("Run = %v; want ErrForeign", err)
		}
		if err := <-flushed; !errors.Is(err, hooks.ErrForeign) {
			t.Errorf("Flush = %v; want to hear why Run ended", err)
		}
		for _, d := range kit.Deliveries(t, h) {
			want, attempts := hooks.Succeeded, 1
			if d.Subscriber == "slow" {
				want, attempts = hooks.Pending, 0
			}
			if d.Status != want || d.Attempts != attempts {
				t.Errorf("%v is %v after %d attempts; want %v after %d", d.DeliveryID, d.Status, d.Attempts, want, attempts)
			}
		}
	})
}
