package postgres_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// checkReports calls what is for operators, and compares what plain reads then. name is of
// the test alone.
func checkReports(t *testing.T, s, plain *postgres.Store, name string) {
	t.Helper()
	emitted := keyed(entry("put_"+name, "b", "c"), "key of "+name+awkward, at(60))
	emitted.Event.Tenant = "tenant " + awkward
	record := hooks.Record{Key: "reports " + name, Data: []byte("1")}
	if _, err := s.Put(t.Context(), at(0), record, []hooks.Entry{emitted}); err != nil {
		t.Errorf("Put that emits = %v; want nil", err)
	}
	emitted.Event.ID = "conflict_" + name
	if _, err := s.Put(t.Context(), at(0), record, []hooks.Entry{emitted}); err != hooks.ErrConflict {
		t.Errorf("Put of another version = %v; want ErrConflict", err)
	}
	q := hooks.Query{Key: emitted.Event.IdempotencyKey, Tenant: emitted.Event.Tenant, OldestFirst: true}
	for _, s := range []*postgres.Store{s, plain} {
		page, _, err := s.Events(t.Context(), q)
		if err != nil || len(page) != 1 || page[0].ID != "put_"+name {
			t.Errorf("Events of a key = %+v, %v; want what was emitted", page, err)
		}
	}
	checkFailure(t, s, name)
	checkMinutes(t, s, plain, name)
}

// checkFailure finds a delivery by how it failed, and erases what it said.
func checkFailure(t *testing.T, s *postgres.Store, name string) {
	t.Helper()
	e := entry("failed_"+name, "failing "+name)
	e.Event.Metadata = map[string]string{"a": "b"}
	mustEnqueue(t, s, e)
	d := claimSoon(t, s, "failing "+name)
	d.Status, d.Reason, d.Error, d.Attempts = hooks.Failed, hooks.ReasonRejected, "class "+awkward, 1
	a := hooks.Attempt{Run: 1, Number: 1, Token: d.Token, Start: at(1), Header: map[string][]string{"A": {"b"}}, Body: []byte("no")}
	if stale, err := s.Update(t.Context(), at(1), []hooks.Change{{Delivery: d, Attempt: &a}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it applied", stale, err)
	}
	q := hooks.Query{
		Subscriber: d.Subscriber, Reasons: []hooks.Reason{hooks.ReasonRejected, "other"},
		Errors: []string{"class " + awkward}, OldestFirst: true,
	}
	if page, _, err := s.Deliveries(t.Context(), q); err != nil || len(page) != 1 || page[0].DeliveryID != d.DeliveryID {
		t.Errorf("Deliveries that failed so = %+v, %v; want one", page, err)
	}
	for _, q.Statuses = range [][]hooks.Status{nil, {hooks.Failed}, {hooks.Failed, hooks.Canceled}} {
		if n, err := s.Count(t.Context(), q, 10); err != nil || n != (hooks.Count{N: 1}) {
			t.Errorf("Count of %v that failed so = %+v, %v; want 1", q.Statuses, n, err)
		}
	}
	erase := hooks.Cutoffs{Erase: []string{d.Event, "unknown " + awkward}, Now: at(2)}
	if n, err := s.Prune(t.Context(), erase); err != nil || n != 1 {
		t.Errorf("Prune that erases = %d, %v; want 1", n, err)
	}
	page, _, err := s.Events(t.Context(), hooks.Query{Event: d.Event})
	if err != nil || len(page) != 1 || string(page[0].Data) != "null" || page[0].Metadata != nil || !page[0].Erased.Equal(at(2)) {
		t.Errorf("Events of what was erased = %+v, %v; want no data", page, err)
	}
	a.Header, a.Body = nil, nil
	if list, err := s.Attempts(t.Context(), d.DeliveryID); err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], a) {
		t.Errorf("Attempts of what was erased = %+v, %v; want\n%+v", list, err, a)
	}
}

func checkMinutes(t *testing.T, s, plain *postgres.Store, name string) {
	t.Helper()
	m := hooks.Minute{Start: at(60), Subscriber: name + awkward, Succeeded: 1 << 33, Failed: 2, Took: [13]int{1, 2, 3, 12: 4}}
	for range 2 {
		if err := s.AddMinutes(t.Context(), []hooks.Minute{m, {Start: at(0), Subscriber: m.Subscriber}, m}); err != nil {
			t.Errorf("AddMinutes = %v; want nil", err)
		}
	}
	m.Succeeded, m.Failed, m.Took = 4*m.Succeeded, 8, [13]int{4, 8, 12, 12: 16}
	for _, s := range []*postgres.Store{s, plain} {
		for _, q := range []hooks.Query{{From: at(1)}, {From: at(60), To: at(61)}} {
			q.Subscriber = m.Subscriber
			if list, err := s.Minutes(t.Context(), q); err != nil || len(list) != 1 || list[0] != m {
				t.Errorf("Minutes = %+v, %v; want\n%+v", list, err, m)
			}
		}
	}
}

// A Put that emits tells others, one that is a conflict does not.
func TestPutThatEmitsWakesOthers(t *testing.T) {
	a, b, _ := pair(t)
	woken := awaken(t.Context(), t, b)
	r := hooks.Record{Key: "action/1", Data: []byte("1")}
	if _, err := a.Put(t.Context(), at(0), r, numbered("evt_", 2)); err != nil {
		t.Fatal(err)
	}
	soon(t, woken, "Wait after a Put that emits")
	if d := claimSoon(t, b, "crm"); d.Event != "evt_0" {
		t.Errorf("Claim = %v; want what was emitted first", d)
	}
	quietly(woken)
	for _, emit := range [][]hooks.Entry{nil, numbered("evt_", 2)} {
		if _, err := a.Put(t.Context(), at(0), r, emit); err != hooks.ErrConflict {
			t.Errorf("Put of another version = %v; want ErrConflict", err)
		}
		quiet(t, woken, "after a Put that was a conflict")
	}
}

// Processes that count the same subscribers, in whatever order, do not block each other.
func TestMinutesDoNotDeadlock(t *testing.T) {
	config := database(t)
	script(t, config, `ALTER DATABASE `+config.Database+` SET deadlock_timeout = '1ms'`)
	var forth []hooks.Minute
	for i := range 200 {
		forth = append(forth, hooks.Minute{Start: at(300 * (i % 3)), Subscriber: fmt.Sprint("crm", i), Succeeded: 1})
	}
	back := slices.Clone(forth)
	slices.Reverse(back)
	var wg sync.WaitGroup
	const rounds = 30
	for _, ms := range [][]hooks.Minute{forth, back, forth, back} {
		pool := poolOn(t, config)
		s := storeOn(t, pool)
		wg.Go(func() {
			for range rounds {
				if err := s.AddMinutes(t.Context(), ms); err != nil {
					t.Errorf("AddMinutes = %v; want nil", err)
				}
			}
			pool.Close() // its connections now report what they met
		})
	}
	wg.Wait()
	pool := poolOn(t, config)
	list, err := storeOn(t, pool).Minutes(t.Context(), hooks.Query{Subscriber: "crm0"})
	if err != nil || len(list) != 1 || list[0].Succeeded != 4*rounds {
		t.Errorf("Minutes = %+v, %v; want %d that succeeded", list, err, 4*rounds)
	}
	if n := value[int](t, pool, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n > 0 {
		t.Errorf("%d calls of AddMinutes were given up for another one; want none", n)
	}
}

// TestCountOfLines counts unfinished deliveries whether they are parked or not.
func TestCountOfLines(t *testing.T) {
	s := open(t)
	for i := range 5 {
		mustEnqueue(t, s, linedUp(fmt.Sprint("evt_", i), "crm", "line", at(0)))
	}
	mustEnqueue(t, s, entry("evt_free", "crm", "other"))
	if d := claimSoon(t, s, "crm"); d.Event != "evt_0" && d.Event != "evt_free" { // it parks the others
		t.Fatalf("Claim = %v", d)
	}
	claimSoon(t, s, "crm")
	for _, c := range []struct {
		statuses []hooks.Status
		most     int
		want     int
	}{
		{[]hooks.Status{hooks.Pending}, 10, 4},
		{[]hooks.Status{hooks.Sending}, 10, 2},
		{[]hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending}, 10, 6},
		{[]hooks.Status{hooks.Pending, hooks.Sending}, 5, 5},
		{[]hooks.Status{hooks.Retrying}, 10, 0},
		{nil, 10, 6},
		{nil, 0, 0},
	} {
		n, err := s.Count(t.Context(), hooks.Query{Subscriber: "crm", Statuses: c.statuses}, c.most)
		if err != nil || n.N != c.want || n.More != (c.statuses == nil && c.most == 0 || c.most == 5) {
			t.Errorf("Count(%v, at most %d) = %+v, %v; want %d", c.statuses, c.most, n, err, c.want)
		}
	}
}
