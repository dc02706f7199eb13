package hooks

import (
	"context"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// An InvalidError says which input was refused, and what to do about it. The method that
// returned it has changed nothing. Its text, which is made of Field and Problem, may be
// shown to whoever typed the input, a customer too; Detail may not, and is not in its JSON.
type InvalidError struct {
	Field   string `json:"field"`   // such as "Event.ID"
	Problem string `json:"problem"` // in words, what is wrong and what would be right
	Detail  string `json:"-"`       // for the operator: registered types, names of other tenants; may be empty
	Err     error  `json:"-"`       // such as [ErrNoMatch], or an error of another package; nil if there is none
}

func (e *InvalidError) Error() string { return "hooks: " + e.Field + ": " + e.Problem }

// Unwrap returns e.Err.
func (e *InvalidError) Unwrap() error { return e.Err }

// Causes of an [InvalidError] that a program may want to tell apart, with errors.Is. Run
// returns ErrRunning by itself.
var (
	ErrUnknownType = errors.New("hooks: unknown event type")                   // published before Register
	ErrNoMatch     = errors.New("hooks: pattern matches no registered type")   // a typo would swallow events
	ErrTooLarge    = errors.New("hooks: payload too large")                    // over Config.MaxPayload
	ErrTaken       = errors.New("hooks: subscriber id is taken")               // handlers and endpoints share one namespace
	ErrRunning     = errors.New("hooks: Run was called while it runs already") // one dispatcher a Hooks
)

func invalid(field, format string, args ...any) *InvalidError {
	return &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

func (e *InvalidError) because(err error) *InvalidError {
	e.Err = err
	return e
}

// detail adds what only the operator may see.
func (e *InvalidError) detail(format string, args ...any) *InvalidError {
	e.Detail = fmt.Sprintf(format, args...)
	return e
}

// lasting reports whether waiting cannot mend err, so that Run ends with it.
func lasting(err error) bool {
	for _, s := range []error{ErrRunning, ErrLocked, ErrClosed, ErrTooNew, ErrForeign} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// checkContext refuses a nil context before the call has begun anything. A panic in the
// midst of it might leave something behind that other calls wait for.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return invalid("Context", "it is nil; give context.Background(), or the context of what the call is for")
	}
	return nil
}

// certain reports whether err says that nothing was changed: by a store's
// sentinel, or by an [InvalidError].
func certain(err error) bool {
	for _, s := range []error{ErrConflict, ErrLocked, ErrClosed, ErrTooNew, ErrForeign, ErrNotFound} {
		if errors.Is(err, s) {
			return true
		}
	}
	_, refused := errors.AsType[*InvalidError](err)
	return refused
}

// checkText accepts what is printable in one line; empty included.
func checkText(field, s string, most int) error {
	if len(s) > most {
		return invalid(field, "%d bytes; at most %d", len(s), most)
	}
	if !utf8.ValidString(s) {
		return invalid(field, "%q is not UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return invalid(field, "%q has a control character", s)
		}
	}
	return nil
}
