package retry_test

import (
	"math"
	"testing"
	"time"

	"example.com/hooks/retry"
)

func TestExponentialWaits(t *testing.T) {
	const s, h = time.Second, time.Hour
	for _, c := range []struct {
		name string
		e    retry.Exponential
		want []time.Duration // of every retry: the next call gives up
	}{
		{
			"zero value",
			retry.Exponential{},
			[]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 640 * s, 1280 * s},
		},
		{
			"capped",
			retry.Exponential{First: s, Max: 7 * s, Factor: 2, Attempts: 7},
			[]time.Duration{s, 2 * s, 4 * s, 7 * s, 7 * s, 7 * s},
		},
		{
			"default cap",
			retry.Exponential{First: 10 * h, Attempts: 5},
			[]time.Duration{10 * h, 20 * h, 24 * h, 24 * h},
		},
		{
			"fractional factor",
			retry.Exponential{First: 8 * s, Factor: 1.5, Attempts: 5},
			[]time.Duration{8 * s, 12 * s, 18 * s, 27 * s},
		},
		{
			"constant",
			retry.Exponential{First: 3 * s, Factor: 1, Attempts: 4},
			[]time.Duration{3 * s, 3 * s, 3 * s},
		},
		{"one attempt", retry.Exponential{Attempts: 1}, nil},
		{"two attempts", retry.Exponential{Attempts: 2}, []time.Duration{5 * s}},
		{
			"first above max",
			retry.Exponential{First: h, Max: s, Attempts: 3},
			[]time.Duration{s, s},
		},
		{
			"invalid fields have their defaults",
			retry.Exponential{First: -1, Max: -1, Factor: math.NaN(), Attempts: -1},
			[]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 640 * s, 1280 * s},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, want := range c.want {
				if wait, ok := c.e.Next(i + 1); wait != want || !ok {
					t.Errorf("%+v.Next(%d) = %v, %t; want %v, true", c.e, i+1, wait, ok, want)
				}
			}
			n := len(c.want) + 1
			if wait, ok := c.e.Next(n); wait != 0 || ok {
				t.Errorf("%+v.Next(%d) = %v, %t; want 0s, false", c.e, n, wait, ok)
			}
		})
	}
}

func TestExponentialNextAtExtremeValues(t *testing.T) {
	for _, c := range []struct {
		name   string
		e      retry.Exponential
		n      int
		want   time.Duration
		wantOK bool
	}{
		{"n of 0 is 1", retry.Exponential{}, 0, 5 * time.Second, true},
		{"least n is 1", retry.Exponential{}, math.MinInt, 5 * time.Second, true},
		{"largest n", retry.Exponential{}, math.MaxInt, 0, false},
		{"most attempts", retry.Exponential{Attempts: math.MaxInt}, math.MaxInt - 1, 24 * time.Hour, true},
		{
			"largest factor",
			retry.Exponential{Factor: math.MaxFloat64},
			2,
			24 * time.Hour, true,
		},
		{
			"longest max",
			retry.Exponential{Max: maxDuration, Attempts: 1000},
			999,
			maxDuration, true,
		},
		{
			"growth ends after 1000 attempts",
			retry.Exponential{First: time.Second, Factor: 1 + 1e-9, Attempts: math.MaxInt},
			math.MaxInt - 1,
			time.Second + 999, true,
		},
		{
			// As a float64 this First is a nanosecond shorter.
			"waits never shrink",
			retry.Exponential{First: 1<<53 + 1, Max: maxDuration, Factor: 1},
			2,
			1<<53 + 1, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if wait, ok := c.e.Next(c.n); wait != c.want || ok != c.wantOK {
				t.Errorf("%+v.Next(%d) = %v, %t; want %v, %t", c.e, c.n, wait, ok, c.want, c.wantOK)
			}
		})
	}
}

// TestExponentialOutlastsBackoffDefaults guards against the default
// MaxElapsedTime of the package inside, which ends every wait at 15 minutes.
func TestExponentialOutlastsBackoffDefaults(t *testing.T) {
	e := retry.Exponential{First: time.Hour, Max: 240 * time.Hour, Attempts: 9}
	if wait, ok := e.Next(8); wait != 128*time.Hour || !ok {
		t.Errorf("%+v.Next(8) = %v, %t; want 128h0m0s, true", e, wait, ok)
	}
}

func TestExponentialValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		e    retry.Exponential
		want []string
	}{
		{"zero value", retry.Exponential{}, nil},
		{"all set", retry.Exponential{First: 1, Max: 1, Factor: 1, Attempts: 1}, nil},
		{"first", retry.Exponential{First: -time.Second}, []string{"First is -1s"}},
		{"max", retry.Exponential{Max: -time.Second}, []string{"Max is -1s"}},
		{"factor", retry.Exponential{Factor: 0.5}, []string{"Factor is 0.5"}},
		{"negative factor", retry.Exponential{Factor: -2}, []string{"Factor is -2"}},
		{"factor NaN", retry.Exponential{Factor: math.NaN()}, []string{"Factor is NaN"}},
		{"factor Inf", retry.Exponential{Factor: math.Inf(1)}, []string{"Factor is +Inf"}},
		{"attempts", retry.Exponential{Attempts: -1}, []string{"Attempts is -1"}},
		{
			"first above max",
			retry.Exponential{First: time.Hour, Max: time.Minute},
			[]string{"First is 1h0m0s"},
		},
		{"first above default max", retry.Exponential{First: 48 * time.Hour}, []string{"First is 48h0m0s"}},
		{"default first above max", retry.Exponential{Max: time.Second}, []string{"First is 5s"}},
		{
			"negative first is not compared",
			retry.Exponential{First: -1, Max: time.Second},
			[]string{"First is -1ns"},
		},
		{
			"negative max is not compared",
			retry.Exponential{First: 48 * time.Hour, Max: -1},
			[]string{"Max is -1ns"},
		},
		{
			"all at once",
			retry.Exponential{First: -1, Max: -2, Factor: math.Inf(-1), Attempts: -3},
			[]string{"First is -1ns", "Max is -2ns", "Factor is -Inf", "Attempts is -3"},
		},
	} {
		t.Run(c.name, func(t *testing.T) { checkMistakes(t, c.e.Validate(), c.want) })
	}
}

func FuzzExponential(f *testing.F) {
	f.Add(int64(0), int64(0), 0.0, 0, 1)
	f.Add(int64(time.Second), int64(time.Hour), 1.5, 20, 19)
	f.Add(int64(1<<53+1), int64(math.MaxInt64), 1.0, 10, 2)
	f.Add(int64(1), int64(math.MaxInt64), 1+1e-9, math.MaxInt, math.MaxInt-2)
	f.Add(int64(math.MaxInt64/3), int64(math.MaxInt64), 3.0, 10, 1)
	f.Add(int64(-1), int64(-1), math.NaN(), -1, -1)
	f.Add(int64(math.MaxInt64), int64(1), math.Inf(1), math.MaxInt, math.MaxInt)
	f.Fuzz(func(t *testing.T, first, longest int64, factor float64, attempts, n int) {
		e := retry.Exponential{
			First: time.Duration(first), Max: time.Duration(longest), Factor: factor, Attempts: attempts,
		}
		limit := e.Max
		if limit <= 0 {
			limit = 24 * time.Hour
		}
		inAll := attempts
		if inAll <= 0 {
			inAll = 10
		}
		wait, ok := e.Next(n)
		if wantOK := max(n, 1) < inAll; ok != wantOK {
			t.Errorf("%+v.Next(%d) ok = %t; want %t", e, n, ok, wantOK)
		}
		if wait < 0 || wait > limit || ok && wait == 0 || !ok && wait != 0 {
			t.Errorf("%+v.Next(%d) = %v, %t; want 0s to give up, else up to %v", e, n, wait, ok, limit)
		}
		if !ok || n == math.MaxInt {
			return
		}
		if next, more := e.Next(n + 1); more && next < wait {
			t.Errorf("%+v.Next(%d) = %v, then %v; want it not to shrink", e, n, wait, next)
		}
	})
}

func BenchmarkExponentialNext(b *testing.B) {
	e := retry.Exponential{Attempts: 20}
	b.ReportAllocs()
	for b.Loop() {
		e.Next(10)
	}
}
