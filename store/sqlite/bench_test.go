package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// BenchmarkEnqueue publishes an event to one subscriber at a time; each op is
// one event, and durable.
func BenchmarkEnqueue(b *testing.B) {
	for _, goroutines := range []int{1, 16} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s := openTemp(b)
			var n atomic.Int64
			inParallel(b, goroutines, func() error {
				id := strconv.FormatInt(n.Add(1), 10)
				_, err := s.Enqueue(b.Context(), at(0), []hooks.Entry{entry(id, "crm")})
				return err
			})
		})
	}
}

// BenchmarkClaimUpdate claims 20 deliveries and writes their outcomes; each op
// is one delivery.
func BenchmarkClaimUpdate(b *testing.B) {
	for _, goroutines := range []int{1, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s := openTemp(b)
			fill(b, s, b.N+20*goroutines)
			b.ResetTimer()
			var done atomic.Int64
			inParallelUntil(b, goroutines, func() (bool, error) {
				n, err := deliver20(b.Context(), s)
				return done.Add(int64(n)) >= int64(b.N) || n == 0, err
			})
		})
	}
}

// BenchmarkClaimNothing is what a claim costs when nothing is due.
func BenchmarkClaimNothing(b *testing.B) {
	s := openTemp(b)
	for b.Loop() {
		if _, err := s.Claim(b.Context(), at(0), []hooks.ClaimLane{lane("crm", 20)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBacklog(b *testing.B) {
	s := openTemp(b)
	for i := range 100 {
		if err := enqueue(s, entry(strconv.Itoa(i), "sub"+strconv.Itoa(i))); err != nil {
			b.Fatal(err)
		}
	}
	fill(b, s, 10_000)
	for b.Loop() {
		if _, err := s.Backlog(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func deliver20(ctx context.Context, s *sqlite.Store) (int, error) {
	entries, err := s.Claim(ctx, at(0), []hooks.ClaimLane{lane("crm", 20)})
	if err != nil {
		return 0, err
	}
	changes := make([]hooks.Change, len(entries))
	for i, e := range entries {
		d := e.Deliveries[0]
		d.Status, d.Attempts, d.Updated, d.Code = hooks.Succeeded, 1, at(1), 200
		changes[i] = hooks.Change{Delivery: d, Attempt: &hooks.Attempt{
			Run: 1, Number: 1, Token: d.Token, Start: at(0), Took: 30 * time.Millisecond,
			URL: "https://crm.example.com/hooks", Code: 200, Body: []byte("ok"), Instance: "bench",
		}}
	}
	stale, err := s.Update(ctx, at(1), changes)
	if len(stale) > 0 {
		return 0, fmt.Errorf("stale: %v", stale)
	}
	return len(changes), err
}

// fill enqueues n events for crm.
func fill(tb testing.TB, s *sqlite.Store, n int) {
	tb.Helper()
	for n > 0 {
		batch := make([]hooks.Entry, min(n, 1000))
		for i := range batch {
			batch[i] = entry("evt_"+strconv.Itoa(n-i), "crm")
		}
		if err := enqueue(s, batch...); err != nil {
			tb.Fatal(err)
		}
		n -= len(batch)
	}
}

func inParallel(b *testing.B, goroutines int, f func() error) {
	var n atomic.Int64
	inParallelUntil(b, goroutines, func() (bool, error) {
		if n.Add(1) > int64(b.N) {
			return true, nil
		}
		return false, f()
	})
}

// inParallelUntil repeats f in each goroutine until it says that it is done.
func inParallelUntil(b *testing.B, goroutines int, f func() (bool, error)) {
	errs := make(chan error, goroutines)
	for range goroutines {
		go func() {
			for {
				if done, err := f(); done || err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range goroutines {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

func openTemp(tb testing.TB) *sqlite.Store {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "hooks.db"))
}
