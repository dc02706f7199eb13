package storetest

import (
	"errors"
	"testing"
	"time"

	"example.com/hooks"
)

var updateRules = []rule{
	{"an update writes its fields and no others", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := claimOne(t, s, at(0), "a")
		to := d
		fill(t, &to, 100)
		to.DeliveryID, to.Token, to.Status, to.Run = d.DeliveryID, d.Token, hooks.Failed, d.Run
		apply(t, s, at(1), hooks.Change{Delivery: to})
		want := to
		want.Type, want.Tenant, want.OrderingKey = d.Type, d.Tenant, d.OrderingKey
		want.Seq, want.Created, want.Token = d.Seq, d.Created, d.Token+1
		alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), want)
	}},
	{"an update may clear what was set", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		c.Delivery.Reason, c.Delivery.Code, c.Delivery.Error = hooks.ReasonRejected, 400, "status"
		c.Delivery.Lost = 3
		apply(t, s, at(1), c)
		d := read(t, s, "e", "a")
		d.Reason, d.Code, d.Error, d.Lost, d.Attempts = "", 0, "", 0, 0
		d.Due, d.Updated = time.Time{}, time.Time{}
		apply(t, s, at(2), hooks.Change{Delivery: d})
		d.Token++
		alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), d)
	}},
	{"every update that is applied increments the token", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := read(t, s, "e", "a")
		for range 5 {
			apply(t, s, at(1), decided(d, hooks.Pending, at(1)))
			equal(t, "Token", read(t, s, "e", "a").Token, d.Token+1)
			d = read(t, s, "e", "a")
		}
	}},
	{"an update of one delivery leaves others alone", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a", "b"), event("2", "a", "b"))
		want := deliveries(t, s, hooks.Query{Subscriber: "b"})
		want = append(want, read(t, s, "2", "a"))
		apply(t, s, at(1), outcome(read(t, s, "1", "a"), hooks.Succeeded, at(1)))
		got := append(deliveries(t, s, hooks.Query{Subscriber: "b"}), read(t, s, "2", "a"))
		rows(t, "the others", got, want)
	}},
	{"an update that is due makes due", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), due(event("e", "a"), at(9999)))
		apply(t, s, at(1), decided(read(t, s, "e", "a"), hooks.Pending, at(1)))
		equal(t, "Claim(a)", claimOne(t, s, at(1), "a").Event, "e")
	}},
	{"a replay has a new Seq, at the end", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2")...)
		ds := claim(t, s, at(0), "a", 1)
		apply(t, s, at(1), outcome(ds[0], hooks.Failed, at(1)))
		d := read(t, s, "1", "a")
		equal(t, "Seq after an outcome", d.Seq, ds[0].Seq)
		apply(t, s, at(2), replayed(d, at(2)))
		d = read(t, s, "1", "a")
		equal(t, "Run", d.Run, 2)
		if other := read(t, s, "2", "a"); d.Seq <= other.Seq {
			t.Fatalf("Seq of a replay = %d; want above %d", d.Seq, other.Seq)
		}
		same(t, "Deliveries()", names(deliveries(t, s, hooks.Query{})), []string{"1", "2"})
		same(t, "Claim(a)", names(claim(t, s, at(2), "a", 9)), []string{"2", "1"})
	}},
	{"what a change emits is enqueued with it", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		c.Emit = []hooks.Entry{event("told", "b", "c"), event("nobody")}
		apply(t, s, at(1), c)
		equal(t, "Claim(b)", claimOne(t, s, at(1), "b").Event, "told")
		equal(t, "Claim(c)", claimOne(t, s, at(1), "c").Event, "told")
		readEvent(t, s, "nobody")
	}},
	{"what a change emits is stored at the update's time", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		c.Emit = []hooks.Entry{keyed(event("told"), "k", at(1))}
		apply(t, s, at(500), c)
		got := stored(t, s, hooks.Query{From: at(500), To: at(501)})
		equal(t, "len(Events(from the update on))", len(got), 1)
	}},
	{"a duplicate among what is emitted is no error", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"), event("told", "b"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		c.Emit = []hooks.Entry{event("told", "b", "c")}
		apply(t, s, at(1), c)
		equal(t, "Status", read(t, s, "e", "a").Status, hooks.Failed)
		equal(t, "len(Deliveries(told))", len(deliveries(t, s, hooks.Query{Event: "told"})), 1)
	}},
	{"an update that cannot emit changes nothing", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a"), event("2", "a"))
		ds := claim(t, s, at(0), "a", 2)
		c := outcome(ds[1], hooks.Failed, at(1))
		c.Emit = []hooks.Entry{event("told", "b"), adding(event("unknown", "b"))}
		_, err := s.Update(t.Context(), at(1),
			[]hooks.Change{outcome(ds[0], hooks.Succeeded, at(1)), c})
		if !errors.Is(err, hooks.ErrNotFound) {
			t.Fatalf("Update = %v; want ErrNotFound", err)
		}
		alike(t, "Deliveries(1 → a)", read(t, s, "1", "a"), ds[0])
		alike(t, "Deliveries(2 → a)", read(t, s, "2", "a"), ds[1])
		equal(t, "len(Attempts(1 → a))", len(attempts(t, s, "1", "a")), 0)
		equal(t, "len(Events(told))", len(stored(t, s, hooks.Query{Event: "told"})), 0)
	}},
}

// unchanged fails the test unless a change to "e → a" is stale and alters
// nothing, neither the row nor its attempts, and emits nothing.
func unchanged(t testing.TB, s hooks.Store, c hooks.Change) {
	t.Helper()
	id := c.Delivery.DeliveryID
	before := deliveries(t, s, hooks.Query{})
	tried := len(attempts(t, s, id.Event, id.Subscriber))
	c.Emit = []hooks.Entry{event("emitted", "z")}
	same(t, "Update: stale", update(t, s, at(2000), c), []hooks.DeliveryID{id})
	rows(t, "Deliveries() after a stale update", deliveries(t, s, hooks.Query{}), before)
	equal(t, "len(Attempts()) after a stale update",
		len(attempts(t, s, id.Event, id.Subscriber)), tried)
	equal(t, "len(Events(emitted))", len(stored(t, s, hooks.Query{Event: "emitted"})), 0)
}

var staleRules = []rule{
	{"an update after another claim is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		old := claimOne(t, s, at(0), "a")
		claimOne(t, s, at(1000), "a")
		unchanged(t, s, outcome(old, hooks.Succeeded, at(1001)))
	}},
	{"an update after a cancel is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := claimOne(t, s, at(0), "a")
		apply(t, s, at(1), decided(d, hooks.Canceled, at(1)))
		unchanged(t, s, outcome(d, hooks.Succeeded, at(2)))
	}},
	{"an update after a replay is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := claimOne(t, s, at(0), "a")
		apply(t, s, at(1), decided(d, hooks.Canceled, at(1)))
		apply(t, s, at(2), replayed(read(t, s, "e", "a"), at(2)))
		unchanged(t, s, outcome(d, hooks.Succeeded, at(3)))
	}},
	{"an update of what was pruned is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := claimOne(t, s, at(0), "a")
		apply(t, s, at(1), decided(d, hooks.Canceled, at(1)))
		d.Token++
		for prune(t, s, hooks.Cutoffs{Done: at(100), Limit: 10}) > 0 {
		}
		unchanged(t, s, outcome(d, hooks.Succeeded, at(2)))
	}},
	{"an update of what never was is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		unchanged(t, s, outcome(event("e", "b").Deliveries[0], hooks.Succeeded, at(1)))
		unchanged(t, s, outcome(event("f", "a").Deliveries[0], hooks.Succeeded, at(1)))
	}},
	{"an update with a token of the future is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := claimOne(t, s, at(0), "a")
		d.Token++
		unchanged(t, s, outcome(d, hooks.Succeeded, at(1)))
	}},
	{"the same update again is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Retrying, at(1))
		apply(t, s, at(1), c)
		unchanged(t, s, c)
	}},
	{"of two changes of a delivery in one update the second is stale", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		d := claimOne(t, s, at(0), "a")
		second := outcome(d, hooks.Failed, at(1))
		second.Emit = []hooks.Entry{event("emitted", "z")}
		same(t, "Update: stale",
			update(t, s, at(1), outcome(d, hooks.Succeeded, at(1)), second),
			[]hooks.DeliveryID{d.DeliveryID})
		equal(t, "Status", read(t, s, "e", "a").Status, hooks.Succeeded)
		equal(t, "Token", read(t, s, "e", "a").Token, d.Token+1)
		equal(t, "len(Attempts())", len(attempts(t, s, "e", "a")), 1)
		equal(t, "len(Events(emitted))", len(stored(t, s, hooks.Query{Event: "emitted"})), 0)
	}},
	{"stale changes do not hinder others and come in their order", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2", "3", "4")...)
		var changes []hooks.Change
		for i, d := range claim(t, s, at(0), "a", 4) {
			if i%2 == 0 {
				d.Token--
			}
			changes = append([]hooks.Change{outcome(d, hooks.Succeeded, at(1))}, changes...)
		}
		same(t, "Update: stale", update(t, s, at(1), changes...),
			[]hooks.DeliveryID{{Event: "3", Subscriber: "a"}, {Event: "1", Subscriber: "a"}})
		for id, want := range map[string]hooks.Status{
			"1": hooks.Sending, "2": hooks.Succeeded, "3": hooks.Sending, "4": hooks.Succeeded,
		} {
			equal(t, "Status of "+id, read(t, s, id, "a").Status, want)
		}
	}},
}

var attemptRules = []rule{
	{"every field of an attempt is kept", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		var want hooks.Attempt
		fill(t, &want, 1)
		c.Attempt = &want
		apply(t, s, at(1), c)
		got := attempts(t, s, "e", "a")
		equal(t, "len(Attempts())", len(got), 1)
		alike(t, "Attempts()[0]", got[0], want)
	}},
	{"an attempt of zero fields is kept", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		c.Attempt = &hooks.Attempt{Run: 1, Number: 1}
		apply(t, s, at(1), c)
		got := attempts(t, s, "e", "a")
		equal(t, "len(Attempts())", len(got), 1)
		alike(t, "Attempts()[0]", got[0], *c.Attempt)
	}},
	{"an attempt's body is kept byte for byte", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		c.Attempt.Body = []byte("\x00\xff\xfe <html> \r\n\x00")
		apply(t, s, at(1), c)
		alike(t, "Attempts()[0]", attempts(t, s, "e", "a")[0], *c.Attempt)
	}},
	{"attempts are oldest first over all runs", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		var want []int
		for run := 1; run <= 3; run++ {
			for number := 1; number <= 3; number++ {
				now := at(100*run + number)
				status := hooks.Retrying
				if number == 3 {
					status = hooks.Failed
				}
				apply(t, s, now, outcome(claimOne(t, s, now, "a"), status, now))
				want = append(want, 10*run+number)
			}
			now := at(100*run + 50)
			apply(t, s, now, replayed(read(t, s, "e", "a"), now))
		}
		var got []int
		for _, a := range attempts(t, s, "e", "a") {
			got = append(got, 10*a.Run+a.Number)
		}
		same(t, "Attempts()", got, want)
	}},
	{"a change without an attempt appends none", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		apply(t, s, at(1), decided(read(t, s, "e", "a"), hooks.Canceled, at(1)))
		equal(t, "len(Attempts())", len(attempts(t, s, "e", "a")), 0)
	}},
	{"attempts are their delivery's", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a", "b"), event("2", "a"))
		apply(t, s, at(1), outcome(read(t, s, "1", "a"), hooks.Failed, at(1)))
		equal(t, "len(Attempts(1 → a))", len(attempts(t, s, "1", "a")), 1)
		equal(t, "len(Attempts(1 → b))", len(attempts(t, s, "1", "b")), 0)
		equal(t, "len(Attempts(2 → a))", len(attempts(t, s, "2", "a")), 0)
		equal(t, "len(Attempts(unknown))", len(attempts(t, s, "3", "c")), 0)
	}},
}
