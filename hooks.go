// Package hooks delivers an application's events: to other people's HTTP
// endpoints as signed webhooks, and to functions in the same process, with
// the same persistence, retries and history.
//
// The application declares its event types and subscribers in code. Publish
// saves an event, and one delivery for each subscriber, in a [Store] before
// anything is sent; Run delivers what is stored. There is no broker and no
// second deployment: memory for tests, SQLite for one machine, PostgreSQL
// for several, or a Store of your own, which package storetest checks.
//
//	var InvoicePaid = hooks.NewEventType[Invoice]("invoice.paid")
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
package hooks

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Version is the version of this library, as [Config].UserAgent tells it to receivers.
const Version = "0.2.0"

// Hooks publishes events and delivers them. Make one with [New]; its methods
// are safe for concurrent use. A nil context is an [*InvalidError].
type Hooks struct {
	cfg      Config
	store    Store
	log      *slog.Logger
	trace    tracer
	dir      *directory
	reporter *reporter // of subscribers that fail
	throttle throttle  // of lines about attempts

	closeIdle func()    // ends the idle connections of the transport that New made
	announcer announcer // of commits, to other processes

	anchor atomic.Pointer[anchor] // of the clock that everything is dated by; nil: not read yet
	wall   func() time.Time       // the machine's clock; nil: that of time.Now
	// stepped is called when the clock was set, while Run runs. It takes the lanes' lock.
	stepped atomic.Pointer[func()]
	plain   atomic.Bool // the log was told that secrets are stored in plain text
	calls   openCalls   // of the store, that have not returned

	mu sync.Mutex // guards what follows
	// types are the registered ones; handlers those of this process, by name.
	types    map[string]bool
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
	return &Hooks{
		cfg:       c,
		store:     c.Store,
		log:       c.Logger,
		trace:     tracer{c.Trace, c.Logger, new(throttle)},
		dir:       newDirectory(c.Logger, c.Keeper),
		closeIdle: closeIdle,
		types:     make(map[string]bool),
		handlers:  make(map[string]Handler),
		reporter:  newReporter(),
		announcer: announcer{owed: make(chan struct{}, 1)},
	}, nil
}

// Register makes event types known. Events of other types cannot be
// published, and patterns must match one that is known. Registering a type
// again does nothing.
func (h *Hooks) Register(types ...AnyEventType) error {
	for _, t := range types {
		if err := checkType(t.Name()); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range types {
		h.types[t.Name()] = true
	}
	return nil
}

// Subscribe makes s receive events in this process. Call it before Run, and
// before publishing: an event has the subscribers that are known when it is
// published. Events that other processes publish reach it when Run has recorded
// it. It is refused if its Name is taken, a pattern matches no registered type,
// or Run has begun.
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
	if err := h.checkPatterns("Handler.Events", s.Events); err != nil {
		return err
	}
	if h.running != nil {
		return invalid("Handler", "Run has begun; subscribe %q before", s.Name).because(ErrRunning)
	}
	s.Retry = containPolicy(s.Retry, h.log)
	h.handlers[s.Name] = s
	h.dir.addLocal(s)
	return nil
}

func (s Handler) check() error {
	switch err := checkPolicy(s.Retry); {
	case !isID(s.Name):
		return invalid("Handler.Name", "%q: write 1 to 128 letters, digits, _ and -", s.Name)
	case s.Func == nil:
		return invalid("Handler.Func", "it is nil; %q needs a function to call", s.Name)
	case s.Concurrency < 0:
		return invalid("Handler.Concurrency", "%d is negative; leave it zero for the default", s.Concurrency)
	case s.Timeout < 0 || s.Timeout > day:
		return invalid("Handler.Timeout", "%v: at most 24 h, and zero for the default", s.Timeout)
	case err != nil:
		return invalid("Handler.Retry", "%v", err).because(err)
	}
	return nil
}

// maxPatterns is how many patterns one subscriber may have. Publish may have to try all
// of them.
const maxPatterns = 64

// checkPatterns refuses too many or none, what is no pattern or matches no registered type.
// h.mu is held.
func (h *Hooks) checkPatterns(field string, ps []string) error {
	if len(ps) == 0 {
		return invalid(field, "it is empty; write the types to receive, or ** for all")
	}
	if len(ps) > maxPatterns {
		return invalid(field, "%d patterns; at most %d: write * for any segment, ** for the rest, or ** for all", len(ps), maxPatterns)
	}
	for _, p := range ps {
		if err := pattern(p).check(field); err != nil {
			return err
		}
		if !anyKey(h.types, pattern(p).match) {
			return invalid(field, "%q matches no registered type (there are %v); register the type first, or mend the pattern",
				p, slices.Sorted(maps.Keys(h.types))).because(ErrNoMatch)
		}
	}
	return nil
}

func anyKey(m map[string]bool, f func(string) bool) bool {
	for k := range m {
		if f(k) {
			return true
		}
	}
	return false
}

// CheckURL reports whether an endpoint may have this URL: nil, or an
// [*egress.Error] whose Rule and Reason say what is wrong with it and what to do.
// Its text may be shown to whoever typed the URL; the fields are for the operator,
// for the Reason may speak of an address. A host name passes whatever it resolves
// to: that is decided at each attempt, which then fails with "destination not
// allowed". It asks no name server.
func (h *Hooks) CheckURL(raw string) error {
	_, err := h.cfg.Egress.CheckURL(raw)
	return err
}

// Run delivers until ctx ends. Then it takes no new work, waits for attempts
// under way up to [Config].DrainTimeout, cancels those that remain, gives
// back what it has leased without charging it, and returns nil. Errors of the
// store do not end it: it waits and tries again, from its first call of the store on.
// A call that does not return within 30 s counts as an error.
//
// Run returns an error only for what waiting cannot mend, within about a second
// whenever it happens: [ErrRunning] when it runs already, [ErrLocked] when another
// dispatcher has the store, [ErrClosed], [ErrTooNew] and [ErrForeign] when the store
// says so, and an [*InvalidError] when the name of a handler is an endpoint's id.
func (h *Hooks) Run(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	for {
		d, err := h.begin(false)
		switch {
		case err == nil:
			return h.dispatch(ctx, d)
		case !d.flushing:
			return err
		}
		select { // a Flush is at it
		case <-d.stopped:
		case <-ctx.Done():
			return nil
		}
	}
}

// Flush delivers what is due now: when it returns nil, every delivery that was
// due has had an attempt, and its outcome is stored. It does not wait for those
// that are due later, retries of what failed included. While Run runs, Flush
// waits for it; else it does what Run does, for that long. It is for tests,
// commands and jobs that end. Its error is ctx's, any that Run can return, or one that
// says that Run ended meanwhile. Like Run it waits while the store fails: give it a ctx
// that ends.
//
// What a transaction commits more than a second after PublishTx may be missed where the
// store may be late to find it, see [Store].
//
// Flush needs one moment in which nothing is due or under way. While events are
// published all the time, there may be none before ctx ends.
func (h *Hooks) Flush(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	for {
		d, err := h.begin(true)
		if err == nil {
			return h.dispatchOnce(ctx, d)
		}
		err = d.flush(ctx)
		if !d.flushing || !errors.Is(err, errStopped) {
			return err
		}
	}
}

// dispatchOnce is Run until all is flushed.
func (h *Hooks) dispatchOnce(ctx context.Context, d *dispatcher) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.dispatch(running, d) }()
	flushed := d.flush(ctx)
	stop()
	return cmp.Or(<-done, flushed)
}

// dispatch is Run, once it is the only one.
func (h *Hooks) dispatch(ctx context.Context, d *dispatcher) error {
	defer h.end(d)
	return d.dispatch(ctx)
}

// begin makes a dispatcher the running one, for a Flush or for Run, or returns
// [ErrRunning] and the one that is.
func (h *Hooks) begin(flushing bool) (*dispatcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running != nil {
		return h.running, ErrRunning
	}
	h.running = newDispatcher(h)
	h.running.flushing = flushing
	return h.running, nil
}

func (h *Hooks) end(d *dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = nil
	close(d.stopped)
}

// dispatcher returns the running one, or nil.
func (h *Hooks) dispatcher() *dispatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running
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
