package storetest

import (
	"cmp"
	"slices"
	"strconv"
	"testing"

	"example.com/hooks"
)

// listRules are about the order of lists, and about idempotency keys.
var listRules = []rule{
	{"lists are in the order of Seq, from either end", func(t *testing.T, s hooks.Store) {
		medley(t, s)
		apply(t, s, at(30), replayed(read(t, s, "e3", "a"), at(30)))
		for name, f := range filters {
			q := f.query
			want, wantEvents := deliveries(t, s, q), ids(stored(t, s, q))
			slices.Reverse(want)
			slices.Reverse(wantEvents)
			if !slices.IsSortedFunc(want, func(a, b hooks.Delivery) int { return cmp.Compare(a.Seq, b.Seq) }) {
				t.Fatalf("Deliveries(%s) = %v; want the highest Seq first", name, names(want))
			}
			q.OldestFirst = true
			for _, q.Limit = range []int{0, 1, 2, 5} {
				rows(t, "Deliveries("+name+", oldest first)", deliveries(t, s, q), want)
				same(t, "Events("+name+", oldest first)", ids(stored(t, s, q)), wantEvents)
			}
		}
	}},
	{"pages from the oldest name each row once, and what arrives meanwhile", func(t *testing.T, s hooks.Store) {
		want := numbered("old", 25)
		enqueue(t, s, at(0), events("a", want...)...)
		var got, gotEvents []string
		dq, eq := hooks.Query{Limit: 4, OldestFirst: true}, hooks.Query{Limit: 4, OldestFirst: true}
		for i := 0; i == 0 || dq.Cursor != "" || eq.Cursor != ""; i++ {
			if i == 0 || dq.Cursor != "" {
				page, next, err := s.Deliveries(t.Context(), dq)
				if err != nil {
					t.Fatalf("Deliveries(%+v): %v", dq, err)
				}
				got, dq.Cursor = append(got, names(page)...), next
			}
			if i == 0 || eq.Cursor != "" {
				page, next, err := s.Events(t.Context(), eq)
				if err != nil {
					t.Fatalf("Events(%+v): %v", eq, err)
				}
				gotEvents, eq.Cursor = append(gotEvents, ids(page)...), next
			}
			if i < 5 {
				more := numbered("new"+strconv.Itoa(i)+"-", 3)
				enqueue(t, s, at(0), events("a", more...)...)
				want = append(want, more...)
			}
		}
		same(t, "Deliveries(oldest first)", got, want)
		same(t, "Events(oldest first)", gotEvents, want)
	}},
	{"few rows among many are found from either end", checkRare},
	{"Key finds the event that has it, in one tenant", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1"), "k", at(60)), keyed(ofTenant(event("2"), "acme"), "k", at(60)),
			keyed(event("3", "a"), "other", at(60)), event("4"))
		enqueue(t, s, at(1), keyed(event("5"), "k", at(60))) // a duplicate
		for _, c := range []struct {
			query hooks.Query
			want  []string
		}{
			{hooks.Query{Key: "k"}, []string{"1"}},
			{hooks.Query{Key: "k", Tenant: "acme"}, []string{"2"}},
			{hooks.Query{Key: "k", Tenant: "nobody"}, nil},
			{hooks.Query{Key: "K"}, nil},
			{hooks.Query{Key: "other"}, []string{"3"}},
			{hooks.Query{Key: "other", Tenant: "acme"}, nil},
			{hooks.Query{Key: "k", Event: "1"}, []string{"1"}},
			{hooks.Query{Key: "k", Event: "2"}, nil},
			{hooks.Query{Key: "k", Types: []string{"thing.happened"}}, []string{"1"}},
			{hooks.Query{Key: "k", Types: []string{"thing.gone"}}, nil},
			{hooks.Query{Key: "k", From: at(1)}, nil},
			{hooks.Query{Key: "k", To: at(0)}, nil},
		} {
			for _, c.query.OldestFirst = range []bool{false, true} {
				for _, c.query.Limit = range []int{0, 1} {
					same(t, "Events("+c.query.Key+", tenant "+c.query.Tenant+")", ids(stored(t, s, c.query)), c.want)
				}
			}
		}
	}},
	{"Key finds who has it now", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1", "a"), "k", at(10)))
		enqueue(t, s, at(10), keyed(event("2"), "k", at(20)))
		same(t, "Events(k)", ids(stored(t, s, hooks.Query{Key: "k"})), []string{"2"})
		pruneAll(t, s, hooks.Cutoffs{Keys: at(30), Limit: 100})
		same(t, "Events(k) after its time", ids(stored(t, s, hooks.Query{Key: "k"})), nil)
	}},
	{"Key finds no event that took the id of another one", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("e", "a"), "k", at(60)))
		finish(t, s, "e", "a", hooks.Succeeded, at(1))
		pruneAll(t, s, hooks.Cutoffs{Done: at(9), Limit: 100})
		same(t, "Events(k) without its event", ids(stored(t, s, hooks.Query{Key: "k"})), nil)
		enqueue(t, s, at(10), event("e"))
		same(t, "Events(k) with another event of that id", ids(stored(t, s, hooks.Query{Key: "k"})), nil)
	}},
}

// checkRare has more rows than a store may examine for one page.
func checkRare(t *testing.T, s hooks.Store) {
	n := scaled(12_000, 300)
	rare := map[int]bool{0: true, 1: true, n / 2: true, n - 1: true}
	entries := make([]hooks.Entry, n)
	var want []string
	for i, id := range numbered("e", n) {
		entries[i] = event(id, "a")
		if rare[i] {
			entries[i] = ofType(entries[i], "thing.gone")
			want = append(want, id)
		}
	}
	crowd(t, s, entries)
	for _, limit := range []int{0, 1, 3, 1000} {
		q := hooks.Query{Types: []string{"thing.gone"}, Limit: limit, OldestFirst: true}
		same(t, "Deliveries(oldest first)", names(deliveries(t, s, q)), want)
		same(t, "Events(oldest first)", ids(stored(t, s, q)), want)
		q.OldestFirst = false
		slices.Reverse(want)
		same(t, "Deliveries(newest first)", names(deliveries(t, s, q)), want)
		same(t, "Events(newest first)", ids(stored(t, s, q)), want)
		slices.Reverse(want)
	}
}
