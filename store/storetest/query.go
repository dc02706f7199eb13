package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// medley stores 12 events, one a second, that differ in tenant, type,
// subscribers and status: 16 deliveries.
func medley(t testing.TB, s hooks.Store) {
	t.Helper()
	for i := range 12 {
		e := event("e"+strconv.Itoa(i), "a")
		if i%3 == 0 {
			e = event("e"+strconv.Itoa(i), "a", "b")
		}
		if i%2 == 0 {
			e = ofTenant(e, "acme")
		}
		if i%4 == 0 {
			e = ofType(e, "thing.gone")
		}
		e = each(e, func(d *hooks.Delivery) { d.Created = at(i) })
		enqueue(t, s, at(i), e)
	}
	for id, why := range map[string]hooks.Delivery{
		"e2": {Reason: hooks.ReasonExhausted, Error: "timeout"},
		"e3": {Reason: hooks.ReasonRejected, Error: "status", Code: 400},
		"e4": {Reason: hooks.ReasonExhausted, Error: "status", Code: 503},
	} {
		c := outcome(read(t, s, id, "a"), hooks.Failed, at(20))
		c.Delivery.Reason, c.Delivery.Error, c.Delivery.Code = why.Reason, why.Error, why.Code
		apply(t, s, at(20), c)
	}
	c := outcome(read(t, s, "e7", "a"), hooks.Retrying, at(20))
	c.Delivery.Error = "timeout"
	apply(t, s, at(20), c)
	apply(t, s, at(20), outcome(read(t, s, "e6", "b"), hooks.Succeeded, at(20)))
}

// A filter of deliveries, and the same as a function.
type filter struct {
	query hooks.Query
	match func(d hooks.Delivery) bool
}

var filters = map[string]filter{
	"none":  {hooks.Query{}, func(hooks.Delivery) bool { return true }},
	"event": {hooks.Query{Event: "e3"}, func(d hooks.Delivery) bool { return d.Event == "e3" }},
	"subscriber": {hooks.Query{Subscriber: "b"}, func(d hooks.Delivery) bool {
		return d.Subscriber == "b"
	}},
	"tenant": {hooks.Query{Tenant: "acme"}, func(d hooks.Delivery) bool { return d.Tenant == "acme" }},
	"type": {hooks.Query{Types: []string{"thing.gone"}}, func(d hooks.Delivery) bool {
		return d.Type == "thing.gone"
	}},
	"types": {hooks.Query{Types: []string{"thing.gone", "x", "thing.happened"}}, func(hooks.Delivery) bool {
		return true
	}},
	"status": {hooks.Query{Statuses: []hooks.Status{hooks.Failed}}, func(d hooks.Delivery) bool {
		return d.Status == hooks.Failed
	}},
	"statuses": {
		hooks.Query{Statuses: []hooks.Status{hooks.Failed, hooks.Succeeded}},
		func(d hooks.Delivery) bool { return d.Status.Final() },
	},
	"reason": {hooks.Query{Reasons: []hooks.Reason{hooks.ReasonRejected}}, func(d hooks.Delivery) bool {
		return d.Reason == hooks.ReasonRejected
	}},
	"reasons": {
		hooks.Query{Reasons: []hooks.Reason{hooks.ReasonRejected, hooks.ReasonLost, hooks.ReasonExhausted}},
		func(d hooks.Delivery) bool { return d.Status == hooks.Failed },
	},
	"code":     {hooks.Query{Codes: []int{503}}, func(d hooks.Delivery) bool { return d.Code == 503 }},
	"codes":    {hooks.Query{Codes: []int{0, 400}}, func(d hooks.Delivery) bool { return d.Code == 0 || d.Code == 400 }},
	"no error": {hooks.Query{Errors: []string{""}}, func(d hooks.Delivery) bool { return d.Error == "" }},
	"error":    {hooks.Query{Errors: []string{"timeout"}}, func(d hooks.Delivery) bool { return d.Error == "timeout" }},
	"errors": {hooks.Query{Errors: []string{"tls", "timeout", "status"}}, func(d hooks.Delivery) bool {
		return d.Error != ""
	}},
	"failed with an error": {
		hooks.Query{
			Subscriber: "a", Statuses: []hooks.Status{hooks.Failed},
			Reasons: []hooks.Reason{hooks.ReasonExhausted}, Errors: []string{"status"},
		},
		func(d hooks.Delivery) bool { return d.Event == "e4" },
	},
	"from": {hooks.Query{From: at(4)}, func(d hooks.Delivery) bool { return !d.Created.Before(at(4)) }},
	"to":   {hooks.Query{To: at(4)}, func(d hooks.Delivery) bool { return d.Created.Before(at(4)) }},
	"all": {
		hooks.Query{
			Event: "e4", Subscriber: "a", Tenant: "acme", Types: []string{"thing.gone"},
			Statuses: []hooks.Status{hooks.Failed}, Reasons: []hooks.Reason{hooks.ReasonExhausted},
			Errors: []string{"status"}, From: at(4), To: at(5),
		},
		func(d hooks.Delivery) bool { return d.Event == "e4" },
	},
	"some": {
		hooks.Query{Subscriber: "a", Tenant: "acme", From: at(1), To: at(9)},
		func(d hooks.Delivery) bool {
			return d.Subscriber == "a" && d.Tenant == "acme" &&
				d.Created.After(at(0)) && d.Created.Before(at(9))
		},
	},
	"nothing": {hooks.Query{Subscriber: "b", Types: []string{"thing"}}, func(hooks.Delivery) bool {
		return false
	}},
}

var queryRules = []rule{
	{"deliveries are selected by every filter", func(t *testing.T, s hooks.Store) {
		medley(t, s)
		all := deliveries(t, s, hooks.Query{})
		equal(t, "len(Deliveries())", len(all), 16)
		for name, f := range filters {
			var want []hooks.Delivery
			for _, d := range all {
				if f.match(d) {
					want = append(want, d)
				}
			}
			for _, limit := range []int{0, 1, 2, 5} {
				f.query.Limit = limit
				rows(t, "Deliveries("+name+")", deliveries(t, s, f.query), want)
			}
		}
	}},
	{"deliveries are selected by their ordering key and exactly their tenant", func(t *testing.T, s hooks.Store) {
		for i, tenant := range []string{"", "acme", "", "acme", "", ""} {
			e := ofTenant(event("e"+strconv.Itoa(i), "a", "b"), tenant)
			enqueue(t, s, at(i), ordered(e, []string{"k", "k", "k", "k", "l", ""}[i]))
		}
		apply(t, s, at(9), outcome(read(t, s, "e0", "a"), hooks.Succeeded, at(9)))
		unfinished := []hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending}
		for _, c := range []struct {
			query hooks.Query
			want  []string
		}{
			{hooks.Query{OrderingKey: "k"}, []string{"e0.a", "e0.b", "e2.a", "e2.b"}},
			{hooks.Query{OrderingKey: "k", Tenant: "acme"}, []string{"e1.a", "e1.b", "e3.a", "e3.b"}},
			{hooks.Query{OrderingKey: "k", Subscriber: "a"}, []string{"e0.a", "e2.a"}},
			{hooks.Query{OrderingKey: "k", Subscriber: "a", Statuses: unfinished}, []string{"e2.a"}},
			{hooks.Query{OrderingKey: "k", Subscriber: "b", Statuses: unfinished}, []string{"e0.b", "e2.b"}},
			{hooks.Query{OrderingKey: "k", Subscriber: "b", Tenant: "acme", Statuses: unfinished}, []string{"e1.b", "e3.b"}},
			{hooks.Query{OrderingKey: "k", Subscriber: "b", Statuses: unfinished[1:]}, nil},
			{hooks.Query{OrderingKey: "k", Event: "e0", Statuses: unfinished}, []string{"e0.b"}},
			{hooks.Query{OrderingKey: "none", Subscriber: "a", Statuses: unfinished}, nil},
		} {
			for _, limit := range []int{0, 1} {
				c.query.OldestFirst, c.query.Limit = true, limit
				var got []string
				for _, d := range deliveries(t, s, c.query) {
					got = append(got, d.String())
				}
				equal(t, fmt.Sprintf("Deliveries(%+v)", c.query), strings.Join(got, " "), strings.Join(c.want, " "))
			}
		}
	}},
	{"events are selected by their filters", func(t *testing.T, s hooks.Store) {
		medley(t, s)
		for name, c := range map[string]struct {
			query hooks.Query
			want  []string
		}{
			"event":  {hooks.Query{Event: "e3"}, []string{"e3"}},
			"tenant": {hooks.Query{Tenant: "acme"}, []string{"e10", "e8", "e6", "e4", "e2", "e0"}},
			"type":   {hooks.Query{Types: []string{"x", "thing.gone"}}, []string{"e8", "e4", "e0"}},
			"from":   {hooks.Query{From: at(10)}, []string{"e11", "e10"}},
			"to":     {hooks.Query{To: at(2)}, []string{"e1", "e0"}},
			"some": {
				hooks.Query{Tenant: "acme", Types: []string{"thing.happened"}, From: at(3), To: at(10)},
				[]string{"e6"},
			},
			"nothing": {hooks.Query{Tenant: "acme", Event: "e1"}, nil},
			"others": { // filters of deliveries only
				hooks.Query{Event: "e1", Subscriber: "z", Statuses: []hooks.Status{hooks.Failed}},
				[]string{"e1"},
			},
		} {
			for _, limit := range []int{0, 1, 2} {
				c.query.Limit = limit
				var got []string
				for _, ev := range stored(t, s, c.query) {
					got = append(got, ev.ID)
				}
				same(t, "Events("+name+")", got, c.want)
			}
		}
	}},
	{"From and To ask when an event was stored, not when it happened", func(t *testing.T, s hooks.Store) {
		e := event("e")
		e.Event.Time = at(-1_000_000)
		enqueue(t, s, at(10), e)
		for _, c := range []struct {
			from, to time.Time
			want     int
		}{
			{at(10), time.Time{}, 1},
			{at(10).Add(time.Microsecond), time.Time{}, 0},
			{time.Time{}, at(10), 0},
			{time.Time{}, at(10).Add(time.Microsecond), 1},
			{at(-2_000_000), at(0), 0},
		} {
			q := hooks.Query{From: c.from, To: c.to}
			equal(t, "len(Events(from, to))", len(stored(t, s, q)), c.want)
		}
	}},
	{"a page has no more than Limit, by default 50", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", numbered("e", 60)...)...)
		for limit, most := range map[int]int{0: 50, -1: 50, 7: 7, 1000: 60} {
			q := hooks.Query{Limit: limit}
			ds, _, err := s.Deliveries(t.Context(), q)
			if err != nil || len(ds) > most {
				t.Errorf("Deliveries(Limit %d) = %d rows, %v; want at most %d", limit, len(ds), err, most)
			}
			evs, _, err := s.Events(t.Context(), q)
			if err != nil || len(evs) > most {
				t.Errorf("Events(Limit %d) = %d rows, %v; want at most %d", limit, len(evs), err, most)
			}
			equal(t, "len(all pages)", len(deliveries(t, s, q)), 60)
			equal(t, "len(all pages of events)", len(stored(t, s, q)), 60)
		}
	}},
	{"a cursor that no page returned is an InvalidError", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		for _, cursor := range []string{"0", "-1", "x", " 1", "9223372036854775808"} {
			q := hooks.Query{Cursor: cursor}
			_, _, ofDeliveries := s.Deliveries(t.Context(), q)
			_, _, ofEvents := s.Events(t.Context(), q)
			for list, err := range map[string]error{"Deliveries": ofDeliveries, "Events": ofEvents} {
				if _, ok := errors.AsType[*hooks.InvalidError](err); !ok {
					t.Errorf("%s(Cursor %q) = %v; want an InvalidError", list, cursor, err)
				}
			}
		}
	}},
	{"pages name each row once while new ones arrive", func(t *testing.T, s hooks.Store) {
		want := numbered("old", 25)
		enqueue(t, s, at(0), events("a", want...)...)
		slices.Reverse(want)
		var ds, evs []string
		dq, eq := hooks.Query{Limit: 4}, hooks.Query{Limit: 4}
		for i := 0; i == 0 || dq.Cursor != "" || eq.Cursor != ""; i++ {
			if i == 0 || dq.Cursor != "" {
				page, next, err := s.Deliveries(t.Context(), dq)
				if err != nil {
					t.Fatalf("Deliveries(%+v): %v", dq, err)
				}
				ds, dq.Cursor = append(ds, names(page)...), next
			}
			if i == 0 || eq.Cursor != "" {
				page, next, err := s.Events(t.Context(), eq)
				if err != nil {
					t.Fatalf("Events(%+v): %v", eq, err)
				}
				for _, ev := range page {
					evs = append(evs, ev.ID)
				}
				eq.Cursor = next
			}
			enqueue(t, s, at(0), events("a", numbered("new"+strconv.Itoa(i)+"-", 3)...)...)
		}
		same(t, "Deliveries()", ds, want)
		same(t, "Events()", evs, want)
	}},
	{"a replay is listed once, at the top", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), events("a", "1", "2", "3")...)
		apply(t, s, at(0), outcome(read(t, s, "2", "a"), hooks.Failed, at(0)))
		apply(t, s, at(1), replayed(read(t, s, "2", "a"), at(1)))
		for limit := range 4 {
			got := deliveries(t, s, hooks.Query{Limit: limit})
			same(t, "Deliveries()", names(got), []string{"2", "3", "1"})
		}
	}},
	{"an empty store lists nothing", func(t *testing.T, s hooks.Store) {
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 0)
		equal(t, "len(Deliveries(unknown))", len(deliveries(t, s, hooks.Query{Event: "e"})), 0)
	}},
}
