package retry_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"example.com/hooks/retry"
)

const maxDuration = time.Duration(math.MaxInt64)

func TestJitterKnownValues(t *testing.T) {
	for _, c := range []struct {
		wait   time.Duration
		random float64
		want   time.Duration
	}{
		{10 * time.Second, 0, 10 * time.Second},
		{10 * time.Second, 0.25, 10500 * time.Millisecond},
		{10 * time.Second, 0.5, 11 * time.Second},
		{10 * time.Second, 1, 12 * time.Second},
		{10 * time.Second, 7, 12 * time.Second},
		{10 * time.Second, math.Inf(1), 12 * time.Second},
		{10 * time.Second, -0.5, 10 * time.Second},
		{10 * time.Second, math.Inf(-1), 10 * time.Second},
		{10 * time.Second, math.NaN(), 10 * time.Second},
		{5 * (1<<53 + 3), 1, 6 * (1<<53 + 3)}, // a fifth of it rounds up as a float64
		{4, 1, 4},                             // a fifth of it is less than a nanosecond
		{0, 0.5, 0},
		{-time.Second, 0.5, 0},
		{math.MinInt64, 1, 0},
		{maxDuration, 0, maxDuration},
		{maxDuration, 0.5, maxDuration},
		{maxDuration - 1, 1, maxDuration},
	} {
		if got := retry.Jitter(c.wait, c.random); got != c.want {
			t.Errorf("Jitter(%v, %v) = %v; want %v", c.wait, c.random, got, c.want)
		}
	}
}

func TestJitterStaysWithinAFifth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const draws = 10_000
	for _, wait := range retry.Standard() {
		var early, late, upperHalf int
		for range draws {
			got := retry.Jitter(wait, random.Float64())
			switch {
			case got < wait:
				early++
			case got > wait+wait/5:
				late++
			case got >= wait+wait/10:
				upperHalf++
			}
		}
		if early+late > 0 {
			t.Errorf("Jitter(%v): %d early and %d late of %d; want 0", wait, early, late, draws)
		}
		if upperHalf < draws*45/100 || upperHalf > draws*55/100 {
			t.Errorf("Jitter(%v): %d of %d in the upper half; want about half", wait, upperHalf, draws)
		}
	}
}

func TestPoliciesMayBeSharedByGoroutines(t *testing.T) {
	for _, p := range []retry.Policy{retry.Standard(), retry.Exponential{}} {
		var want [10]time.Duration
		for i := range want {
			want[i], _ = p.Next(i + 1)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 1000 {
					n := i%len(want) + 1
					if got, _ := p.Next(n); got != want[n-1] {
						t.Errorf("%T.Next(%d) = %v; want %v", p, n, got, want[n-1])
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func FuzzJitter(f *testing.F) {
	f.Add(int64(5*time.Second), 0.5)
	f.Add(int64(math.MaxInt64), math.Nextafter(1, 0))
	f.Add(int64(math.MaxInt64)/6*5+1, 1.0)
	f.Add(int64(math.MinInt64), math.Inf(-1))
	f.Add(int64(1), math.NaN())
	f.Fuzz(func(t *testing.T, nanoseconds int64, random float64) {
		wait := time.Duration(nanoseconds)
		got, least := retry.Jitter(wait, random), max(wait, 0)
		if got < least || got-least > least/5 {
			t.Errorf("Jitter(%v, %v) = %v; want 0 to 20 %% above %v", wait, random, got, least)
		}
	})
}
