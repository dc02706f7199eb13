package storetest

import (
	"testing"
	"time"

	"example.com/hooks"
)

// erasing is a Prune that erases events, and does nothing else.
func erasing(now time.Time, events ...string) hooks.Cutoffs {
	return hooks.Cutoffs{Erase: events, Now: now}
}

// described is an event with metadata and two deliveries, of which the first has failed in
// an attempt whose every field is set.
func described(t testing.TB, s hooks.Store, id string) (ev hooks.Event, attempt hooks.Attempt) {
	t.Helper()
	e := event(id, "a", "b")
	fill(t, &e.Event, 1)
	e.Event.ID, e.Event.Erased = id, time.Time{}
	e.KeyUntil = at(60)
	e = ofTenant(ofType(e, e.Event.Type), e.Event.Tenant)
	e.Event.IdempotencyKey = "key of " + id
	enqueue(t, s, at(0), e)
	c := outcome(read(t, s, id, "a"), hooks.Failed, at(1))
	fill(t, c.Attempt, 1)
	apply(t, s, at(1), c)
	return readEvent(t, s, id), attempts(t, s, id, "a")[0]
}

var eraseRules = []rule{
	{"Erase leaves nothing of what an event and its answers said", func(t *testing.T, s hooks.Store) {
		want, attempt := described(t, s, "e")
		before := deliveries(t, s, hooks.Query{})
		equal(t, "Prune(Erase)", prune(t, s, erasing(at(5), "e")), 1)
		want.Data, want.Metadata, want.Erased = []byte("null"), nil, at(5)
		alike(t, "Events(e)", readEvent(t, s, "e"), want)
		attempt.Header, attempt.Body = nil, nil
		alike(t, "Attempts(e → a)[0]", attempts(t, s, "e", "a")[0], attempt)
		rows(t, "Deliveries()", deliveries(t, s, hooks.Query{}), before)
		alike(t, "Claim(b)", claimEntries(t, s, at(5), lane("b", 1, at(5)))[0].Event, want)
	}},
	{"Erase leaves other events alone", func(t *testing.T, s hooks.Store) {
		described(t, s, "1")
		want, attempt := described(t, s, "2")
		equal(t, "Prune(Erase)", prune(t, s, erasing(at(5), "1")), 1)
		alike(t, "Events(2)", readEvent(t, s, "2"), want)
		alike(t, "Attempts(2 → a)[0]", attempts(t, s, "2", "a")[0], attempt)
	}},
	{"an event is erased once", func(t *testing.T, s hooks.Store) {
		described(t, s, "e")
		equal(t, "Prune(Erase, twice)", prune(t, s, erasing(at(5), "e", "e")), 1)
		equal(t, "Prune(Erase) again", prune(t, s, erasing(at(9), "e")), 0)
		equal(t, "Erased", readEvent(t, s, "e").Erased, at(5))
	}},
	{"Erase passes over what is not stored", func(t *testing.T, s hooks.Store) {
		described(t, s, "e")
		equal(t, "Prune(Erase)", prune(t, s, erasing(at(5), "unknown", "e", "")), 1)
		equal(t, "Prune(Erase) of nothing known", prune(t, s, erasing(at(5), "unknown")), 0)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 1)
	}},
	{"Erase takes a hundred events", func(t *testing.T, s hooks.Store) {
		all := numbered("e", 100)
		enqueue(t, s, at(0), events("a", all...)...)
		equal(t, "Prune(Erase)", prune(t, s, erasing(at(5), all...)), 100)
		for _, ev := range stored(t, s, hooks.Query{}) {
			if string(ev.Data) != "null" || !ev.Erased.Equal(at(5)) {
				t.Fatalf("Events(%s) = data %q, erased %v; want null, %v", ev.ID, ev.Data, ev.Erased, at(5))
			}
		}
	}},
	{"an event without data can be erased", func(t *testing.T, s hooks.Store) {
		e := event("e")
		e.Event.Data = nil
		enqueue(t, s, at(0), e)
		equal(t, "Prune(Erase)", prune(t, s, erasing(at(5), "e")), 1)
		equal(t, "Data", string(readEvent(t, s, "e").Data), "null")
	}},
	{"an erased event is still a duplicate, and so is its key", func(t *testing.T, s hooks.Store) {
		want, _ := described(t, s, "e")
		prune(t, s, erasing(at(5), "e"))
		again := ofTenant(event("other"), want.Tenant)
		r := enqueue(t, s, at(6), event("e"), keyed(again, want.IdempotencyKey, at(99)))
		duplicate := hooks.Receipt{EventID: "e", Duplicate: true}
		same(t, "Enqueue", r, []hooks.Receipt{duplicate, duplicate})
		found := stored(t, s, hooks.Query{Key: want.IdempotencyKey, Tenant: want.Tenant})
		same(t, "Events(Key)", ids(found), []string{"e"})
	}},
	{"what was erased is removed in its time", func(t *testing.T, s hooks.Store) {
		described(t, s, "e")
		prune(t, s, erasing(at(5), "e"))
		finish(t, s, "e", "b", hooks.Succeeded, at(6))
		equal(t, "Prune(everything)", pruneAll(t, s, everything(at(99))), 4) // two deliveries, event, key
	}},
}
