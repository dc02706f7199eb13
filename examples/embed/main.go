// Command embed keeps one event in a file and delivers it to a function.
package main

import (
	"context"
	"fmt"
	"log"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

type Invoice struct{ Number string }

var InvoicePaid = hooks.EventType[Invoice]{Name: "invoice.paid"}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	store, err := sqlite.Open("embed.db")
	check(err)
	h, err := hooks.New(hooks.Config{Store: store})
	check(err)
	check(h.Register(InvoicePaid))
	check(h.Subscribe(InvoicePaid.Handler("mailer", func(_ context.Context, _ hooks.Event, inv Invoice) error {
		fmt.Println("delivered: receipt for invoice", inv.Number)
		stop()     // a server would go on
		return nil // an error would bring the event back in 5 s, then 5 min, 30 min, …
	})))
	receipt, err := h.Publish(ctx, InvoicePaid.New(Invoice{"R-1001"}))
	check(err) // nil: it is on disk, and survives a crash from here on
	fmt.Println("published:", receipt.Deliveries, "delivery to make")
	check(h.Run(ctx)) // delivers until ctx ends, then finishes what it has begun
	check(store.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
