package postgres

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// eventInput has the columns of hooks.events that an event is stored with. The column
// fanout gets its default, because nobody reads it any more.
var eventInput = batch.Input[insertion]{
	batch.Text("id", func(i *insertion) string { return i.Event.ID }),
	batch.Text("type", func(i *insertion) string { return i.Event.Type }),
	batch.Text("tenant", func(i *insertion) string { return i.Event.Tenant }),
	batch.Timestamptz("time", func(i *insertion) time.Time { return i.Event.Time }),
	batch.Text("ordering_key", func(i *insertion) string { return i.Event.OrderingKey }),
	batch.Text("idempotency_key", func(i *insertion) string { return i.Event.IdempotencyKey }),
	batch.TimeOrNull("deliver_at", func(i *insertion) time.Time { return i.Event.DeliverAt }),
	batch.TimeOrNull("expires_at", func(i *insertion) time.Time { return i.Event.ExpiresAt }),
	batch.TimeOrNull("erased", func(i *insertion) time.Time { return i.Event.Erased }),
	batch.JSON("metadata", func(i *insertion) string { return asJSON(i.Event.Metadata) }),
	batch.Timestamptz("stored", func(i *insertion) time.Time { return i.now }),
	batch.Boolean("unheard", func(i *insertion) bool { return len(i.Deliveries) == 0 }),
	batch.Bytea("data", func(i *insertion) []byte { return i.Event.Data }),
}

// keyUntil is the time at which an event's idempotency key is free again.
var keyUntil = batch.Timestamptz("key_until", func(i *insertion) time.Time { return i.KeyUntil })

// keyedEventInput is eventInput with the end of the key's time.
var keyedEventInput = append(slices.Clip(eventInput), keyUntil)

// keyInput has an event's idempotency key and the event that takes it.
var keyInput = batch.Input[insertion]{
	batch.Text("event_id", func(i *insertion) string { return i.Event.ID }),
	batch.Text("tenant", func(i *insertion) string { return i.Event.Tenant }),
	batch.Text("key", func(i *insertion) string { return i.Event.IdempotencyKey }),
}

// keyUntilInput is keyInput with the end of the key's time.
var keyUntilInput = append(slices.Clip(keyInput), keyUntil)

// A newDelivery is a delivery of an insertion.
type newDelivery struct {
	event string
	*hooks.Delivery
}

// newDeliveries returns the deliveries of all insertions.
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

// deliveryInput has the columns of hooks.deliveries.
var deliveryInput = batch.Input[newDelivery]{
	batch.Text("event_id", func(d *newDelivery) string { return d.event }),
	batch.Text("subscriber", func(d *newDelivery) string { return d.Subscriber }),
	batch.Text("type", func(d *newDelivery) string { return d.Type }),
	batch.Text("tenant", func(d *newDelivery) string { return d.Tenant }),
	batch.Text("ordering_key", func(d *newDelivery) string { return d.OrderingKey }),
	batch.Smallint("status", func(d *newDelivery) int16 { return int16(d.Status) }),
	batch.Text("reason", func(d *newDelivery) string { return string(d.Reason) }),
	batch.Timestamptz("due", func(d *newDelivery) time.Time { return d.Due }),
	batch.Integer("run", func(d *newDelivery) int32 { return int32(d.Run) }),
	batch.Integer("attempts", func(d *newDelivery) int32 { return int32(d.Attempts) }),
	batch.Integer("lost", func(d *newDelivery) int32 { return int32(d.Lost) }),
	batch.Bigint("token", func(d *newDelivery) int64 { return d.Token }),
	batch.Timestamptz("created", func(d *newDelivery) time.Time { return d.Created }),
	batch.Timestamptz("updated", func(d *newDelivery) time.Time { return d.Updated }),
	batch.Integer("code", func(d *newDelivery) int32 { return int32(d.Code) }),
	batch.Text("error", func(d *newDelivery) string { return clean(d.Error) }),
}

// changeInput has what a change writes into hooks.deliveries, and from tried on what it
// writes into hooks.attempts.
var changeInput = batch.Input[revision]{
	batch.Text("event_id", func(r *revision) string { return r.Delivery.Event }),
	batch.Text("subscriber", func(r *revision) string { return r.Delivery.Subscriber }),
	batch.Boolean("ordered", func(r *revision) bool { return r.Delivery.OrderingKey != "" }),
	batch.Bigint("token", func(r *revision) int64 { return r.Delivery.Token }),
	batch.Smallint("status", func(r *revision) int16 { return int16(r.Delivery.Status) }),
	batch.Text("reason", func(r *revision) string { return string(r.Delivery.Reason) }),
	batch.Timestamptz("due", func(r *revision) time.Time { return r.Delivery.Due }),
	batch.Integer("run", func(r *revision) int32 { return int32(r.Delivery.Run) }),
	batch.Integer("attempts", func(r *revision) int32 { return int32(r.Delivery.Attempts) }),
	batch.Integer("lost", func(r *revision) int32 { return int32(r.Delivery.Lost) }),
	batch.Timestamptz("updated", func(r *revision) time.Time { return r.Delivery.Updated }),
	batch.Integer("code", func(r *revision) int32 { return int32(r.Delivery.Code) }),
	batch.Text("error", func(r *revision) string { return clean(r.Delivery.Error) }),

	batch.Boolean("tried", func(r *revision) bool { return r.Attempt != nil }),
	batch.Integer("attempt_run", func(r *revision) int32 { return int32(r.attempt().Run) }),
	batch.Integer("number", func(r *revision) int32 { return int32(r.attempt().Number) }),
	batch.Bigint("attempt_token", func(r *revision) int64 { return r.attempt().Token }),
	batch.Timestamptz("start", func(r *revision) time.Time { return r.attempt().Start }),
	batch.Bigint("dns", func(r *revision) int64 { return int64(r.attempt().DNS) }),
	batch.Bigint("connect", func(r *revision) int64 { return int64(r.attempt().Connect) }),
	batch.Bigint("tls", func(r *revision) int64 { return int64(r.attempt().TLS) }),
	batch.Bigint("wait", func(r *revision) int64 { return int64(r.attempt().Wait) }),
	batch.Bigint("took", func(r *revision) int64 { return int64(r.attempt().Took) }),
	batch.Text("url", func(r *revision) string { return clean(r.attempt().URL) }),
	batch.Integer("attempt_code", func(r *revision) int32 { return int32(r.attempt().Code) }),
	batch.Text("failure", func(r *revision) string { return clean(r.attempt().Error) }),
	batch.Bigint("retry_after", func(r *revision) int64 { return int64(r.attempt().RetryAfter) }),
	batch.JSON("header", func(r *revision) string { return asJSON(r.attempt().Header) }),
	batch.Bytea("body", func(r *revision) []byte { return r.attempt().Body }),
	batch.Boolean("body_cut", func(r *revision) bool { return r.attempt().BodyCut }),
	batch.Text("instance", func(r *revision) string { return clean(r.attempt().Instance) }),
}

var noAttempt hooks.Attempt

// attempt returns the change's, or an empty one.
func (r *revision) attempt() *hooks.Attempt {
	if r.Attempt == nil {
		return &noAttempt
	}
	return r.Attempt
}

// asJSON returns m as JSON, and an empty text if m is empty. JSON has no zero character,
// which PostgreSQL would refuse: it is escaped.
func asJSON[V any](m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	b, _ := json.Marshal(m) // maps of strings always can be
	return string(b)
}

// clean returns s with the characters replaced that PostgreSQL refuses in a text. So what a
// receiver or an operating system said cannot make an outcome impossible to write.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// The columns that are read. deliveryFields and eventFields have the same order.
const (
	deliveryColumnsSQL = `d.seq, d.event_id, d.subscriber, d.type, d.tenant, d.ordering_key, d.status, d.reason,
		d.due, d.run, d.attempts, d.lost, d.token, d.created, d.updated, d.code, d.error`
	eventColumnsSQL = `e.seq, e.id, e.type, e.tenant, e.time, e.ordering_key, e.idempotency_key, e.deliver_at,
		e.expires_at, e.erased, e.metadata, e.data`
)

func deliveryFields(d *hooks.Delivery) []any {
	return []any{
		&d.Seq, &d.Event, &d.Subscriber, &d.Type, &d.Tenant, &d.OrderingKey, &d.Status, &d.Reason,
		&d.Due, &d.Run, &d.Attempts, &d.Lost, &d.Token, &d.Created, &d.Updated, &d.Code, &d.Error,
	}
}

func eventFields(ev *hooks.Event) []any {
	return []any{
		&ev.Seq, &ev.ID, &ev.Type, &ev.Tenant, &ev.Time, &ev.OrderingKey, &ev.IdempotencyKey,
		(*zeroTime)(&ev.DeliverAt), (*zeroTime)(&ev.ExpiresAt), (*zeroTime)(&ev.Erased), &ev.Metadata, (*[]byte)(&ev.Data),
	}
}

func scanDelivery(r batch.Row) (d hooks.Delivery, err error) {
	err = r.Scan(deliveryFields(&d)...)
	return deliveryInUTC(d), err
}

func scanEvent(r batch.Row) (ev hooks.Event, err error) {
	err = r.Scan(eventFields(&ev)...)
	return eventInUTC(ev), err
}

func scanAttempt(r batch.Row) (a hooks.Attempt, err error) {
	err = r.Scan(&a.Run, &a.Number, &a.Token, &a.Start,
		&a.DNS, &a.Connect, &a.TLS, &a.Wait, &a.Took, &a.URL, &a.Code, &a.Error,
		&a.RetryAfter, &a.Header, &a.Body, &a.BodyCut, &a.Instance)
	a.Start = a.Start.UTC()
	return a, err
}

// The driver returns times in the zone of this process.

func deliveryInUTC(d hooks.Delivery) hooks.Delivery {
	d.Due, d.Created, d.Updated = d.Due.UTC(), d.Created.UTC(), d.Updated.UTC()
	return d
}

func eventInUTC(ev hooks.Event) hooks.Event {
	ev.Time, ev.DeliverAt = ev.Time.UTC(), ev.DeliverAt.UTC()
	ev.ExpiresAt, ev.Erased = ev.ExpiresAt.UTC(), ev.Erased.UTC()
	return ev
}

// A zeroTime scans a time, or null as the zero time.
type zeroTime time.Time

func (z *zeroTime) Scan(src any) error {
	t, _ := src.(time.Time) // nil otherwise: the column has no other type
	*z = zeroTime(t)
	return nil
}
