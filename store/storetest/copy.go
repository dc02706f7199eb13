package storetest

import (
	"testing"

	"example.com/hooks"
)

// copyRules: what a store returns belongs to the caller.
var copyRules = []rule{
	{"events that were returned belong to the caller", func(t *testing.T, s hooks.Store) {
		described := func() hooks.Entry {
			e := event("e", "a", "b")
			e.Event.Metadata = map[string]string{"k": "v"}
			return e
		}
		enqueue(t, s, at(0), described())
		for range 2 {
			got := readEvent(t, s, "e")
			alike(t, "Events(e)", got, described().Event, "Seq")
			got.Metadata["k"] = "changed"
		}
		for _, sub := range []string{"a", "b"} {
			got := claimEntries(t, s, at(0), lane(sub, 1, at(0)))
			alike(t, "Claim("+sub+")", got[0].Event, described().Event, "Seq")
			got[0].Event.Metadata["k"] = "changed"
			got[0].Deliveries[0].Status = hooks.Failed
			equal(t, "Status", read(t, s, "e", sub).Status, hooks.Sending)
		}
	}},
	{"deliveries that were returned belong to the caller", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		page, _, err := s.Deliveries(t.Context(), hooks.Query{})
		if err != nil || len(page) != 1 {
			t.Fatalf("Deliveries() = %v, %v; want one", page, err)
		}
		page[0].Status = hooks.Failed
		equal(t, "Status", read(t, s, "e", "a").Status, hooks.Pending)
	}},
	{"attempts that were written or returned belong to the caller", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		c := outcome(claimOne(t, s, at(0), "a"), hooks.Failed, at(1))
		fill(t, c.Attempt, 1)
		var want hooks.Attempt
		fill(t, &want, 1)
		apply(t, s, at(1), c)
		spoil(*c.Attempt)
		for range 2 {
			got := attempts(t, s, "e", "a")
			alike(t, "Attempts()[0]", got[0], want)
			spoil(got[0])
		}
	}},
	{"the backlog that was returned belongs to the caller", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		list, err := s.Backlog(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("Backlog() = %v, %v; want one", list, err)
		}
		list[0] = hooks.BacklogLane{}
		equal(t, "Backlog()[a]", backlog(t, s)["a"], at(0))
	}},
}

// spoil alters everything that a points to.
func spoil(a hooks.Attempt) {
	clear(a.Body)
	for _, values := range a.Header {
		clear(values)
	}
	clear(a.Header)
}
