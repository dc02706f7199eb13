package hooks

import (
	"encoding/json"
	"time"
)

// An Event is a fact that the application announces. Make one with [EventType.New], set
// further fields if you need them, and publish it.
type Event struct {
	// ID names the event for ever: it is the webhook-id of every attempt and
	// replay, and publishing the same ID again does nothing. Letters, digits,
	// "_" and "-", at most 128. Empty: Publish makes one, "evt_" and a UUIDv7.
	ID string `json:"id"`
	// Type is the name of a registered [EventType].
	Type string `json:"type"`
	// Tenant is the customer whose event it is. Only endpoints of this tenant receive it;
	// those of no other. Empty: endpoints without a tenant receive it. Handlers receive
	// events of every tenant.
	Tenant string `json:"tenant,omitempty"`
	// Time is when it happened. Zero means now.
	Time time.Time `json:"time"`
	// Data is the JSON payload, sent byte for byte. The application must not change
	// the bytes once the event is published.
	Data json.RawMessage `json:"data"`
	// OrderingKey puts events in order for subscribers that are Ordered: events with
	// the same key reach them one after the other, in the order of their publishing.
	OrderingKey string `json:"ordering_key,omitempty"`
	// IdempotencyKey makes it safe to repeat a publish if the application has no ID
	// of its own for the event. Within [Config].IdempotencyWindow, a second event of
	// the same tenant with the same key is a duplicate, and nothing of it is stored.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// DeliverAt is when the first attempt may start. Zero means at once.
	DeliverAt time.Time `json:"deliver_at,omitzero"`
	// ExpiresAt is when delivering the event becomes useless: deliveries that are not final
	// then fail, with [ReasonExpired]. Zero means never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Metadata is kept with the event for the application. It is not sent.
	Metadata map[string]string `json:"metadata,omitempty"`

	// Seq is the event's place among all events. The store sets it; Publish ignores it.
	Seq int64 `json:"seq,omitempty"`
	// Erased is when its Data and Metadata were erased. Zero: they were not. The store sets
	// it; Publish ignores it.
	Erased time.Time `json:"erased_at,omitzero"`

	err error // why New could not encode Data; Publish returns it
}
