package kit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

// A ClockedStore is shared, and has a clock of its own. It fails the test if a time that it
// is given is not the time of this clock. Use Set to change its fields.
type ClockedStore struct {
	hooks.Store
	t *testing.T

	mu            sync.Mutex // guards what follows
	Clock         func() time.Time
	Tolerance     time.Duration // how far a given time may be from the clock's
	BeforeReading time.Duration // Now waits so long before it reads the clock,
	AfterReading  time.Duration // and so long after it
	Err           error         // if not nil: what Now returns
	asked         int
}

// NewClockedStore returns a memory store with a clock that is ahead of the machine's, or
// behind if ahead is negative.
func NewClockedStore(t *testing.T, ahead time.Duration) *ClockedStore {
	return &ClockedStore{
		Store: memory.New(), t: t, Tolerance: time.Microsecond,
		Clock: func() time.Time { return time.Now().Add(ahead) },
	}
}

// Set lets change alter the fields of the store.
func (s *ClockedStore) Set(change func(*ClockedStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Time returns the time of the clock in the form in which the store is given times.
func (s *ClockedStore) Time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Clock().UTC().Truncate(time.Microsecond)
}

// Asks returns how often the clock was read by Now.
func (s *ClockedStore) Asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Now returns the time of the clock, in a time zone of its own.
func (s *ClockedStore) Now(context.Context) (time.Time, error) {
	s.mu.Lock()
	s.asked++
	before, after, err := s.BeforeReading, s.AfterReading, s.Err
	s.mu.Unlock()
	time.Sleep(before)
	at := s.Time()
	time.Sleep(after)
	if err != nil {
		return time.Time{}, err
	}
	return at.In(time.FixedZone("elsewhere", 7*3600)), nil
}

// check fails the test if a time that the store was given is not the clock's.
func (s *ClockedStore) check(what string, got time.Time) {
	s.mu.Lock()
	off := s.Tolerance
	s.mu.Unlock()
	want := s.Time()
	if got.Location() != time.UTC || !got.Equal(got.Truncate(time.Microsecond)) || got.Sub(want).Abs() > off {
		s.t.Errorf("%s was given the time %v; want %v, give or take %v", what, got, want, off)
	}
}

func (s *ClockedStore) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	s.check("Enqueue", now)
	for _, e := range entries {
		for _, d := range e.Deliveries {
			s.check("Enqueue of a delivery created", d.Created)
		}
	}
	return s.Store.Enqueue(ctx, now, entries)
}

func (s *ClockedStore) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	s.check("Claim", now)
	for _, l := range lanes {
		s.check("Claim of what was due", l.Before)
	}
	return s.Store.Claim(ctx, now, lanes)
}

func (s *ClockedStore) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	s.check("Update", now)
	return s.Store.Update(ctx, now, changes)
}

func (s *ClockedStore) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	s.check("Put", now)
	return s.Store.Put(ctx, now, r, emit)
}

func (s *ClockedStore) Prune(ctx context.Context, p hooks.Cutoffs) (int, error) {
	s.check("Prune", p.Keys)
	return s.Store.Prune(ctx, p)
}

// A LockableStore is a ClockedStore for one dispatcher.
type LockableStore struct{ *ClockedStore }

func (s LockableStore) Lock(ctx context.Context, now time.Time) (func() error, error) {
	s.check("Lock", now)
	return s.Store.(hooks.Exclusive).Lock(ctx, now)
}

// ByClocks runs a test with stores whose clocks differ from the machine's, each in a bubble
// of testing/synctest.
func ByClocks(t *testing.T, f func(t *testing.T, s *ClockedStore)) {
	for name, ahead := range map[string]time.Duration{
		"an hour ahead":     time.Hour,
		"a minute behind":   -time.Minute + 7*time.Nanosecond,
		"ten years behind":  -10 * 365 * 24 * time.Hour,
		"as the machine is": 0,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, NewClockedStore(t, ahead)) })
		})
	}
}
