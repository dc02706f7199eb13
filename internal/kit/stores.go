package kit

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

// A slowReader holds back what it has read until it is released, and lets
// others be quicker to write.
type SlowReaderStore struct {
	*memory.Store
	Hold      chan struct{} // not nil: the next Records waits for it
	BeforePut func()        // not nil: called by the next Put
}

func (s *SlowReaderStore) Put(ctx context.Context, now time.Time, r hooks.Record) (int64, error) {
	if f := s.BeforePut; f != nil {
		s.BeforePut = nil
		f()
	}
	return s.Store.Put(ctx, now, r)
}

func (s *SlowReaderStore) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	records, err := s.Store.Records(ctx, since)
	if hold := s.Hold; hold != nil {
		s.Hold = nil
		<-hold
	}
	return records, err
}

// countingStore counts what an idle dispatcher would do.
type CountingStore struct {
	hooks.Store
	Backlogs atomic.Int64
}

func (s *CountingStore) Backlog(ctx context.Context) ([]hooks.Waiting, error) {
	s.Backlogs.Add(1)
	return s.Store.Backlog(ctx)
}

func (s *CountingStore) Lock(ctx context.Context, now time.Time) (func() error, error) {
	return s.Store.(hooks.Exclusive).Lock(ctx, now)
}

// leased are the deliveries of a subscriber that a claim at a time yields.
func Leased(t *testing.T, s hooks.Store, subscriber string, at time.Time) (all []hooks.Delivery) {
	t.Helper()
	at = at.UTC().Truncate(time.Microsecond)
	lane := hooks.Lane{Subscriber: subscriber, Max: 100, Before: at, LeaseUntil: at.Add(time.Minute)}
	entries, err := s.Claim(t.Context(), at, []hooks.Lane{lane})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Deliveries...)
	}
	return all
}

var ErrFault = errors.New("disk on fire")

// accuse writes that a delivery was under way when a process ended.
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

// A gated store does something before some of its calls, or after.
type GatedStore struct {
	*memory.Store
	BeforeEnqueue func() error // before
	AfterBacklog  func()       // after
	BeforeWrite   func() error // before Update and Claim
	BeforeUpdate  func()       // before Update
	AfterClaim    func()       // after
	Woken         chan struct{}
}

func (g *GatedStore) Enqueue(ctx context.Context, now time.Time, e []hooks.Entry) ([]hooks.Receipt, error) {
	if g.BeforeEnqueue != nil {
		if err := g.BeforeEnqueue(); err != nil {
			return nil, err
		}
	}
	return g.Store.Enqueue(ctx, now, e)
}

func (g *GatedStore) Backlog(ctx context.Context) ([]hooks.Waiting, error) {
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

func (g *GatedStore) Claim(ctx context.Context, now time.Time, l []hooks.Lane) ([]hooks.Entry, error) {
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

// once returns a function that blocks until release is closed, the first time.
func Once(release <-chan struct{}) func() error {
	var called atomic.Bool
	return func() error {
		if called.CompareAndSwap(false, true) {
			<-release
		}
		return nil
	}
}
