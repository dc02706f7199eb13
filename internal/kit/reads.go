package kit

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/hooks"
)

// A Read is a call that an operator, a customer's page or a bulk action makes, with parameters
// of chance.
type Read struct {
	Name string
	Most time.Duration                          // how long it may take
	Call func(ctx context.Context, i int) error // i decides the parameters
}

// A read is what a [Read] is made of.
type read struct {
	name string
	most time.Duration // how long it may take
	call func(ctx context.Context, r *reading) error
}

// A reading is what reads are made of: the Hooks that is asked, and what to ask it for.
type reading struct {
	h   *hooks.Hooks
	s   hooks.Store
	a   *Archive
	rng *rand.Rand

	deliveries, events int64 // the highest Seq of each
}

func (r *reading) any() archived    { return r.a.some[r.rng.IntN(len(r.a.some))] }
func (r *reading) endpoint() string { return archiveEndpoint(r.rng.IntN(archiveEndpoints)) }
func (r *reading) tenant() string   { return archiveTenant(r.rng.IntN(archiveTenants)) }
func (r *reading) class() string    { return archivedClasses[r.rng.IntN(len(archivedClasses))] }
func (r *reading) typ() string      { return archiveType(r.rng.IntN(archiveTypes)) }
func (r *reading) at(p float64) time.Time {
	return r.a.Begin.Add(time.Duration(p * r.rng.Float64() * float64(archiveTime)))
}

const (
	byID  = 5 * time.Millisecond
	aPage = 50 * time.Millisecond

	// aCount is for a page that asks before a bulk action. It counts up to 10,000 rows.
	aCount = 150 * time.Millisecond
)

// listed is a page of deliveries.
func listed(name string, q func(r *reading) hooks.Query) read {
	return read{name, aPage, func(ctx context.Context, r *reading) error {
		_, _, err := r.h.Deliveries(ctx, r.anywhere(q(r), r.deliveries))
		return err
	}}
}

// found is a page of events.
func found(name string, q func(r *reading) hooks.Query) read {
	return read{name, aPage, func(ctx context.Context, r *reading) error {
		_, _, err := r.h.Events(ctx, r.anywhere(q(r), r.events))
		return err
	}}
}

// anywhere returns q for the newest rows, the oldest, or those after a place in the middle.
func (r *reading) anywhere(q hooks.Query, highest int64) hooks.Query {
	q.OldestFirst = q.OldestFirst || r.rng.IntN(2) == 0
	if r.rng.IntN(2) == 0 {
		q.Cursor = hooks.Cursor(1 + r.rng.Int64N(highest))
	}
	return q
}

// tenants is a page that a customer is shown.
func tenants(name string, call func(ctx context.Context, r *reading, v *hooks.Tenant) error) read {
	return read{name, aPage, func(ctx context.Context, r *reading) error {
		tenant := r.tenant()
		if r.rng.IntN(5) == 0 {
			tenant = SmallTenant
		}
		return call(ctx, r, r.h.Tenant(tenant))
	}}
}

var unfinished = []hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending}

// reads are the calls that are measured.
var reads = []read{
	{"Event", byID, func(ctx context.Context, r *reading) error {
		_, err := r.h.Event(ctx, r.any().id.Event)
		return err
	}},
	{"Delivery", byID, func(ctx context.Context, r *reading) error {
		_, err := r.h.Delivery(ctx, r.any().id)
		return err
	}},
	{"Attempts", byID, func(ctx context.Context, r *reading) error {
		_, err := r.h.Attempts(ctx, r.any().id)
		return err
	}},
	{"Request", byID, func(ctx context.Context, r *reading) error {
		d := r.any()
		for d.id.Subscriber == Auditor {
			d = r.any()
		}
		_, err := r.h.Request(ctx, d.id)
		return err
	}},
	{"ExplainDelivery", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.h.ExplainDelivery(ctx, r.any().id)
		return err
	}},
	{"Tenant.Delivery", byID, func(ctx context.Context, r *reading) error {
		_, err := r.h.Tenant(r.tenant()).Delivery(ctx, r.any().id)
		if errors.Is(err, hooks.ErrNotFound) {
			return nil
		}
		return err
	}},

	listed("Deliveries", func(*reading) hooks.Query { return hooks.Query{} }),
	listed("Deliveries, Event", func(r *reading) hooks.Query { return hooks.Query{Event: r.any().id.Event} }),
	listed("Deliveries, Subscriber", func(r *reading) hooks.Query { return hooks.Query{Subscriber: r.endpoint()} }),
	listed("Deliveries, Subscriber, failed", func(r *reading) hooks.Query {
		return hooks.Query{Subscriber: r.endpoint(), Statuses: []hooks.Status{hooks.Failed}}
	}),
	listed("Deliveries, Subscriber without failures, failed", func(*reading) hooks.Query {
		return hooks.Query{Subscriber: Quiet, Statuses: []hooks.Status{hooks.Failed}}
	}),
	listed("Deliveries, Subscriber, unfinished", func(r *reading) hooks.Query {
		return hooks.Query{Subscriber: r.endpoint(), Statuses: unfinished}
	}),
	listed("Deliveries, a finished Subscriber, unfinished", func(*reading) hooks.Query {
		return hooks.Query{Subscriber: Quiet, Statuses: unfinished}
	}),
	listed("Deliveries, a busy Subscriber, retrying", func(*reading) hooks.Query {
		return hooks.Query{Subscriber: Busy, Statuses: []hooks.Status{hooks.Retrying}}
	}),
	listed("Deliveries, a busy Subscriber, succeeded", func(*reading) hooks.Query {
		return hooks.Query{Subscriber: Busy, Statuses: []hooks.Status{hooks.Succeeded}}
	}),
	listed("Deliveries, Subscriber, canceled", func(r *reading) hooks.Query {
		return hooks.Query{Subscriber: r.endpoint(), Statuses: []hooks.Status{hooks.Canceled}}
	}),
	listed("Deliveries, pending", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Pending}} }),
	listed("Deliveries, retrying", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Retrying}} }),
	listed("Deliveries, sending", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Sending}} }),
	listed("Deliveries, unfinished", func(*reading) hooks.Query { return hooks.Query{Statuses: unfinished} }),
	listed("Deliveries, succeeded", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Succeeded}} }),
	listed("Deliveries, canceled", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Canceled}} }),
	listed("Deliveries, failed", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Failed}} }),
	listed("Deliveries, failed of a class", func(r *reading) hooks.Query {
		return hooks.Query{Statuses: []hooks.Status{hooks.Failed}, Errors: []string{r.class()}}
	}),
	listed("Deliveries, failed with an HTTP status", func(*reading) hooks.Query {
		return hooks.Query{Statuses: []hooks.Status{hooks.Failed}, Codes: []int{503}}
	}),
	listed("Deliveries, failed or canceled", func(*reading) hooks.Query {
		return hooks.Query{Statuses: []hooks.Status{hooks.Failed, hooks.Canceled}}
	}),
	listed("Deliveries, failed or retrying", func(*reading) hooks.Query {
		return hooks.Query{Statuses: []hooks.Status{hooks.Failed, hooks.Retrying}}
	}),
	listed("Deliveries, any of a class", func(r *reading) hooks.Query { return hooks.Query{Errors: []string{r.class()}} }),
	listed("Deliveries, for a Reason", func(*reading) hooks.Query {
		return hooks.Query{Reasons: []hooks.Reason{hooks.ReasonRejected}}
	}),
	listed("Deliveries, Tenant", func(r *reading) hooks.Query { return hooks.Query{Tenant: r.tenant()} }),
	listed("Deliveries, a small Tenant", func(*reading) hooks.Query { return hooks.Query{Tenant: SmallTenant} }),
	listed("Deliveries, Tenant, failed", func(r *reading) hooks.Query {
		return hooks.Query{Tenant: r.tenant(), Statuses: []hooks.Status{hooks.Failed}}
	}),
	listed("Deliveries, Types", func(r *reading) hooks.Query { return hooks.Query{Types: []string{r.typ()}} }),
	listed("Deliveries, a rare type", func(*reading) hooks.Query { return hooks.Query{Types: []string{RareType}} }),
	listed("Deliveries, a pattern of Types", func(*reading) hooks.Query { return hooks.Query{Types: []string{"group_1.*"}} }),
	listed("Deliveries, From and To", func(r *reading) hooks.Query { return hooks.Query{From: r.at(0.5), To: r.at(1)} }),
	listed("Deliveries, everything", func(r *reading) hooks.Query {
		return hooks.Query{
			Subscriber: r.endpoint(), Tenant: r.tenant(), Types: []string{"group_1.*"}, From: r.at(0.5),
			Statuses: []hooks.Status{hooks.Failed, hooks.Retrying}, Errors: []string{r.class()},
		}
	}),
	listed("Deliveries, a page of 1,000", func(*reading) hooks.Query { return hooks.Query{Limit: 1000} }),
	listed("Deliveries, for an action: Subscriber, failed, oldest first", func(r *reading) hooks.Query {
		return hooks.Query{Subscriber: r.endpoint(), Statuses: []hooks.Status{hooks.Failed}, OldestFirst: true, Limit: 500}
	}),
	listed("Deliveries, for an action: failed since", func(r *reading) hooks.Query {
		return hooks.Query{Statuses: []hooks.Status{hooks.Failed}, From: r.at(1), OldestFirst: true, Limit: 500}
	}),
	listed("Deliveries, for an action: unfinished of a busy Subscriber, oldest first", func(*reading) hooks.Query {
		return hooks.Query{Subscriber: Busy, Statuses: []hooks.Status{hooks.Pending, hooks.Retrying}, OldestFirst: true, Limit: 500}
	}),

	found("Events", func(*reading) hooks.Query { return hooks.Query{} }),
	found("Events, Types", func(r *reading) hooks.Query { return hooks.Query{Types: []string{r.typ()}} }),
	found("Events, a rare type", func(*reading) hooks.Query { return hooks.Query{Types: []string{RareType}} }),
	found("Events, Tenant", func(r *reading) hooks.Query { return hooks.Query{Tenant: r.tenant()} }),
	found("Events, a small Tenant", func(*reading) hooks.Query { return hooks.Query{Tenant: SmallTenant} }),
	found("Events, for an action: Tenant, oldest first", func(r *reading) hooks.Query {
		return hooks.Query{Tenant: r.tenant(), OldestFirst: true, Limit: 500}
	}),
	found("Events, From and To", func(r *reading) hooks.Query { return hooks.Query{From: r.at(0.5), To: r.at(1)} }),
	{"Events, Key", byID, func(ctx context.Context, r *reading) error {
		d := r.any()
		_, _, err := r.h.Events(ctx, hooks.Query{Tenant: d.tenant, Key: "key_" + d.id.Event})
		return err
	}},

	tenants("Tenant.Events", func(ctx context.Context, r *reading, v *hooks.Tenant) error {
		_, _, err := v.Events(ctx, hooks.Query{})
		return err
	}),
	tenants("Tenant.Events, a rare type", func(ctx context.Context, r *reading, v *hooks.Tenant) error {
		_, _, err := v.Events(ctx, hooks.Query{Types: []string{RareType}})
		return err
	}),
	tenants("Tenant.Deliveries", func(ctx context.Context, r *reading, v *hooks.Tenant) error {
		_, _, err := v.Deliveries(ctx, hooks.Query{})
		return err
	}),
	tenants("Tenant.Deliveries, failed", func(ctx context.Context, r *reading, v *hooks.Tenant) error {
		_, _, err := v.Deliveries(ctx, hooks.Query{Statuses: []hooks.Status{hooks.Failed}})
		return err
	}),
	tenants("Tenant.Deliveries, unfinished", func(ctx context.Context, r *reading, v *hooks.Tenant) error {
		_, _, err := v.Deliveries(ctx, hooks.Query{Statuses: unfinished})
		return err
	}),
	tenants("Tenant.Backlog", func(ctx context.Context, r *reading, v *hooks.Tenant) error {
		_, _, err := v.Backlog(ctx, hooks.Query{})
		return err
	}),

	{"Backlog", aPage, func(ctx context.Context, r *reading) error {
		_, _, err := r.h.Backlog(ctx, hooks.Query{})
		return err
	}},
	{"Backlog, Tenant", aPage, func(ctx context.Context, r *reading) error {
		_, _, err := r.h.Backlog(ctx, hooks.Query{Tenant: r.tenant()})
		return err
	}},
	{"EndpointHealth", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.h.EndpointHealth(ctx, r.endpoint())
		return err
	}},
	{"EndpointHealth, busy", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.h.EndpointHealth(ctx, Busy)
		return err
	}},
	{"EndpointHealth, of a Tenant, busy", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.h.Tenant(archiveTenant(0)).EndpointHealth(ctx, Busy)
		return err
	}},
	{"EndpointHealth, finished", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.h.EndpointHealth(ctx, Quiet)
		return err
	}},
	{"Endpoints", aPage, func(ctx context.Context, r *reading) error {
		_, _, err := r.h.Endpoints(ctx, hooks.Query{Cursor: r.endpoint()})
		return err
	}},
	{"Health", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.h.Health(ctx)
		return err
	}},
	counted("Count", func(*reading) hooks.Query { return hooks.Query{} }),
	counted("Count, failed", func(*reading) hooks.Query { return hooks.Query{Statuses: []hooks.Status{hooks.Failed}} }),
	counted("Count, Subscriber, failed", func(r *reading) hooks.Query {
		return hooks.Query{Subscriber: r.endpoint(), Statuses: []hooks.Status{hooks.Failed}}
	}),
	counted("Count, Subscriber without failures, failed", func(r *reading) hooks.Query {
		return hooks.Query{Subscriber: Quiet, Statuses: []hooks.Status{hooks.Failed}}
	}),
	counted("Count, unfinished", func(*reading) hooks.Query { return hooks.Query{Statuses: unfinished} }),
	counted("Count, a busy Subscriber, retrying", func(*reading) hooks.Query {
		return hooks.Query{Subscriber: Busy, Statuses: []hooks.Status{hooks.Retrying}}
	}),
	counted("Count, a rare type", func(*reading) hooks.Query { return hooks.Query{Types: []string{RareType}} }),
	counted("Count, a small Tenant", func(*reading) hooks.Query { return hooks.Query{Tenant: SmallTenant} }),
	counted("Count, Tenant, failed", func(r *reading) hooks.Query {
		return hooks.Query{Tenant: r.tenant(), Statuses: []hooks.Status{hooks.Failed}}
	}),
	counted("Count, for a Reason", func(r *reading) hooks.Query {
		return hooks.Query{Reasons: []hooks.Reason{hooks.ReasonRejected}}
	}),
	{"Minutes, an endpoint's day", aPage, func(ctx context.Context, r *reading) error {
		_, err := r.s.(hooks.Reporter).Minutes(ctx, hooks.Query{Subscriber: r.endpoint(), From: r.a.Begin, To: r.a.Begin.Add(2 * archiveTime)})
		return err
	}},
	{"Minutes, all, an hour", aPage, func(ctx context.Context, r *reading) error {
		from := r.a.Begin.Add(9*24*time.Hour + time.Duration(r.rng.IntN(22))*time.Hour)
		_, err := r.s.(hooks.Reporter).Minutes(ctx, hooks.Query{From: from, To: from.Add(time.Hour)})
		return err
	}},
}

func counted(name string, q func(r *reading) hooks.Query) read {
	return read{name, aPage, func(ctx context.Context, r *reading) error {
		_, err := r.s.(hooks.Reporter).Count(ctx, q(r), 10_000)
		return err
	}}
}

// NewArchived returns a Hooks on an archive: with its types, endpoints and its handler.
func NewArchived(t *testing.T, s hooks.Store) *hooks.Hooks {
	t.Helper()
	h := New(t, hooks.Config{Store: s, Logger: Silent})
	for i := range archiveTypes {
		if err := h.Register(hooks.EventType[Invoice]{Name: archiveType(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Register(hooks.EventType[Invoice]{Name: RareType}); err != nil {
		t.Fatal(err)
	}
	if err := h.Subscribe(hooks.Handler{Name: Auditor, Events: []string{"**"}, Func: Ignore}); err != nil {
		t.Fatal(err)
	}
	endpoints := map[string]string{Busy: archiveTenant(0), Quiet: archiveTenant(1), "endpoint_small": SmallTenant}
	for i := range archiveEndpoints {
		endpoints[archiveEndpoint(i)] = archiveTenant(i)
	}
	for id, tenant := range endpoints {
		Put(t, h, hooks.Endpoint{ID: id, Tenant: tenant, URL: AnyURL, Events: []string{"**"}})
	}
	return h
}

// Reads returns a call of each method that reads, on an archive.
func (a *Archive) Reads(t *testing.T, s hooks.Store) (list []Read) {
	t.Helper()
	r := &reading{h: NewArchived(t, s), s: s, a: a}
	deliveries, _, err := r.h.Deliveries(t.Context(), hooks.Query{Limit: 1})
	events, _, alsoErr := r.h.Events(t.Context(), hooks.Query{Limit: 1})
	if err != nil || alsoErr != nil || len(deliveries)+len(events) != 2 {
		t.Fatalf("the newest rows are %v and %v, %v; want one each", deliveries, events, errors.Join(err, alsoErr))
	}
	r.deliveries, r.events = deliveries[0].Seq, events[0].Seq
	for _, one := range reads {
		list = append(list, Read{one.name, one.most, func(ctx context.Context, i int) error {
			r.rng = rand.New(rand.NewPCG(3, uint64(i)))
			return one.call(ctx, r)
		}})
	}
	return list
}

// MeasureReads makes each call with 200 different parameters, and prints a table of medians
// and 99th percentiles. It takes the fastest of three calls with the same parameters, because
// others may use the machine. It fails the test if a percentile is longer than it may be.
func MeasureReads(t *testing.T, list []Read) {
	t.Helper()
	t.Log("milliseconds, p50 and p99")
	for _, one := range list {
		times := make([]time.Duration, 200)
		for i := range times {
			for try := range 3 {
				start := time.Now()
				if err := one.Call(t.Context(), i); err != nil {
					t.Fatalf("%s: %v", one.Name, err)
				}
				if took := time.Since(start); try == 0 || took < times[i] {
					times[i] = took
				}
			}
		}
		slices.Sort(times)
		p50, p99 := times[len(times)/2], times[len(times)*99/100]
		t.Logf("| %s | %.1f | %.1f |", one.Name, inMilliseconds(p50), inMilliseconds(p99))
		if p99 > one.Most {
			t.Errorf("%s takes %v (p99); want at most %v", one.Name, p99, one.Most)
		}
	}
}

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
