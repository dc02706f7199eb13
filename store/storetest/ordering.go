package storetest

import (
	"testing"
	"time"

	"example.com/hooks"
)

// line returns entries of one ordering key for subscriber "a".
func line(key string, ids ...string) []hooks.Entry {
	entries := events("a", ids...)
	for i := range entries {
		entries[i] = ordered(entries[i], key)
	}
	return entries
}

var orderingRules = []rule{
	{"of an ordering key one delivery is leased, the lowest Seq", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2", "3")...)
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"1"})
		same(t, "Claim(a) again", names(claim(t, s, at(0), "a", 9)), nil)
	}},
	{"a final delivery frees the next of its key", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2", "3", "4")...)
		for i, status := range []hooks.Status{hooks.Succeeded, hooks.Failed, hooks.Canceled} {
			d := claimOne(t, s, at(i), "a")
			same(t, "Claim(a) meanwhile", names(claim(t, s, at(i), "a", 9)), nil)
			apply(t, s, at(i), outcome(d, status, at(i)))
		}
		equal(t, "Claim(a)", claimOne(t, s, at(9), "a").Event, "4")
	}},
	{"a key is leased in the order of Seq, not of Due", func(t *testing.T, s hooks.Store) {
		entries := line("k", "1", "2", "3")
		for i := range entries {
			entries[i] = due(entries[i], at(-i))
		}
		enqueue(t, s, at(0), entries...)
		for _, want := range []string{"1", "2", "3"} {
			d := claimOne(t, s, at(0), "a")
			equal(t, "Claim(a)", d.Event, want)
			apply(t, s, at(0), outcome(d, hooks.Succeeded, at(0)))
		}
	}},
	{"a delivery that is not due yet holds up its key", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), ordered(due(event("1", "a"), at(100)), "k"))
		enqueue(t, s, at(0), line("k", "2")...)
		same(t, "Claim(before it is due)", names(claim(t, s, at(99), "a", 9)), nil)
		same(t, "Claim(when it is due)", names(claim(t, s, at(100), "a", 9)), []string{"1"})
	}},
	{"a retry holds up its key until it is due", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Retrying, at(1))
		c.Delivery.Due = at(300)
		apply(t, s, at(1), c)
		same(t, "Claim(before the retry)", names(claim(t, s, at(299), "a", 9)), nil)
		d := claimOne(t, s, at(300), "a")
		equal(t, "Claim(at the retry)", d.Event, "1")
		apply(t, s, at(301), outcome(d, hooks.Succeeded, at(301)))
		equal(t, "Claim(after it)", claimOne(t, s, at(301), "a").Event, "2")
	}},
	{"a lost lease of a key is leased again before the next", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		claimOne(t, s, at(0), "a")
		d := claimOne(t, s, at(1000), "a")
		equal(t, "Claim(a)", d.Event, "1")
		equal(t, "Lost", d.Lost, 1)
	}},
	{"a lease of a key given back is leased again before the next", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		d := claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		apply(t, s, at(1), decided(d, hooks.Pending, at(1)))
		equal(t, "Claim(a)", claimOne(t, s, at(1), "a").Event, "1")
	}},
	{"keys, tenants and subscribers do not hold each other up", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0),
			ordered(event("1", "a", "b"), "k"),
			ordered(event("2", "a"), "K"),
			ordered(ofTenant(event("3", "a"), "acme"), "k"),
			event("4", "a"), event("5", "a"),
			ordered(event("6", "a", "b"), "k"))
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"1", "2", "3", "4", "5"})
		same(t, "Claim(b)", names(claim(t, s, at(0), "b", 9)), []string{"1"})
	}},
	{"of several keys each gives its first", func(t *testing.T, s hooks.Store) {
		for _, id := range []string{"1", "2", "3"} {
			enqueue(t, s, at(0), line("j", "j"+id)...)
			enqueue(t, s, at(0), line("k", "k"+id)...)
		}
		for _, want := range [][]string{{"j1", "k1"}, {"j2", "k2"}, {"j3", "k3"}} {
			ds := claim(t, s, at(0), "a", 9)
			same(t, "Claim(a)", names(ds), want)
			apply(t, s, at(0), outcome(ds[1], hooks.Failed, at(0)), outcome(ds[0], hooks.Failed, at(0)))
		}
	}},
	{"a canceled delivery does not hold up its key", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2", "3")...)
		apply(t, s, at(0), decided(read(t, s, "1", "a"), hooks.Canceled, at(0)))
		equal(t, "Claim(a)", claimOne(t, s, at(0), "a").Event, "2")
	}},
	{"a delivery canceled while it waits leaves the line", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2", "3")...)
		d := claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		apply(t, s, at(1), decided(read(t, s, "2", "a"), hooks.Canceled, at(1)))
		same(t, "Claim(a) after the cancel", names(claim(t, s, at(1), "a", 9)), nil)
		apply(t, s, at(2), outcome(d, hooks.Succeeded, at(2)))
		equal(t, "Claim(a)", claimOne(t, s, at(2), "a").Event, "3")
	}},
	{"a delivery rescheduled while it waits keeps waiting", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		d := claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		apply(t, s, at(1), decided(read(t, s, "2", "a"), hooks.Pending, at(-5)))
		same(t, "Claim(a) after the update", names(claim(t, s, at(1), "a", 9)), nil)
		apply(t, s, at(2), outcome(d, hooks.Succeeded, at(2)))
		equal(t, "Claim(a)", claimOne(t, s, at(2), "a").Event, "2")
	}},
	{"a delivery rescheduled while it waits is due at its new time", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		d := claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		apply(t, s, at(1), decided(read(t, s, "2", "a"), hooks.Pending, at(500)))
		apply(t, s, at(2), outcome(d, hooks.Succeeded, at(2)))
		same(t, "Claim(before its time)", names(claim(t, s, at(499), "a", 9)), nil)
		equal(t, "Claim(at its time)", claimOne(t, s, at(500), "a").Event, "2")
	}},
	{"a replay goes to the end of its line", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2", "3")...)
		apply(t, s, at(0), outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(0)))
		apply(t, s, at(1), replayed(read(t, s, "1", "a"), at(1)))
		for _, want := range []string{"2", "3", "1"} {
			d := claimOne(t, s, at(1), "a")
			equal(t, "Claim(a)", d.Event, want)
			apply(t, s, at(1), outcome(d, hooks.Succeeded, at(1)))
		}
	}},
	{"a replay waits for what its key has in flight", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		apply(t, s, at(0), outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(0)))
		d := claimOne(t, s, at(0), "a")
		apply(t, s, at(1), replayed(read(t, s, "1", "a"), at(-100)))
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(1), "a", 9)), nil)
		apply(t, s, at(2), outcome(d, hooks.Succeeded, at(2)))
		equal(t, "Claim(a)", claimOne(t, s, at(2), "a").Event, "1")
	}},
	{"what is enqueued later waits for its turn", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		first := claimOne(t, s, at(0), "a")
		enqueue(t, s, at(1), ordered(due(event("3", "a"), at(-100)), "k"))
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(1), "a", 9)), nil)
		apply(t, s, at(2), outcome(first, hooks.Succeeded, at(2)))
		second := claimOne(t, s, at(2), "a")
		equal(t, "Claim(a)", second.Event, "2")
		apply(t, s, at(3), outcome(second, hooks.Succeeded, at(3)))
		equal(t, "Claim(a)", claimOne(t, s, at(3), "a").Event, "3")
		enqueue(t, s, at(4), line("j", "4")...)
		equal(t, "Claim(a key of its own)", claimOne(t, s, at(4), "a").Event, "4")
	}},
	{"what waits for its key is not in the backlog once Claim met it", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		d := claimOne(t, s, at(0), "a")
		claim(t, s, at(0), "a", 9)
		equal(t, "Backlog()[a] while leased", backlog(t, s)["a"], d.Due)
		c := outcome(d, hooks.Retrying, at(1))
		c.Delivery.Due = at(500)
		apply(t, s, at(1), c)
		claim(t, s, at(1), "a", 9)
		equal(t, "Backlog()[a] before the retry", backlog(t, s)["a"], at(500))
	}},
	{"what a key frees is in the backlog", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1")...)
		enqueue(t, s, at(0), ordered(due(event("2", "a"), at(-77)), "k"))
		d := claimOne(t, s, at(0), "a")
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		apply(t, s, at(1), outcome(d, hooks.Succeeded, at(1)))
		equal(t, "Backlog()[a]", backlog(t, s)["a"], at(-77))
	}},
	{"what waits for its key is listed as pending", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		want := read(t, s, "2", "a")
		claim(t, s, at(0), "a", 9)
		alike(t, "Deliveries(2 → a)", read(t, s, "2", "a"), want)
		same(t, "Deliveries(pending)",
			names(deliveries(t, s, hooks.Query{Statuses: []hooks.Status{hooks.Pending}})), []string{"2"})
	}},
	{"Before in the future takes no blocked delivery", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), line("k", "1", "2")...)
		l := lane("a", 9, at(0))
		l.Before, l.LeaseUntil = at(0).AddDate(1000, 0, 0), at(1).Add(time.Hour)
		same(t, "Claim(Before)", names(claimLane(t, s, at(0), l)), []string{"1"})
	}},
}
