// Package kit is what the tests of this repository share. External tests import it
// (package hooks_test, package systemtest_test …), and nothing else does.
//
// Event types, and a Hooks that knows them:
//
//	Invoice, InvoicePaid      an event type; New registers it
//	Order, OrderPlaced        another one; Subscribed and Dispatching register it, too
//	New                       a Hooks, on a memory store if the Config has none
//	Subscribed                New, with handlers that receive every event
//	Dispatching               Subscribed, and running: for bubbles
//	Start, StartInBubble      run a Hooks in the background until the test ends
//	Silent                    a logger that writes nothing
//
// To publish, and to see what is stored:
//
//	Put                       stores an endpoint
//	Send, PlaceOrder          publish an InvoicePaid, an OrderPlaced
//	Publish                   publishes an event as it is given
//	Events, Deliveries        list all that is stored
//	Delivery                  returns one delivery
//	Describe                  returns as text what is read from a store
//
// A store that is full:
//
//	FillArchive, Archive      writes many deliveries, most of them finished
//	Archive.Reads, Read       calls of each method that reads them
//	NewArchived, MeasureReads a Hooks on them; how long the calls take
//
// Subscribers, and what they were sent:
//
//	Receiver, Keeping         a real HTTP server, a handler, that keep each request
//	Received                  such a request
//	Exchange, Answer          a transport that is a function, and a response for it
//	Pipes                     a transport to an http.Handler without sockets: for bubbles
//	Loopback                  the egress policy with which a Receiver can be reached
//	AnyURL                    a URL for tests that do not send, or have a transport
//	Traced, Outcome           the finished attempts that Trace.Finished was told of
//	AttemptOnce               the outcome of a single attempt
//	Kept                      all that is kept of an outcome, as text
//	Ignore, Counting, BusyFor handlers: one that does nothing, that counts, that takes time
//	Tally, CallLog            how often, and when, such a handler was called
//
// Stores that misbehave, or look at what they are asked:
//
//	GatedStore, Once          calls functions of the test before or after its own work
//	SlowReaderStore           holds back what it has read
//	SlowWriter                is slow to write, and hides that it has written
//	CountingStore             counts how often its backlog is read
//	ClockedStore, ByClocks    has a clock, and checks the times that it is given
//	LockableStore             a ClockedStore with a lock
//	ErrFault                  the error of a store that fails
//	Leased, Accuse            lease deliveries, or mark one, as another process would
//
// Secrets:
//
//	LeakySecret, Secret       a secret that no output may contain, and how to parse it
//	Haystack                  bytes in which a secret must not be found, in any encoding
//	NewKeeper, Recorded       a Keeper with new keys, and a record as the store has it
//	SignedBy                  a transport that tells which secrets signed a request
//
// Pages of an http.Handler:
//
//	Crawler                   follows the links of pages
//
// Checks, and how tests are run:
//
//	Soon                      the next value of a channel, or a failure
//	WantInvalid, WantEmpty    an error refuses a field; nothing is stored
//	Long, RaceDetector        run long forms of tests (-hooks.long); run with -race
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

// Long asks for the long forms of the tests that have one, as in
//
//	go test ./internal/systemtest -run Crash -hooks.long -timeout 1h
var Long = flag.Bool("hooks.long", false, "run the long forms of the tests that have one")

// Silent writes nothing.
var Silent = slog.New(slog.DiscardHandler)

// An Invoice is the data of an [InvoicePaid].
type Invoice struct {
	Number int `json:"number"`
}

// InvoicePaid is the event type that most tests about endpoints publish.
var InvoicePaid = hooks.EventType[Invoice]{Name: "invoice.paid"}

// An Order is the data of an [OrderPlaced].
type Order struct {
	ID int `json:"id"`
}

// OrderPlaced is the event type that most tests about handlers publish.
var OrderPlaced = hooks.EventType[Order]{Name: "order.placed"}

// New returns a Hooks that knows [InvoicePaid]. Its store is a new memory store if cfg has
// none.
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

// Subscribed is [New], and knows [OrderPlaced] as well as the handlers, which receive every
// event.
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

// Dispatching is [Subscribed], and runs until the test ends. Call it in a bubble of
// testing/synctest.
func Dispatching(t *testing.T, cfg hooks.Config, handlers ...hooks.Handler) *hooks.Hooks {
	t.Helper()
	h := Subscribed(t, cfg, handlers...)
	StartInBubble(t, h)
	return h
}

// Start runs h until stop is called or the test ends. It fails the test if Run returns an
// error.
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

// StartInBubble is [Start], and returns when h waits for something to do. Call it in a
// bubble of testing/synctest.
func StartInBubble(t *testing.T, h *hooks.Hooks) (stop func()) {
	t.Helper()
	stop = Start(t, h)
	synctest.Wait()
	return stop
}
