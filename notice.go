package hooks

import (
	"context"
	"encoding/json"
	"time"
)

// The library's own events, called notices, tell of what it did. Their types are registered
// by [New]. Handlers and endpoints receive them as they receive other events, but only by
// patterns that begin with "hooks.", such as "hooks.**" or "hooks.endpoint.*". An endpoint
// receives those of its own tenant.
//
//   - A notice is stored in the same write as what it tells of. So there is exactly one for
//     each such step, made by whichever process did it.
//   - Who receives it is decided then, by the subscribers that this process knows. If there
//     is none, nothing is stored.
//   - The application cannot publish events of these types, and a [Trace] is not told that
//     one was published.
//
// Programs must not assign to these variables.
var (
	// EndpointDisabled is published when an endpoint is disabled, and not when the reason
	// or the end of that is changed later. The event's OrderingKey is the endpoint's id, and
	// its Time is when the endpoint was disabled.
	EndpointDisabled = EventType[EndpointNotice]{
		Name:        "hooks.endpoint.disabled",
		Description: "An endpoint was disabled. What is due for it is held until it is enabled.",
		Example: EndpointNotice{EndpointHealth{
			Endpoint: "crm", State: StateDisabled, Reason: "moving to another data centre",
			Since: exampleTime, Until: exampleTime.Add(2 * time.Hour),
			LastSuccess: exampleTime.Add(-time.Minute), Waiting: Count{N: 3}, Oldest: exampleTime.Add(-time.Second),
		}},
	}
	// EndpointEnabled is published when EnableEndpoint ends a disabling, or when its Until
	// has passed. For the latter, the next process that runs publishes it; the event's Time
	// is Until. The event's OrderingKey is the endpoint's id.
	EndpointEnabled = EventType[EndpointNotice]{
		Name:        "hooks.endpoint.enabled",
		Description: "A disabled endpoint was enabled, by somebody or because its time had come. What was held for it is sent.",
		Example: EndpointNotice{EndpointHealth{
			Endpoint: "crm", State: StateWorking, LastSuccess: exampleTime.Add(-time.Minute),
			Waiting: Count{N: 250}, Oldest: exampleTime.Add(-time.Second),
		}},
	}
	// DeliveryFailed is published when a delivery becomes [Failed], in each of its runs.
	// The event's Time is when that was. There is none about deliveries of the library's own
	// events, or the failure of one would cause the next.
	//
	// The notice belongs to the tenant of the delivery if that [Tenant] is shown the
	// delivery. Otherwise, as with a handler's delivery or a private type, it has no tenant
	// and no endpoint receives it, only handlers.
	DeliveryFailed = EventType[DeliveryNotice]{
		Name:        "hooks.delivery.failed",
		Description: "A delivery has failed for good. Nothing more is sent unless somebody replays it.",
		Example: DeliveryNotice{Delivery{
			DeliveryID: DeliveryID{Event: "evt_01", Subscriber: "crm"}, Type: "invoice.paid",
			Status: Failed, Reason: ReasonExhausted, Due: exampleTime, Run: 1, Attempts: 10,
			Created: exampleTime.Add(-80 * time.Hour), Updated: exampleTime, Code: 503, Error: "status",
		}},
	}
)

var exampleTime = time.Date(2026, 11, 30, 9, 15, 0, 0, time.UTC)

// An EndpointNotice is the data of [EndpointDisabled] and [EndpointEnabled].
type EndpointNotice struct {
	// Health is how the endpoint stands from this step on. Waiting and Oldest are counted
	// as the endpoint's [Tenant] is shown them.
	Health EndpointHealth `json:"health"`
}

// A DeliveryNotice is the data of [DeliveryFailed].
type DeliveryNotice struct {
	// Delivery is as it was stored when it had failed, but for its Seq, which is zero because
	// a process that sends a new delivery at once does not know it.
	Delivery Delivery `json:"delivery"`
}

// ownTypes returns the types of notices, by name.
func ownTypes() map[string]declaration {
	types := make(map[string]declaration)
	for _, t := range []AnyEventType{EndpointDisabled, EndpointEnabled, DeliveryFailed} {
		d := t.declare()
		types[d.Name] = d
	}
	return types
}

// healthNotices returns the notices of the steps that lead from one health record of an
// endpoint to the next. was may be nil. There are two steps if the endpoint is disabled
// again, and the end of the last time was not recorded yet.
func (h *Hooks) healthNotices(ctx context.Context, e *endpoint, was *health, next healthRecord) ([]Entry, error) {
	var before time.Time // since when it was disabled
	if was != nil {
		before = was.Since
	}
	if next.Since.Equal(before) {
		return nil, nil
	}
	var notices []Entry
	if !before.IsZero() {
		when := h.now()
		if !was.disabled(when) {
			when = was.Until
		}
		n, err := h.healthNotice(ctx, EndpointEnabled, e, healthRecord{}, when)
		if err != nil {
			return nil, err
		}
		notices = append(notices, n...)
	}
	if !next.Since.IsZero() {
		n, err := h.healthNotice(ctx, EndpointDisabled, e, next, next.Since)
		if err != nil {
			return nil, err
		}
		notices = append(notices, n...)
	}
	return notices, nil
}

// healthNotice returns the notice that an endpoint has the health record r since a time, or
// nothing if nobody receives it.
func (h *Hooks) healthNotice(ctx context.Context, t EventType[EndpointNotice], e *endpoint, r healthRecord, when time.Time) ([]Entry, error) {
	if len(h.dir.matches(e.Tenant, t.Name, false)) == 0 {
		return nil, nil // counting what waits would be for nobody
	}
	owner := view{h: h, tenant: e.Tenant}
	is := []EndpointHealth{e.state(&health{healthRecord: r}, when)}
	if err := owner.addWaiting(ctx, is); err != nil {
		return nil, err
	}
	ev := t.New(EndpointNotice{is[0]})
	ev.Tenant, ev.OrderingKey = e.Tenant, e.ID
	return h.notice(ev, when), nil
}

// failureNotice returns the notice that a delivery has failed for good. It returns nothing
// for any other outcome, or if nobody receives the notice.
func (h *Hooks) failureNotice(d Delivery) []Entry {
	if d.Status != Failed || isOwn(d.Type) {
		return nil
	}
	d.Seq = 0 // as it is anyway if Publish has handed the delivery over
	ev := DeliveryFailed.New(DeliveryNotice{d})
	if owner := (view{h: h, tenant: d.Tenant}); owner.showsDelivery(d) {
		ev.Tenant = d.Tenant
	}
	return h.notice(ev, d.Updated)
}

// notice returns the entry that stores a notice about something that happened at a time, or
// nothing if nobody receives it.
func (h *Hooks) notice(ev Event, when time.Time) []Entry {
	ev.ID, ev.Time = newID("evt_"), when
	e := Entry{Event: ev}
	if h.address(&e, h.now()); len(e.Deliveries) == 0 {
		return nil
	}
	return []Entry{e}
}

// isForHandlers reports whether only handlers may receive an event: its type is private, or
// it is a notice about a delivery that the event's tenant is not shown.
func (h *Hooks) isForHandlers(ev Event) bool {
	if ev.Type != DeliveryFailed.Name {
		return h.isPrivate(ev.Type)
	}
	var n DeliveryNotice
	owner := view{h: h, tenant: ev.Tenant}
	return json.Unmarshal(ev.Data, &n) != nil || !owner.showsDelivery(n.Delivery)
}

// findNotices makes the loop look for the deliveries of notices that were written with an
// outcome.
func (d *dispatcher) findNotices(notices []Entry) {
	for _, e := range notices {
		for _, dl := range e.Deliveries {
			d.stayed(dl, d.h.now())
		}
	}
}
