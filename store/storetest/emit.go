package storetest

import (
	"testing"
	"time"

	"example.com/hooks"
)

// putEmit writes a record with entries, and fails the test at an error.
func putEmit(t testing.TB, s hooks.Store, now time.Time, key string, version int64, data string, emit ...hooks.Entry) int64 {
	t.Helper()
	got, err := s.Put(t.Context(), now, hooks.Record{Key: key, Version: version, Data: []byte(data)}, emit)
	if err != nil {
		t.Fatalf("Put(%s, version %d, %d entries): %v", key, version, len(emit), err)
	}
	return got
}

// emitRules are about the entries of a Put.
var emitRules = []rule{
	{"what a Put emits is enqueued with it", func(t *testing.T, s hooks.Store) {
		v := putEmit(t, s, at(0), "k", 0, "1", event("told", "b", "c"), event("nobody"))
		same(t, "Records(0)", describe(records(t, s, 0)), []recordLine{{"k", v, "1"}})
		equal(t, "Claim(b)", claimOne(t, s, at(0), "b").Event, "told")
		equal(t, "Claim(c)", claimOne(t, s, at(0), "c").Event, "told")
		alike(t, "Events(nobody)", readEvent(t, s, "nobody"), event("nobody").Event, "Seq")
	}},
	{"a Put that writes over or deletes emits, too", func(t *testing.T, s hooks.Store) {
		v := putEmit(t, s, at(0), "k", putEmit(t, s, at(0), "k", 0, "1"), "2", event("changed", "a"))
		gone := putEmit(t, s, at(0), "k", v, "", event("deleted", "a"))
		same(t, "Records(0)", describe(records(t, s, 0)), []recordLine{{"k", gone, ""}})
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"changed", "deleted"})
	}},
	{"a Put that is a conflict emits nothing", func(t *testing.T, s hooks.Store) {
		v := put(t, s, "k", 0, "1")
		told := keyed(event("told", "b"), "key", at(60))
		for _, version := range []int64{0, v + 1} {
			_, err := s.Put(t.Context(), at(1), hooks.Record{Key: "k", Version: version, Data: []byte("2")}, []hooks.Entry{told})
			refused(t, "Put(k)", err, hooks.ErrConflict)
		}
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		equal(t, "len(Backlog())", len(backlog(t, s)), 0)
		equal(t, "Enqueue(told)", enqueue(t, s, at(1), told)[0], hooks.Receipt{EventID: "told", Deliveries: 1})
	}},
	{"a Put writes nothing if an entry cannot be enqueued", func(t *testing.T, s hooks.Store) {
		v := put(t, s, "old", 0, "1")
		want := describe(records(t, s, 0))
		for key, version := range map[string]int64{"new": 0, "old": v} {
			for _, data := range []string{"2", ""} {
				_, err := s.Put(t.Context(), at(1), hooks.Record{Key: key, Version: version, Data: []byte(data)},
					[]hooks.Entry{event("told", "b"), adding(event("unknown", "b"))})
				refused(t, "Put("+key+") that adds to an unknown event", err, hooks.ErrNotFound)
			}
		}
		same(t, "Records(0)", describe(records(t, s, 0)), want)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		equal(t, "len(Backlog())", len(backlog(t, s)), 0)
	}},
	{"a duplicate that a Put emits is no error", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("told", "a"), "key", at(60)))
		v := putEmit(t, s, at(1), "k", 0, "1",
			event("told", "b"), keyed(event("other", "b"), "key", at(60)), event("new", "b"), adding(event("told", "c")))
		same(t, "Records(0)", describe(records(t, s, 0)), []recordLine{{"k", v, "1"}})
		same(t, "Deliveries()", names(deliveries(t, s, hooks.Query{})), []string{"told", "new", "told"})
		same(t, "Claim(b)", names(claim(t, s, at(1), "b", 9)), []string{"new"})
		same(t, "Claim(c)", names(claim(t, s, at(1), "c", 9)), []string{"told"})
	}},
	{"what a Put emits is enqueued at its time", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1"), "key", at(60)))
		v := putEmit(t, s, at(59), "k", 0, "1", keyed(event("2"), "key", at(90)))
		putEmit(t, s, at(60), "k", v, "2", keyed(event("3"), "key", at(90)))
		same(t, "Events()", ids(stored(t, s, hooks.Query{})), []string{"3", "1"})
		same(t, "Events(From)", ids(stored(t, s, hooks.Query{From: at(60)})), []string{"3"})
	}},
}

// ids are the ids of events, in their order.
func ids(events []hooks.Event) (list []string) {
	for _, ev := range events {
		list = append(list, ev.ID)
	}
	return list
}
