package storetest

import (
	"errors"
	"testing"
	"time"

	"example.com/hooks"
)

// The functions here call a store and fail the test at any error.

func enqueue(t testing.TB, s hooks.Tx, now time.Time, entries ...hooks.Entry) []hooks.Receipt {
	t.Helper()
	receipts, err := s.Enqueue(t.Context(), now, entries)
	if err != nil {
		t.Fatalf("Enqueue(%d entries): %v", len(entries), err)
	}
	if len(receipts) != len(entries) {
		t.Fatalf("Enqueue(%d entries) = %d receipts; want one each", len(entries), len(receipts))
	}
	return receipts
}

// claim leases up to limit of a subscriber's deliveries. A store may set
// aside what is blocked and return fewer than there are: claim goes on for as
// long as Backlog says that something is due.
func claim(t testing.TB, s hooks.Store, now time.Time, subscriber string, limit int) []hooks.Delivery {
	t.Helper()
	return claimLane(t, s, now, lane(subscriber, limit, now))
}

func claimLane(t testing.TB, s hooks.Store, now time.Time, l hooks.ClaimLane) (got []hooks.Delivery) {
	t.Helper()
	for _, e := range claimEntries(t, s, now, l) {
		got = append(got, e.Deliveries...)
	}
	return got
}

// patience is how often Claim may set something aside before the tests say
// that it never ends.
const patience = 5000

// claimEntries is claim with what Claim returned, for one lane.
func claimEntries(t testing.TB, s hooks.Store, now time.Time, l hooks.ClaimLane) (got []hooks.Entry) {
	t.Helper()
	for range patience {
		entries, err := s.Claim(t.Context(), now, []hooks.ClaimLane{l})
		if err != nil {
			t.Fatalf("Claim(%+v): %v", l, err)
		}
		got = append(got, entries...)
		l.Max -= len(entries)
		if l.Max <= 0 || len(entries) == 0 && !waits(t, s, now, l) {
			return got
		}
	}
	t.Fatalf("Claim(%+v) and Backlog: still something due after %d calls", l, patience)
	return nil
}

// waits reports whether Backlog says that a lane has something to claim.
func waits(t testing.TB, s hooks.Store, now time.Time, l hooks.ClaimLane) bool {
	t.Helper()
	first, ok := backlog(t, s)[l.Subscriber]
	return ok && !first.After(now) && !first.After(l.Before)
}

// claimOne leases the one delivery that is due for a subscriber.
func claimOne(t testing.TB, s hooks.Store, now time.Time, subscriber string) hooks.Delivery {
	t.Helper()
	got := claim(t, s, now, subscriber, 10)
	if len(got) != 1 {
		t.Fatalf("Claim(%s) = %v; want one delivery", subscriber, names(got))
	}
	return got[0]
}

// names are the events of deliveries, in their order.
func names(ds []hooks.Delivery) (ids []string) {
	for _, d := range ds {
		ids = append(ids, d.Event)
	}
	return ids
}

func update(t testing.TB, s hooks.Store, now time.Time, changes ...hooks.Change) []hooks.DeliveryID {
	t.Helper()
	stale, err := s.Update(t.Context(), now, changes)
	if err != nil {
		t.Fatalf("Update(%d changes): %v", len(changes), err)
	}
	return stale
}

// apply is update with changes of which none may be stale.
func apply(t testing.TB, s hooks.Store, now time.Time, changes ...hooks.Change) {
	t.Helper()
	if stale := update(t, s, now, changes...); len(stale) != 0 {
		t.Fatalf("Update: stale = %v; want none", stale)
	}
}

func backlog(t testing.TB, s hooks.Store) map[string]time.Time {
	t.Helper()
	list, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatalf("Backlog: %v", err)
	}
	due := map[string]time.Time{}
	for _, w := range list {
		if _, ok := due[w.Subscriber]; ok {
			t.Fatalf("Backlog = %v; names %s twice", list, w.Subscriber)
		}
		due[w.Subscriber] = w.Due
	}
	return due
}

// deliveries reads all pages of a query.
func deliveries(t testing.TB, s hooks.Store, q hooks.Query) (all []hooks.Delivery) {
	t.Helper()
	for {
		page, next, err := s.Deliveries(t.Context(), q)
		if err != nil {
			t.Fatalf("Deliveries(%+v): %v", q, err)
		}
		all = append(all, page...)
		if q.Cursor = next; next == "" {
			return all
		}
	}
}

// stored reads all pages of a query for events.
func stored(t testing.TB, s hooks.Store, q hooks.Query) (all []hooks.Event) {
	t.Helper()
	for {
		page, next, err := s.Events(t.Context(), q)
		if err != nil {
			t.Fatalf("Events(%+v): %v", q, err)
		}
		all = append(all, page...)
		if q.Cursor = next; next == "" {
			return all
		}
	}
}

// read returns a delivery as it is stored.
func read(t testing.TB, s hooks.Store, event, subscriber string) hooks.Delivery {
	t.Helper()
	found := deliveries(t, s, hooks.Query{Event: event, Subscriber: subscriber})
	if len(found) != 1 {
		t.Fatalf("Deliveries(%s → %s) = %d rows; want one", event, subscriber, len(found))
	}
	return found[0]
}

func readEvent(t testing.TB, s hooks.Store, id string) hooks.Event {
	t.Helper()
	found := stored(t, s, hooks.Query{Event: id})
	if len(found) != 1 {
		t.Fatalf("Events(%s) = %d rows; want one", id, len(found))
	}
	return found[0]
}

func attempts(t testing.TB, s hooks.Store, event, subscriber string) []hooks.Attempt {
	t.Helper()
	list, err := s.Attempts(t.Context(), hooks.DeliveryID{Event: event, Subscriber: subscriber})
	if err != nil {
		t.Fatalf("Attempts(%s → %s): %v", event, subscriber, err)
	}
	return list
}

func put(t testing.TB, s hooks.Store, key string, version int64, data string) int64 {
	t.Helper()
	got, err := s.Put(t.Context(), at(0), hooks.Record{Key: key, Version: version, Data: []byte(data)}, nil)
	if err != nil {
		t.Fatalf("Put(%s, version %d): %v", key, version, err)
	}
	return got
}

func records(t testing.TB, s hooks.Tx, since int64) []hooks.Record {
	t.Helper()
	list, err := s.Records(t.Context(), since)
	if err != nil {
		t.Fatalf("Records(%d): %v", since, err)
	}
	return list
}

func prune(t testing.TB, s hooks.Store, p hooks.Cutoffs) int {
	t.Helper()
	n, err := s.Prune(t.Context(), p)
	if err != nil {
		t.Fatalf("Prune(%+v): %v", p, err)
	}
	return n
}

// refused fails the test unless err is want.
func refused(t testing.TB, call string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s = %v; want %v", call, err, want)
	}
}
