package hooks

import (
	"slices"
	"testing"
	"time"
)

// A lookout is asked each millisecond, as a dispatcher does that is never late.
func TestLookout(t *testing.T) {
	every := func(step, until int) (at []int) {
		for ms := 0; ms < until; ms += step {
			at = append(at, ms)
		}
		return at
	}
	for _, c := range []struct {
		name           string
		expected, told []int // milliseconds
		want           []int // the looks; nil: see most
		most           int   // looks
		last           int   // the last of them
	}{
		{name: "nothing happens", want: []int{}},
		{name: "a commit is expected", expected: []int{0}, want: []int{1, 5, 9, 16, 32, 64, 128}},
		{name: "a commit is told of", told: []int{3}, want: []int{3}},
		{name: "told of in a row", told: []int{0, 1, 2, 3}, want: []int{0, 4}},
		{name: "told of after the pause", told: []int{0, 4, 9}, want: []int{0, 4, 9}},
		{name: "expected and told of", expected: []int{0}, told: []int{2}, want: []int{1, 5, 9, 16, 32, 64, 128}},
		{name: "expected twice", expected: []int{0, 100}, want: []int{1, 5, 9, 16, 32, 64, 101, 105, 109, 116, 128, 132, 164, 228}},
		{name: "expected each millisecond", expected: every(1, 1000), most: 300, last: 999 + 128},
		{name: "both each millisecond", expected: every(1, 1000), told: every(1, 1000), most: 300, last: 999 + 128},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := looksOf(c.expected, c.told)
			if c.want != nil && !slices.Equal(got, c.want) {
				t.Errorf("looks at %v ms; want %v", got, c.want)
			}
			if c.want == nil && (len(got) > c.most || got[len(got)-1] != c.last) {
				t.Errorf("%d looks, the last at %d ms; want %d at most, the last at %d", len(got), got[len(got)-1], c.most, c.last)
			}
			for i := 1; i < len(got); i++ {
				if got[i]-got[i-1] < 4 {
					t.Errorf("looks at %d and %d ms; want 4 ms between them", got[i-1], got[i])
				}
			}
		})
	}
}

// looksOf returns when a lookout looks within 2 s.
func looksOf(expected, told []int) (looks []int) {
	var l lookout
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for ms := range 2000 {
		now := began.Add(time.Duration(ms) * time.Millisecond)
		if slices.Contains(expected, ms) {
			l.expect(now)
		}
		if slices.Contains(told, ms) {
			l.announce(now)
		}
		if at, ok := l.next(); ok && !at.After(now) {
			l.look(now)
			looks = append(looks, ms)
		}
	}
	return looks
}

// Each commit is looked for soon after it, however many others are expected: twice as late
// after the call of PublishTx as it came, or 4 ms later than that.
func TestLookoutSeesEveryCommitSoon(t *testing.T) {
	for _, between := range []int{1, 3, 7, 20, 50, 127, 200, 1000} {
		var expected []int
		for ms := 0; ms < 1000; ms += between {
			expected = append(expected, ms)
		}
		looks := looksOf(expected, nil)
		for _, published := range expected {
			for took := range 128 {
				commit := published + took
				i, _ := slices.BinarySearch(looks, commit)
				if i == len(looks) || looks[i]-published > max(2*took, 1)+4 {
					t.Fatalf("PublishTx each %d ms; of the one at %d, committed %d ms later, the next look is not soon: %v",
						between, published, took, looks)
				}
			}
		}
	}
}
