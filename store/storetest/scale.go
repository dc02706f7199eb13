package storetest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"example.com/hooks"
)

// scaleRules compare times within one test, by medians and with a wide
// margin, so that only a scan can break them and not a busy machine. With
// -short they are left out.
var scaleRules = []rule{
	{"100,000 rows blocked behind a key leave a claim as fast", func(t *testing.T, s hooks.Store) {
		later(t, s, "free", "free")
		usual := claimTime(t, s, "free")
		line := make([]hooks.Entry, 100_000)
		for i := range line {
			line[i] = ordered(event("e"+strconv.Itoa(i), "blocked"), "k")
		}
		crowd(t, s, line)
		head := claimOne(t, s, at(0), "blocked")
		later(t, s, "free", "blocked")
		asFast(t, "Claim and Update of another", claimTime(t, s, "free"), usual)
		asFast(t, "Claim and Update beside the line", claimTime(t, s, "blocked"), usual)
		asFast(t, "Update and Claim of the line", medianTime(func() {
			apply(t, s, at(0), outcome(head, hooks.Succeeded, at(0)))
			head = claim(t, s, at(0), "blocked", 1)[0]
			equal(t, "OrderingKey", head.OrderingKey, "k")
		}), usual)
	}},
	{"50,000 due rows of one subscriber leave another's claim as fast", func(t *testing.T, s hooks.Store) {
		later(t, s, "free", "free")
		usual, usualList := claimTime(t, s, "free"), backlogTime(t, s)
		crowd(t, s, events("dead", numbered("e", 50_000)...))
		later(t, s, "free", "dead")
		asFast(t, "Claim and Update of another", claimTime(t, s, "free"), usual)
		asFast(t, "Claim and Update of its own", claimTime(t, s, "dead"), usual)
		asFast(t, "Backlog", backlogTime(t, s), usualList)
	}},
	{"a batch of four times as many entries takes about four times as long", func(t *testing.T, s hooks.Store) {
		for _, b := range batches {
			linear(t, b, func(entries []hooks.Entry) { enqueue(t, s, at(0), entries...) })
		}
	}},
}

// samples is how often a time is taken.
const samples = 25

// crowd enqueues many entries, in parts.
func crowd(t testing.TB, s hooks.Store, entries []hooks.Entry) {
	t.Helper()
	for part := range slices.Chunk(entries, 2000) {
		enqueue(t, s, at(0), part...)
	}
}

// later enqueues deliveries of two subscribers that are due after all others.
func later(t testing.TB, s hooks.Store, a, b string) {
	t.Helper()
	for i := range samples {
		id := "later-" + a + b + strconv.Itoa(i)
		enqueue(t, s, at(0), due(event(id+"a", a), at(1)), due(event(id+"b", b), at(1)))
	}
}

// claimTime is how long it takes to lease and finish a delivery that is not
// in a line.
func claimTime(t testing.TB, s hooks.Store, subscriber string) time.Duration {
	t.Helper()
	return medianTime(func() {
		d := claim(t, s, at(1), subscriber, 1)
		if len(d) != 1 {
			t.Fatalf("Claim(%s) = %d deliveries; want one", subscriber, len(d))
		}
		equal(t, "OrderingKey", d[0].OrderingKey, "")
		apply(t, s, at(1), outcome(d[0], hooks.Succeeded, at(1)))
	})
}

func backlogTime(t testing.TB, s hooks.Store) time.Duration {
	t.Helper()
	return medianTime(func() { backlog(t, s) })
}

func medianTime(f func()) time.Duration {
	var times []time.Duration
	for range samples {
		times = append(times, timeOf(f))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// asFast fails the test if something takes much longer than usual.
func asFast(t testing.TB, what string, got, usual time.Duration) {
	t.Helper()
	t.Logf("%s: %v; usually %v", what, got, usual)
	if limit := max(20*usual, 100*time.Microsecond); got > limit {
		t.Errorf("%s takes %v, usually %v; want at most %v", what, got, usual, limit)
	}
}
