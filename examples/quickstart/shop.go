package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"example.com/hooks"
	"example.com/hooks/admin"
)

// An Order is what a customer sends, and the data of its event.
type Order struct {
	ID    string `json:"id"`
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

// OrderPlaced is the event of this shop.
var OrderPlaced = hooks.EventType[Order]{
	Name:        "order.placed",
	Description: "A customer has placed an order.",
	Example:     Order{ID: "ABCDEFGH", Item: "Darjeeling", Cents: 890},
}

// A shop takes orders over HTTP and announces them.
type shop struct{ hooks *hooks.Hooks }

func (s shop) routes() (http.Handler, error) {
	pages, err := admin.New(s.hooks, admin.Config{
		Prefix:    "/admin",
		Authorize: admin.Unprotected, // for development only: a real shop asks its sessions
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.placeOrder)
	mux.Handle("/admin/", pages)
	return mux, nil
}

// placeOrder answers 202 when the order's event is stored. A client that got
// no answer sends the order again with the same Idempotency-Key.
func (s shop) placeOrder(w http.ResponseWriter, r *http.Request) {
	var o Order
	body := http.MaxBytesReader(w, r.Body, 4<<10)
	if err := json.NewDecoder(body).Decode(&o); err != nil || o.Item == "" {
		http.Error(w, `an order looks like {"item": "Darjeeling", "cents": 890}`, http.StatusBadRequest)
		return
	}
	o.ID = rand.Text()[:8]

	ev := OrderPlaced.New(o)
	ev.ID = "order-" + o.ID
	ev.IdempotencyKey = r.Header.Get("Idempotency-Key")
	receipt, err := s.hooks.Publish(r.Context(), ev)
	if refused, ok := errors.AsType[*hooks.InvalidError](err); ok {
		http.Error(w, refused.Error(), http.StatusBadRequest)
		return
	}
	if err != nil {
		slog.Error("publish an order", "error", err)
		http.Error(w, "please send the order again, with the same Idempotency-Key", http.StatusServiceUnavailable)
		return
	}

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	json.NewEncoder(w).Encode(placed{receipt.EventID, receipt.Deliveries, receipt.Duplicate})
}

// placed is the shop's answer to an order.
type placed struct {
	Event      string `json:"event"`
	Deliveries int    `json:"deliveries"`
	Duplicate  bool   `json:"duplicate"`
}

// mailReceipt is a function of the shop, and a subscriber like any receiver: if
// it returned an error it would be called again later, even by the next run.
func mailReceipt(_ context.Context, _ hooks.Event, _ Order) error {
	return nil // a real shop talks to its mail server here
}
