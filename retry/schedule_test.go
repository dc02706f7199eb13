package retry_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks/retry"
)

func TestStandardIsTheScheduleOfStandardWebhooks(t *testing.T) {
	// The column "Time since start" of the specification, from the second row.
	for i, sinceStart := range []string{
		"5s", "5m5s", "35m5s", "2h35m5s", "7h35m5s", "17h35m5s", "31h35m5s", "51h35m5s", "75h35m5s",
	} {
		want, err := time.ParseDuration(sinceStart)
		if err != nil {
			t.Fatal(err)
		}
		if got := elapsed(retry.Standard(), i+1); got != want {
			t.Errorf("Standard: attempt %d is %v after the first; want %v", i+2, got, want)
		}
	}
	if wait, ok := retry.Standard().Next(10); ok {
		t.Errorf("Standard().Next(10) = %v, true; want false", wait)
	}
}

// elapsed returns the sum of p's waits after the first n attempts.
func elapsed(p retry.Policy, n int) time.Duration {
	var sum time.Duration
	for i := range n {
		wait, _ := p.Next(i + 1)
		sum += wait
	}
	return sum
}

func TestStandardReturnsAFreshSlice(t *testing.T) {
	want := slices.Clone(retry.Standard())
	clear(retry.Standard())
	if got := retry.Standard(); !slices.Equal(got, want) {
		t.Errorf("Standard() after a caller changed its own = %v; want %v", got, want)
	}
}

func TestScheduleNext(t *testing.T) {
	s := retry.Schedule{time.Minute, 0, -time.Hour, time.Second}
	for _, c := range []struct {
		s      retry.Schedule
		n      int
		wait   time.Duration
		wantOK bool
	}{
		{s, 1, time.Minute, true},
		{s, 2, 0, true},
		{s, 3, 0, true}, // a negative wait counts as none
		{s, 4, time.Second, true},
		{s, 5, 0, false},
		{s, math.MaxInt, 0, false},
		{s, 0, time.Minute, true},
		{s, math.MinInt, time.Minute, true},
		{nil, 1, 0, false},
		{nil, 0, 0, false},
		{retry.Schedule{}, 1, 0, false},
	} {
		if wait, ok := c.s.Next(c.n); wait != c.wait || ok != c.wantOK {
			t.Errorf("%v.Next(%d) = %v, %t; want %v, %t", c.s, c.n, wait, ok, c.wait, c.wantOK)
		}
	}
}

func TestScheduleValidate(t *testing.T) {
	for _, c := range []struct {
		s    retry.Schedule
		want []string
	}{
		{nil, nil},
		{retry.Standard(), nil},
		{retry.Schedule{0, time.Hour, time.Second}, nil},
		{retry.Schedule{-1, 0, -time.Hour}, []string{"Schedule[0] is -1ns", "Schedule[2] is -1h0m0s"}},
	} {
		checkMistakes(t, c.s.Validate(), c.want)
	}
}

// checkMistakes reports an error unless err joins exactly one error for each
// of want, in order, that contains its text.
func checkMistakes(t *testing.T, err error, want []string) {
	t.Helper()
	var got []error
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		got = joined.Unwrap()
	}
	if len(got) != len(want) || (err == nil) != (want == nil) {
		t.Errorf("Validate() = %v; want %d mistakes: %q", err, len(want), want)
		return
	}
	for i, e := range got {
		text := e.Error()
		if !strings.HasPrefix(text, "retry: ") || !strings.Contains(text, want[i]) {
			t.Errorf("Validate() reports %q; want it to say %q", text, want[i])
		}
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), 1)
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"), 2)
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00"), math.MaxInt)
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00"), math.MinInt)
	f.Fuzz(func(t *testing.T, waits []byte, n int) {
		var s retry.Schedule
		for chunk := range slices.Chunk(waits, 8) {
			if len(chunk) == 8 {
				s = append(s, time.Duration(binary.LittleEndian.Uint64(chunk)))
			}
		}
		wait, ok := s.Next(n)
		if wantOK := n <= len(s) && len(s) > 0; ok != wantOK {
			t.Errorf("%v.Next(%d) ok = %t; want %t", s, n, ok, wantOK)
		}
		if ok && wait != max(s[max(n, 1)-1], 0) || !ok && wait != 0 {
			t.Errorf("%v.Next(%d) = %v, %t; want the element, not negative", s, n, wait, ok)
		}
		valid := len(s) == 0 || slices.Min(s) >= 0
		if err := s.Validate(); (err == nil) != valid {
			t.Errorf("%v.Validate() = %v; want valid = %t", s, err, valid)
		}
	})
}
