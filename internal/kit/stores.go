package kit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

// A SlowReaderStore holds back records that it has read, and lets others write first. Set
// BeforePut while no call of it is under way.
type SlowReaderStore struct {
	*memory.Store
	BeforePut func() // if not nil: the next Put calls it first

	mu   sync.Mutex    // guards what follows
	hold chan struct{} // if not nil: the next Records waits for it after it has read
}

// HoldNext makes the next Records wait, after it has read, until release is called.
func (s *SlowReaderStore) HoldNext() (release func()) {
	hold := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
	return func() { close(hold) }
}

func (s *SlowReaderStore) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	if f := s.BeforePut; f != nil {
		s.BeforePut = nil
		f()
	}
	return s.Store.Put(ctx, now, r, emit)
}

func (s *SlowReaderStore) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	records, err := s.Store.Records(ctx, since)
	s.mu.Lock()
	hold := s.hold
	s.hold = nil
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return records, err
}

// A CountingStore counts how often its backlog is read. It has a lock if the store behind
// it has one.
type CountingStore struct {
	hooks.Store
	Backlogs atomic.Int64
}

func (s *CountingStore) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	s.Backlogs.Add(1)
	return s.Store.Backlog(ctx)
}

func (s *CountingStore) Lock(ctx context.Context, now time.Time) (func() error, error) {
	return s.Store.(hooks.Exclusive).Lock(ctx, now)
}

// Leased claims what is due for a subscriber at a time, as another process would, and
// returns the deliveries.
func Leased(t *testing.T, s hooks.Store, subscriber string, at time.Time) (all []hooks.Delivery) {
	t.Helper()
	at = at.UTC().Truncate(time.Microsecond)
	lane := hooks.ClaimLane{Subscriber: subscriber, Max: 100, Before: at, LeaseUntil: at.Add(time.Minute)}
	entries, err := s.Claim(t.Context(), at, []hooks.ClaimLane{lane})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Deliveries...)
	}
	return all
}

// ErrFault is the error of a store that fails.
var ErrFault = errors.New("disk on fire")

// Accuse writes that a delivery was under way when a process ended.
func Accuse(t *testing.T, s hooks.Store, id hooks.DeliveryID) {
	t.Helper()
	page, _, err := s.Deliveries(t.Context(), hooks.Query{Event: id.Event, Subscriber: id.Subscriber})
	if err != nil || len(page) != 1 {
		t.Fatalf("Deliveries(%v) = %v, %v; want one", id, page, err)
	}
	d := page[0]
	d.Error = "lost"
	if stale, err := s.Update(t.Context(), time.Now(), []hooks.Change{{Delivery: d}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update(%v) = %v, %v; want it written", id, stale, err)
	}
}

// A GatedStore is shared. It calls functions of the test before or after its own work; those
// that are nil are not called. An error of one of them is what the call returns.
type GatedStore struct {
	*memory.Store
	BeforeEnqueue func() error
	AfterBacklog  func()
	BeforeWrite   func() error // before Update and Claim
	BeforeUpdate  func()       // before BeforeWrite
	AfterClaim    func()
	Woken         chan struct{} // Wait returns when something is sent on it
}

func (g *GatedStore) Enqueue(ctx context.Context, now time.Time, e []hooks.Entry) ([]hooks.Receipt, error) {
	if g.BeforeEnqueue != nil {
		if err := g.BeforeEnqueue(); err != nil {
			return nil, err
		}
	}
	return g.Store.Enqueue(ctx, now, e)
}

func (g *GatedStore) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	waiting, err := g.Store.Backlog(ctx)
	if g.AfterBacklog != nil {
		g.AfterBacklog()
	}
	return waiting, err
}

func (g *GatedStore) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	if g.BeforeUpdate != nil {
		g.BeforeUpdate()
	}
	if g.BeforeWrite != nil {
		if err := g.BeforeWrite(); err != nil {
			return nil, err
		}
	}
	return g.Store.Update(ctx, now, c)
}

func (g *GatedStore) Claim(ctx context.Context, now time.Time, l []hooks.ClaimLane) ([]hooks.Entry, error) {
	if g.BeforeWrite != nil {
		if err := g.BeforeWrite(); err != nil {
			return nil, err
		}
	}
	entries, err := g.Store.Claim(ctx, now, l)
	if g.AfterClaim != nil {
		g.AfterClaim()
	}
	return entries, err
}

func (g *GatedStore) Wait(ctx context.Context) error {
	select {
	case <-g.Woken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *GatedStore) Wake(context.Context) error { return nil }

// Once returns a function whose first call waits until release is closed.
func Once(release <-chan struct{}) func() error {
	var called atomic.Bool
	return func() error {
		if called.CompareAndSwap(false, true) {
			<-release
		}
		return nil
	}
}

// A SlowWriter is a store that takes a second for an Update while Slow is set, and says
// that an Enqueue failed, which it has done, while Fail is set.
type SlowWriter struct {
	*memory.Store
	Slow, Fail atomic.Bool
}

// Update implements [hooks.Store].
func (s *SlowWriter) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	if s.Slow.Load() {
		time.Sleep(time.Second)
	}
	return s.Store.Update(ctx, now, changes)
}

// Enqueue implements [hooks.Store].
func (s *SlowWriter) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	receipts, err := s.Store.Enqueue(ctx, now, entries)
	if err == nil && s.Fail.Load() {
		return nil, ErrFault
	}
	return receipts, err
}
