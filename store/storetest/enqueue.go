package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

var enqueueRules = []rule{
	{"every field of an event is kept", func(t *testing.T, s hooks.Store) {
		e := event("e", "a")
		fill(t, &e.Event, 1)
		e.Event.ID = "e"
		e = ofTenant(ofType(e, e.Event.Type), e.Event.Tenant)
		enqueue(t, s, at(0), e)
		alike(t, "Events(e)", readEvent(t, s, "e"), e.Event, "Seq")
		got := claimEntries(t, s, at(0), lane("a", 1, at(0)))
		alike(t, "Claim(a)", got[0].Event, e.Event, "Seq")
	}},
	{"every field of a delivery is kept", func(t *testing.T, s hooks.Store) {
		e := event("e", "a")
		fill(t, &e.Deliveries[0], 1)
		d := e.Deliveries[0]
		d.DeliveryID, d.Status = hooks.DeliveryID{Event: "e", Subscriber: "a"}, hooks.Retrying
		e = ofTenant(ofType(ordered(e, d.OrderingKey), d.Type), d.Tenant)
		e.Deliveries[0] = d
		enqueue(t, s, at(0), e)
		alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), d, "Seq")
	}},
	{"fields that are zero stay zero", func(t *testing.T, s hooks.Store) {
		e := hooks.Entry{Event: hooks.Event{ID: "e"}, Deliveries: []hooks.Delivery{
			{DeliveryID: hooks.DeliveryID{Event: "e", Subscriber: "a"}, Status: hooks.Pending},
		}}
		enqueue(t, s, at(0), e)
		alike(t, "Events(e)", readEvent(t, s, "e"), e.Event, "Seq")
		alike(t, "Deliveries(e → a)", read(t, s, "e", "a"), e.Deliveries[0], "Seq")
		equal(t, "Claim(a)", claimOne(t, s, at(0), "a").Event, "e")
	}},
	{"a payload is kept byte for byte", func(t *testing.T, s hooks.Store) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		for id, data := range map[string]string{
			"no-json":  `{"a":`,
			"spaces":   " {\n\t\"b\" : 1.0 , \"a\":1e2, \"a\":2 }\r\n",
			"escapes":  `"\u00e9\/\ud83d\ude00 é 😀"`,
			"no-utf-8": "\xff\xfe\xc3",
			"every":    string(every),
			"large":    `"` + strings.Repeat("x", 1<<20) + `"`,
			"empty":    "",
		} {
			e := event(id, id)
			e.Event.Data = []byte(data)
			enqueue(t, s, at(0), e)
			alike(t, "Events("+id+")", readEvent(t, s, id), e.Event, "Seq")
			got := claimEntries(t, s, at(0), lane(id, 1, at(0)))
			alike(t, "Claim("+id+")", got[0].Event, e.Event, "Seq")
		}
	}},
	{"nothing is added to an event that is not stored because of its key", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("first", "a"), "key", at(60)))
		more := event("second", "b")
		more.Add = true
		_, err := s.Enqueue(t.Context(), at(1), []hooks.Entry{keyed(event("second", "a"), "key", at(60)), more})
		if !errors.Is(err, hooks.ErrNotFound) {
			t.Errorf("Enqueue of a duplicate and an Add to it = %v; want ErrNotFound", err)
		}
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 1)
	}},
	{"names differ in case, spaces and accents", func(t *testing.T, s hooks.Store) {
		tricky := []string{"a", "A", "a ", " a", "á", "a\u0301", "%", "_", "'", `\`, "ａ"}
		for _, name := range tricky {
			e := ofTenant(event("id-"+name, name), name)
			r := enqueue(t, s, at(0), keyed(e, name, at(60)))
			equal(t, "Enqueue(id-"+name+")", r[0], hooks.Receipt{EventID: "id-" + name, Deliveries: 1})
		}
		for _, name := range tricky {
			same(t, "Deliveries(tenant "+name+")",
				names(deliveries(t, s, hooks.Query{Tenant: name})), []string{"id-" + name})
			equal(t, "Claim("+name+")", claimOne(t, s, at(0), name).Event, "id-"+name)
		}
	}},
	{"Seq rises from entry to entry and from call to call", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1", "a", "b"), event("2", "a"))
		enqueue(t, s, at(0), event("3", "a"))
		ids := []string{"1", "2", "3"}
		var many []hooks.Entry
		for i := range 200 {
			ids = append(ids, fmt.Sprintf("m%03d", 999-i))
			many = append(many, event(ids[len(ids)-1], "a"))
		}
		enqueue(t, s, at(0), many...)
		var last hooks.Delivery
		for _, id := range ids {
			d := read(t, s, id, "a")
			if d.Seq <= last.Seq {
				t.Errorf("Seq of %v = %d; want above %d", d, d.Seq, last.Seq)
			}
			last = d
		}
		var newest []string
		for _, ev := range stored(t, s, hooks.Query{}) {
			newest = append(newest, ev.ID)
		}
		slices.Reverse(ids)
		same(t, "Events()", newest, ids)
	}},
	{"an event without deliveries is kept", func(t *testing.T, s hooks.Store) {
		r := enqueue(t, s, at(0), event("e"))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "e"})
		readEvent(t, s, "e")
	}},
	{"an event may have many deliveries", func(t *testing.T, s hooks.Store) {
		subs := numbered("sub-", 500)
		r := enqueue(t, s, at(0), event("e", subs...))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "e", Deliveries: 500})
		equal(t, "len(Deliveries(e))", len(deliveries(t, s, hooks.Query{Event: "e"})), 500)
		equal(t, "len(Backlog())", len(backlog(t, s)), 500)
	}},
	{"receipts are in the order of entries", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("old", "a"))
		same(t, "Enqueue",
			enqueue(t, s, at(0), event("new"), event("old", "a"), event("last", "a", "b")),
			[]hooks.Receipt{
				{EventID: "new"},
				{EventID: "old", Duplicate: true},
				{EventID: "last", Deliveries: 2},
			})
	}},
	{"writing nothing is no error", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0))
		same(t, "Update()", update(t, s, at(0)), nil)
		if entries, err := s.Claim(t.Context(), at(0), nil); err != nil || len(entries) != 0 {
			t.Fatalf("Claim(no lanes) = %v, %v; want nothing, nil", entries, err)
		}
	}},
	{"a caller may use its buffers again", func(t *testing.T, s hooks.Store) {
		e := event("e", "a")
		e.Event.Metadata = map[string]string{"k": "v"}
		want := event("e").Event
		want.Metadata = map[string]string{"k": "v"}
		enqueue(t, s, at(0), e)
		e.Event.Data[0], e.Event.Metadata["k"] = '!', "changed"
		e.Deliveries[0].Status = hooks.Failed
		alike(t, "Events(e)", readEvent(t, s, "e"), want, "Seq")
		equal(t, "Status", read(t, s, "e", "a").Status, hooks.Pending)
	}},
}

var duplicateRules = []rule{
	{"an event id that is stored is a duplicate", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		r := enqueue(t, s, at(1), ofType(event("e", "a", "b"), "other"))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "e", Duplicate: true})
		equal(t, "Type", readEvent(t, s, "e").Type, "thing.happened")
		equal(t, "len(Deliveries(e))", len(deliveries(t, s, hooks.Query{Event: "e"})), 1)
	}},
	{"an event id twice in one call is stored once", func(t *testing.T, s hooks.Store) {
		same(t, "Enqueue", enqueue(t, s, at(0), event("e", "a"), event("e", "a", "b")),
			[]hooks.Receipt{{EventID: "e", Deliveries: 1}, {EventID: "e", Duplicate: true}})
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 1)
	}},
	{"an idempotency key that is taken makes a duplicate", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1", "a"), "k", at(60)))
		r := enqueue(t, s, at(1), keyed(event("2", "a"), "k", at(61)))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "1", Duplicate: true})
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 1)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 1)
	}},
	{"an idempotency key twice in one call stores the first event", func(t *testing.T, s hooks.Store) {
		same(t, "Enqueue", enqueue(t, s, at(0),
			keyed(event("1", "a"), "k", at(60)), keyed(event("2", "a"), "k", at(60))),
			[]hooks.Receipt{{EventID: "1", Deliveries: 1}, {EventID: "1", Duplicate: true}})
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 1)
	}},
	{"an idempotency key outlives its event", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1", "a"), "k", at(60)))
		finish(t, s, "1", "a", hooks.Succeeded, at(1))
		p := everything(at(9))
		p.Keys = time.Time{}
		pruneAll(t, s, p)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		for _, id := range []string{"1", "2", "1", "2"} { // being refused does not free the key
			r := enqueue(t, s, at(10), keyed(event(id, "a"), "k", at(70)))
			equal(t, "Enqueue("+id+")", r[0], hooks.Receipt{EventID: "1", Duplicate: true})
		}
	}},
	{"an idempotency key is free from KeyUntil on", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1", "a"), "k", at(60)))
		before := at(60).Add(-time.Microsecond)
		if r := enqueue(t, s, before, keyed(event("2", "a"), "k", at(120))); !r[0].Duplicate {
			t.Fatalf("Enqueue(1 µs before KeyUntil) = %+v; want a duplicate", r[0])
		}
		r := enqueue(t, s, at(60), keyed(event("3", "a"), "k", at(120)))
		equal(t, "Enqueue(at KeyUntil)", r[0], hooks.Receipt{EventID: "3", Deliveries: 1})
	}},
	{"an idempotency key that was free is taken anew", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), keyed(event("1"), "k", at(60)))
		enqueue(t, s, at(60), keyed(event("2"), "k", at(120)))
		r := enqueue(t, s, at(119), keyed(event("3"), "k", at(180)))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "2", Duplicate: true})
	}},
	{"an idempotency key is its tenant's", func(t *testing.T, s hooks.Store) {
		for _, tenant := range []string{"", "acme", "Acme"} {
			id := "of-" + tenant
			r := enqueue(t, s, at(0), keyed(ofTenant(event(id), tenant), "k", at(60)))
			equal(t, "Enqueue("+id+")", r[0], hooks.Receipt{EventID: id})
		}
	}},
	{"events without an idempotency key do not exclude each other", func(t *testing.T, s hooks.Store) {
		same(t, "Enqueue", enqueue(t, s, at(0), event("1"), event("2")),
			[]hooks.Receipt{{EventID: "1"}, {EventID: "2"}})
	}},
	{"a duplicate takes no idempotency key", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("1"))
		enqueue(t, s, at(0), keyed(event("1"), "k", at(60)))
		r := enqueue(t, s, at(0), keyed(event("2"), "k", at(60)))
		equal(t, "Enqueue(2)", r[0], hooks.Receipt{EventID: "2"})
	}},
}

var addRules = []rule{
	{"Add writes the deliveries that are missing", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a", "b"))
		apply(t, s, at(1), outcome(claimOne(t, s, at(1), "a"), hooks.Succeeded, at(1)))
		before := []hooks.Delivery{read(t, s, "e", "a"), read(t, s, "e", "b")}
		r := enqueue(t, s, at(2), adding(due(event("e", "a", "b", "c"), at(2))))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "e", Deliveries: 1})
		rows(t, "Deliveries(a, b)",
			[]hooks.Delivery{read(t, s, "e", "a"), read(t, s, "e", "b")}, before)
		if c := read(t, s, "e", "c"); c.Seq <= before[1].Seq {
			t.Errorf("Seq of what was added = %d; want above %d", c.Seq, before[1].Seq)
		}
		equal(t, "Claim(c)", claimOne(t, s, at(2), "c").Event, "e")
	}},
	{"Add leaves the event as it is", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		want := readEvent(t, s, "e")
		other := ofTenant(ofType(event("e", "b"), "other"), "other")
		other.Event.Data = []byte(`"other"`)
		enqueue(t, s, at(1), adding(keyed(other, "k", at(60))))
		alike(t, "Events(e)", readEvent(t, s, "e"), want)
		r := enqueue(t, s, at(1), keyed(ofTenant(event("f"), "other"), "k", at(60)))
		equal(t, "Enqueue(a key that Add named)", r[0], hooks.Receipt{EventID: "f"})
	}},
	{"Add to an event without deliveries works", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e"))
		enqueue(t, s, at(0), adding(event("e", "a")))
		equal(t, "Claim(a)", claimOne(t, s, at(0), "a").Event, "e")
	}},
	{"Add to an unknown event writes nothing of the call", func(t *testing.T, s hooks.Store) {
		entries := []hooks.Entry{
			keyed(event("1", "a"), "k", at(60)),
			adding(event("unknown", "a")),
			event("2", "a"),
		}
		_, err := s.Enqueue(t.Context(), at(0), entries)
		if !errors.Is(err, hooks.ErrNotFound) {
			t.Fatalf("Enqueue = %v; want ErrNotFound", err)
		}
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 0)
		equal(t, "len(Backlog())", len(backlog(t, s)), 0)
		r := enqueue(t, s, at(0), keyed(event("3"), "k", at(60)))
		equal(t, "Enqueue(the same key)", r[0], hooks.Receipt{EventID: "3"})
	}},
}
