// Package hooks delivers an application's events: to other people's HTTP
// endpoints as signed webhooks, and to functions in the same process, with
// the same persistence, retries and history.
//
// The application declares its event types and subscribers in code. Publish
// saves an event, and one delivery for each subscriber, in a [Store] before
// anything is sent; Run delivers what is stored. There is no broker and no
// second deployment: the Store is memory for tests, SQLite for one machine, PostgreSQL
// for several, or one of your own, which package storetest checks.
//
//	var InvoicePaid = hooks.EventType[Invoice]{Name: "invoice.paid"}
//
//	store, err := sqlite.Open("hooks.db")
//	h, err := hooks.New(hooks.Config{Store: store})
//	err = h.Register(InvoicePaid)
//	err = h.Subscribe(InvoicePaid.Handler("receipt-mailer", mailReceipt))
//	ep, err := h.PutEndpoint(ctx, hooks.Endpoint{
//		ID: "crm", URL: "https://crm.example.com/hooks", Events: []string{"invoice.*"},
//	})
//
//	group.Go(func() error { return h.Run(ctx) }) // delivers until ctx ends, then drains
//
//	receipt, err := h.Publish(ctx, InvoicePaid.New(invoice)) // nil: it is stored and will be delivered
//
// Delivery is at least once: a crash between a request and the writing of its
// outcome repeats the request, with the same webhook-id. Receivers verify and
// deduplicate with the Standard Webhooks libraries, or package signer.
//
// # What an endpoint receives
//
// Each attempt is a POST with the headers webhook-id, webhook-timestamp and
// webhook-signature of Standard Webhooks. The webhook-id is the event's ID. The body is
// JSON, with the event's Time as timestamp, or the event's Data alone if [Endpoint].Raw is
// set:
//
//	{"type":"invoice.paid","timestamp":"2026-11-30T09:15:00.000Z","data":{"number":"R-1001"}}
//
// Any status from 200 to 299 is a success, unless the response breaks off. After 410 Gone
// the delivery has failed for good, with [ReasonRejected]. Everything else, a redirect too,
// is a failed attempt, and the retry policy says when the next one comes. If the status is
// 429 or 503, the next one also waits for the time in Retry-After, up to 24 h.
package hooks

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Version is the version of this library, as [Config].UserAgent tells it to receivers.
const Version = "0.2.0"

// Hooks publishes events and delivers them. Make one with [New]; its methods are safe for
// concurrent use. A nil context is an [*InvalidError].
//
// A Hooks is for the application and its operators: it shows the data of every tenant.
// [Hooks.Tenant] returns a view of one customer's data.
type Hooks struct {
	view // the methods that it shares with Tenant

	cfg      Config
	store    Store
	clock    Clock // the store's, or nil
	log      *slog.Logger
	trace    tracer
	dir      *directory
	reporter *reporter // of subscribers that fail
	meter    *meter    // of attempts; nil if the store is no Reporter
	client   *client   // what all webhooks share

	attemptLog attemptLog // of lines about attempts
	closeIdle  func()     // ends the idle connections of the transport that New made
	announcer  announcer  // of commits, to other processes
	tests      testRuns   // of SendTest and VerifyEndpoint, that are under way
	challenges challenges // that tenants sent last

	anchor atomic.Pointer[anchor] // of the clock that everything is dated by; nil: not read yet
	wall   func() time.Time       // the machine's clock; nil: that of time.Now
	// stepped is called when the clock was set, while Run runs. It takes the lanes' lock.
	stepped atomic.Pointer[func()]
	plain   atomic.Bool // the log was told that secrets are stored in plain text
	calls   openCalls   // of the store, that have not returned

	creating chan struct{} // holds one while a tenant's endpoint is put, so that its count stays true

	mu sync.Mutex // guards what follows
	// types are the registered ones and the library's own; handlers those of this process, by name.
	types    map[string]declaration
	handlers map[string]Handler
	running  *dispatcher // while Run runs
}

// New returns a Hooks that works as c says. It reports all that is wrong with
// c at once, and touches neither the store nor the network.
func New(c Config) (*Hooks, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c, closeIdle := c.withDefaults().contained().withTransport()
	h := &Hooks{
		cfg:        c,
		store:      c.Store,
		log:        c.Logger,
		trace:      tracer{c.Trace, c.Logger, new(throttle)},
		attemptLog: attemptLog{c.Logger, new(throttle)},
		closeIdle:  closeIdle,
		types:      ownTypes(),
		handlers:   make(map[string]Handler),
		reporter:   newReporter(),
		meter:      newMeter(c.Store, c.Logger),
		announcer:  announcer{owed: make(chan struct{}, 1)},
		creating:   make(chan struct{}, 1),
	}
	h.view = view{h: h, all: true}
	h.clock, _ = optional[Clock](c.Store)
	h.client = &client{c.Egress, c.Transport, c.UserAgent, h.attemptLog, h.now}
	h.dir = newDirectory(c.Logger, c.Keeper, h.connect)
	return h, nil
}

// Subscribe makes s receive events in this process. Call it before Run and before you
// publish, because Publish makes deliveries for the subscribers that it knows at that
// moment. Other processes publish to s once Run of this process has recorded it in the
// store.
//
// Bad input is an [*InvalidError]. It wraps [ErrTaken] if another subscriber has the Name,
// [ErrNoMatch] if a pattern matches no registered type, and [ErrRunning] if Run has begun.
func (h *Hooks) Subscribe(s Handler) error {
	if err := s.check(); err != nil {
		return err
	}
	s.Events = slices.Clone(s.Events)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.handlers[s.Name]; ok || h.dir.isEndpoint(s.Name) {
		return invalid("Handler.Name", "%q is another subscriber's id; choose one of its own", s.Name).because(ErrTaken)
	}
	if err := h.checkPatterns("Handler.Events", s.Events, ourselves); err != nil {
		return err
	}
	if h.running != nil {
		return invalid("Handler", "Run has begun; subscribe %q before", s.Name).because(ErrRunning)
	}
	s.Retry = containPolicy(s.Retry, h.log)
	h.handlers[s.Name] = s
	h.dir.addLocal(&function{s, h.attemptLog})
	return nil
}

// isID reports whether s may be the id of an event, an endpoint or a handler: 1 to 128
// letters, digits, "_" and "-". Every publish asks, and a regular expression would take
// a twentieth of it.
func isID(s string) bool {
	if len(s) < 1 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// newID returns prefix and a UUIDv7.
func newID(prefix string) string { return prefix + uuid.Must(uuid.NewV7()).String() }
