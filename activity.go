package hooks

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Activity returns what attempts came to, in the order of time: how many succeeded, how many
// failed, and how long they took. It looks at Subscriber, From and To of q, which select
// counters by their Start. A From within the time of a counter selects that one, too. The
// store keeps them for 25 hours. For Hooks the counters are those of all subscribers together,
// minute by minute; with q.Subscriber those of one endpoint or handler, by five minutes. A
// time without attempts has no [Minute].
//
// For a [Tenant] they are those of its endpoints, added up, by five minutes; with
// q.Subscriber those of one. Any other subscriber has none, in the same way as one that does
// not exist. If another subscriber had an endpoint's id before, the first minutes of the
// endpoint are left out, because the counters do not tell the two apart. Each endpoint of
// the tenant is a call of the store.
//
// Attempts are counted when their outcomes are stored, whatever the type of the event, in the
// minute in which they ended, and written every ten seconds while Run runs. So the last ten
// seconds may be missing. Counters are for charts: when a process is killed, or the store
// fails as they are written, those of ten seconds are lost. [Hooks.SendTest] is not counted.
// A store that is no [Reporter] counts nothing: then Activity returns nothing, and no error.
func (v *view) Activity(ctx context.Context, q Query) ([]Minute, error) {
	if err := v.begin(ctx); err != nil {
		return nil, err
	}
	q, err := v.query(q, ofActivity)
	if err != nil {
		return nil, err
	}
	r, ok := optional[Reporter](v.h.store)
	if !ok {
		return nil, nil
	}
	span := wholeSpan
	if q.Subscriber != "" || !v.all {
		span = subscriberSpan
	}
	if !q.From.IsZero() {
		q.From = q.From.Truncate(span)
	}
	list := []Minute(nil)
	if v.all {
		list, err = r.Minutes(ctx, q)
	} else {
		list, err = v.ownMinutes(ctx, r, q)
	}
	if err != nil {
		return nil, fmt.Errorf("hooks: activity: %w", err)
	}
	return list, nil
}

// ownMinutes returns the counters of a tenant's endpoints, or of the one that q names.
func (v *view) ownMinutes(ctx context.Context, r Reporter, q Query) ([]Minute, error) {
	own, _ := v.h.dir.page(v.tenant, "", math.MaxInt)
	if q.Subscriber != "" {
		own = slices.DeleteFunc(own, func(e *endpoint) bool { return e.ID != q.Subscriber })
	}
	sums := make(map[time.Time]Minute)
	for _, e := range own {
		list, err := r.Minutes(ctx, Query{Subscriber: e.ID, From: later(q.From, e.countedFrom()), To: q.To})
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			m.Subscriber = q.Subscriber
			sums[m.Start] = sums[m.Start].plus(m)
		}
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b Minute) int { return a.Start.Compare(b.Start) }), nil
}

// countedFrom returns the Start of the first counters of the endpoint's id that have nothing
// of another subscriber that had the id before. There may be an attempt at that one which
// ended a moment after the endpoint was put, in a process that had not heard of it.
func (e *endpoint) countedFrom() time.Time {
	if e.since.IsZero() {
		return time.Time{}
	}
	return e.since.Add(time.Minute + subscriberSpan - 1).Truncate(subscriberSpan)
}

// plus returns the sum of two counters, with Start and Subscriber of the second.
func (m Minute) plus(n Minute) Minute {
	n.Succeeded += m.Succeeded
	n.Failed += m.Failed
	for i := range n.Took {
		n.Took[i] += m.Took[i]
	}
	return n
}
