package kit

import (
	"context"
	"flag"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

type Order struct {
	ID int `json:"id"`
}

var OrderPlaced = hooks.NewEventType[Order]("order.placed")

// dispatching returns a Hooks with the handlers, running on a memory store
// until the bubble's end. Call it in a synctest bubble.
func Dispatching(t *testing.T, cfg hooks.Config, handlers ...hooks.Handler) *hooks.Hooks {
	t.Helper()
	h := Subscribed(t, cfg, handlers...)
	StartInBubble(t, h)
	return h
}

// subscribed is dispatching, but without Run.
func Subscribed(t *testing.T, cfg hooks.Config, handlers ...hooks.Handler) *hooks.Hooks {
	t.Helper()
	h := New(t, cfg)
	if err := h.Register(OrderPlaced); err != nil {
		t.Fatal(err)
	}
	for _, s := range handlers {
		s.Events = []string{"**"}
		if err := h.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// runUntilCleanup is start, and returns when h has begun. Call it in a bubble.
func StartInBubble(t *testing.T, h *hooks.Hooks) (stop func()) {
	t.Helper()
	stop = Start(t, h)
	synctest.Wait()
	return stop
}

// long asks for the long forms of the tests that have one, as in
//
//	go test -run Crash -hooks.long -timeout 1h ./internal/systemtest
var Long = flag.Bool("hooks.long", false, "run the long forms of the tests that have one")

var Silent = slog.New(slog.DiscardHandler)

// What the tests of this package share:
//
//	invoice, invoicePaid      an event type; newHooks registers it
//	newHooks                  a Hooks with it, on memory if no store is given
//	start                     Run in the background, until the test ends
//	traced                    a channel of all that Trace.Finished is told
//	loopback                  the egress policy that lets a receiver be reached
//	receiver                  a real HTTP server that keeps what it was sent
//	exchange, answer          a transport that is a function, and a response for it
//	pipes                     a Transport to an http.Handler without sockets, for bubbles
//	put, send, mustPublish    one endpoint, one event, one event as given
//	soon                      the next value of a channel, or a failure
//	storedEvents, storedDeliveries  all that a Hooks' store holds
//	wantInvalid               that an error is an InvalidError for a field
//	endIfStuck                of a test that may wait for a mutex for ever

type Invoice struct {
	Number int `json:"number"`
}

var InvoicePaid = hooks.NewEventType[Invoice]("invoice.paid")

func New(t *testing.T, cfg hooks.Config) *hooks.Hooks {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	h, err := hooks.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(InvoicePaid); err != nil {
		t.Fatal(err)
	}
	return h
}

// start runs h until stop is called or the test ends, and fails the test if
// Run does.
func Start(t *testing.T, h *hooks.Hooks) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}
