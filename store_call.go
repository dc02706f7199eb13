package hooks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/hooks/internal/lanes"
)

// callTimeout is how long the dispatcher waits for one call of the store. A connection
// that hangs would otherwise stop everything, in silence.
const callTimeout = 30 * time.Second

// saveWithin is how long it may take to save an outcome, so that its lease has not ended
// before: a write that hangs for callTimeout, is left behind, and is repeated.
const saveWithin = lanes.SaveWithin

// A boundedStore is the store as the dispatcher calls it. Each call has a deadline of
// its own, but for Wait. One that ignores its context is left behind: its goroutine
// waits for it, its caller does not. All that a caller knows of it then is that its
// outcome is unknown, as after any other error that is no sentinel.
//
// Calls for a transaction or a user are not the dispatcher's: they keep the context of
// their caller.
type boundedStore struct {
	Store
	calls     *openCalls
	remaining func() time.Duration // how long Run may still take once it was told to stop
	failed    func(error)          // is told of errors that waiting cannot mend
	doubtful  func([]ClaimLane)    // is told of claims that returned too late
}

// openCalls counts, by method, the calls that have not returned. It outlives the
// dispatchers of a Hooks, or each would leave calls of its own behind.
type openCalls struct {
	mu       sync.Mutex // guards what follows
	underWay map[string]int
	left     map[string]int // left behind
}

// mostOpen is how many calls of a method may be open when one was left behind: that one,
// and a second that tries whether the store works again. If it does not return either,
// no more are made until one does, so that a store that hangs for long does not fill the
// memory with goroutines.
const mostOpen = 2

// begin counts a call as under way, unless too many are open.
func (c *openCalls) begin(method string) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left[method] > 0 && c.left[method]+c.underWay[method] >= mostOpen {
		return false
	}
	if c.left == nil {
		c.underWay, c.left = make(map[string]int), make(map[string]int)
	}
	c.underWay[method]++
	return true
}

// end says that a call has returned, or was left behind.
func (c *openCalls) end(method string, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay[method]--
	if left {
		c.left[method]++
	}
}

// returned says that a call that was left behind has returned.
func (c *openCalls) returned(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left[method]--
}

// anyLeft reports whether calls of a method are left behind.
func (c *openCalls) anyLeft(method string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left[method] > 0
}

// An answer is what a call of the store returned.
type answer[T any] struct {
	value T
	err   error
}

var errExited = errors.New("hooks: a call of the store ended its goroutine")

// call makes a call of the store that takes limit at most; zero: as long as ctx lasts.
// late is told what it returned if it was left behind; it may be nil.
func call[T any](
	ctx context.Context, s *boundedStore, method string, limit time.Duration,
	do func(context.Context) (T, error), late func(T, error),
) (T, error) {
	var none T
	if !s.calls.begin(method) {
		return none, fmt.Errorf("hooks: %d calls of the store's %s have not returned; no more are made until one does",
			mostOpen, method)
	}
	bounded, cancel := context.WithCancel(ctx)
	if limit > 0 {
		bounded, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	done := make(chan answer[T], 1)
	go func() {
		a := answer[T]{err: errExited}
		defer func() { done <- a }()
		a.value, a.err = do(bounded)
	}()
	a, ok := await(bounded, done, s.patience)
	s.calls.end(method, !ok)
	switch {
	case !ok:
		go func() {
			a := <-done
			if late != nil {
				late(a.value, a.err)
			}
			s.calls.returned(method)
		}()
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		return none, fmt.Errorf("hooks: the store's %s has not returned within %v, though its context ended;"+
			" it is left behind", method, limit)
	case a.err != nil && bounded.Err() != nil && ctx.Err() == nil:
		a.err = fmt.Errorf("hooks: the store's %s has not answered within %v: %w", method, limit, a.err)
	}
	if lasting(a.err) {
		s.failed(a.err)
	}
	return a.value, a.err
}

// await takes the answer, unless it comes later than patience after the end of ctx.
func await[T any](ctx context.Context, done <-chan answer[T], patience func() time.Duration) (a answer[T], ok bool) {
	select {
	case a = <-done:
		return a, true
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience())
	defer timer.Stop()
	select {
	case a = <-done:
		return a, true
	case <-timer.C:
		return a, false
	}
}

// A call may outlast its context by patience, because what has become of it is worth
// more than a moment; but Run returns when it was told to.
const (
	mostPatience  = 1500 * time.Millisecond
	leastPatience = 20 * time.Millisecond
)

func (s *boundedStore) patience() time.Duration {
	return max(min(s.remaining()/2, mostPatience), leastPatience)
}

// claimGrace is how much longer than its caller waits a claim may take.
const claimGrace = 5 * time.Second

// Claim is [Store]'s. It does not end with Run's context: a store may answer that the
// context has ended, and lease all the same a moment later, which nobody would see to.
// What a claim that was left behind has leased is doubtful.
func (s *boundedStore) Claim(ctx context.Context, now time.Time, lanes []ClaimLane) ([]Entry, error) {
	return call(ctx, s, "Claim", callTimeout,
		func(ctx context.Context) ([]Entry, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout+claimGrace)
			defer cancel()
			return s.Store.Claim(ctx, now, lanes)
		},
		func([]Entry, error) { s.doubtful(lanes) })
}

func (s *boundedStore) Update(ctx context.Context, now time.Time, changes []Change) ([]DeliveryID, error) {
	return call(ctx, s, "Update", callTimeout,
		func(ctx context.Context) ([]DeliveryID, error) { return s.Store.Update(ctx, now, changes) }, nil)
}

func (s *boundedStore) Backlog(ctx context.Context) ([]BacklogLane, error) {
	return call(ctx, s, "Backlog", callTimeout, s.Store.Backlog, nil)
}

func (s *boundedStore) Records(ctx context.Context, since int64) ([]Record, error) {
	return call(ctx, s, "Records", callTimeout,
		func(ctx context.Context) ([]Record, error) { return s.Store.Records(ctx, since) }, nil)
}

func (s *boundedStore) Put(ctx context.Context, now time.Time, r Record, emit []Entry) (int64, error) {
	return call(ctx, s, "Put", callTimeout,
		func(ctx context.Context) (int64, error) { return s.Store.Put(ctx, now, r, emit) }, nil)
}

func (s *boundedStore) Deliveries(ctx context.Context, q Query) (page []Delivery, next string, err error) {
	type result struct {
		page []Delivery
		next string
	}
	r, err := call(ctx, s, "Deliveries", callTimeout, func(ctx context.Context) (r result, err error) {
		r.page, r.next, err = s.Store.Deliveries(ctx, q)
		return r, err
	}, nil)
	return r.page, r.next, err
}

func (s *boundedStore) Events(ctx context.Context, q Query) (page []Event, next string, err error) {
	type result struct {
		page []Event
		next string
	}
	r, err := call(ctx, s, "Events", callTimeout, func(ctx context.Context) (r result, err error) {
		r.page, r.next, err = s.Store.Events(ctx, q)
		return r, err
	}, nil)
	return r.page, r.next, err
}

func (s *boundedStore) Enqueue(ctx context.Context, now time.Time, entries []Entry) ([]Receipt, error) {
	return call(ctx, s, "Enqueue", callTimeout,
		func(ctx context.Context) ([]Receipt, error) { return s.Store.Enqueue(ctx, now, entries) }, nil)
}

func (s *boundedStore) Attempts(ctx context.Context, id DeliveryID) ([]Attempt, error) {
	return call(ctx, s, "Attempts", callTimeout,
		func(ctx context.Context) ([]Attempt, error) { return s.Store.Attempts(ctx, id) }, nil)
}

func (s *boundedStore) Prune(ctx context.Context, p Cutoffs) (int, error) {
	return call(ctx, s, "Prune", callTimeout,
		func(ctx context.Context) (int, error) { return s.Store.Prune(ctx, p) }, nil)
}

// AddMinutes is [Reporter]'s; the store must be one.
func (s *boundedStore) AddMinutes(ctx context.Context, ms []Minute) error {
	reporter, _ := optional[Reporter](s.Store)
	_, err := call(ctx, s, "AddMinutes", callTimeout,
		func(ctx context.Context) (struct{}, error) { return struct{}{}, reporter.AddMinutes(ctx, ms) }, nil)
	return err
}

// Now is [Clock]'s; the store must be one.
func (s *boundedStore) Now(ctx context.Context) (time.Time, error) {
	clock, _ := optional[Clock](s.Store)
	return call(ctx, s, "Now", callTimeout, clock.Now, nil)
}

// Wait is [Waker]'s; the store must be one. It has no deadline.
func (s *boundedStore) Wait(ctx context.Context) error {
	waker, _ := optional[Waker](s.Store)
	_, err := call(ctx, s, "Wait", 0,
		func(ctx context.Context) (struct{}, error) { return struct{}{}, waker.Wait(ctx) }, nil)
	return err
}

// Wake is [Waker]'s; the store must be one.
func (s *boundedStore) Wake(ctx context.Context) error {
	waker, _ := optional[Waker](s.Store)
	_, err := call(ctx, s, "Wake", callTimeout,
		func(ctx context.Context) (struct{}, error) { return struct{}{}, waker.Wake(ctx) }, nil)
	return err
}

// Lock is [Exclusive]'s; the store must be one. A lock that comes too late is given up.
// While an earlier call is left behind, that one may hold the lock, so that ErrLocked
// does not say that another dispatcher does.
func (s *boundedStore) Lock(ctx context.Context, now time.Time) (unlock func() error, err error) {
	earlier := s.calls.anyLeft("Lock") || s.calls.anyLeft("unlock")
	exclusive, _ := optional[Exclusive](s.Store)
	free, err := call(ctx, s, "Lock", callTimeout, func(ctx context.Context) (func() error, error) {
		free, err := exclusive.Lock(ctx, now)
		if earlier && errors.Is(err, ErrLocked) {
			err = fmt.Errorf("hooks: an earlier call of Lock has not returned yet, and may hold the lock: %v", err)
		}
		return free, err
	}, func(free func() error, err error) {
		if err == nil {
			_ = free() // nobody waits for it any more
		}
	})
	if err != nil {
		return nil, err
	}
	return func() error { return s.unlock(ctx, free) }, nil
}

// unlock calls free, and leaves it behind if it takes longer than Run may.
func (s *boundedStore) unlock(ctx context.Context, free func() error) error {
	limit := max(min(s.remaining(), callTimeout), leastPatience)
	_, err := call(context.WithoutCancel(ctx), s, "unlock", limit,
		func(context.Context) (struct{}, error) { return struct{}{}, free() }, nil)
	return err
}

// A backoff waits longer after each error, and tells of the first.
type backoff struct {
	report func(ctx context.Context, err error, failures int, wait time.Duration)
	fails  int
}

const (
	firstWait   = 50 * time.Millisecond
	longestWait = 2 * time.Second
)

// wait sleeps unless ctx ends; an error that comes of that is not reported. Up
// to half as much on top, at random, keeps a fleet from coming back in step.
func (b *backoff) wait(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(b.failed(ctx, err)):
	}
}

// failed returns how long to wait after an error.
func (b *backoff) failed(ctx context.Context, err error) (wait time.Duration) {
	b.fails++
	wait = min(firstWait<<min(b.fails-1, 10), longestWait)
	wait += rand.N(wait / 2)
	b.report(ctx, err, b.fails, wait)
	return wait
}

func (b *backoff) reset() {
	if b.fails > 0 {
		b.report(context.Background(), nil, b.fails, 0)
	}
	b.fails = 0
}

// storeError tells the log when the store begins to fail and when it works
// again, and the trace each time.
func (h *Hooks) storeError(ctx context.Context, err error, failures int, wait time.Duration) {
	if err == nil {
		h.log.Info("hooks: the store works again", "failures", failures)
		return
	}
	if failures == 1 {
		h.log.Error("hooks: the store fails; trying again", "error", err)
	}
	h.trace.storeError(ctx, err, wait)
}
