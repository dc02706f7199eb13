package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An Event is a fact that the application announces. Make one with [EventType.New], set
// further fields if you need them, and publish it.
type Event struct {
	// ID names the event for ever: it is the webhook-id of every attempt and
	// replay, and publishing the same ID again does nothing. Letters, digits,
	// "_" and "-", at most 128. Empty: Publish makes one, "evt_" and a UUIDv7.
	ID string
	// Type is the name of a registered [EventType].
	Type string
	// Tenant is the customer whose event it is. Endpoints of exactly this
	// tenant receive it; the empty tenant is that of events without one.
	Tenant string
	// Time is when it happened. Zero means now.
	Time time.Time
	// Data is the JSON payload, sent byte for byte. The application must not change
	// the bytes once the event is published.
	Data json.RawMessage
	// OrderingKey puts events in order for subscribers that are Ordered: events with
	// the same key reach them one after the other, in the order of their publishing.
	OrderingKey string
	// IdempotencyKey makes it safe to repeat a publish if the application has no ID
	// of its own for the event. Within [Config].IdempotencyWindow, a second event of
	// the same tenant with the same key is a duplicate, and nothing of it is stored.
	IdempotencyKey string
	// DeliverAt is when the first attempt may start. Zero means at once.
	DeliverAt time.Time
	// ExpiresAt is when delivering the event becomes useless: then its remaining
	// deliveries fail. Zero means never.
	ExpiresAt time.Time
	// Metadata is kept with the event for the application. It is not sent.
	Metadata map[string]string

	// Seq is the event's place among all events. The store sets it, so that it is zero until
	// the event is read back.
	Seq int64

	err error // why New could not encode Data; Publish returns it
}

// An EventType is the name of a kind of event and the Go type of its data.
// It is a plain value. Register it with [Hooks.Register] before the first use.
type EventType[T any] struct{ name string }

// NewEventType returns the event type called name: segments of letters,
// digits and "_", separated by dots, such as "invoice.paid", at most 128
// bytes. [Hooks.Register] refuses any other.
func NewEventType[T any](name string) EventType[T] { return EventType[T]{name} }

// Name returns the name of the type.
func (t EventType[T]) Name() string { return t.name }

// New returns an event of this type with data encoded as JSON. If data
// cannot be encoded, publishing the event returns the error. If its MarshalJSON
// panics, so does New, as json.Marshal does. A json.RawMessage is taken as it is.
func (t EventType[T]) New(data T) Event {
	if raw, ok := any(data).(json.RawMessage); ok {
		return Event{Type: t.name, Data: raw}
	}
	b, err := json.Marshal(data)
	return Event{Type: t.name, Data: b, err: err}
}

// Decode returns the data of an event of this type.
func (t EventType[T]) Decode(ev Event) (T, error) {
	var data T
	if ev.Type != t.name {
		return data, fmt.Errorf("hooks: decode %s: the event is of type %s", t.name, ev.Type)
	}
	if err := json.Unmarshal(ev.Data, &data); err != nil {
		return data, fmt.Errorf("hooks: decode %s %s: %w", t.name, ev.ID, err)
	}
	return data, nil
}

// Handler returns a [Handler] of events of this type, to be given to
// [Hooks.Subscribe]; its other fields are the caller's to set. Data that does
// not decode fails the delivery at once, for trying again cannot mend it.
func (t EventType[T]) Handler(name string, f func(context.Context, Event, T) error) Handler {
	if f == nil {
		return Handler{Name: name, Events: []string{t.name}} // Subscribe refuses it
	}
	return Handler{Name: name, Events: []string{t.name}, Func: func(ctx context.Context, ev Event) error {
		data, err := t.Decode(ev)
		if err != nil {
			return Permanent(err)
		}
		return f(ctx, ev, data)
	}}
}

// AnyEventType is an [EventType] of any data, as [Hooks.Register] takes it.
// No other type satisfies it.
type AnyEventType interface {
	Name() string
	eventType()
}

func (EventType[T]) eventType() {}

// typeName is the form of type names that the Standard Webhooks specification recommends.
var typeName = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`)

const maxName = 128

func checkType(name string) error {
	switch {
	case len(name) > maxName:
		return invalid("EventType", "the name is %d bytes long; at most %d", len(name), maxName)
	case !typeName.MatchString(name):
		return invalid("EventType", "%q: write segments of letters, digits and _ separated by dots, such as invoice.paid", name)
	case strings.HasPrefix(name, "hooks."):
		return invalid("EventType", "%q: names that begin with hooks. are the library's own", name)
	}
	return nil
}

// A pattern selects event types: "*" stands for one segment and "**", at the
// end, for one or more. "**" alone is every type.
type pattern string

var patternForm = regexp.MustCompile(`^([A-Za-z0-9_]+|\*)(\.([A-Za-z0-9_]+|\*))*(\.\*\*)?$|^\*\*$`)

func (p pattern) check(field string) error {
	if len(p) > maxName || !patternForm.MatchString(string(p)) {
		return invalid(field, "%q: write a type name, with * for one segment or ** for the rest, such as invoice.*", string(p))
	}
	return nil
}

func (p pattern) match(name string) bool {
	rest := string(p)
	for {
		want, more, pMore := strings.Cut(rest, ".")
		if want == "**" {
			return true
		}
		have, tail, nMore := strings.Cut(name, ".")
		if want != "*" && want != have {
			return false
		}
		if !pMore || !nMore {
			return pMore == nMore
		}
		rest, name = more, tail
	}
}

// maxPatterns is how many patterns one subscriber may have. Each costs memory, and a
// publish may have to follow all of them.
const maxPatterns = 64

// checkPatterns refuses an empty list, too many patterns, and a pattern that is malformed or
// matches no registered type. The caller holds h.mu.
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
