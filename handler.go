package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"example.com/hooks/internal/lanes"
	"example.com/hooks/retry"
)

// A Handler is a Go function that receives events in this process, with the
// same persistence, retries and history as an endpoint.
type Handler struct {
	// Name is its subscriber id: letters, digits, "_" and "-", at most 128.
	// Deliveries are stored under it, so it must stay the same over restarts.
	Name string
	// Events are patterns of the types it receives, at most 64: names, with "*" for one
	// segment and "**" for the rest, such as "invoice.*". Each must match a registered
	// type. The library's own types, such as that of [DeliveryFailed], are matched only by
	// patterns that begin with "hooks.", such as "hooks.**".
	Events []string
	// Func is called for each attempt, from several goroutines at once. If it returns an
	// error, it is called again later; see [Permanent] and [RetryAfter]. A panic counts as
	// an error, and so does one in the error's method Error, which a nil pointer that is
	// returned as an error may cause.
	//
	// An event may come more than once, after a crash for example; it has the same ID
	// then. ctx ends when Timeout has passed. It has the delivery, see [DeliveryFrom].
	Func func(ctx context.Context, ev Event) error
	// Concurrency is how many calls may run at once in this process, at most
	// [Config].Concurrency. Zero: [Config].SubscriberConcurrency.
	Concurrency int
	// Timeout is how long a call may take, at most 24 h. Zero: [Config].Timeout. A call
	// that does not return in time has failed, and its slot is free again.
	Timeout time.Duration
	// Ordered makes events with the same tenant and OrderingKey come one
	// after the other, each only when the one before is final.
	Ordered bool
	// Retry says when to call again. Nil: [Config].Retry.
	Retry retry.Policy
}

// Permanent wraps err to say that trying again cannot help: the delivery
// fails at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &advice{err, verdict{permanent: true}}
}

// RetryAfter wraps err to say when to try again: not earlier than wait from now, and not
// earlier than the retry policy says. Waits above 24 h are cut to 24 h. The attempt counts
// as any other that failed. RetryAfter(nil, wait) is nil.
func RetryAfter(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &advice{err, verdict{after: max(wait, 0)}}
}

// An advice is an error that says what shall happen next.
type advice struct {
	error
	verdict
}

func (a *advice) Unwrap() error { return a.error }

type deliveryKey struct{}

// DeliveryFrom returns the delivery for which a handler was called with ctx. Its Attempts
// does not count the attempt under way, which has the number Attempts+1 in its run. ok is
// false for any other context.
func DeliveryFrom(ctx context.Context) (d Delivery, ok bool) {
	if ctx == nil {
		return Delivery{}, false
	}
	d, ok = ctx.Value(deliveryKey{}).(Delivery)
	return d, ok
}

// Classes of failure, as [Attempt].Error names them. All but the first are those of
// endpoints too, whose transport may be the application's.
const (
	classError   = "error"   // a handler returned one
	classPanic   = "panic"   // the handler panicked, or the error that it returned
	classGoexit  = "goexit"  // the same, but it called runtime.Goexit
	classTimeout = "timeout" // it took too long
)

// A function is the sender of a handler.
type function struct {
	Handler
	log attemptLog
}

// send calls the handler once, and reads the error that it returns.
func (f *function) send(ctx context.Context, d Delivery, ev Event, a *Attempt) (verdict, lanes.Result) {
	ctx = context.WithValue(ctx, deliveryKey{}, d)
	ev.Metadata = maps.Clone(ev.Metadata) // the event's other handlers have the same
	err := f.Func(ctx, ev)
	switch {
	case err == nil:
		return verdict{ok: true}, lanes.Worked
	case holdsNil(err):
		f.log.write(slog.LevelError, "hooks: a handler returned an error that holds a nil pointer; it should return nil itself",
			d.DeliveryID, "type", fmt.Sprintf("%T", err))
	}
	err = finite(err)
	a.Error = classError
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		a.Error = classTimeout
	}
	a.Body, a.BodyCut = cutText(err.Error())
	v := verdict{}
	if adv, ok := errors.AsType[*advice](err); ok {
		v = adv.verdict
	}
	a.RetryAfter = v.after
	return v, blame(a)
}

// cutText returns as much of a text as an attempt keeps, in UTF-8, and whether there
// was more.
func cutText(s string) ([]byte, bool) {
	long := len(s) > keepBody
	b, more := cut([]byte(strings.ToValidUTF8(s[:min(len(s), keepBody)], "\uFFFD")), keepBody)
	return b, more || long
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

// A listener is what publishing must know of a handler.
type listener struct {
	Events  []string // patterns
	Ordered bool

	local  *function // of this process: the code is the truth, not the record; else nil
	record Record
}

// A HandlerInfo describes a handler of this process or of another program.
type HandlerInfo struct {
	Name    string   `json:"name"`
	Events  []string `json:"events"` // patterns
	Ordered bool     `json:"ordered,omitempty"`
	Local   bool     `json:"local"` // this process has it
}

// Handlers lists the handlers by name: those of this process, and those that other
// programs on the store have recorded.
func (h *Hooks) Handlers(ctx context.Context) ([]HandlerInfo, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, err
	}
	return h.dir.handlerInfos(), nil
}

// DeleteHandler deletes the record of a handler that no program has any more, or returns
// [ErrNotFound]. The dispatcher cancels the deliveries that wait for it, with
// [ReasonDeleted]. A handler of this process is an [*InvalidError], because Run would record
// it again. Another process that still has the handler records it again when its Run begins.
func (h *Hooks) DeleteHandler(ctx context.Context, name string) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	return untilWritten(0, func() error {
		if err := h.reload(ctx, nil); err != nil {
			return err
		}
		switch l, ok := h.dir.listener(name); {
		case !ok:
			return fmt.Errorf("hooks: handler %q: %w", name, ErrNotFound)
		case l.local != nil:
			return invalid("Handler.Name", "%q is a handler of this program; remove it from the code first", name).because(ErrTaken)
		default:
			return h.deleteRecord(ctx, name, l.record)
		}
	})
}

// putHandler records a handler of this process, so that others publish to it.
func (h *Hooks) putHandler(ctx context.Context, store *boundedStore, s Handler) error {
	return untilWritten(0, func() error { return h.putListener(ctx, store, s) })
}

func (h *Hooks) putListener(ctx context.Context, store *boundedStore, s Handler) error {
	if err := h.reload(ctx, store); err != nil {
		return err
	}
	if h.dir.isEndpoint(s.Name) {
		return invalid("Handler.Name", "%q is an endpoint's id; choose another", s.Name).because(ErrTaken)
	}
	l, _ := h.dir.listener(s.Name)
	r := handlerRecord{Form: recordForm, Events: s.Events, Ordered: s.Ordered}
	return h.putRecord(ctx, store, "handler/"+s.Name, l.record, r, nil)
}
