package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A hanging store does not return from some calls of one method. It is a Clock and a
// Waker, too.
type hanging struct {
	*memory.Store
	stall

	mu     sync.Mutex // guards what follows
	calls  int        // of the method
	inside int        // calls that hang
	most   int        // at once
	hung   time.Time  // when the first began to

	wake    chan struct{}
	release chan struct{} // closed when the test ends
}

// A stall says which calls do not return, and how.
type stall struct {
	method string
	n      int  // the first of them
	all    bool // and all that follow, until the store is released
	deaf   bool // also when their context has ended
	done   bool // after they have done their work, not before
}

func (c stall) String() string {
	return fmt.Sprintf("%s %d all %v deaf %v done %v", c.method, c.n, c.all, c.deaf, c.done)
}

func newHanging(t *testing.T, c stall) *hanging {
	t.Helper()
	return &hanging{Store: memory.New(), stall: c, wake: make(chan struct{}, 1), release: make(chan struct{})}
}

// hangs makes a call that may hang.
func hangs[T any](ctx context.Context, s *hanging, method string, do func() (T, error)) (T, error) {
	s.mu.Lock()
	if method == s.method {
		s.calls++
	}
	wait := method == s.method && (s.calls == s.n || s.all && s.calls > s.n)
	select {
	case <-s.release:
		wait = false
	default:
	}
	if wait && s.hung.IsZero() {
		s.hung = time.Now()
	}
	if wait {
		s.inside++
		s.most = max(s.most, s.inside)
	}
	s.mu.Unlock()
	if !wait {
		return do()
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inside--
	}()
	var v T
	var err error
	if s.done {
		v, err = do()
	}
	minded := ctx.Done()
	if s.deaf {
		minded = nil
	}
	select {
	case <-s.release:
	case <-minded:
		return *new(T), ctx.Err()
	}
	if !s.done {
		v, err = do()
	}
	return v, err
}

func (s *hanging) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	return hangs(ctx, s, "Records", func() ([]hooks.Record, error) { return s.Store.Records(context.Background(), since) })
}

func (s *hanging) Claim(ctx context.Context, now time.Time, l []hooks.ClaimLane) ([]hooks.Entry, error) {
	return hangs(ctx, s, "Claim", func() ([]hooks.Entry, error) { return s.Store.Claim(context.Background(), now, l) })
}

func (s *hanging) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	return hangs(ctx, s, "Update", func() ([]hooks.DeliveryID, error) { return s.Store.Update(context.Background(), now, c) })
}

func (s *hanging) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	return hangs(ctx, s, "Backlog", func() ([]hooks.BacklogLane, error) { return s.Store.Backlog(context.Background()) })
}

func (s *hanging) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	return hangs(ctx, s, "Put", func() (int64, error) { return s.Store.Put(context.Background(), now, r, nil) })
}

func (s *hanging) Deliveries(ctx context.Context, q hooks.Query) (page []hooks.Delivery, next string, err error) {
	l, err := hangs(ctx, s, "Deliveries", func() (l listing[hooks.Delivery], err error) {
		l.page, l.next, err = s.Store.Deliveries(context.Background(), q)
		return l, err
	})
	return l.page, l.next, err
}

func (s *hanging) Prune(ctx context.Context, p hooks.Cutoffs) (int, error) {
	return hangs(ctx, s, "Prune", func() (int, error) { return s.Store.Prune(context.Background(), p) })
}

func (s *hanging) AddMinutes(ctx context.Context, ms []hooks.Minute) error {
	return second(hangs(ctx, s, "AddMinutes", func() (any, error) { return nil, s.Store.AddMinutes(context.Background(), ms) }))
}

func (s *hanging) Now(ctx context.Context) (time.Time, error) {
	return hangs(ctx, s, "Now", func() (time.Time, error) { return time.Now(), nil })
}

func (s *hanging) Lock(ctx context.Context, now time.Time) (func() error, error) {
	var unlock func() error
	_, err := hangs(ctx, s, "Lock", func() (_ any, err error) {
		unlock, err = s.Store.Lock(context.Background(), now)
		return nil, err
	})
	if err != nil && unlock != nil {
		return nil, errors.Join(err, unlock())
	}
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := hangs(context.Background(), s, "unlock", func() (any, error) { return nil, unlock() })
		return err
	}, nil
}

func (s *hanging) Wait(ctx context.Context) error {
	_, err := hangs(ctx, s, "Wait", func() (any, error) {
		select {
		case <-s.wake:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return err
}

func (s *hanging) Wake(ctx context.Context) error {
	_, err := hangs(ctx, s, "Wake", func() (any, error) { return nil, nil })
	return err
}

// state returns what the store has counted.
func (s *hanging) state() (calls, inside, most int, hung time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.inside, s.most, s.hung
}

// nudge wakes who waits.
func (s *hanging) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// eachHang runs check for each way in which a call of the dispatcher's can hang.
func eachHang(t *testing.T, all bool, check func(*testing.T, stall)) {
	t.Helper()
	firsts := map[string][]int{
		"Lock": {1}, "Now": {1, 2}, "Records": {1, 2, 4}, "Put": {1}, "Backlog": {1, 3}, "Claim": {1, 3},
		"Update": {1, 3}, "Prune": {1}, "Wait": {1, 3}, "AddMinutes": {1, 2},
	}
	for _, method := range slices.Sorted(maps.Keys(firsts)) {
		for _, n := range firsts[method] {
			for i := range 4 {
				c := stall{method: method, n: n, all: all, deaf: i&1 != 0, done: i&2 != 0}
				t.Run(c.String(), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { check(t, c) })
				})
			}
		}
	}
}

// A call of the store that does not return stops nothing for good, whether or not it
// minds its context, and whether or not it has done its work.
func TestACallThatHangsStopsNothing(t *testing.T) {
	eachHang(t, false, func(t *testing.T, c stall) {
		if c.method == "Wait" || c.method == "Lock" && c.deaf && c.done {
			return // the one has no deadline, the other holds the lock for ever
		}
		store := newHanging(t, c)
		defer close(store.release)
		var log lines
		web := hangingPair(t, store, slog.New(&log))
		publishUntilHung(t, web, store)
		for i := range 38 {
			kit.PlaceOrder(t, web, i)
			store.nudge()
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second) // 40 s after it hung
		wantNoneLost(t, web)
		if c.method == "AddMinutes" {
			return // it is not repeated, and has a line of its own
		}
		if calls, _, _, _ := store.state(); calls <= c.n && c.method != "Put" && c.method != "Lock" && c.method != "Now" {
			t.Errorf("%s was called %d times; want it repeated", c.method, calls)
		}
		// A clock that has been read before may hang in silence.
		if n := log.count("the store fails"); n != 1 && (c.method != "Now" || c.n == 1) {
			t.Errorf("the log was told %d times that the store fails; want once", n)
		}
	})
}

// publishUntilHung publishes until a call of the store hangs.
func publishUntilHung(t *testing.T, h *hooks.Hooks, store *hanging) {
	t.Helper()
	for i := range 100 {
		kit.PlaceOrder(t, h, i)
		store.nudge()
		synctest.Wait()
		if _, _, _, hung := store.state(); !hung.IsZero() {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("%s was not called %d times", store.method, store.n)
}

// hangingPair runs a Hooks on the store, with retries, and returns another one that
// publishes to what is behind it.
func hangingPair(t *testing.T, store *hanging, log *slog.Logger) (web *hooks.Hooks) {
	t.Helper()
	a, _ := stubborn("a")
	b, _ := kit.Counting("b")
	cfg := hooks.Config{
		Store: store, Logger: log, DrainTimeout: 4 * time.Second,
		Retry: retry.Schedule(slices.Repeat([]time.Duration{100 * time.Millisecond}, 10)),
	}
	kit.Dispatching(t, cfg, a, b)
	return kit.Subscribed(t, hooks.Config{Store: store.Store}, a, b)
}

func wantNoneLost(t *testing.T, h *hooks.Hooks) {
	t.Helper()
	all := kit.Deliveries(t, h)
	for _, d := range all {
		if d.Status != hooks.Succeeded || d.Lost != 0 {
			t.Fatalf("%v is %v, due in %v, %d lost; want it, and all %d, to have succeeded with none",
				d.DeliveryID, d.Status, time.Until(d.Due), d.Lost, len(all))
		}
	}
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex // guards what follows
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *lines) WithGroup(string) slog.Handler { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Message)
	return nil
}

func (l *lines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// Run returns when it is told to, whatever hangs: within its DrainTimeout and a tenth of
// a second.
func TestRunReturnsThoughTheStoreHangs(t *testing.T) {
	eachHang(t, true, func(t *testing.T, c stall) {
		store := newHanging(t, c)
		defer close(store.release)
		a, _ := stubborn("a")
		const drain = 4 * time.Second
		h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent, DrainTimeout: drain}, a)
		web := kit.Subscribed(t, hooks.Config{Store: store.Store}, a)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		publishUntilHung(t, web, store)
		time.Sleep(time.Second)
		cancel()
		began := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		if took := time.Since(began); took > drain+100*time.Millisecond {
			t.Errorf("Run returned %v after it was told to; want %v at most", took, drain+100*time.Millisecond)
		}
	})
}

// Run also returns when the store's unlock hangs.
func TestRunReturnsThoughUnlockHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHanging(t, stall{method: "unlock", n: 1, deaf: true})
		defer close(store.release)
		h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent, DrainTimeout: 4 * time.Second})
		stop := kit.StartInBubble(t, h)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("Run returned after %v; want it to leave the unlock behind", took)
		}
	})
}

// However long the store hangs, no more than two calls of a method do; and when it works
// again, so does the dispatcher.
func TestCallsThatHangDoNotAddUp(t *testing.T) {
	eachHang(t, true, func(t *testing.T, c stall) {
		if c.method == "Wait" {
			return
		}
		store := newHanging(t, c)
		released := sync.OnceFunc(func() { close(store.release) })
		defer released()
		web := hangingPair(t, store, kit.Silent)
		publishUntilHung(t, web, store)
		for i := range 50 {
			kit.PlaceOrder(t, web, i)
			store.nudge()
			time.Sleep(5 * time.Second)
		}
		if _, _, most, _ := store.state(); most > 2 {
			t.Errorf("%d calls of %s hang at once; want 2 at most", most, c.method)
		}
		released()
		time.Sleep(10 * time.Second)
		for _, d := range kit.Deliveries(t, web) {
			if d.Status != hooks.Succeeded {
				t.Fatalf("%v is %v, due in %v; want succeeded", d.DeliveryID, d.Status, time.Until(d.Due))
			}
		}
	})
}

// What a claim leases that was left behind is given back when it returns, at last.
func TestALateClaimIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHanging(t, stall{method: "Claim", n: 1, all: true, deaf: true})
		web := hangingPair(t, store, kit.Silent)
		r := kit.PlaceOrder(t, web, 1)
		store.nudge()
		time.Sleep(35 * time.Second) // one is left behind, another hangs
		close(store.release)
		time.Sleep(5 * time.Second)
		for _, name := range []string{"a", "b"} {
			if d := kit.Delivery(t, web, r.EventID, name); d.Status != hooks.Succeeded || d.Lost != 0 {
				t.Errorf("%v is %v, %d lost; want succeeded, none", d.DeliveryID, d.Status, d.Lost)
			}
		}
	})
}

// What a call has written whose answer did not come is told to the trace when it is found
// out, and was not decided elsewhere.
func TestTheTraceHearsOfWhatALostAnswerSaid(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := newHanging(t, stall{method: "Update", n: 1, deaf: deaf, done: true})
			defer close(store.release)
			finished := make(chan hooks.Delivery, 10)
			a, _ := kit.Counting("a")
			h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent, Trace: hooks.Trace{
				Finished: func(_ context.Context, d hooks.Delivery, _ hooks.Attempt) { finished <- d },
			}}, a)
			r := kit.PlaceOrder(t, h, 1)
			time.Sleep(40 * time.Second)
			if len(finished) != 1 {
				t.Fatalf("Trace.Finished was told %d times; want once", len(finished))
			}
			got, want := <-finished, kit.Delivery(t, h, r.EventID, "a")
			if want.Seq = got.Seq; got != want { // what is handed over has none yet
				t.Errorf("Trace.Finished was told %#v; want %#v", got, want)
			}
		})
	}
}

// A charge whose answer did not come is charged once, and the attempt is made.
func TestAChargeWithoutAnAnswer(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		for _, done := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				store := newHanging(t, stall{method: "Update", n: 1, deaf: deaf, done: done})
				defer close(store.release)
				a, calls := kit.Counting("a")
				h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
				r := kit.PlaceOrder(t, h, 1)
				for range 3 {
					die(t, store.Store)
				}
				kit.StartInBubble(t, h)
				time.Sleep(40 * time.Second)
				d := kit.Delivery(t, h, r.EventID, "a")
				if d.Status != hooks.Succeeded || d.Attempts != 1 || calls.Of(r.EventID) != 1 {
					t.Errorf("it is %v after %d attempts and %d calls; want succeeded after 1", d.Status, d.Attempts, calls.Of(r.EventID))
				}
			})
		}
	}
}

// Publish keeps its caller's context.
func TestPublishKeepsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.GatedStore{Store: memory.New(), BeforeEnqueue: func() error { time.Sleep(time.Hour); return nil }}
		h := kit.Dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: kit.Ignore})
		if _, err := h.Publish(t.Context(), kit.OrderPlaced.New(kit.Order{ID: 1})); err != nil {
			t.Errorf("Publish that takes an hour = %v; want nil", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Publish(ctx, kit.OrderPlaced.New(kit.Order{ID: 2})); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Publish with a deadline = %v; want that it has passed", err)
		}
	})
}

// A lease lasts until its outcome is saved, though all attempts of a lane take their
// whole time and the write of the last outcome hangs: no other dispatcher repeats it.
func TestALeaseOutlastsAWriteThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const inLane = 5 // what a lane of one slot holds
		store := newHanging(t, stall{method: "Update", n: inLane, deaf: true})
		defer close(store.release)
		a, calls := kit.Counting("a")
		count := a.Func
		a.Concurrency, a.Func = 1, func(ctx context.Context, ev hooks.Event) error {
			time.Sleep(15*time.Second - time.Millisecond)
			return count(ctx, ev)
		}
		type shared struct{ hooks.Store } // it hides that it could be locked
		h := kit.Dispatching(t, hooks.Config{Store: shared{store}, Logger: kit.Silent}, a)
		for i := range inLane {
			kit.PlaceOrder(t, h, i)
		}
		kit.Dispatching(t, hooks.Config{Store: shared{store.Store}, Logger: kit.Silent}, a)
		time.Sleep(5 * time.Minute)
		wantNoneLost(t, h)
		for event, n := range calls.All() {
			if n != 1 {
				t.Errorf("%s was sent %d times; want once", event, n)
			}
		}
	})
}
