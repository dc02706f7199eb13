package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/hooks"
)

// The functions here call a store that is a [hooks.Reporter] and fail the test at any error.

func addMinutes(t testing.TB, s hooks.Store, ms ...hooks.Minute) {
	t.Helper()
	if err := s.(hooks.Reporter).AddMinutes(t.Context(), ms); err != nil {
		t.Fatalf("AddMinutes(%d): %v", len(ms), err)
	}
}

func minutes(t testing.TB, s hooks.Store, q hooks.Query) []hooks.Minute {
	t.Helper()
	list, err := s.(hooks.Reporter).Minutes(t.Context(), q)
	if err != nil {
		t.Fatalf("Minutes(%+v): %v", q, err)
	}
	return list
}

func count(t testing.TB, s hooks.Store, q hooks.Query, most int) hooks.Count {
	t.Helper()
	c, err := s.(hooks.Reporter).Count(t.Context(), q, most)
	if err != nil {
		t.Fatalf("Count(%+v, %d): %v", q, most, err)
	}
	return c
}

// upTo returns the count of n deliveries of which most may be told.
func upTo(n, most int) hooks.Count { return hooks.Count{N: min(n, most), More: n > most} }

// minute returns counters, each of a value of its own, that start at a time.
func minute(start time.Time, subscriber string, n int) hooks.Minute {
	m := hooks.Minute{Start: start, Subscriber: subscriber, Succeeded: n, Failed: n + 1}
	for i := range m.Took {
		m.Took[i] = n + 2 + i
	}
	return m
}

// reporterRules are for stores that are a [hooks.Reporter].
var reporterRules = []rule{
	{"a new store has no minutes", func(t *testing.T, s hooks.Store) {
		same(t, "Minutes()", minutes(t, s, hooks.Query{}), nil)
		same(t, "Minutes(a)", minutes(t, s, hooks.Query{Subscriber: "a"}), nil)
		addMinutes(t, s)
		same(t, "Minutes() after AddMinutes of none", minutes(t, s, hooks.Query{}), nil)
	}},
	{"minutes are listed by Start, each subscriber's apart", func(t *testing.T, s hooks.Store) {
		whole := []hooks.Minute{minute(at(-60), "", 7), minute(at(0), "", 1), minute(at(60), "", 1000)}
		a := []hooks.Minute{minute(at(0), "a", 30), minute(at(300), "a", 0)}
		upper := []hooks.Minute{minute(at(0), "A", 50)}
		addMinutes(t, s, whole[1], a[1], whole[0])
		addMinutes(t, s, a[0], upper[0], whole[2])
		for range 2 {
			got := minutes(t, s, hooks.Query{})
			same(t, "Minutes()", got, whole)
			clear(got)
		}
		same(t, "Minutes(a)", minutes(t, s, hooks.Query{Subscriber: "a"}), a)
		same(t, "Minutes(A)", minutes(t, s, hooks.Query{Subscriber: "A"}), upper)
		same(t, "Minutes(b)", minutes(t, s, hooks.Query{Subscriber: "b"}), nil)
	}},
	{"AddMinutes adds to what is there", func(t *testing.T, s hooks.Store) {
		addMinutes(t, s, minute(at(0), "a", 1), minute(at(0), "", 5), minute(at(0), "a", 10))
		addMinutes(t, s, minute(at(0), "a", 100), minute(at(60), "a", 1))
		want := sum(minute(at(0), "a", 1), minute(at(0), "a", 10), minute(at(0), "a", 100))
		same(t, "Minutes(a)", minutes(t, s, hooks.Query{Subscriber: "a"}), []hooks.Minute{want, minute(at(60), "a", 1)})
		same(t, "Minutes()", minutes(t, s, hooks.Query{}), []hooks.Minute{minute(at(0), "", 5)})
	}},
	{"Minutes begin at From and end before To", func(t *testing.T, s hooks.Store) {
		all := []hooks.Minute{minute(at(0), "", 1), minute(at(60), "", 2), minute(at(120), "", 3)}
		addMinutes(t, s, all...)
		const µs = time.Microsecond
		same(t, "Minutes(From)", minutes(t, s, hooks.Query{From: at(60)}), all[1:])
		same(t, "Minutes(From after)", minutes(t, s, hooks.Query{From: at(60).Add(µs)}), all[2:])
		same(t, "Minutes(To)", minutes(t, s, hooks.Query{To: at(120)}), all[:2])
		same(t, "Minutes(To after)", minutes(t, s, hooks.Query{To: at(120).Add(µs)}), all)
		same(t, "Minutes(From, To)", minutes(t, s, hooks.Query{From: at(60), To: at(120)}), all[1:2])
		same(t, "Minutes(From = To)", minutes(t, s, hooks.Query{From: at(60), To: at(60)}), nil)
	}},
	{"Minutes lists a day", func(t *testing.T, s hooks.Store) {
		var day []hooks.Minute
		for i := range 25 * 60 {
			day = append(day, minute(at(60*i), "", i))
		}
		addMinutes(t, s, day...)
		same(t, "Minutes()", minutes(t, s, hooks.Query{}), day)
	}},
	{"Minutes removes counters that start before", func(t *testing.T, s hooks.Store) {
		old, kept := minute(at(0), "", 1), minute(at(60), "", 2)
		addMinutes(t, s, old, kept, minute(at(-300), "a", 1), minute(at(60), "a", 4))
		equal(t, "Prune(zero)", prune(t, s, hooks.Cutoffs{Limit: 100}), 0)
		equal(t, "Prune(everything else)", prune(t, s, everything(at(9999))), 0)
		equal(t, "Prune(Minutes)", pruneAll(t, s, hooks.Cutoffs{Minutes: at(60), Limit: 100}), 2)
		same(t, "Minutes()", minutes(t, s, hooks.Query{}), []hooks.Minute{kept})
		same(t, "Minutes(a)", minutes(t, s, hooks.Query{Subscriber: "a"}), []hooks.Minute{minute(at(60), "a", 4)})
	}},
	{"Limit bounds the minutes that Prune removes", func(t *testing.T, s hooks.Store) {
		for i := range 10 {
			addMinutes(t, s, minute(at(60*i), "", 1))
		}
		p := hooks.Cutoffs{Minutes: at(9999), Limit: 3}
		for left := 10; left > 0; {
			n := prune(t, s, p)
			now := len(minutes(t, s, hooks.Query{}))
			if n != left-now || n < 1 || n > p.Limit {
				t.Fatalf("Prune(Limit %d) = %d, and %d of %d are left", p.Limit, n, now, left)
			}
			left = now
		}
		equal(t, "Prune at the end", prune(t, s, p), 0)
	}},
	{"Count counts what Deliveries lists, to a bound", func(t *testing.T, s hooks.Store) {
		medley(t, s)
		for name, f := range filters {
			all := len(deliveries(t, s, f.query))
			for _, most := range []int{0, 1, 3, 16, 1000} {
				q := f.query
				q.Limit, q.OldestFirst, q.Cursor = 1, most%2 == 0, "7"
				equal(t, "Count("+name+")", count(t, s, q, most), upTo(all, most))
			}
		}
	}},
	{"Count goes beyond a page", func(t *testing.T, s hooks.Store) {
		crowd(t, s, events("a", numbered("e", 1200)...))
		equal(t, "Count(a)", count(t, s, hooks.Query{Subscriber: "a"}, 10_000), upTo(1200, 10_000))
		equal(t, "Count(a, at most 1,100)", count(t, s, hooks.Query{Subscriber: "a"}, 1100), upTo(1200, 1100))
		equal(t, "Count(type)", count(t, s, hooks.Query{Types: []string{"thing.happened"}}, 10_000), upTo(1200, 10_000))
	}},
	{"Count looks at 10,000 rows, and says whether it has looked at all", func(t *testing.T, s hooks.Store) {
		crowd(t, s, events("a", numbered("old", 3)...))
		others := events("a", numbered("e", 9997)...)
		for i := range others {
			others[i].Event.Tenant, others[i].Deliveries[0].Tenant = "globex", "globex"
		}
		crowd(t, s, others)
		for _, q := range []hooks.Query{{Tenant: "globex"}, {Tenant: "globex", Subscriber: "a"}, {Tenant: "globex", Statuses: []hooks.Status{hooks.Pending}}} {
			equal(t, fmt.Sprintf("Count(%+v) of 10,000", q), count(t, s, q, 10_000), upTo(9997, 10_000))
		}
		more := events("a", numbered("new", 10)...)
		crowd(t, s, more)
		got := count(t, s, hooks.Query{Tenant: "globex", Types: []string{"thing.happened"}}, 10_000)
		if got != upTo(9997, 10_000) && (got.N > 9997 || !got.More) {
			t.Errorf("Count beside others = %+v; want 9,997, or fewer and More", got)
		}
	}},
}

// sum returns counters that are those of all together.
func sum(first hooks.Minute, more ...hooks.Minute) hooks.Minute {
	for _, m := range more {
		first.Succeeded += m.Succeeded
		first.Failed += m.Failed
		for i, n := range m.Took {
			first.Took[i] += n
		}
	}
	return first
}

// checkMinutesAddUp has several handles add to the same counters.
func checkMinutesAddUp(t testing.TB, handles []hooks.Store) {
	if _, ok := handles[0].(hooks.Reporter); !ok {
		return
	}
	const writers, rounds = 8, 20
	together(t, handles, writers, func(t testing.TB, i int, s hooks.Store) {
		for round := range rounds {
			ms := []hooks.Minute{{Start: at(0), Succeeded: 1}, {Start: at(0), Subscriber: "a", Failed: 1}}
			ms[0].Took[round%13] = 1
			if i%2 == 0 { // a store must not let calls with either order wait for each other
				slices.Reverse(ms)
			}
			addMinutes(t, s, ms...)
		}
	})
	whole, a := minutes(t, handles[0], hooks.Query{}), minutes(t, handles[0], hooks.Query{Subscriber: "a"})
	if len(whole) != 1 || len(a) != 1 {
		t.Fatalf("Minutes = %v and %v; want one of each", whole, a)
	}
	equal(t, "Succeeded", whole[0].Succeeded, writers*rounds)
	equal(t, "Failed", a[0].Failed, writers*rounds)
	took := 0
	for _, n := range whole[0].Took {
		took += n
	}
	equal(t, "the sum of Took", took, writers*rounds)
}
