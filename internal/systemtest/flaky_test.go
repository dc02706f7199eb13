package systemtest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// A flaky store fails as its plan says, and otherwise works as the one behind it.
type flaky struct {
	hooks.Store

	mu   sync.Mutex // guards what follows
	plan plan
}

// A plan decides what becomes of a call. It is asked by one goroutine at a
// time.
type plan func(method string) fate

type fate int

const (
	sound       fate = iota
	failsBefore      // it does nothing
	failsAfter       // it has done its work, as when a commit is not acknowledged
)

func newFlaky(s hooks.Store, p plan) *flaky { return &flaky{Store: s, plan: p} }

// follow makes another plan count from now on; nil lets every call work.
func (f *flaky) follow(p plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = p
}

func (f *flaky) fate(method string) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan == nil {
		return sound
	}
	return f.plan(method)
}

// failing fails each call with probability p, before or after it is done. The
// same seed fails the same calls of each method.
func failing(p float64, seed uint64) plan {
	sources := make(map[string]*rand.Rand)
	return func(method string) fate {
		r := sources[method]
		if r == nil {
			r = rand.New(rand.NewPCG(seed, hashed(method)))
			sources[method] = r
		}
		if r.Float64() >= p {
			return sound
		}
		return failsBefore + fate(r.IntN(2))
	}
}

func hashed(s string) (n uint64) {
	for _, b := range []byte(s) {
		n = n*31 + uint64(b)
	}
	return n
}

// falter makes a call to the store behind f, unless its fate is to fail.
func falter[T any](f *flaky, method string, do func() (T, error)) (T, error) {
	var none T
	fate := f.fate(method)
	if fate == failsBefore {
		return none, kit.ErrFault
	}
	v, err := do()
	if err == nil && fate == failsAfter {
		return none, kit.ErrFault
	}
	return v, err
}

// A listing is what the listing methods return, as one value.
type listing[T any] struct {
	page []T
	next string
}

func (f *flaky) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	return falter(f, "Enqueue", func() ([]hooks.Receipt, error) { return f.Store.Enqueue(ctx, now, entries) })
}

func (f *flaky) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	return falter(f, "Records", func() ([]hooks.Record, error) { return f.Store.Records(ctx, since) })
}

func (f *flaky) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	ctx = context.WithoutCancel(ctx) // what the caller does not wait for may still happen
	return falter(f, "Claim", func() ([]hooks.Entry, error) { return f.Store.Claim(ctx, now, lanes) })
}

func (f *flaky) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	return falter(f, "Update", func() ([]hooks.DeliveryID, error) { return f.Store.Update(ctx, now, changes) })
}

func (f *flaky) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	return falter(f, "Backlog", func() ([]hooks.BacklogLane, error) { return f.Store.Backlog(ctx) })
}

func (f *flaky) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	return falter(f, "Put", func() (int64, error) { return f.Store.Put(ctx, now, r, emit) })
}

func (f *flaky) Events(ctx context.Context, q hooks.Query) ([]hooks.Event, string, error) {
	l, err := falter(f, "Events", func() (l listing[hooks.Event], err error) {
		l.page, l.next, err = f.Store.Events(ctx, q)
		return l, err
	})
	return l.page, l.next, err
}

func (f *flaky) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	l, err := falter(f, "Deliveries", func() (l listing[hooks.Delivery], err error) {
		l.page, l.next, err = f.Store.Deliveries(ctx, q)
		return l, err
	})
	return l.page, l.next, err
}

func (f *flaky) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	return falter(f, "Attempts", func() ([]hooks.Attempt, error) { return f.Store.Attempts(ctx, id) })
}

func (f *flaky) Prune(ctx context.Context, p hooks.Cutoffs) (int, error) {
	return falter(f, "Prune", func() (int, error) { return f.Store.Prune(ctx, p) })
}

// Lock does not fail, for Run would say so and not begin.
func (f *flaky) Lock(ctx context.Context, now time.Time) (func() error, error) {
	return f.Store.(hooks.Exclusive).Lock(ctx, now)
}

// stubborn returns a handler that succeeds the third time, and counts.
func stubborn(name string) (hooks.Handler, *kit.Tally) {
	h, c := kit.Counting(name)
	count := h.Func
	h.Func = func(ctx context.Context, ev hooks.Event) error {
		if count(ctx, ev); c.Of(ev.ID) < 3 {
			return errors.New("no")
		}
		return nil
	}
	return h, c
}

// publishUntilStored repeats the same event until the store has it, as users
// are told to. Call it in a synctest bubble.
func publishUntilStored(t *testing.T, h *hooks.Hooks, ev hooks.Event) hooks.Receipt {
	t.Helper()
	for {
		r, err := h.Publish(t.Context(), ev)
		if err == nil {
			return r
		}
		if !errors.Is(err, kit.ErrFault) {
			t.Fatalf("Publish(%s) = %v; want the store's error", ev.ID, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// nth fails one call of all, and counts them.
func nth(n int, how fate, calls *int) plan {
	return func(string) fate {
		*calls++
		if *calls == n {
			return how
		}
		return sound
	}
}
