package hooks_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"example.com/hooks"
)

func TestPositionOfAPage(t *testing.T) {
	for cursor, want := range map[string]int64{
		"":                    math.MaxInt64,
		"1":                   1,
		"7":                   7,
		hooks.Cursor(1 << 40): 1 << 40,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := (hooks.Query{Cursor: cursor}).Position(); got != want || err != nil {
			t.Errorf("Position(%q) = %d, %v; want %d", cursor, got, err, want)
		}
	}
	for cursor, want := range map[string]int64{"": 0, "1": 1, "7": 7} {
		if got, err := (hooks.Query{Cursor: cursor, OldestFirst: true}).Position(); got != want || err != nil {
			t.Errorf("Position(%q, oldest first) = %d, %v; want %d", cursor, got, err, want)
		}
	}
	for _, cursor := range []string{"0", "-1", "x", " 1", "1.5", "9223372036854775808"} {
		_, err := hooks.Query{Cursor: cursor}.Position()
		if invalid, ok := errors.AsType[*hooks.InvalidError](err); !ok || invalid.Field != "Query.Cursor" {
			t.Errorf("Position(%q) = %v; want an InvalidError of Query.Cursor", cursor, err)
		}
	}
}

func TestSizeOfAPage(t *testing.T) {
	for _, c := range []struct{ limit, most, want int }{
		{0, 1000, 50},
		{-1, 1000, 50},
		{0, 20, 20},
		{1, 1000, 1},
		{1000, 1000, 1000},
		{1001, 1000, 1000},
	} {
		if got := (hooks.Query{Limit: c.limit}).PageSize(c.most); got != c.want {
			t.Errorf("Query{Limit: %d}.PageSize(%d) = %d; want %d", c.limit, c.most, got, c.want)
		}
	}
}

func TestReleasedDeliveryWaitsAgain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for attempts, status := range map[int]hooks.Status{0: hooks.Pending, 1: hooks.Retrying, 3: hooks.Retrying} {
		leased := hooks.Delivery{
			DeliveryID: hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"}, Tenant: "acme", OrderingKey: "k",
			Status: hooks.Sending, Due: now.Add(time.Minute), Run: 2, Attempts: attempts, Lost: 1, Token: 7,
			Created: now.Add(-time.Hour), Updated: now.Add(-time.Minute), Code: 503, Error: "status",
		}
		want := leased
		want.Status, want.Due = status, now
		if got := leased.Released(now); got != want {
			t.Errorf("Released with %d attempts = %+v; want %+v", attempts, got, want)
		}
	}
}

func TestDeliveriesAreGroupedByEvent(t *testing.T) {
	list := func(ids ...hooks.DeliveryID) (ds []hooks.Delivery) {
		for i, id := range ids {
			ds = append(ds, hooks.Delivery{DeliveryID: id, Seq: int64(i)})
		}
		return ds
	}
	ds := list(
		hooks.DeliveryID{Event: "b", Subscriber: "crm"}, hooks.DeliveryID{Event: "a", Subscriber: "crm"},
		hooks.DeliveryID{Event: "b", Subscriber: "mail"}, hooks.DeliveryID{Event: "c", Subscriber: "crm"},
		hooks.DeliveryID{Event: "b", Subscriber: "audit"},
	)
	type group struct {
		event string
		seqs  []int64
	}
	got := hooks.GroupByEvent(ds)
	want := []group{{"b", []int64{0, 2, 4}}, {"a", []int64{1}}, {"c", []int64{3}}}
	if len(got) != len(want) {
		t.Fatalf("GroupByEvent = %d entries; want %d", len(got), len(want))
	}
	for i, w := range want {
		if got[i].Event.ID != w.event || len(got[i].Deliveries) != len(w.seqs) {
			t.Errorf("entry %d = %d deliveries of %q; want %d of %q",
				i, len(got[i].Deliveries), got[i].Event.ID, len(w.seqs), w.event)
			continue
		}
		for j, seq := range w.seqs {
			if d := got[i].Deliveries[j]; d.Event != w.event || d.Seq != seq {
				t.Errorf("entry %d has %v (Seq %d) as its delivery %d; want Seq %d", i, d.DeliveryID, d.Seq, j, seq)
			}
		}
	}
	if got := hooks.GroupByEvent(nil); len(got) != 0 {
		t.Errorf("GroupByEvent(nil) = %v; want none", got)
	}
}
