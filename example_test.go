package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

type Invoice struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

var InvoicePaid = hooks.EventType[Invoice]{Name: "invoice.paid"}

// A whole program: a handler, an event, and a Run that drains.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	h, err := hooks.New(hooks.Config{Store: memory.New()})
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Register(InvoicePaid); err != nil {
		log.Fatal(err)
	}
	err = h.Subscribe(InvoicePaid.Handler("receipt-mailer", func(_ context.Context, _ hooks.Event, inv Invoice) error {
		fmt.Println("mail a receipt for", inv.ID)
		stop()
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := h.Publish(ctx, InvoicePaid.New(Invoice{ID: "in_1", Amount: 4200})); err != nil {
		log.Fatal(err)
	}
	if err := h.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: mail a receipt for in_1
}

// New reports all mistakes at once.
func ExampleNew() {
	_, err := hooks.New(hooks.Config{Timeout: -time.Second, Concurrency: -1})
	fmt.Println(err)
	// Output:
	// hooks: Config.Store: it is nil; set it to memory.New(), or what sqlite.Open returns
	// hooks: Config.Timeout: -1s is negative; leave it zero for the default
	// hooks: Config.Concurrency: -1 is negative; leave it zero for the default
}

// Publishing again with the same idempotency key stores nothing.
func ExampleHooks_Publish() {
	h, _ := hooks.New(hooks.Config{Store: memory.New()})
	h.Register(InvoicePaid)

	ev := InvoicePaid.New(Invoice{ID: "in_1"})
	ev.ID, ev.Tenant, ev.IdempotencyKey = "evt_1", "acme", "request-17"
	first, err := h.Publish(context.Background(), ev)
	fmt.Println(first.EventID, first.Duplicate, err)

	ev.ID = "evt_2"
	second, err := h.Publish(context.Background(), ev)
	fmt.Println(second.EventID, second.Duplicate, err)
	// Output:
	// evt_1 false <nil>
	// evt_1 true <nil>
}

// All ranges over every page of a list.
func ExampleAll() {
	h, _ := hooks.New(hooks.Config{Store: memory.New()})
	h.Register(InvoicePaid)
	ctx := context.Background()
	for _, id := range []string{"evt_1", "evt_2", "evt_3"} {
		ev := InvoicePaid.New(Invoice{ID: "in"})
		ev.ID = id
		h.Publish(ctx, ev)
	}
	for ev, err := range hooks.All(ctx, h.Events, hooks.Query{Types: []string{"invoice.*"}, Limit: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.ID)
	}
	// Output:
	// evt_3
	// evt_2
	// evt_1
}

// A portal gets the view of its customer, and cannot touch what is another's.
func ExampleHooks_Tenant() {
	h, _ := hooks.New(hooks.Config{Store: memory.New()})
	h.Register(InvoicePaid)
	ctx := context.Background()
	h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", Tenant: "rival", URL: "https://crm.example.com/in", Events: []string{"**"}})

	portal := h.Tenant("acme")
	ep, err := portal.PutEndpoint(ctx, hooks.Endpoint{ID: "erp", URL: "https://erp.example.com/in", Events: []string{"**"}})
	fmt.Println(ep.ID, ep.Tenant, err)
	fmt.Println(portal.DeleteEndpoint(ctx, "crm"))
	// Output:
	// erp acme <nil>
	// hooks: endpoint "crm": hooks: not found
}

// A customer leaves: their endpoints are deleted one by one, and a bulk action erases what
// their events said. Run carries it out, here or in another process, and after a restart too.
func ExampleHooks_StartAction() {
	h, _ := hooks.New(hooks.Config{Store: memory.New()})
	h.Register(InvoicePaid)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: "https://crm.example.com/in", Events: []string{"**"}})
	ev := InvoicePaid.New(Invoice{ID: "in_1", Amount: 4200})
	ev.ID, ev.Tenant = "evt_1", "acme"
	h.Publish(ctx, ev)

	for e, err := range hooks.All(ctx, h.Endpoints, hooks.Query{Tenant: "acme"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("delete", e.ID, h.DeleteEndpoint(ctx, e.ID))
	}
	erase := hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}, By: "kim"}
	a, err := h.StartAction(ctx, erase)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("erase", a.Total, "events")

	go h.Run(ctx)
	for a.Finished.IsZero() {
		<-time.After(10 * time.Millisecond)
		if a, err = h.Action(ctx, a.ID); err != nil {
			log.Fatal(err)
		}
	}
	gone, err := h.Event(ctx, "evt_1")
	fmt.Printf("%d done; evt_1 says %s, %v\n", a.Done, gone.Data, err)
	// Output:
	// delete crm <nil>
	// erase 1 events
	// 1 done; evt_1 says null, <nil>
}

// A pattern that matches nothing is refused: a typo must not swallow events.
func ExampleHooks_PutEndpoint() {
	h, _ := hooks.New(hooks.Config{Store: memory.New()})
	h.Register(InvoicePaid)
	ctx := context.Background()

	ep, err := h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", URL: "https://crm.example.com/in", Events: []string{"invoice.*"}})
	fmt.Println(ep.ID, ep.Secret, err) // Secret.Reveal shows it: hand it to the endpoint's owner now

	_, err = h.PutEndpoint(ctx, hooks.Endpoint{ID: "erp", URL: "https://erp.example.com/in", Events: []string{"invoices.*"}})
	fmt.Println(errors.Is(err, hooks.ErrNoMatch))
	fmt.Println(err)
	// Output:
	// crm whsec_*** <nil>
	// true
	// hooks: Endpoint.Events: "invoices.*" matches no event type; mend the pattern, or have the type registered first
}

// What a handler returns says what happens next.
func ExamplePermanent() {
	ctx, stop := context.WithCancel(context.Background())
	var once sync.Once
	h, _ := hooks.New(hooks.Config{Store: memory.New(), Trace: hooks.Trace{
		Finished: func(_ context.Context, d hooks.Delivery, a hooks.Attempt) {
			fmt.Printf("%s: %v, %s\n", d.Subscriber, d.Status, a.Body)
			once.Do(stop)
		},
	}})
	h.Register(InvoicePaid)
	h.Subscribe(InvoicePaid.Handler("ledger", func(_ context.Context, _ hooks.Event, inv Invoice) error {
		if inv.Amount <= 0 {
			return hooks.Permanent(errors.New("an invoice without an amount"))
		}
		return nil
	}))
	h.Publish(ctx, InvoicePaid.New(Invoice{ID: "in_1"}))
	h.Run(ctx)
	// Output: ledger: failed, an invoice without an amount
}

// A handler is told when a delivery to another subscriber has failed for good.
func ExampleDeliveryFailed() {
	ctx := context.Background()
	h, _ := hooks.New(hooks.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
	h.Register(InvoicePaid)
	h.Subscribe(InvoicePaid.Handler("ledger", func(context.Context, hooks.Event, Invoice) error {
		return hooks.Permanent(errors.New("the book is closed"))
	}))
	h.Subscribe(hooks.DeliveryFailed.Handler("pager", func(_ context.Context, _ hooks.Event, n hooks.DeliveryNotice) error {
		fmt.Printf("%s for %s: %s\n", n.Delivery.Type, n.Delivery.Subscriber, n.Delivery.Reason)
		return nil
	}))
	h.Publish(ctx, InvoicePaid.New(Invoice{ID: "in_1"}))
	h.Flush(ctx)
	// Output: invoice.paid for ledger: rejected
}

// An event type is a plain value that knows how to encode and decode.
func ExampleEventType() {
	ev := InvoicePaid.New(Invoice{ID: "in_1", Amount: 4200})
	fmt.Printf("%s %s\n", ev.Type, ev.Data)

	inv, err := InvoicePaid.Decode(ev)
	fmt.Println(inv.Amount, err)
	// Output:
	// invoice.paid {"id":"in_1","amount":4200}
	// 4200 <nil>
}
