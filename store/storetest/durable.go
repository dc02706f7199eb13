package storetest

import (
	"fmt"
	"io"
	"strconv"
	"testing"

	"example.com/hooks"
)

// RunDurable checks stores that outlive their handle. Each call of open makes
// a place for an empty store, such as a file; each call of what it returns
// opens the store that is there, as another process would, and registers its
// cleanup with t. The rules close some handles themselves, if they have a
// method Close() error, so closing one twice must be no error.
func RunDurable(t *testing.T, open func(t *testing.T) (handle func() hooks.Store)) {
	for _, r := range durableRules {
		t.Run(r.name, func(t *testing.T) { r.check(t, open(t)) })
	}
	for _, r := range concurrencyRules {
		t.Run(r.name, func(t *testing.T) {
			handle := open(t)
			r.check(t, []hooks.Store{handle(), handle(), handle()})
		})
	}
}

type durableRule struct {
	name  string
	check func(t *testing.T, handle func() hooks.Store)
}

var durableRules = []durableRule{
	{"what was written is there when the store is opened again", func(
		t *testing.T, handle func() hooks.Store,
	) {
		s := handle()
		medley(t, s)
		enqueue(t, s, at(0), line("k", "k1", "k2", "k3")...)
		claim(t, s, at(0), "a", 9)
		put(t, s, "gone", put(t, s, "gone", 0, "1"), "")
		put(t, s, "here", 0, "2")
		described(t, s, "erased")
		prune(t, s, erasing(at(5), "erased"))
		if _, ok := s.(hooks.Reporter); ok {
			addMinutes(t, s, minute(at(0), "", 1), minute(at(0), "a", 20))
		}
		want := contents(t, s)
		shut(t, s)
		got := contents(t, handle())
		for i := range want {
			equal(t, "row "+strconv.Itoa(i), got[i], want[i])
		}
		equal(t, "rows", len(got), len(want))
	}},
	{"a lease outlives its process", func(t *testing.T, handle func() hooks.Store) {
		s := handle()
		enqueue(t, s, at(0), events("a", "1", "2")...)
		leased := claim(t, s, at(0), "a", 9)
		shut(t, s)
		s = handle()
		same(t, "Claim(a) while leased", names(claim(t, s, at(1), "a", 9)), nil)
		apply(t, s, at(2), outcome(leased[0], hooks.Succeeded, at(2)))
		d := claimOne(t, s, at(1000), "a")
		equal(t, "Claim(a) afterwards", d.Event, "2")
		equal(t, "Lost", d.Lost, 1)
	}},
	{"a line outlives its process", func(t *testing.T, handle func() hooks.Store) {
		s := handle()
		enqueue(t, s, at(0), line("k", "1", "2", "3")...)
		d := claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		for _, want := range []string{"2", "3"} {
			shut(t, s)
			s = handle()
			same(t, "Claim(a) after opening", names(claim(t, s, at(1), "a", 9)), nil)
			apply(t, s, at(1), outcome(d, hooks.Succeeded, at(1)))
			d = claimOne(t, s, at(1), "a")
			equal(t, "Claim(a)", d.Event, want)
		}
	}},
	{"an idempotency key outlives its process", func(t *testing.T, handle func() hooks.Store) {
		s := handle()
		enqueue(t, s, at(0), keyed(event("1"), "k", at(60)))
		shut(t, s)
		same(t, "Enqueue", enqueue(t, handle(), at(1), keyed(event("2"), "k", at(61)), event("1")),
			[]hooks.Receipt{{EventID: "1", Duplicate: true}, {EventID: "1", Duplicate: true}})
	}},
	{"numbers go on rising when the store is opened again", func(
		t *testing.T, handle func() hooks.Store,
	) {
		s := handle()
		enqueue(t, s, at(0), events("a", "1", "2")...)
		version := put(t, s, "k", put(t, s, "k", 0, "1"), "")
		shut(t, s)
		s = handle()
		enqueue(t, s, at(0), events("a", "3", "4")...)
		same(t, "Deliveries()", names(deliveries(t, s, hooks.Query{})), []string{"4", "3", "2", "1"})
		if v := put(t, s, "j", 0, "1"); v <= version {
			t.Errorf("Put(j) = %d; want above %d", v, version)
		}
	}},
	{"handles see what others have written", func(t *testing.T, handle func() hooks.Store) {
		a, b := handle(), handle()
		enqueue(t, a, at(0), event("e", "a"))
		d := claimOne(t, b, at(0), "a")
		same(t, "Claim(a) by the other", names(claim(t, a, at(0), "a", 9)), nil)
		apply(t, a, at(1), outcome(d, hooks.Failed, at(1)))
		equal(t, "Status", read(t, b, "e", "a").Status, hooks.Failed)
		equal(t, "len(Attempts())", len(attempts(t, b, "e", "a")), 1)
		v := put(t, a, "k", 0, "1")
		same(t, "Records(0)", describe(records(t, b, 0)), []recordLine{{"k", v, "1"}})
		equal(t, "Prune", pruneAll(t, b, everything(at(9))), 2)
		equal(t, "len(Events())", len(stored(t, a, hooks.Query{})), 0)
	}},
	{"closing a handle leaves others open", func(t *testing.T, handle func() hooks.Store) {
		a, b := handle(), handle()
		enqueue(t, a, at(0), event("e", "a"))
		shut(t, a)
		apply(t, b, at(0), outcome(claimOne(t, b, at(0), "a"), hooks.Succeeded, at(0)))
	}},
	{"handles have one dispatcher among them, if it is Exclusive", func(
		t *testing.T, handle func() hooks.Store,
	) {
		a, b := handle(), handle()
		other, ok := b.(hooks.Exclusive)
		if !ok {
			return
		}
		unlock := lock(t, a, at(0))
		_, err := other.Lock(t.Context(), at(0))
		refused(t, "Lock(another handle)", err, hooks.ErrLocked)
		enqueue(t, b, at(0), event("e", "a"))
		d := claimOne(t, a, at(0), "a")
		unlock()
		defer lock(t, b, at(1))()
		same(t, "Update(with a void lease)",
			update(t, a, at(1), outcome(d, hooks.Succeeded, at(1))), []hooks.DeliveryID{d.DeliveryID})
		equal(t, "Lost", claimOne(t, b, at(1), "a").Lost, 1)
	}},
}

// shut closes a store that can be closed.
func shut(t testing.TB, s hooks.Store) {
	t.Helper()
	if c, ok := s.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// contents describes all that a store returns, a row each.
func contents(t testing.TB, s hooks.Store) (rows []string) {
	t.Helper()
	for _, ev := range stored(t, s, hooks.Query{}) {
		rows = append(rows, fmt.Sprintf("%#v", ev))
	}
	for _, d := range deliveries(t, s, hooks.Query{}) {
		rows = append(rows, fmt.Sprintf("%#v", d))
		for _, a := range attempts(t, s, d.Event, d.Subscriber) {
			rows = append(rows, fmt.Sprintf("%#v", a))
		}
	}
	for _, r := range describe(records(t, s, 0)) {
		rows = append(rows, fmt.Sprintf("%+v", r))
	}
	if _, ok := s.(hooks.Reporter); ok {
		rows = append(rows, fmt.Sprintf("%+v", minutes(t, s, hooks.Query{})),
			fmt.Sprintf("%+v", minutes(t, s, hooks.Query{Subscriber: "a"})))
	}
	return append(rows, fmt.Sprintf("%+v", backlog(t, s)))
}
