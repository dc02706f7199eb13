package storetest

import (
	"testing"
	"time"

	"example.com/hooks"
)

var claimRules = []rule{
	{"Claim leases what is due", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		want := read(t, s, "e", "a")
		want.Status, want.Due = hooks.Sending, at(1).Add(lease)
		want.Token++
		got := claimOne(t, s, at(1), "a")
		alike(t, "Claim(a)", got, want)
		alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), want)
	}},
	{"a delivery is due at its time, not a microsecond before", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), due(event("e", "a"), at(10)))
		same(t, "Claim(1 µs before)",
			names(claim(t, s, at(10).Add(-time.Microsecond), "a", 1)), nil)
		same(t, "Claim(at Due)", names(claim(t, s, at(10), "a", 1)), []string{"e"})
	}},
	{"the oldest due is first, of equals the lowest Seq", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0),
			due(event("30", "a"), at(30)), due(event("20", "a"), at(20)),
			due(event("10", "a"), at(10)), due(event("20b", "a"), at(20)))
		same(t, "Claim(1)", names(claim(t, s, at(60), "a", 1)), []string{"10"})
		same(t, "Claim(the rest)", names(claim(t, s, at(60), "a", 9)), []string{"20", "20b", "30"})
	}},
	{"ends of leases, retries and new deliveries that are due at one time come by Seq", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), due(event("1", "a"), at(60)), event("2", "a"), event("3", "a"), due(event("4", "a"), at(60)),
			event("5", "a"), due(event("6", "a"), at(60)))
		for _, d := range claim(t, s, at(0), "a", 9) { // leased until at(60)
			if d.Event == "3" {
				c := outcome(d, hooks.Retrying, at(1))
				c.Delivery.Due = at(60)
				apply(t, s, at(1), c)
			}
		}
		apply(t, s, at(2), outcome(read(t, s, "1", "a"), hooks.Failed, at(2)))
		again := replayed(read(t, s, "1", "a"), at(60)) // at the end of the line
		apply(t, s, at(3), again)
		for _, want := range []string{"2", "3", "4", "5", "6", "1"} {
			same(t, "Claim(1)", names(claim(t, s, at(60), "a", 1)), []string{want})
		}
	}},
	{"a lane has no more than Max", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", numbered("a", 5)...)...)
		enqueue(t, s, at(0), events("b", numbered("b", 5)...)...)
		lanes := []hooks.ClaimLane{lane("a", 2, at(0)), lane("b", 4, at(0))}
		entries, err := s.Claim(t.Context(), at(0), lanes)
		if err != nil {
			t.Fatalf("Claim: %v", err)
		}
		n := map[string]int{}
		for _, e := range entries {
			n[e.Deliveries[0].Subscriber] += len(e.Deliveries)
		}
		equal(t, "Claim(Max 2 of 5)", n["a"], 2)
		equal(t, "Claim(Max 4 of 5)", n["b"], 4)
	}},
	{"a lane whose Max is not positive is passed over", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a", "b"))
		entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{
			lane("a", 0, at(0)), lane("a", -1, at(0)), lane("b", 1, at(0)),
		})
		if err != nil || len(entries) != 1 || len(entries[0].Deliveries) != 1 {
			t.Fatalf("Claim = %v, %v; want b's delivery", entries, err)
		}
		equal(t, "Status of a's", read(t, s, "e", "a").Status, hooks.Pending)
	}},
	{"Before in the past takes what is due since then", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), due(event("old", "a"), at(10)), due(event("new", "a"), at(11)))
		l := lane("a", 9, at(100))
		l.Before = at(10)
		same(t, "Claim(Before)", names(claimLane(t, s, at(100), l)), []string{"old"})
	}},
	{"Before in the future takes what is not due yet", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), due(event("e", "a"), at(1000)))
		l := lane("a", 9, at(0))
		l.Before = at(0).AddDate(1000, 0, 0)
		same(t, "Claim(Before)", names(claimLane(t, s, at(0), l)), []string{"e"})
	}},
	{"lanes take their own subscribers' deliveries", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a"), event("2", "b"))
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"1"})
		same(t, "Claim(a) again", names(claim(t, s, at(0), "a", 9)), nil)
		same(t, "Claim(b)", names(claim(t, s, at(0), "b", 9)), []string{"2"})
	}},
	{"a subscriber that nobody knows is no error", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{
			lane("unknown", 5, at(0)), lane("a", 5, at(0)), lane("", 5, at(0)),
		})
		if err != nil || len(entries) != 1 {
			t.Fatalf("Claim = %v, %v; want a's delivery", entries, err)
		}
	}},
	{"an event that several lanes lease comes once", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a", "b", "c"), event("2", "b", "a"))
		entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{
			lane("a", 5, at(0)), lane("b", 5, at(0)),
		})
		if err != nil {
			t.Fatalf("Claim: %v", err)
		}
		n := map[string]int{}
		for _, e := range entries {
			alike(t, "Claim(a, b)", e.Event, readEvent(t, s, e.Event.ID))
			for _, d := range e.Deliveries {
				equal(t, "Event of "+d.String(), d.Event, e.Event.ID)
			}
			n[e.Event.ID] += len(e.Deliveries)
		}
		if len(entries) != 2 || n["1"] != 2 || n["2"] != 2 {
			t.Fatalf("Claim(a, b) = %v in %d entries; want 2 of each in 2", n, len(entries))
		}
	}},
	{"each lane's leases end when it says", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a", "b"))
		short, long := lane("a", 1, at(0)), lane("b", 1, at(0))
		long.LeaseUntil = at(5000)
		if _, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{short, long}); err != nil {
			t.Fatalf("Claim: %v", err)
		}
		equal(t, "Due of a's", read(t, s, "e", "a").Due, short.LeaseUntil)
		equal(t, "Due of b's", read(t, s, "e", "b").Due, at(5000))
	}},
	{"final deliveries are not claimed", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a", "b", "c"))
		for sub, status := range map[string]hooks.Status{
			"a": hooks.Succeeded, "b": hooks.Failed, "c": hooks.Canceled,
		} {
			apply(t, s, at(0), outcome(claimOne(t, s, at(0), sub), status, at(0)))
			l := lane(sub, 9, at(9999))
			l.Before = at(99999)
			same(t, "Claim("+status.String()+")", names(claimLane(t, s, at(9999), l)), nil)
		}
	}},
	{"a delivery that failed is claimed again when it is due", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Retrying, at(1))
		c.Delivery.Due = at(30)
		apply(t, s, at(1), c)
		same(t, "Claim(before)", names(claim(t, s, at(29), "a", 1)), nil)
		d := claimOne(t, s, at(30), "a")
		equal(t, "Attempts", d.Attempts, 1)
		equal(t, "Lost", d.Lost, 0)
	}},
}

var leaseRules = []rule{
	{"a lease hides a delivery until it ends", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		end := claimOne(t, s, at(0), "a").Due
		same(t, "Claim(at once)", names(claim(t, s, at(0), "a", 1)), nil)
		same(t, "Claim(1 µs before the end)",
			names(claim(t, s, end.Add(-time.Microsecond), "a", 1)), nil)
		same(t, "Claim(at the end)", names(claim(t, s, end, "a", 1)), []string{"e"})
	}},
	{"a lease that ended without an update is lost", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		first := claimOne(t, s, at(0), "a")
		for i := 1; i <= 3; i++ {
			d := claimOne(t, s, at(1000*i), "a")
			equal(t, "Lost", d.Lost, i)
			equal(t, "Token", d.Token, first.Token+int64(i))
			equal(t, "Attempts", d.Attempts, 0)
			alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), d)
		}
	}},
	{"a lease given back is not lost", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		apply(t, s, at(1), decided(claimOne(t, s, at(0), "a"), hooks.Pending, at(1)))
		d := claimOne(t, s, at(1), "a")
		equal(t, "Lost", d.Lost, 0)
		equal(t, "Attempts", d.Attempts, 0)
	}},
	{"Before in the future leaves leases alone", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2", "3")...)
		claim(t, s, at(0), "a", 2)
		l := lane("a", 9, at(1))
		l.Before = at(0).AddDate(1000, 0, 0)
		same(t, "Claim(Before)", names(claimLane(t, s, at(1), l)), []string{"3"})
		same(t, "Claim(Before) again", names(claimLane(t, s, at(1), l)), nil)
	}},
	{"a delivery enqueued under a lease is leased", func(t *testing.T, s hooks.Store) {
		e := each(event("e", "a"), func(d *hooks.Delivery) {
			d.Status, d.Due, d.Token = hooks.Sending, at(60), 1
		})
		enqueue(t, s, at(0), e)
		same(t, "Claim(while leased)", names(claim(t, s, at(59), "a", 1)), nil)
		equal(t, "Backlog()[a]", backlog(t, s)["a"], at(60))
		d := claimOne(t, s, at(60), "a")
		equal(t, "Lost", d.Lost, 1)
		equal(t, "Token", d.Token, 2)
		same(t, "Update(with the lease that ended)",
			update(t, s, at(60), outcome(e.Deliveries[0], hooks.Succeeded, at(60))),
			[]hooks.DeliveryID{d.DeliveryID})
	}},
	{"a delivery enqueued under a lease can be updated", func(t *testing.T, s hooks.Store) {
		e := each(event("e", "a"), func(d *hooks.Delivery) {
			d.Status, d.Due, d.Token = hooks.Sending, at(60), 1
		})
		enqueue(t, s, at(0), e)
		apply(t, s, at(1), outcome(e.Deliveries[0], hooks.Succeeded, at(1)))
		equal(t, "Status", read(t, s, "e", "a").Status, hooks.Succeeded)
	}},
}

var backlogRules = []rule{
	{"the backlog of an empty store is empty", func(t *testing.T, s hooks.Store) {
		equal(t, "len(Backlog())", len(backlog(t, s)), 0)
	}},
	{"the backlog tells each subscriber's earliest due", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0),
			due(event("1", "a"), at(30)), due(event("2", "a", "b"), at(20)),
			due(event("3", "b"), at(10)), due(event("4", "c"), at(-3600)))
		b := backlog(t, s)
		equal(t, "len(Backlog())", len(b), 3)
		equal(t, "Backlog()[a]", b["a"], at(20))
		equal(t, "Backlog()[b]", b["b"], at(10))
		equal(t, "Backlog()[c]", b["c"], at(-3600))
	}},
	{"the end of a lease counts in the backlog", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a"), due(event("2", "a"), at(3600)))
		d := claimOne(t, s, at(0), "a")
		equal(t, "Backlog()[a]", backlog(t, s)["a"], d.Due)
	}},
	{"a retry counts in the backlog", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Retrying, at(1))
		c.Delivery.Due = at(300)
		apply(t, s, at(1), c)
		equal(t, "Backlog()[a]", backlog(t, s)["a"], at(300))
	}},
	{"finished deliveries leave the backlog", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a", "b", "c"), due(event("2", "c"), at(50)))
		for sub, status := range map[string]hooks.Status{
			"a": hooks.Succeeded, "b": hooks.Failed, "c": hooks.Canceled,
		} {
			apply(t, s, at(0), outcome(claimOne(t, s, at(0), sub), status, at(0)))
		}
		b := backlog(t, s)
		equal(t, "len(Backlog())", len(b), 1)
		equal(t, "Backlog()[c]", b["c"], at(50))
	}},
}
