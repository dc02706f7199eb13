package memory_test

import (
	"context"
	"fmt"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

// A store by itself, as [hooks.Hooks] uses it: what is enqueued is claimed
// under a lease, and updated with its outcome.
func Example() {
	ctx, now := context.Background(), time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	store := memory.New()
	defer store.Close()

	_, err := store.Enqueue(ctx, now, []hooks.Entry{{
		Event: hooks.Event{ID: "evt_1", Type: "invoice.paid", Data: []byte(`{"cents":4200}`)},
		Deliveries: []hooks.Delivery{{
			DeliveryID: hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"},
			Type:       "invoice.paid", Status: hooks.Pending, Due: now, Run: 1, Created: now,
		}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	claimed, err := store.Claim(ctx, now, []hooks.ClaimLane{
		{Subscriber: "crm", Max: 10, Before: now, LeaseUntil: now.Add(time.Minute)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	d := claimed[0].Deliveries[0]
	fmt.Println(d, d.Status)

	d.Status, d.Attempts, d.Updated = hooks.Succeeded, 1, now
	stale, err := store.Update(ctx, now, []hooks.Change{{Delivery: d}, {Delivery: d}})
	fmt.Println(stale, err) // the second change came too late
	// Output:
	// evt_1.crm sending
	// [evt_1.crm] <nil>
}
