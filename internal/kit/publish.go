package kit

import (
	"context"
	"testing"

	"example.com/hooks"
)

func PlaceOrder(t *testing.T, h *hooks.Hooks, n int) hooks.Receipt {
	t.Helper()
	r, err := h.Publish(t.Context(), OrderPlaced.New(Order{n}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func Delivery(t *testing.T, h *hooks.Hooks, event, subscriber string) hooks.Delivery {
	t.Helper()
	d, err := h.Delivery(t.Context(), hooks.DeliveryID{Event: event, Subscriber: subscriber})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// put stores an endpoint of invoicePaid, unless e names other events.
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

// send publishes an invoicePaid.
func Send(t *testing.T, h *hooks.Hooks) hooks.Receipt {
	t.Helper()
	return Publish(t, h, InvoicePaid.New(Invoice{7}))
}

func Publish(t *testing.T, h *hooks.Hooks, ev hooks.Event) hooks.Receipt {
	t.Helper()
	r, err := h.Publish(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func Events(t *testing.T, h *hooks.Hooks) []hooks.Event {
	t.Helper()
	return allPages(t, h.Events)
}

func Deliveries(t *testing.T, h *hooks.Hooks) []hooks.Delivery {
	t.Helper()
	return allPages(t, h.Deliveries)
}

// allPages lists everything, page by page.
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
