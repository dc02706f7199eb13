package memory_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

var now = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func entry(n int, orderingKey string) hooks.Entry {
	id := "evt_" + strconv.Itoa(n)
	return hooks.Entry{
		Event: hooks.Event{ID: id, Type: "invoice.paid", Data: []byte(`{"cents":4200}`)},
		Deliveries: []hooks.Delivery{{
			DeliveryID:  hooks.DeliveryID{Event: id, Subscriber: "crm"},
			Type:        "invoice.paid",
			OrderingKey: orderingKey,
			Status:      hooks.Pending,
			Due:         now,
			Run:         1,
		}},
	}
}

// BenchmarkEnqueue saves events of one delivery, one by one.
func BenchmarkEnqueue(b *testing.B) {
	ctx, s := context.Background(), memory.New()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := s.Enqueue(ctx, now, []hooks.Entry{entry(n, "")}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeliver enqueues, leases and finishes deliveries, one by one,
// beside 10,000 others: without an ordering key, and all with the same.
func BenchmarkDeliver(b *testing.B) {
	b.Run("free", func(b *testing.B) { deliver(b, "") })
	b.Run("ordered", func(b *testing.B) { deliver(b, "k") })
}

func deliver(b *testing.B, orderingKey string) {
	ctx, s := context.Background(), memory.New()
	const others = 10_000
	for n := range others {
		if _, err := s.Enqueue(ctx, now, []hooks.Entry{entry(n, orderingKey)}); err != nil {
			b.Fatal(err)
		}
	}
	lanes := []hooks.ClaimLane{{Subscriber: "crm", Max: 1, Before: now, LeaseUntil: now.Add(time.Minute)}}
	b.ReportAllocs()
	for n := others; b.Loop(); n++ {
		if _, err := s.Enqueue(ctx, now, []hooks.Entry{entry(n, orderingKey)}); err != nil {
			b.Fatal(err)
		}
		claimed, err := s.Claim(ctx, now, lanes)
		if err != nil {
			b.Fatal(err)
		}
		d := claimed[0].Deliveries[0]
		d.Status, d.Updated = hooks.Succeeded, now
		if _, err := s.Update(ctx, now, []hooks.Change{{Delivery: d}}); err != nil {
			b.Fatal(err)
		}
	}
}
