package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/hooks"
)

// An Archive is what a store has of many deliveries, most of them finished, as [FillArchive]
// has written them.
//
//   - A tenth waits for the endpoint [Busy]; some of these have one of 20 ordering keys.
//   - A tenth is of the endpoint [Quiet]: finished, but for the three oldest, which wait.
//   - The rest are of 200 endpoints and a handler, of 50 tenants and 20 types: 97 % have
//     succeeded, 1 % has failed in several classes, 0.5 % was canceled, and the others wait.
//   - Every 25,000th event is of the type [RareType], and the oldest 100 deliveries are those
//     of the tenant [SmallTenant].
type Archive struct {
	Size  int       // deliveries
	Begin time.Time // when the first was made
	rng   *rand.Rand
	some  []archived // of these
	n     int        // deliveries that are made so far
}

// An archived is a delivery that can be asked for.
type archived struct {
	id     hooks.DeliveryID
	tenant string
}

// Names in an [Archive].
const (
	Busy        = "busy"
	Quiet       = "quiet"
	Auditor     = "auditor" // the handler
	SmallTenant = "small"
	RareType    = "rare.thing"

	archiveTenants   = 50
	archiveEndpoints = 200
	archiveTypes     = 20
)

// archivedClasses are why deliveries failed.
var archivedClasses = []string{"status", "timeout", "connection_refused", "dns", "tls", "error"}

func archiveTenant(i int) string   { return fmt.Sprintf("tenant_%02d", i%archiveTenants) }
func archiveEndpoint(i int) string { return fmt.Sprintf("endpoint_%03d", i%archiveEndpoints) }
func archiveType(i int) string     { return fmt.Sprintf("group_%d.thing_%02d", i%4, i%archiveTypes) }

// FillArchive writes an archive of so many deliveries into an empty store.
func FillArchive(t testing.TB, s hooks.Store, size int) *Archive {
	t.Helper()
	a := &Archive{Size: size, Begin: time.Now().UTC().Truncate(time.Second).Add(-archiveTime), rng: rand.New(rand.NewPCG(1, 2))}
	const group = 1000
	for a.n < size {
		at := a.time()
		var entries []hooks.Entry
		var changes []hooks.Change
		for len(entries) < group && a.n < size {
			e := a.entry()
			entries = append(entries, e)
			changes = append(changes, a.attempted(e)...)
		}
		if _, err := s.Enqueue(t.Context(), at, entries); err != nil {
			t.Fatal(err)
		}
		if stale, err := s.Update(t.Context(), at, changes); err != nil || len(stale) > 0 {
			t.Fatalf("Update = %v, %v; want nothing stale", stale, err)
		}
	}
	a.addMinutes(t, s)
	return a
}

// archiveTime is from the first delivery to the last.
const archiveTime = 10 * 24 * time.Hour

// time is when the next delivery is made.
func (a *Archive) time() time.Time {
	return a.Begin.Add(archiveTime / time.Duration(a.Size) * time.Duration(a.n)).Truncate(time.Microsecond)
}

// entry makes the next event, with one or two deliveries.
func (a *Archive) entry() hooks.Entry {
	i := a.n
	ev := hooks.Event{
		ID: fmt.Sprintf("evt_%07d", i), Type: archiveType(a.rng.IntN(archiveTypes)), Tenant: archiveTenant(a.rng.IntN(archiveTenants)),
		Time: a.time(), Data: json.RawMessage(fmt.Sprintf(`{"number":%d,"text":"%0200d"}`, i, i)), Metadata: map[string]string{"traceparent": "00-1"},
	}
	if i%25_000 == 12 {
		ev.Type = RareType
	}
	if i%7 == 0 {
		ev.IdempotencyKey = "key_" + ev.ID
	}
	e := hooks.Entry{Event: ev, KeyUntil: ev.Time.Add(24 * time.Hour)}
	switch {
	case i < 100:
		e.Event.Tenant = SmallTenant
		e.Deliveries = a.deliveries(&e.Event, "endpoint_small")
	case i%10 == 0:
		e.Event.Tenant = archiveTenant(0)
		if i%100 == 0 {
			e.Event.OrderingKey = fmt.Sprint("key_", a.rng.IntN(20))
		}
		e.Deliveries = a.deliveries(&e.Event, Busy)
	case i%10 == 1:
		e.Event.Tenant = archiveTenant(1)
		e.Deliveries = a.deliveries(&e.Event, Quiet)
	case i%20 == 2:
		e.Deliveries = a.deliveries(&e.Event, a.endpointOf(ev.Tenant), Auditor)
	default:
		first, second := a.endpointOf(ev.Tenant), a.endpointOf(ev.Tenant)
		e.Deliveries = a.deliveries(&e.Event, first)
		if first != second && i%10 != 9 && a.n < a.Size {
			e.Deliveries = append(e.Deliveries, a.deliveries(&e.Event, second)...)
		}
	}
	return e
}

// endpointOf returns one of the four endpoints of a tenant.
func (a *Archive) endpointOf(tenant string) string {
	var i int
	fmt.Sscanf(tenant, "tenant_%d", &i)
	return archiveEndpoint(i + archiveTenants*a.rng.IntN(archiveEndpoints/archiveTenants))
}

func (a *Archive) deliveries(ev *hooks.Event, subscribers ...string) (list []hooks.Delivery) {
	for _, s := range subscribers {
		d := hooks.Delivery{
			DeliveryID: hooks.DeliveryID{Event: ev.ID, Subscriber: s}, Type: ev.Type, Tenant: ev.Tenant, OrderingKey: ev.OrderingKey,
			Due: a.time(), Run: 1, Created: a.time(), Updated: a.time(),
		}
		a.decide(&d)
		if a.n < 2000 || a.rng.IntN(a.Size/2000+1) == 0 {
			a.some = append(a.some, archived{d.DeliveryID, d.Tenant})
		}
		list = append(list, d)
		a.n++
	}
	return list
}

// decide says what has become of a delivery.
func (a *Archive) decide(d *hooks.Delivery) {
	switch p := a.rng.IntN(1000); {
	case d.Subscriber == Busy && p < 900, d.Subscriber == Quiet && a.n < 130: // after those of SmallTenant
		d.Status = hooks.Pending
	case d.Subscriber == Busy:
		d.Status, d.Attempts, d.Due = hooks.Retrying, 1, a.Begin.Add(2*archiveTime)
	case d.Subscriber == Quiet, p < 970:
		d.Status, d.Attempts, d.Code = hooks.Succeeded, 1, 200
	case p < 980:
		d.Status, d.Attempts, d.Reason, d.Code = hooks.Failed, 10, hooks.ReasonExhausted, 500
	case p < 985:
		d.Status = hooks.Canceled
	case p < 993:
		d.Status = hooks.Pending
	default:
		d.Status, d.Attempts, d.Code = hooks.Retrying, 2, 503
		d.Due = a.Begin.Add(2 * archiveTime)
	}
	if d.Status == hooks.Failed || d.Status == hooks.Retrying {
		d.Error = archivedClasses[a.rng.IntN(len(archivedClasses))]
	}
}

// attempted returns changes that add attempts to some deliveries of an entry.
func (a *Archive) attempted(e hooks.Entry) (changes []hooks.Change) {
	for _, d := range e.Deliveries {
		if d.Attempts == 0 || d.Status == hooks.Succeeded && a.rng.IntN(20) > 0 {
			continue
		}
		changes = append(changes, hooks.Change{Delivery: d, Attempt: &hooks.Attempt{
			Run: 1, Number: d.Attempts, Start: d.Updated, Took: 30 * time.Millisecond, URL: "https://example.com/hooks",
			Code: d.Code, Error: d.Error, Header: map[string][]string{"Content-Type": {"text/plain"}}, Body: []byte("ok"), Instance: "a",
		}})
	}
	return changes
}

// addMinutes writes the counters of a day.
func (a *Archive) addMinutes(t testing.TB, s hooks.Store) {
	r, ok := s.(hooks.Reporter)
	if !ok {
		return
	}
	var ms []hooks.Minute
	for i := range 24 * 60 {
		start := a.Begin.Add(9*24*time.Hour + time.Duration(i)*time.Minute)
		ms = append(ms, hooks.Minute{Start: start, Succeeded: 100})
		if i%5 > 0 {
			continue
		}
		for e := range archiveEndpoints {
			ms = append(ms, hooks.Minute{Start: start, Subscriber: archiveEndpoint(e), Succeeded: 3})
		}
	}
	for part := range slices.Chunk(ms, 5000) {
		if err := r.AddMinutes(context.Background(), part); err != nil {
			t.Fatal(err)
		}
	}
}
