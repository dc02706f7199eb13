package storetest

import (
	"testing"
	"time"

	"example.com/hooks"
)

// pruneAll prunes until the store says that it is done.
func pruneAll(t testing.TB, s hooks.Store, p hooks.Cutoffs) (removed int) {
	t.Helper()
	for range 1000 {
		n := prune(t, s, p)
		if removed += n; n == 0 {
			return removed
		}
	}
	t.Fatalf("Prune(%+v) never returned 0", p)
	return 0
}

// everything is a Prune of all that may be forgotten before a time.
func everything(before time.Time) hooks.Cutoffs {
	return hooks.Cutoffs{Done: before, Failed: before, Keys: before, Limit: 100}
}

// finish gives "e → a" and the like a final status.
func finish(t testing.TB, s hooks.Store, event, subscriber string, to hooks.Status, when time.Time) {
	t.Helper()
	apply(t, s, when, outcome(read(t, s, event, subscriber), to, when))
}

var pruneRules = []rule{
	{"a zero Prune keeps everything", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1", "a"), "k", at(1)), event("2", "a"), event("3"))
		finish(t, s, "1", "a", hooks.Succeeded, at(1))
		finish(t, s, "2", "a", hooks.Failed, at(1))
		equal(t, "Prune(zero)", prune(t, s, hooks.Cutoffs{Limit: 100}), 0)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 2)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 3)
	}},
	{"Done removes what succeeded or was canceled", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2", "3")...)
		finish(t, s, "1", "a", hooks.Succeeded, at(1))
		finish(t, s, "2", "a", hooks.Failed, at(1))
		finish(t, s, "3", "a", hooks.Canceled, at(1))
		equal(t, "Prune(Done)", pruneAll(t, s, hooks.Cutoffs{Done: at(9), Limit: 100}), 4)
		same(t, "Deliveries()", names(deliveries(t, s, hooks.Query{})), []string{"2"})
	}},
	{"Failed removes what failed", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2", "3")...)
		enqueue(t, s, at(0), event("nobody's"))
		finish(t, s, "1", "a", hooks.Succeeded, at(1))
		finish(t, s, "2", "a", hooks.Failed, at(1))
		finish(t, s, "3", "a", hooks.Canceled, at(1))
		equal(t, "Prune(Failed)", pruneAll(t, s, hooks.Cutoffs{Failed: at(9), Limit: 100}), 2)
		same(t, "Deliveries()", names(deliveries(t, s, hooks.Query{})), []string{"3", "1"})
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 3)
	}},
	{"what became final at the time or later is kept", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2", "3", "4")...)
		finish(t, s, "1", "a", hooks.Succeeded, at(10).Add(-time.Microsecond))
		finish(t, s, "2", "a", hooks.Succeeded, at(10))
		finish(t, s, "3", "a", hooks.Failed, at(10).Add(-time.Microsecond))
		finish(t, s, "4", "a", hooks.Failed, at(10))
		equal(t, "Prune", pruneAll(t, s, everything(at(10))), 4)
		same(t, "Deliveries()", names(deliveries(t, s, hooks.Query{})), []string{"4", "2"})
	}},
	{"what is unfinished is never removed", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a", "b", "c"))
		enqueue(t, s, at(0), line("k", "2", "3")...)
		claim(t, s, at(0), "a", 9)
		finish(t, s, "1", "b", hooks.Retrying, at(0))
		want := deliveries(t, s, hooks.Query{})
		equal(t, "Prune", pruneAll(t, s, everything(at(99999))), 0)
		rows(t, "Deliveries()", deliveries(t, s, hooks.Query{}), want)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 3)
	}},
	{"a replay is unfinished again", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		finish(t, s, "e", "a", hooks.Failed, at(1))
		apply(t, s, at(2), replayed(read(t, s, "e", "a"), at(2)))
		equal(t, "Prune", pruneAll(t, s, everything(at(9))), 0)
		equal(t, "Claim(a)", claimOne(t, s, at(9), "a").Event, "e")
	}},
	{"an event stays while a delivery refers to it", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a", "b", "c"))
		finish(t, s, "e", "a", hooks.Succeeded, at(1))
		finish(t, s, "e", "b", hooks.Failed, at(1))
		done, failed := hooks.Cutoffs{Done: at(9), Limit: 100}, hooks.Cutoffs{Failed: at(9), Limit: 100}
		equal(t, "Prune(Done)", pruneAll(t, s, done), 1)
		equal(t, "Prune(Failed)", pruneAll(t, s, failed), 1)
		equal(t, "Claim(c)", claimEntries(t, s, at(1), lane("c", 1, at(1)))[0].Event.ID, "e")
		finish(t, s, "e", "c", hooks.Succeeded, at(2))
		equal(t, "Prune(Done) of the last", pruneAll(t, s, done), 2)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
	}},
	{"the attempts go with their delivery", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a", "b"))
		finish(t, s, "e", "a", hooks.Succeeded, at(1))
		finish(t, s, "e", "b", hooks.Retrying, at(1))
		pruneAll(t, s, everything(at(9)))
		equal(t, "len(Attempts(e → a))", len(attempts(t, s, "e", "a")), 0)
		equal(t, "len(Attempts(e → b))", len(attempts(t, s, "e", "b")), 1)
		enqueue(t, s, at(10), adding(event("e", "a")))
		equal(t, "len(Attempts(e → a)) of another", len(attempts(t, s, "e", "a")), 0)
	}},
	{"Done removes events that nobody subscribed to", func(t *testing.T, s hooks.Store) {
		old, long := event("old"), event("long-ago")
		long.Event.Time = at(-9999)
		enqueue(t, s, at(10).Add(-time.Microsecond), old)
		enqueue(t, s, at(10), event("new"), long)
		equal(t, "Prune(Done)", pruneAll(t, s, hooks.Cutoffs{Done: at(10), Limit: 100}), 1)
		equal(t, "len(Events(old))", len(stored(t, s, hooks.Query{Event: "old"})), 0)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 2)
	}},
	{"an idempotency key is removed when its time has ended before", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1", "a"), "old", at(10)), keyed(event("2", "a"), "new", at(11)))
		equal(t, "Prune(Keys)", pruneAll(t, s, hooks.Cutoffs{Keys: at(11), Limit: 100}), 1)
		r := enqueue(t, s, at(5), keyed(event("3"), "old", at(60)), keyed(event("4"), "new", at(60)))
		same(t, "Enqueue", r, []hooks.Receipt{{EventID: "3"}, {EventID: "2", Duplicate: true}})
	}},
	{"an idempotency key outlives its event", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("e", "a"), "k", at(60)))
		finish(t, s, "e", "a", hooks.Succeeded, at(1))
		pruneAll(t, s, everything(at(9)))
		r := enqueue(t, s, at(10), keyed(event("f"), "k", at(70)))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "e", Duplicate: true})
	}},
	{"an event's id is free when it was removed", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		finish(t, s, "e", "a", hooks.Succeeded, at(1))
		pruneAll(t, s, everything(at(9)))
		r := enqueue(t, s, at(10), event("e", "b"))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "e", Deliveries: 1})
		equal(t, "Claim(b)", claimOne(t, s, at(10), "b").Event, "e")
	}},
	{"Limit bounds the rows of each kind", func(t *testing.T, s hooks.Store) {
		for i, id := range numbered("e", 20) {
			enqueue(t, s, at(0), event(id, "a"), keyed(event("none-"+id), id, at(1)))
			finish(t, s, id, "a", []hooks.Status{hooks.Succeeded, hooks.Failed}[i%2], at(1))
		}
		p := everything(at(9))
		p.Limit = 3
		removed, left := 0, len(deliveries(t, s, hooks.Query{}))
		for n := -1; n != 0; {
			n = prune(t, s, p)
			removed += n
			now := len(deliveries(t, s, hooks.Query{}))
			if left-now > p.Limit {
				t.Fatalf("Prune(Limit %d) removed %d deliveries", p.Limit, left-now)
			}
			left = now
		}
		equal(t, "rows removed", removed, 20+20+20+20)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
	}},
}
