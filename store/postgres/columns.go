package postgres

import (
	"encoding/json"
	"strings"
	"time"

	"example.com/hooks"
)

// Rows go into the database as one array for each column.

// eventRows are the columns of [eventInput], and until when keys are taken.
type eventRows struct {
	id, typ, tenant      []string
	time                 []time.Time
	orderingKey, idemKey []string
	deliverAt, expiresAt []*time.Time
	metadata             []*string
	fanout               []int32
	stored               []time.Time
	unheard              []bool
	data                 [][]byte
	keyUntil             []time.Time
}

func (c *eventRows) add(in insertion) {
	ev := &in.Event
	c.id = append(c.id, ev.ID)
	c.typ = append(c.typ, ev.Type)
	c.tenant = append(c.tenant, ev.Tenant)
	c.time = append(c.time, ev.Time)
	c.orderingKey = append(c.orderingKey, ev.OrderingKey)
	c.idemKey = append(c.idemKey, ev.IdempotencyKey)
	c.deliverAt = append(c.deliverAt, orNull(ev.DeliverAt))
	c.expiresAt = append(c.expiresAt, orNull(ev.ExpiresAt))
	c.metadata = append(c.metadata, asJSON(ev.Metadata))
	c.fanout = append(c.fanout, int32(ev.Fanout))
	c.stored = append(c.stored, in.now)
	c.unheard = append(c.unheard, len(in.Deliveries) == 0)
	c.data = append(c.data, ev.Data)
	c.keyUntil = append(c.keyUntil, in.KeyUntil)
}

func (c *eventRows) args() []any {
	return []any{
		c.id, c.typ, c.tenant, c.time, c.orderingKey, c.idemKey,
		c.deliverAt, c.expiresAt, c.metadata, c.fanout, c.stored, c.unheard, c.data, c.keyUntil,
	}
}

// deliveryColumns are the columns of [deliveryInput].
type deliveryColumns struct {
	event, subscriber, typ, tenant, orderingKey []string
	status                                      []int16
	reason                                      []string
	due                                         []time.Time
	run, attempts, lost                         []int32
	token                                       []int64
	created, updated                            []time.Time
	code                                        []int32
	err                                         []string
}

// add takes the deliveries of an entry.
func (c *deliveryColumns) add(e hooks.Entry) {
	for _, d := range e.Deliveries {
		c.event = append(c.event, e.Event.ID)
		c.subscriber = append(c.subscriber, d.Subscriber)
		c.typ = append(c.typ, d.Type)
		c.tenant = append(c.tenant, d.Tenant)
		c.orderingKey = append(c.orderingKey, d.OrderingKey)
		c.status = append(c.status, int16(d.Status))
		c.reason = append(c.reason, string(d.Reason))
		c.due = append(c.due, d.Due)
		c.run = append(c.run, int32(d.Run))
		c.attempts = append(c.attempts, int32(d.Attempts))
		c.lost = append(c.lost, int32(d.Lost))
		c.token = append(c.token, d.Token)
		c.created = append(c.created, d.Created)
		c.updated = append(c.updated, d.Updated)
		c.code = append(c.code, int32(d.Code))
		c.err = append(c.err, clean(d.Error))
	}
}

func (c *deliveryColumns) args() []any {
	return []any{
		c.event, c.subscriber, c.typ, c.tenant, c.orderingKey, c.status, c.reason,
		c.due, c.run, c.attempts, c.lost, c.token, c.created, c.updated, c.code, c.err,
	}
}

// keyRows are the events that have idempotency keys.
type keyRows struct {
	id, tenant, key []string
}

func (c *keyRows) add(in insertion) {
	c.id = append(c.id, in.Event.ID)
	c.tenant = append(c.tenant, in.Event.Tenant)
	c.key = append(c.key, in.Event.IdempotencyKey)
}

func (c *keyRows) args() []any { return []any{c.id, c.tenant, c.key} }

// changeRows are changes, with what is needed of their attempts.
type changeRows struct {
	event, subscriber   []string
	ordered             []bool
	token               []int64
	status              []int16
	reason              []string
	due                 []time.Time
	run, attempts, lost []int32
	updated             []time.Time
	code                []int32
	err                 []string

	tried                         []bool // it has an attempt: what follows
	number                        []int32
	start                         []time.Time
	dns, connect, tls, wait, took []int64
	url, failure                  []string
	attemptRun, attemptCode       []int32
	attemptToken                  []int64
	retryAfter                    []int64
	header                        []*string
	body                          [][]byte
	bodyCut                       []bool
	instance                      []string
}

func (c *changeRows) add(ch hooks.Change) {
	d := &ch.Delivery
	c.event = append(c.event, d.Event)
	c.subscriber = append(c.subscriber, d.Subscriber)
	c.ordered = append(c.ordered, d.OrderingKey != "")
	c.token = append(c.token, d.Token)
	c.status = append(c.status, int16(d.Status))
	c.reason = append(c.reason, string(d.Reason))
	c.due = append(c.due, d.Due)
	c.run = append(c.run, int32(d.Run))
	c.attempts = append(c.attempts, int32(d.Attempts))
	c.lost = append(c.lost, int32(d.Lost))
	c.updated = append(c.updated, d.Updated)
	c.code = append(c.code, int32(d.Code))
	c.err = append(c.err, clean(d.Error))
	c.tried = append(c.tried, ch.Attempt != nil)
	a := ch.Attempt
	if a == nil {
		a = &hooks.Attempt{}
	}
	c.addAttempt(a)
}

func (c *changeRows) addAttempt(a *hooks.Attempt) {
	c.attemptRun = append(c.attemptRun, int32(a.Run))
	c.number = append(c.number, int32(a.Number))
	c.attemptToken = append(c.attemptToken, a.Token)
	c.start = append(c.start, a.Start)
	c.dns = append(c.dns, int64(a.DNS))
	c.connect = append(c.connect, int64(a.Connect))
	c.tls = append(c.tls, int64(a.TLS))
	c.wait = append(c.wait, int64(a.Wait))
	c.took = append(c.took, int64(a.Took))
	c.url = append(c.url, clean(a.URL))
	c.attemptCode = append(c.attemptCode, int32(a.Code))
	c.failure = append(c.failure, clean(a.Error))
	c.retryAfter = append(c.retryAfter, int64(a.RetryAfter))
	c.header = append(c.header, asJSON(a.Header))
	c.body = append(c.body, a.Body)
	c.bodyCut = append(c.bodyCut, a.BodyCut)
	c.instance = append(c.instance, clean(a.Instance))
}

func (c *changeRows) args() []any {
	return []any{
		c.event, c.subscriber, c.ordered, c.token, c.status, c.reason,
		c.due, c.run, c.attempts, c.lost,
		c.updated, c.code, c.err, c.tried, c.attemptRun, c.number, c.attemptToken, c.start,
		c.dns, c.connect, c.tls, c.wait, c.took, c.url, c.attemptCode, c.failure, c.retryAfter,
		c.header, c.body, c.bodyCut, c.instance,
	}
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
