package kit

import (
	"context"
	"testing"

	"example.com/hooks"
)

// PlaceOrder publishes an [OrderPlaced] with the ID n.
func PlaceOrder(t *testing.T, h *hooks.Hooks, n int) hooks.Receipt {
	t.Helper()
	r, err := h.Publish(t.Context(), OrderPlaced.New(Order{ID: n}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Delivery returns a delivery, which must exist.
func Delivery(t *testing.T, h *hooks.Hooks, event, subscriber string) hooks.Delivery {
	t.Helper()
	d, err := h.Delivery(t.Context(), hooks.DeliveryID{Event: event, Subscriber: subscriber})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Put stores an endpoint. It receives [InvoicePaid] if e names no events.
func Put(t *testing.T, h *hooks.Hooks, e hooks.Endpoint) hooks.Endpoint {
	t.Helper()
	if e.Events == nil {
		e.Events = []string{"invoice.paid"}
	}
	made, err := h.PutEndpoint(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// Send publishes an [InvoicePaid].
func Send(t *testing.T, h *hooks.Hooks) hooks.Receipt {
	t.Helper()
	return Publish(t, h, InvoicePaid.New(Invoice{Number: 7}))
}

// Publish publishes an event as it is given.
func Publish(t *testing.T, h *hooks.Hooks, ev hooks.Event) hooks.Receipt {
	t.Helper()
	r, err := h.Publish(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Events lists all events that are stored.
func Events(t *testing.T, h *hooks.Hooks) []hooks.Event {
	t.Helper()
	return allPages(t, h.Events)
}

// Deliveries lists all deliveries that are stored.
func Deliveries(t *testing.T, h *hooks.Hooks) []hooks.Delivery {
	t.Helper()
	return allPages(t, h.Deliveries)
}

// allPages calls list until it has returned the last page.
func allPages[T any](t *testing.T, list func(context.Context, hooks.Query) ([]T, string, error)) (all []T) {
	t.Helper()
	var q hooks.Query
	for {
		page, next, err := list(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}
