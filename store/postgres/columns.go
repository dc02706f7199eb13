package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"example.com/hooks"
)

// An input is rows on their way into the database, made of a T each: they go as one
// array for each column.
type input[T any] []column[T]

type column[T any] struct {
	name, typ string
	values    func([]T) any // an array of what typ stands for
}

// each makes the values of a column of what f says of each row.
func each[T, V any](f func(*T) V) func([]T) any {
	return func(rows []T) any {
		values := make([]V, len(rows))
		for i := range rows {
			values[i] = f(&rows[i])
		}
		return values
	}
}

// names returns the columns as a list.
func (in input[T]) names() string {
	var names []string
	for _, c := range in {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// args returns the arguments that have the rows, one for each column.
func (in input[T]) args(rows []T) []any {
	var args []any
	for _, c := range in {
		args = append(args, c.values(rows))
	}
	return args
}

// table is the rows in a statement, of which the first argument has a number; and
// ord, which numbers them from 1. In a list of columns unnest costs the server a
// third of what it costs in FROM, where each of them is put aside first.
func (in input[T]) table(first int) string {
	var list []string
	for i, c := range in {
		list = append(list, fmt.Sprintf("unnest($%d::%s[]) AS %s", first+i, c.typ, c.name))
	}
	ord := fmt.Sprintf("generate_subscripts($%d::%s[], 1) AS ord", first, in[0].typ)
	return "(SELECT " + strings.Join(append(list, ord), ", ") + ")"
}

// eventInput is what is stored of an event.
var eventInput = input[insertion]{
	{"id", "text", each(func(i *insertion) string { return i.Event.ID })},
	{"type", "text", each(func(i *insertion) string { return i.Event.Type })},
	{"tenant", "text", each(func(i *insertion) string { return i.Event.Tenant })},
	{"time", "timestamptz", each(func(i *insertion) time.Time { return i.Event.Time })},
	{"ordering_key", "text", each(func(i *insertion) string { return i.Event.OrderingKey })},
	{"idempotency_key", "text", each(func(i *insertion) string { return i.Event.IdempotencyKey })},
	{"deliver_at", "timestamptz", each(func(i *insertion) *time.Time { return orNull(i.Event.DeliverAt) })},
	{"expires_at", "timestamptz", each(func(i *insertion) *time.Time { return orNull(i.Event.ExpiresAt) })},
	{"metadata", "text", each(func(i *insertion) *string { return asJSON(i.Event.Metadata) })},
	{"fanout", "int", each(func(i *insertion) int32 { return int32(i.Event.Fanout) })},
	{"stored", "timestamptz", each(func(i *insertion) time.Time { return i.now })},
	{"unheard", "boolean", each(func(i *insertion) bool { return len(i.Deliveries) == 0 })},
	{"data", "bytea", each(func(i *insertion) []byte { return i.Event.Data })},
}

// keyUntil is until when an event's idempotency key is taken.
var keyUntil = column[insertion]{"key_until", "timestamptz", each(func(i *insertion) time.Time { return i.KeyUntil })}

// keyInput says whose an idempotency key is.
var keyInput = input[insertion]{
	{"event_id", "text", each(func(i *insertion) string { return i.Event.ID })},
	{"tenant", "text", each(func(i *insertion) string { return i.Event.Tenant })},
	{"key", "text", each(func(i *insertion) string { return i.Event.IdempotencyKey })},
}

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
	{"event_id", "text", each(func(d *newDelivery) string { return d.event })},
	{"subscriber", "text", each(func(d *newDelivery) string { return d.Subscriber })},
	{"type", "text", each(func(d *newDelivery) string { return d.Type })},
	{"tenant", "text", each(func(d *newDelivery) string { return d.Tenant })},
	{"ordering_key", "text", each(func(d *newDelivery) string { return d.OrderingKey })},
	{"status", "smallint", each(func(d *newDelivery) int16 { return int16(d.Status) })},
	{"reason", "text", each(func(d *newDelivery) string { return string(d.Reason) })},
	{"due", "timestamptz", each(func(d *newDelivery) time.Time { return d.Due })},
	{"run", "int", each(func(d *newDelivery) int32 { return int32(d.Run) })},
	{"attempts", "int", each(func(d *newDelivery) int32 { return int32(d.Attempts) })},
	{"lost", "int", each(func(d *newDelivery) int32 { return int32(d.Lost) })},
	{"token", "bigint", each(func(d *newDelivery) int64 { return d.Token })},
	{"created", "timestamptz", each(func(d *newDelivery) time.Time { return d.Created })},
	{"updated", "timestamptz", each(func(d *newDelivery) time.Time { return d.Updated })},
	{"code", "int", each(func(d *newDelivery) int32 { return int32(d.Code) })},
	{"error", "text", each(func(d *newDelivery) string { return clean(d.Error) })},
}

// changeInput is a change, and what is stored of its attempt if it was tried.
var changeInput = input[revision]{
	{"event_id", "text", each(func(r *revision) string { return r.Delivery.Event })},
	{"subscriber", "text", each(func(r *revision) string { return r.Delivery.Subscriber })},
	{"ordered", "boolean", each(func(r *revision) bool { return r.Delivery.OrderingKey != "" })},
	{"token", "bigint", each(func(r *revision) int64 { return r.Delivery.Token })},
	{"status", "smallint", each(func(r *revision) int16 { return int16(r.Delivery.Status) })},
	{"reason", "text", each(func(r *revision) string { return string(r.Delivery.Reason) })},
	{"due", "timestamptz", each(func(r *revision) time.Time { return r.Delivery.Due })},
	{"run", "int", each(func(r *revision) int32 { return int32(r.Delivery.Run) })},
	{"attempts", "int", each(func(r *revision) int32 { return int32(r.Delivery.Attempts) })},
	{"lost", "int", each(func(r *revision) int32 { return int32(r.Delivery.Lost) })},
	{"updated", "timestamptz", each(func(r *revision) time.Time { return r.Delivery.Updated })},
	{"code", "int", each(func(r *revision) int32 { return int32(r.Delivery.Code) })},
	{"error", "text", each(func(r *revision) string { return clean(r.Delivery.Error) })},

	{"tried", "boolean", each(func(r *revision) bool { return r.Attempt != nil })},
	{"attempt_run", "int", each(func(r *revision) int32 { return int32(r.attempt().Run) })},
	{"number", "int", each(func(r *revision) int32 { return int32(r.attempt().Number) })},
	{"attempt_token", "bigint", each(func(r *revision) int64 { return r.attempt().Token })},
	{"start", "timestamptz", each(func(r *revision) time.Time { return r.attempt().Start })},
	{"dns", "bigint", each(func(r *revision) int64 { return int64(r.attempt().DNS) })},
	{"connect", "bigint", each(func(r *revision) int64 { return int64(r.attempt().Connect) })},
	{"tls", "bigint", each(func(r *revision) int64 { return int64(r.attempt().TLS) })},
	{"wait", "bigint", each(func(r *revision) int64 { return int64(r.attempt().Wait) })},
	{"took", "bigint", each(func(r *revision) int64 { return int64(r.attempt().Took) })},
	{"url", "text", each(func(r *revision) string { return clean(r.attempt().URL) })},
	{"attempt_code", "int", each(func(r *revision) int32 { return int32(r.attempt().Code) })},
	{"failure", "text", each(func(r *revision) string { return clean(r.attempt().Error) })},
	{"retry_after", "bigint", each(func(r *revision) int64 { return int64(r.attempt().RetryAfter) })},
	{"header", "text", each(func(r *revision) *string { return asJSON(r.attempt().Header) })},
	{"body", "bytea", each(func(r *revision) []byte { return r.attempt().Body })},
	{"body_cut", "boolean", each(func(r *revision) bool { return r.attempt().BodyCut })},
	{"instance", "text", each(func(r *revision) string { return clean(r.attempt().Instance) })},
}

var noAttempt hooks.Attempt

// attempt returns the change's, or an empty one.
func (r *revision) attempt() *hooks.Attempt {
	if r.Attempt == nil {
		return &noAttempt
	}
	return r.Attempt
}

// orNull returns nil for a zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// asJSON returns m as JSON, and nil if it is empty. The zero character cannot be
// in it: PostgreSQL's JSON has it escaped only.
func asJSON[V any](m map[string]V) *string {
	if len(m) == 0 {
		return nil
	}
	b, _ := json.Marshal(m) // maps of strings always can be
	s := string(b)
	return &s
}

// clean returns s as PostgreSQL takes it for a text: what a receiver or an
// operating system said must not make an outcome impossible to write.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
