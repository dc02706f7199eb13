package hooks

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"example.com/hooks/egress"
	"example.com/hooks/retry"
)

// A Config says how a [Hooks] works. Only Store is required; the zero value
// of every other field stands for the default that its comment names.
type Config struct {
	// Store keeps everything. Hooks does not close it. Give each Store value to one Hooks
	// only. A second Hooks on the same value finds what the first one has stored by its
	// next poll, within about a second; if the store is [Exclusive], as memory and SQLite
	// are, it does not poll: then call its [Hooks.Wake].
	Store Store
	// Logger is told what an operator should know; docs/design.md lists the lines. Its
	// handler may call every method of [Hooks] but Run and Flush. A line at which it
	// panics is dropped. Nil: slog.Default().
	Logger *slog.Logger
	// Trace has functions that are called when events are published and delivered.
	Trace Trace

	// Retry says when a failed delivery is tried again, for subscribers whose own Retry is
	// nil. Nil: [retry.Standard], ten attempts in about three days; it is also used when a
	// policy panics. [retry.Jitter] is added to every wait.
	Retry retry.Policy
	// Timeout is how long an attempt may take, the response's body included, for
	// subscribers whose own Timeout is zero. Zero means 15 s.
	Timeout time.Duration
	// Concurrency is how many attempts may be under way at once in this
	// process. Zero means 64. At most half of it goes to subscribers that have
	// finished no attempt yet, or that are slow: their last attempt failed late,
	// or one under way is late. Late means longer than 250 ms and longer than
	// twice the time that the subscriber usually takes.
	//
	// First attempts that are late do not count, so that subscribers that answer need not
	// wait for them. But no first attempt begins while 4 × Concurrency late ones are under
	// way. So there are never more than 5 × Concurrency attempts.
	Concurrency int
	// SubscriberConcurrency is how many attempts may be under way at once for one
	// subscriber whose own Concurrency is zero. Zero means 4. After each start of the
	// process a subscriber begins with one attempt at a time. Each success adds one, and
	// each attempt that times out, or gets the status 502, 503 or 504, halves the number.
	SubscriberConcurrency int
	// DrainTimeout is how long Run waits for attempts under way when its
	// context ends, before it cancels them. Zero means 20 s.
	DrainTimeout time.Duration
	// Hold is how long a delivery may be held for a disabled endpoint that does not say
	// so itself; see [Hooks.DisableEndpoint]. Zero: 72 h. At most 30 days.
	Hold time.Duration

	// TenantEndpoints is how many endpoints a tenant may have when it makes another one
	// through its [Tenant]. Zero means 100. The PutEndpoint of Hooks ignores it. If
	// several processes make some at the same moment, there may be a few more.
	TenantEndpoints int
	// VerifyEndpoints demands of each endpoint that a [Tenant] makes, or points to another URL,
	// that its owner answers a challenge before it gets anything; see [Hooks.VerifyEndpoint].
	// Endpoints that were made before it was set stay as they are.
	VerifyEndpoints bool

	// MaxPayload is the most bytes that an event's Data may have. Zero means 256 KiB.
	MaxPayload int
	// IdempotencyWindow is how long an event's IdempotencyKey makes another event with the
	// same key a duplicate. Zero means 24 h.
	IdempotencyWindow time.Duration
	// Retention is how long succeeded and canceled deliveries are kept, and
	// FailedRetention the failed ones. Zero means 30 and 90 days. Run removes what is
	// older, see [Hooks.Prune].
	Retention, FailedRetention time.Duration

	// Egress says which URLs may be called. Zero means https to addresses that are
	// publicly routable, and nothing else.
	Egress egress.Policy
	// Transport sends the requests. Nil: [egress.NewTransport] with the policy above,
	// which keeps requests out of the internal network.
	//
	// Set another one to go through an egress proxy: NewTransport with the same policy and
	// a Proxy. Or set a fake in tests, which needs no network: URLs are checked by Egress
	// all the same, but no name is looked up.
	//
	// A panic in a Transport fails the attempt. A panic in a goroutine that it starts, such
	// as the one of net/http that dials, ends the process. Run closes the idle connections
	// of the default when it ends, and never those of a Transport that you set. An
	// [http.Transport] that is not from NewTransport may write what a receiver sends to
	// the standard logger.
	//
	// A request has the field Idempotency-Key without values, unless the endpoint's Header
	// sets it: so net/http may repeat the request on another connection, see
	// docs/guarantees.md. net/http does not send a field without values.
	Transport http.RoundTripper
	// UserAgent is the User-Agent of every request: printable ASCII. Empty:
	// "hooks/" and [Version].
	UserAgent string

	// Keeper encrypts the secrets and header values of endpoints before the Store
	// sees them; every process on the store needs it. Package keeper has one. Nil: they
	// are stored in plain text, and the log and [Hooks.Health] warn of that. A Keeper may
	// call only some methods of Hooks, see [Keeper].
	Keeper Keeper

	// Instance names this process in the history of attempts. Empty: the host's
	// name, the process id and a random suffix.
	Instance string
}

const (
	keyWindow = 24 * time.Hour
	day       = 24 * time.Hour
)

// check reports all that is wrong with the configuration at once.
func (c Config) check() error {
	var errs []error
	if c.Store == nil {
		errs = append(errs, invalid("Config.Store", "it is nil; set it to memory.New(), or what sqlite.Open returns"))
	}
	for _, v := range []struct {
		field  string
		value  any
		advice string
	}{
		{"Store", c.Store, "set it to memory.New(), or what sqlite.Open returns"},
		{"Transport", c.Transport, "leave the field alone for the default"},
		{"Keeper", c.Keeper, "leave the field alone to do without, or set it to what keeper.Parse returns"},
	} {
		if holdsNil(v.value) {
			errs = append(errs, invalid("Config."+v.field, "it holds a nil %T; %s", v.value, v.advice))
		}
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"Timeout", c.Timeout},
		{"DrainTimeout", c.DrainTimeout},
		{"Hold", c.Hold},
		{"IdempotencyWindow", c.IdempotencyWindow},
		{"Retention", c.Retention},
		{"FailedRetention", c.FailedRetention},
	} {
		if d.value < 0 {
			errs = append(errs, invalid("Config."+d.field, "%v is negative; leave it zero for the default", d.value))
		}
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"Concurrency", c.Concurrency},
		{"SubscriberConcurrency", c.SubscriberConcurrency},
		{"MaxPayload", c.MaxPayload},
		{"TenantEndpoints", c.TenantEndpoints},
	} {
		if n.value < 0 {
			errs = append(errs, invalid("Config."+n.field, "%d is negative; leave it zero for the default", n.value))
		}
	}
	if c.Timeout > day {
		errs = append(errs, invalid("Config.Timeout", "%v: at most 24 h, and zero for the default", c.Timeout))
	}
	if c.Hold > maxHold {
		errs = append(errs, invalid("Config.Hold", "%v: at most 30 days, and zero for the default", c.Hold))
	}
	if !isUserAgent(c.UserAgent) {
		errs = append(errs, invalid("Config.UserAgent", "%q: write printable ASCII without spaces around it, such as shop/1.0", c.UserAgent))
	}
	if err := checkPolicy(c.Retry); err != nil {
		errs = append(errs, invalid("Config.Retry", "%v", err).because(err))
	}
	if err := c.Egress.Validate(); err != nil {
		errs = append(errs, invalid("Config.Egress", "%v", err).because(err))
	}
	return errors.Join(errs...)
}

// holdsNil reports whether v, which is not nil itself, holds a pointer or
// function that is: most of their methods panic. A nil slice or map may be a
// value like others, as [retry.Schedule] is.
func holdsNil(v any) bool {
	r := reflect.ValueOf(v)
	return (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

// isUserAgent reports whether s can be sent as it is, in one line. The empty string
// stands for the default.
func isUserAgent(s string) bool {
	return s == strings.TrimSpace(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// checkPolicy asks a policy whether it is sound, if it can tell.
func checkPolicy(p retry.Policy) (err error) {
	if holdsNil(p) {
		return fmt.Errorf("it holds a nil %T; leave the field alone for the default", p)
	}
	if v, ok := p.(interface{ Validate() error }); ok {
		if f := contain(func() { err = v.Validate() }); f != nil {
			return fmt.Errorf("Validate did not return: %w", f)
		}
	}
	return err
}

// withDefaults returns c with every zero field replaced.
func (c Config) withDefaults() Config {
	orDefault(&c.Logger, slog.Default())
	orDefault(&c.Timeout, 15*time.Second)
	orDefault(&c.Concurrency, 64)
	orDefault(&c.SubscriberConcurrency, 4)
	orDefault(&c.DrainTimeout, 20*time.Second)
	orDefault(&c.Hold, defaultHold)
	orDefault(&c.TenantEndpoints, 100)
	orDefault(&c.MaxPayload, 256<<10)
	orDefault(&c.IdempotencyWindow, keyWindow)
	orDefault(&c.Retention, 30*day)
	orDefault(&c.FailedRetention, 90*day)
	orDefault(&c.UserAgent, "hooks/"+Version)
	if c.Retry == nil {
		c.Retry = retry.Standard()
	}
	if c.Instance == "" {
		host, _ := os.Hostname() // a name for people; an empty one will do
		c.Instance = host + "-" + strconv.Itoa(os.Getpid()) + "-" + rand.Text()[:4]
	}
	return c
}

// withTransport returns c with a Transport, and what closes its idle connections: those
// of an application's own are not ours to close, for others may use it as well.
func (c Config) withTransport() (with Config, closeIdle func()) {
	if c.Transport != nil {
		return c, func() {}
	}
	t := egress.NewTransport(egress.Config{Policy: c.Egress, IdlePerHost: c.Concurrency})
	c.Transport = t
	return c, t.CloseIdleConnections
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
