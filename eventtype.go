package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// An EventType is a kind of event: its name, and the Go type of its data.
//
//	var InvoicePaid = hooks.EventType[Invoice]{Name: "invoice.paid"}
//
// It is a plain value: give it to [Hooks.Register] before you publish. Only Name is
// required.
type EventType[T any] struct {
	// Name is segments of letters, digits and "_", separated by dots, such as
	// "invoice.paid"; at most 128 bytes. Names that begin with "hooks." are the
	// library's own.
	Name string
	// Private keeps the events from endpoints: only handlers receive them, no pattern of an
	// endpoint matches the type, and no text that a customer may see names it.
	Private bool
	// Description is for people who look for the type in a list: one line, at most
	// 1,024 bytes.
	Description string
	// Example is data of such an event, for lists and test events. The zero value of T
	// means that there is none.
	Example T
}

// New returns an event of this type with data encoded as JSON; a json.RawMessage is taken as
// it is. If data cannot be encoded, Publish returns the error. New panics if a MarshalJSON
// of data does.
func (t EventType[T]) New(data T) Event {
	b, err := encode(data)
	return Event{Type: t.Name, Data: b, err: err}
}

func encode(data any) (json.RawMessage, error) {
	if raw, ok := data.(json.RawMessage); ok {
		return raw, nil
	}
	return json.Marshal(data)
}

// Decode returns the data of an event of this type. An event of another type, and data that
// does not decode, are errors.
func (t EventType[T]) Decode(ev Event) (T, error) {
	var data T
	if ev.Type != t.Name {
		return data, fmt.Errorf("hooks: decode %s: the event is of type %s", t.Name, ev.Type)
	}
	if err := json.Unmarshal(ev.Data, &data); err != nil {
		return data, fmt.Errorf("hooks: decode %s %s: %w", t.Name, ev.ID, err)
	}
	return data, nil
}

// Handler returns a [Handler] of events of this type. Set other fields of it, such as
// Timeout, if you need them, and give it to [Hooks.Subscribe]. If the data of an event does
// not decode, its delivery fails at once, because trying again cannot mend it.
func (t EventType[T]) Handler(name string, f func(context.Context, Event, T) error) Handler {
	if f == nil {
		return Handler{Name: name, Events: []string{t.Name}} // Subscribe refuses it
	}
	return Handler{Name: name, Events: []string{t.Name}, Func: func(ctx context.Context, ev Event) error {
		data, err := t.Decode(ev)
		if err != nil {
			return Permanent(err)
		}
		return f(ctx, ev, data)
	}}
}

// AnyEventType is an [EventType] with data of any Go type. No other type satisfies it.
type AnyEventType interface{ declare() declaration }

// A TypeInfo is an [EventType] without its Go type, as [Hooks.Types] lists it.
type TypeInfo struct {
	Name        string          `json:"name"`
	Private     bool            `json:"private,omitempty"`
	Description string          `json:"description,omitempty"`
	Example     json.RawMessage `json:"example,omitempty"` // nil: there is none
}

// A declaration is an EventType as Hooks knows it.
type declaration struct {
	TypeInfo
	data reflect.Type
	err  error // of encoding the Example
}

func (t EventType[T]) declare() declaration {
	d := declaration{
		TypeInfo: TypeInfo{Name: t.Name, Private: t.Private, Description: t.Description},
		data:     reflect.TypeFor[T](),
	}
	if !reflect.ValueOf(&t.Example).Elem().IsZero() {
		d.Example, d.err = encode(t.Example)
	}
	return d
}

// declare returns what t declares, or what is wrong with it.
func declare(t AnyEventType) (d declaration, err error) {
	if t == nil || holdsNil(t) {
		return d, invalid("EventType", "it is nil; give a value such as hooks.EventType[Invoice]{Name: %q}", "invoice.paid")
	}
	if f := contain(func() { d = t.declare() }); f != nil {
		return d, invalid("EventType.Example", "encoding it as JSON did not return: %v", f)
	}
	switch {
	case d.err != nil:
		return d, invalid("EventType.Example", "of %s: it cannot be encoded as JSON: %v", d.Name, d.err).because(d.err)
	case d.Example != nil && !json.Valid(d.Example):
		return d, invalid("EventType.Example", "of %s: it is not JSON", d.Name)
	}
	if err := checkType(d.Name); err != nil {
		return d, err
	}
	return d, checkText("EventType.Description", d.Description, maxDescription)
}

// The Standard Webhooks specification recommends this form of type names.
var typeName = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`)

const (
	maxName        = 128
	maxDescription = 1024
)

func checkType(name string) error {
	switch {
	case len(name) > maxName:
		return invalid("EventType.Name", "it is %d bytes long; at most %d", len(name), maxName)
	case !typeName.MatchString(name):
		return invalid("EventType.Name", "%q: write segments of letters, digits and _ separated by dots, such as invoice.paid", name)
	case isOwn(name):
		return invalid("EventType.Name", "%q: names that begin with hooks. are the library's own", name)
	}
	return nil
}

// isOwn reports whether a type is one of the library's own, or a pattern means those.
func isOwn(name string) bool { return strings.HasPrefix(name, "hooks.") }

// Register makes event types known to this Hooks. Events of other types cannot be published,
// and each pattern must match a registered type. Registering the same type again does
// nothing. A type that has the name of a registered one, but another Go type or another
// field that differs, is an [*InvalidError]. After an error none of types is registered.
func (h *Hooks) Register(types ...AnyEventType) error {
	known := make(map[string]declaration)
	for _, t := range types {
		d, err := declare(t)
		if err != nil {
			return err
		}
		if err := d.agrees(known); err != nil {
			return err
		}
		known[d.Name] = d
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range known {
		if err := d.agrees(h.types); err != nil {
			return err
		}
	}
	maps.Copy(h.types, known)
	return nil
}

// agrees returns an error if another type has the same name.
func (d declaration) agrees(known map[string]declaration) error {
	other, ok := known[d.Name]
	switch {
	case !ok:
		return nil
	case other.data != d.data:
		return invalid("EventType.Name", "%q is registered for data of type %v, and cannot be for %v; give each Go type a name of its own",
			d.Name, other.data, d.data)
	case !reflect.DeepEqual(other.TypeInfo, d.TypeInfo):
		return invalid("EventType.Name", "%q is registered with other fields; declare the type once, in a variable", d.Name)
	}
	return nil
}

// Types lists the registered event types by name, with the library's own, such as
// [DeliveryFailed]. A [Tenant] does not see private ones.
func (v *view) Types() []TypeInfo {
	if v.isNobodys() {
		return nil
	}
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	list := make([]TypeInfo, 0, len(v.h.types))
	for _, d := range v.h.types {
		if d.Private && !v.all {
			continue
		}
		d.Example = slices.Clone(d.Example)
		list = append(list, d.TypeInfo)
	}
	slices.SortFunc(list, func(a, b TypeInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// isPrivate reports whether events of a type are for handlers only.
func (h *Hooks) isPrivate(typ string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.types[typ].Private
}
