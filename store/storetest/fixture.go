package storetest

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// at is a moment some seconds after that at which all rules begin. It has
// microseconds, for stores must keep them.
func at(seconds int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC).
		Add(time.Duration(seconds) * time.Second)
}

// lease is how long the leases last that claim takes.
const lease = time.Minute

// event returns an entry of an event with deliveries to subscribers, due at
// once.
func event(id string, subscribers ...string) hooks.Entry {
	e := hooks.Entry{Event: hooks.Event{
		ID:   id,
		Type: "thing.happened",
		Time: at(0),
		Data: []byte(`{"id":"` + id + `"}`),
	}}
	for _, sub := range subscribers {
		e.Deliveries = append(e.Deliveries, hooks.Delivery{
			DeliveryID: hooks.DeliveryID{Event: id, Subscriber: sub},
			Type:       e.Event.Type,
			Status:     hooks.Pending,
			Due:        at(0),
			Run:        1,
			Created:    at(0),
			Updated:    at(0),
		})
	}
	return e
}

// events returns one entry for each id, all of them for one subscriber.
func events(subscriber string, ids ...string) (entries []hooks.Entry) {
	for _, id := range ids {
		entries = append(entries, event(id, subscriber))
	}
	return entries
}

// keyed gives e an idempotency key that is taken until a time.
func keyed(e hooks.Entry, key string, until time.Time) hooks.Entry {
	e.Event.IdempotencyKey, e.KeyUntil = key, until
	return e
}

// ordered gives e and its deliveries an ordering key.
func ordered(e hooks.Entry, key string) hooks.Entry {
	e.Event.OrderingKey = key
	return each(e, func(d *hooks.Delivery) { d.OrderingKey = key })
}

// ofTenant makes e one of tenant's.
func ofTenant(e hooks.Entry, tenant string) hooks.Entry {
	e.Event.Tenant = tenant
	return each(e, func(d *hooks.Delivery) { d.Tenant = tenant })
}

// ofType makes e one of a type.
func ofType(e hooks.Entry, name string) hooks.Entry {
	e.Event.Type = name
	return each(e, func(d *hooks.Delivery) { d.Type = name })
}

// due makes the deliveries of e due at a time.
func due(e hooks.Entry, at time.Time) hooks.Entry {
	return each(e, func(d *hooks.Delivery) { d.Due = at })
}

func each(e hooks.Entry, f func(d *hooks.Delivery)) hooks.Entry {
	e.Deliveries = slices.Clone(e.Deliveries)
	for i := range e.Deliveries {
		f(&e.Deliveries[i])
	}
	return e
}

// adding makes e one that adds deliveries to an event.
func adding(e hooks.Entry) hooks.Entry {
	e.Add = true
	return e
}

// outcome is the change that an attempt at d brings about.
func outcome(d hooks.Delivery, status hooks.Status, when time.Time) hooks.Change {
	d.Attempts++
	return hooks.Change{
		Delivery: decided(d, status, when).Delivery,
		Attempt:  &hooks.Attempt{Run: d.Run, Number: d.Attempts, Token: d.Token, Start: when},
	}
}

// decided is the change of status that somebody decides, without an attempt.
func decided(d hooks.Delivery, status hooks.Status, when time.Time) hooks.Change {
	d.Status, d.Updated, d.Due = status, when, when
	return hooks.Change{Delivery: d}
}

// replayed is the change that begins another run of d.
func replayed(d hooks.Delivery, when time.Time) hooks.Change {
	d.Run, d.Attempts, d.Lost = d.Run+1, 0, 0
	return decided(d, hooks.Pending, when)
}

// lane is a subscriber's part of a claim as it is most of the time.
func lane(subscriber string, max int, now time.Time) hooks.ClaimLane {
	return hooks.ClaimLane{Subscriber: subscriber, Max: max, Before: now, LeaseUntil: now.Add(lease)}
}

// same fails the test unless got is want. Empty and nil slices are the same.
func same[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s = %+v; want %+v", what, got, want)
	}
}

// rows fails the test unless deliveries are the same, in the same order.
func rows(t testing.TB, what string, got, want []hooks.Delivery) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s = %v; want %v", what, got, want)
	}
	for i, d := range want {
		alike(t, what+"["+strconv.Itoa(i)+"]", got[i], d)
	}
}

// equal fails the test unless got is want.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s = %v; want %v", what, got, want)
	}
}

// numbered returns n names with a prefix.
func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}

// fill gives every exported field of the struct that p points to a value of
// its own, so that a store which forgets a field is caught however many are
// added. It counts from n.
func fill(t testing.TB, p any, n int) {
	t.Helper()
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			fillField(t, f.Name, v.Field(i), n+i)
		}
	}
}

func fillField(t testing.TB, name string, v reflect.Value, n int) {
	t.Helper()
	text := name + " é\"'\\ " + strconv.Itoa(n)
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(at(n).Add(time.Duration(n) * time.Microsecond)))
		return
	case http.Header:
		v.Set(reflect.ValueOf(http.Header{"X-Name": {text, "2"}, "Other": {"3"}}))
		return
	case hooks.DeliveryID, hooks.Status:
		return // the caller's to choose
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		v.SetInt(int64(n))
	case reflect.Int64: // microseconds, if a duration
		v.SetInt(int64(n) * 1000)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.SetBytes([]byte(strconv.Quote(text)))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{name: text, "": strconv.Itoa(n)}))
	default:
		t.Fatalf("storetest does not know how to fill %s, a %s", name, v.Type())
	}
}

// alike fails the test unless two structs are the same in every exported
// field. Empty and nil are the same, times must be in UTC.
func alike[T any](t testing.TB, what string, got, want T, except ...string) {
	t.Helper()
	if diff := differences(got, want, except...); diff != nil {
		t.Fatalf("%s differs:\n%s", what, strings.Join(diff, "\n"))
	}
}

// differences describes the exported fields in which two structs differ.
func differences[T any](got, want T, except ...string) (diff []string) {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		f := g.Type().Field(i)
		if !f.IsExported() || slices.Contains(except, f.Name) {
			continue
		}
		if !sameValue(g.Field(i), w.Field(i)) {
			diff = append(diff, fmt.Sprintf("%s = %s; want %s", f.Name, show(g.Field(i)), show(w.Field(i))))
		}
	}
	return diff
}

func sameValue(got, want reflect.Value) bool {
	switch got.Kind() {
	case reflect.Slice, reflect.Map:
		if got.Len() == 0 && want.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(got.Interface(), want.Interface())
}

func show(v reflect.Value) string {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return strconv.Quote(string(v.Bytes()))
	}
	return fmt.Sprintf("%#v", v.Interface())
}
