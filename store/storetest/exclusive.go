package storetest

import (
	"testing"
	"time"

	"example.com/hooks"
)

// lock makes the test the dispatcher of a store that is Exclusive.
func lock(t testing.TB, s hooks.Store, now time.Time) (unlock func()) {
	t.Helper()
	f, err := s.(hooks.Exclusive).Lock(t.Context(), now)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	return func() {
		t.Helper()
		if err := f(); err != nil {
			t.Fatalf("unlock: %v", err)
		}
	}
}

// exclusiveRules are for stores that are [hooks.Exclusive].
var exclusiveRules = []rule{
	{"a store has one dispatcher", func(t *testing.T, s hooks.Store) {
		unlock := lock(t, s, at(0))
		_, err := s.(hooks.Exclusive).Lock(t.Context(), at(0))
		refused(t, "Lock(again)", err, hooks.ErrLocked)
		unlock()
		lock(t, s, at(1))()
	}},
	{"Lock voids every lease", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2")...)
		leased := claim(t, s, at(0), "a", 9)
		defer lock(t, s, at(10))()
		for _, d := range leased {
			same(t, "Update(with a void lease)",
				update(t, s, at(10), outcome(d, hooks.Succeeded, at(10))),
				[]hooks.DeliveryID{d.DeliveryID})
			now := read(t, s, d.Event, "a")
			equal(t, "Due", now.Due, at(10))
			equal(t, "Lost", now.Lost, 1)
		}
		for _, d := range claim(t, s, at(10), "a", 9) {
			equal(t, "Lost of what is claimed again", d.Lost, 1)
			equal(t, "Attempts", d.Attempts, 0)
			leased = leased[1:]
		}
		equal(t, "voided leases not claimed again", len(leased), 0)
	}},
	{"Lock leaves what is not leased alone", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a"), due(event("2", "a"), at(500)), event("3", "a"), event("4", "a"))
		finish(t, s, "3", "a", hooks.Failed, at(1))
		finish(t, s, "4", "a", hooks.Retrying, at(1))
		want := deliveries(t, s, hooks.Query{})
		defer lock(t, s, at(10))()
		rows(t, "Deliveries()", deliveries(t, s, hooks.Query{}), want)
	}},
	{"a Lock that is refused voids nothing", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		defer lock(t, s, at(0))()
		want := claimOne(t, s, at(0), "a")
		_, err := s.(hooks.Exclusive).Lock(t.Context(), at(1))
		refused(t, "Lock(again)", err, hooks.ErrLocked)
		alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), want)
	}},
	{"a void lease of a key is leased again before the next", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		defer lock(t, s, at(10))()
		d := claimOne(t, s, at(10), "a")
		equal(t, "Claim(a)", d.Event, "1")
		apply(t, s, at(11), outcome(d, hooks.Succeeded, at(11)))
		equal(t, "Claim(a) then", claimOne(t, s, at(11), "a").Event, "2")
	}},
	{"a store works without a Lock", func(t *testing.T, s hooks.Store) {
		lock(t, s, at(0))()
		enqueue(t, s, at(0), event("e", "a"))
		apply(t, s, at(0), outcome(claimOne(t, s, at(0), "a"), hooks.Succeeded, at(0)))
	}},
}
