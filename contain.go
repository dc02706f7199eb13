package hooks

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"example.com/hooks/retry"
)

// This file keeps the application's own code from ending the process or a goroutine of the
// library: handlers, transports, policies, traces, Keepers and log handlers.

// A fault is a call that did not return: it panicked, or ended its goroutine.
type fault struct {
	class string // classPanic or classGoexit
	value any    // what it panicked with
	text  string // what happened, in words; at most 1 KiB
	stack []byte
}

// Error says what happened in one line or so, without the stack.
func (f *fault) Error() string { return f.text }

// detail says what happened, with the stack if there is one.
func (f *fault) detail() string {
	if len(f.stack) == 0 {
		return f.text
	}
	return f.text + "\n\n" + string(f.stack)
}

// kind says what happened without the panic's value, because the value may quote a secret.
// Errors of the Go runtime quote no values, so that it shows them.
func (f *fault) kind() string {
	if _, ok := f.value.(runtime.Error); !ok && f.value != nil {
		return fmt.Sprintf("panic: a %T", f.value)
	}
	return f.text
}

// careful is detail without the panic's value.
func (f *fault) careful() string { return f.kind() + "\n\n" + string(f.stack) }

// contained calls f in a goroutine of its own and returns a channel that receives nil
// when f has returned, or a fault. The goroutine is needed because runtime.Goexit,
// which a failing test calls for example, cannot be stopped in the one that calls it.
func contained(f func()) <-chan *fault {
	done := make(chan *fault, 1)
	go protect(f, done)
	return done
}

// protect calls f, and sends nil when it has returned, or a fault.
func protect(f func(), done chan<- *fault) {
	end := &fault{class: classGoexit, text: "runtime.Goexit was called"}
	defer func() {
		_ = recover() // the panic's value panicked while it was printed
		done <- end
	}()
	defer func() {
		if p := recover(); p != nil {
			end = &fault{class: classPanic, text: fmt.Sprintf("panic: a %T", p), value: p, stack: debug.Stack()}
			end.text = bounded(fmt.Sprintf("panic: %v", p))
		}
	}()
	f()
	end = nil
}

// A worker is a goroutine that makes contained calls, one after the other. A new goroutine
// for each call would have to grow its stack each time. The zero worker is ready: its
// first call starts the goroutine.
type worker struct {
	calls chan func()
	done  chan *fault
}

// call is [contained] in the worker's goroutine. The caller must have received the result
// of the previous call, or called leave since.
func (w *worker) call(f func()) <-chan *fault {
	if w.calls == nil {
		calls, done := make(chan func(), 1), make(chan *fault, 1)
		w.calls, w.done = calls, done
		go func() {
			for f := range calls {
				protect(f, done)
			}
		}()
	}
	w.calls <- f
	return w.done
}

// leave gives up the goroutine. It ends when its present call has returned.
func (w *worker) leave() {
	if w.calls != nil {
		close(w.calls)
		*w = worker{}
	}
}

// contain calls f and waits. It returns nil when f has returned, or the fault.
func contain(f func()) *fault { return <-contained(f) }

// bounded cuts what is too long for a line of the log.
func bounded(s string) string {
	const most = 1 << 10
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// finite returns err if it wraps at most 10,000 errors, and otherwise an error with the same
// text that wraps nothing. An error may wrap itself. Then errors.Is and errors.As would
// never return, and would use up a processor even if nobody waited for them.
func finite(err error) error {
	left := 10_000
	if !unwraps(err, &left) {
		return struct{ error }{err}
	}
	return err
}

// unwraps reports whether err and the errors that it wraps are at most left. It counts
// left down.
func unwraps(err error, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return unwraps(u.Unwrap(), left)
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if !unwraps(e, left) {
				return false
			}
		}
	}
	return true
}

// contained returns the configuration with its Logger, Retry and Keeper contained. The
// Transport is contained by [Hooks.try], together with the rest of an attempt.
func (c Config) contained() Config {
	c.Logger = slog.New(containedHandler{c.Logger.Handler()})
	c.Retry = containPolicy(c.Retry, c.Logger)
	switch k := c.Keeper.(type) {
	case nil:
	case KeyRing:
		c.Keeper = containedRing{containedKeeper{k}, k}
	default:
		c.Keeper = containedKeeper{k}
	}
	return c
}

// A containedHandler is an application's log handler. If it panics, the line is lost,
// because there is no other place to report it.
type containedHandler struct{ slog.Handler }

func (h containedHandler) Enabled(ctx context.Context, l slog.Level) (ok bool) {
	contain(func() { ok = h.Handler.Enabled(ctx, l) })
	return ok
}

func (h containedHandler) Handle(ctx context.Context, r slog.Record) (err error) {
	if f := contain(func() { err = h.Handler.Handle(ctx, r) }); f != nil {
		return f
	}
	return err
}

func (h containedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func() slog.Handler { return h.Handler.WithAttrs(attrs) })
}

func (h containedHandler) WithGroup(name string) slog.Handler {
	return h.with(func() slog.Handler { return h.Handler.WithGroup(name) })
}

// with returns h with the handler that next returns, or h if that fails.
func (h containedHandler) with(next func() slog.Handler) slog.Handler {
	made := h
	if f := contain(func() { made.Handler = next() }); f != nil || made.Handler == nil {
		return h
	}
	return made
}

// A containedPolicy is an application's retry policy. If it panics, the standard schedule
// decides instead.
type containedPolicy struct {
	retry.Policy
	log   *slog.Logger
	quiet *throttle
}

// containPolicy contains p, which may be nil.
func containPolicy(p retry.Policy, log *slog.Logger) retry.Policy {
	if p == nil {
		return nil
	}
	return containedPolicy{p, log, new(throttle)}
}

func (p containedPolicy) Next(n int) (wait time.Duration, ok bool) {
	if f := contain(func() { wait, ok = p.Policy.Next(n) }); f != nil {
		p.quiet.log(p.log, "hooks: a retry policy did not return; the standard schedule counts instead", f)
		return retry.Standard().Next(n)
	}
	return wait, ok
}

// A containedKeeper is an application's Keeper. If it panics, its method returns an
// [InvalidError]. The error has no stack, because equal errors are logged only once.
type containedKeeper struct{ keeper Keeper }

func (k containedKeeper) Encrypt(plaintext, associated []byte) (b []byte, err error) {
	f := contain(func() { b, err = k.keeper.Encrypt(plaintext, associated) })
	switch {
	case f != nil:
		return nil, k.invalid("Encrypt", f)
	case err == nil && len(b) == 0:
		return nil, invalid("Config.Keeper", "Encrypt returned neither a ciphertext nor an error")
	}
	return b, err
}

func (k containedKeeper) Decrypt(ciphertext, associated []byte) (b []byte, err error) {
	if f := contain(func() { b, err = k.keeper.Decrypt(ciphertext, associated) }); f != nil {
		return nil, k.invalid("Decrypt", f)
	}
	return b, err
}

func (k containedKeeper) invalid(method string, f *fault) error {
	f = &fault{class: f.class, text: f.kind()} // the value may quote the plain text
	return invalid("Config.Keeper", "%s of a %T did not return: %v", method, k.keeper, f).because(f)
}

// A containedRing is a containedKeeper that is a KeyRing. If Current panics, it reports
// false, as for a ciphertext of a former key.
type containedRing struct {
	containedKeeper
	ring KeyRing
}

func (k containedRing) Current(ciphertext []byte) (ok bool) {
	contain(func() { ok = k.ring.Current(ciphertext) })
	return ok
}
