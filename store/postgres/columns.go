package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/hooks"
)

// An input is rows on their way into the database, made of a T each: they go as one
// array for each column.
type input[T any] []column[T]

// A column has a value for each row.
type column[T any] struct {
	name, typ string
	stored    string                            // what is stored of it, in SQL
	slice     func([]T) any                     // the values as the driver takes them
	binary    func(buf []byte, rows []T) []byte // the same, as the server takes them
}

// names returns the columns as a list.
func (in input[T]) names() string {
	var names []string
	for _, c := range in {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// stored returns what is stored of each column, as a list.
func (in input[T]) stored() string {
	var list []string
	for _, c := range in {
		list = append(list, c.stored)
	}
	return strings.Join(list, ", ")
}

// args returns the arguments that have the rows, one for each column.
func (in input[T]) args(rows []T) []any {
	args, arrays := make([]any, len(in)), make([]arrayOf[T], len(in))
	for i := range in {
		arrays[i] = arrayOf[T]{&in[i], rows}
		args[i] = &arrays[i]
	}
	return args
}

// An arrayOf rows is what is in a column of theirs. It is made into an array when it
// is sent, see [array].
type arrayOf[T any] struct {
	column *column[T]
	rows   []T
}

func (a *arrayOf[T]) slice() any               { return a.column.slice(a.rows) }
func (a *arrayOf[T]) binary(buf []byte) []byte { return a.column.binary(buf, a.rows) }

// table is the rows in a statement, of which the first argument has a number; and
// ord, which numbers them from 1. In a list of columns unnest costs the server a
// third of what it costs in FROM, where each of them is put aside first.
//
// It needs the schema in its name. In FROM, an unnest of several arrays does not:
// PostgreSQL itself makes pg_catalog.unnest of each, and knows no other way to write it.
func (in input[T]) table(first int) string {
	var list []string
	for i, c := range in {
		list = append(list, fmt.Sprintf("pg_catalog.unnest($%d::%s[]) AS %s", first+i, c.typ, c.name))
	}
	ord := fmt.Sprintf("pg_catalog.generate_subscripts($%d::%s[], 1) AS ord", first, in[0].typ)
	return "(SELECT " + strings.Join(append(list, ord), ", ") + ")"
}

// eventInput is what is stored of an event.
var eventInput = input[insertion]{
	text("id", func(i *insertion) string { return i.Event.ID }),
	text("type", func(i *insertion) string { return i.Event.Type }),
	text("tenant", func(i *insertion) string { return i.Event.Tenant }),
	timestamptz("time", func(i *insertion) time.Time { return i.Event.Time }),
	text("ordering_key", func(i *insertion) string { return i.Event.OrderingKey }),
	text("idempotency_key", func(i *insertion) string { return i.Event.IdempotencyKey }),
	timeOrNull("deliver_at", func(i *insertion) time.Time { return i.Event.DeliverAt }),
	timeOrNull("expires_at", func(i *insertion) time.Time { return i.Event.ExpiresAt }),
	jsonText("metadata", func(i *insertion) string { return asJSON(i.Event.Metadata) }),
	integer("fanout", func(i *insertion) int32 { return int32(i.Event.Fanout) }),
	timestamptz("stored", func(i *insertion) time.Time { return i.now }),
	boolean("unheard", func(i *insertion) bool { return len(i.Deliveries) == 0 }),
	bytea("data", func(i *insertion) []byte { return i.Event.Data }),
}

// keyUntil is until when an event's idempotency key is taken.
var keyUntil = timestamptz("key_until", func(i *insertion) time.Time { return i.KeyUntil })

// keyedEventInput is an event and until when its key is taken.
var keyedEventInput = append(slices.Clip(eventInput), keyUntil)

// keyInput says whose an idempotency key is.
var keyInput = input[insertion]{
	text("event_id", func(i *insertion) string { return i.Event.ID }),
	text("tenant", func(i *insertion) string { return i.Event.Tenant }),
	text("key", func(i *insertion) string { return i.Event.IdempotencyKey }),
}

// keyUntilInput says so, and until when.
var keyUntilInput = append(slices.Clip(keyInput), keyUntil)

// A newDelivery is one of an insertion's.
type newDelivery struct {
	event string
	*hooks.Delivery
}

// newDeliveries returns those of all insertions.
func newDeliveries(list []insertion) []newDelivery {
	n := 0
	for _, in := range list {
		n += len(in.Deliveries)
	}
	all := make([]newDelivery, 0, n)
	for _, in := range list {
		for i := range in.Deliveries {
			all = append(all, newDelivery{in.Event.ID, &in.Deliveries[i]})
		}
	}
	return all
}

// deliveryInput is what is stored of a delivery.
var deliveryInput = input[newDelivery]{
	text("event_id", func(d *newDelivery) string { return d.event }),
	text("subscriber", func(d *newDelivery) string { return d.Subscriber }),
	text("type", func(d *newDelivery) string { return d.Type }),
	text("tenant", func(d *newDelivery) string { return d.Tenant }),
	text("ordering_key", func(d *newDelivery) string { return d.OrderingKey }),
	smallint("status", func(d *newDelivery) int16 { return int16(d.Status) }),
	text("reason", func(d *newDelivery) string { return string(d.Reason) }),
	timestamptz("due", func(d *newDelivery) time.Time { return d.Due }),
	integer("run", func(d *newDelivery) int32 { return int32(d.Run) }),
	integer("attempts", func(d *newDelivery) int32 { return int32(d.Attempts) }),
	integer("lost", func(d *newDelivery) int32 { return int32(d.Lost) }),
	bigint("token", func(d *newDelivery) int64 { return d.Token }),
	timestamptz("created", func(d *newDelivery) time.Time { return d.Created }),
	timestamptz("updated", func(d *newDelivery) time.Time { return d.Updated }),
	integer("code", func(d *newDelivery) int32 { return int32(d.Code) }),
	text("error", func(d *newDelivery) string { return clean(d.Error) }),
}

// changeInput is a change, and what is stored of its attempt if it was tried.
var changeInput = input[revision]{
	text("event_id", func(r *revision) string { return r.Delivery.Event }),
	text("subscriber", func(r *revision) string { return r.Delivery.Subscriber }),
	boolean("ordered", func(r *revision) bool { return r.Delivery.OrderingKey != "" }),
	bigint("token", func(r *revision) int64 { return r.Delivery.Token }),
	smallint("status", func(r *revision) int16 { return int16(r.Delivery.Status) }),
	text("reason", func(r *revision) string { return string(r.Delivery.Reason) }),
	timestamptz("due", func(r *revision) time.Time { return r.Delivery.Due }),
	integer("run", func(r *revision) int32 { return int32(r.Delivery.Run) }),
	integer("attempts", func(r *revision) int32 { return int32(r.Delivery.Attempts) }),
	integer("lost", func(r *revision) int32 { return int32(r.Delivery.Lost) }),
	timestamptz("updated", func(r *revision) time.Time { return r.Delivery.Updated }),
	integer("code", func(r *revision) int32 { return int32(r.Delivery.Code) }),
	text("error", func(r *revision) string { return clean(r.Delivery.Error) }),

	boolean("tried", func(r *revision) bool { return r.Attempt != nil }),
	integer("attempt_run", func(r *revision) int32 { return int32(r.attempt().Run) }),
	integer("number", func(r *revision) int32 { return int32(r.attempt().Number) }),
	bigint("attempt_token", func(r *revision) int64 { return r.attempt().Token }),
	timestamptz("start", func(r *revision) time.Time { return r.attempt().Start }),
	bigint("dns", func(r *revision) int64 { return int64(r.attempt().DNS) }),
	bigint("connect", func(r *revision) int64 { return int64(r.attempt().Connect) }),
	bigint("tls", func(r *revision) int64 { return int64(r.attempt().TLS) }),
	bigint("wait", func(r *revision) int64 { return int64(r.attempt().Wait) }),
	bigint("took", func(r *revision) int64 { return int64(r.attempt().Took) }),
	text("url", func(r *revision) string { return clean(r.attempt().URL) }),
	integer("attempt_code", func(r *revision) int32 { return int32(r.attempt().Code) }),
	text("failure", func(r *revision) string { return clean(r.attempt().Error) }),
	bigint("retry_after", func(r *revision) int64 { return int64(r.attempt().RetryAfter) }),
	jsonText("header", func(r *revision) string { return asJSON(r.attempt().Header) }),
	bytea("body", func(r *revision) []byte { return r.attempt().Body }),
	boolean("body_cut", func(r *revision) bool { return r.attempt().BodyCut }),
	text("instance", func(r *revision) string { return clean(r.attempt().Instance) }),
}

var noAttempt hooks.Attempt

// attempt returns the change's, or an empty one.
func (r *revision) attempt() *hooks.Attempt {
	if r.Attempt == nil {
		return &noAttempt
	}
	return r.Attempt
}

// asJSON returns m as JSON, and nothing if it is empty. The zero character cannot be
// in it: PostgreSQL's JSON has it escaped only.
func asJSON[V any](m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	b, _ := json.Marshal(m) // maps of strings always can be
	return string(b)
}

// clean returns s as PostgreSQL takes it for a text: what a receiver or an
// operating system said must not make an outcome impossible to write.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
