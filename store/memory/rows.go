package memory

import (
	"bytes"
	"maps"
	"time"

	"example.com/hooks"
)

// An event is what the store keeps of a [hooks.Event].
type event struct {
	hooks.Event
	stored     time.Time
	deliveries map[string]*delivery // by subscriber
	at         int                  // in unwanted, while it has no deliveries
}

func (e *event) index() *int { return &e.at }

func earlierStored(a, b *event) bool { return a.stored.Before(b.stored) }

// copy returns the event without sharing anything that its owner may alter.
func (e *event) copy() hooks.Event {
	c := e.Event
	c.Metadata = maps.Clone(c.Metadata)
	return c
}

// A delivery is what the store keeps of a [hooks.Delivery].
type delivery struct {
	hooks.Delivery
	event    *event
	attempts []hooks.Attempt
	queue    *queue[*delivery] // the one it stands in
	at       int               // and where
}

func (d *delivery) index() *int { return &d.at }

func earlierSeq(a, b *delivery) bool   { return a.Seq < b.Seq }
func earlierFinal(a, b *delivery) bool { return a.Updated.Before(b.Updated) }

func earlierDue(a, b *delivery) bool {
	return a.Due.Before(b.Due) || a.Due.Equal(b.Due) && a.Seq < b.Seq
}

// line returns the line that d belongs to while it is unfinished. Without an
// ordering key there is none of that name.
func (d *delivery) line() lineID {
	return lineID{d.Subscriber, d.Tenant, d.OrderingKey}
}

type lineID struct{ subscriber, tenant, key string }

// A line is the unfinished deliveries of one subscriber, tenant and ordering
// key. Its head, the lowest Seq, stands in the subscriber's lane like any
// other delivery; the rest wait here, where no claim meets them.
type line struct {
	head    *delivery
	waiting *queue[*delivery]
}

// A key is an idempotency key that was used.
type key struct {
	id    keyID
	event string // the id of the one that holds it
	until time.Time
	at    int
}

type keyID struct{ tenant, key string }

func (k *key) index() *int { return &k.at }

func earlierEnd(a, b *key) bool { return a.until.Before(b.until) }

func copyAttempt(a hooks.Attempt) hooks.Attempt {
	a.Header = a.Header.Clone()
	a.Body = bytes.Clone(a.Body)
	return a
}
