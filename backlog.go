package hooks

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// A Backlog says how many deliveries of one subscriber are unfinished.
type Backlog struct {
	Subscriber string    `json:"subscriber"`
	Pending    Count     `json:"pending"`
	Retrying   Count     `json:"retrying"`
	Sending    Count     `json:"sending"`
	Oldest     time.Time `json:"oldest,omitzero"` // the earliest Due of all; zero if nobody knows
}

// A Count is a number of rows, exact up to a bound. If there are more, N is the bound and
// More is set. The bound is 10,000 if the store is a [Reporter], otherwise 1,000.
//
// If a condition has to be looked for in more rows than a store reads for one count, N is how
// many it has found, and More says that there may be more.
type Count struct {
	N    int  `json:"n"`
	More bool `json:"more,omitempty"`
}

const (
	mostCounted = 10_000 // by a Reporter
	mostPaged   = 1_000  // without one
)

// String returns the count with a comma before each group of three digits, and "+" at the
// end if there are more, such as "10,000+".
func (c Count) String() string {
	text := strconv.Itoa(c.N)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if c.More {
		text += "+"
	}
	return text
}

// countUpTo returns the count of n rows, of which no more than most+1 were looked for.
func countUpTo(n, most int) Count { return Count{min(n, most), n > most} }

// Backlog lists the subscribers with unfinished deliveries, in the order of their ids, with
// the number of these deliveries and the earliest Due. It looks at Subscriber, Tenant, Limit
// and Cursor of q. With q.Tenant it counts only deliveries of that tenant's events, and
// lists only subscribers that have some. A [Tenant] sees its own endpoints, with no Oldest if
// another subscriber had the id before, because the oldest may be another tenant's.
func (v *view) Backlog(ctx context.Context, q Query) (page []Backlog, next string, err error) {
	if err := v.check(ctx); err != nil {
		return nil, "", err
	}
	if q, err = v.query(q, ofBacklog); err != nil {
		return nil, "", err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, "", err
	}
	lanes, err := v.h.store.Backlog(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("hooks: backlog: %w", err)
	}
	lanes = slices.DeleteFunc(lanes, func(l BacklogLane) bool { return !v.looksInto(l, q) })
	slices.SortFunc(lanes, func(a, b BacklogLane) int { return cmp.Compare(a.Subscriber, b.Subscriber) })
	if limit := q.PageSize(math.MaxInt); len(lanes) > limit {
		lanes, next = lanes[:limit], lanes[limit-1].Subscriber
	}
	for _, l := range lanes {
		b, err := v.countLane(ctx, l, q.Tenant)
		if err != nil {
			return nil, "", fmt.Errorf("hooks: backlog of %q: %w", l.Subscriber, err)
		}
		if q.Tenant == "" || b.Pending.N+b.Retrying.N+b.Sending.N > 0 {
			page = append(page, b)
		}
	}
	return page, next, nil
}

// looksInto reports whether q selects a lane, as far as that is known before counting.
func (v *view) looksInto(l BacklogLane, q Query) bool {
	e := v.h.dir.endpoint(l.Subscriber)
	switch {
	case l.Subscriber <= q.Cursor, q.Subscriber != "" && l.Subscriber != q.Subscriber:
		return false
	case e == nil:
		return v.all // a handler, or it was deleted
	default:
		return q.Tenant == "" || e.Tenant == q.Tenant
	}
}

// countLane counts the unfinished deliveries of one subscriber that the view shows.
func (v *view) countLane(ctx context.Context, l BacklogLane, tenant string) (Backlog, error) {
	b := Backlog{Subscriber: l.Subscriber, Oldest: l.Due}
	if v.oldestIsOthers(l.Subscriber) {
		b.Oldest = time.Time{}
	}
	counts := map[Status]*Count{Pending: &b.Pending, Retrying: &b.Retrying, Sending: &b.Sending}
	q := Query{Subscriber: l.Subscriber, Tenant: tenant}
	if !v.all {
		if q.Types = v.types(); len(q.Types) == 0 {
			return b, nil // nothing that it shows
		}
	}
	for status, count := range counts {
		q.Statuses = []Status{status}
		c, err := v.h.count(ctx, q)
		if err != nil {
			return b, err
		}
		*count = c
	}
	return b, nil
}

// oldestIsOthers reports whether the oldest delivery of a subscriber may be another tenant's,
// because another subscriber had the id before.
func (v *view) oldestIsOthers(subscriber string) bool {
	return !v.all && !v.h.dir.since(subscriber).IsZero()
}

// count returns how many deliveries match q.
func (h *Hooks) count(ctx context.Context, q Query) (Count, error) {
	if r, ok := optional[Reporter](h.store); ok {
		return r.Count(ctx, q, mostCounted)
	}
	n := 0
	q.Limit = mostPaged + 1
	for _, err := range All(ctx, h.store.Deliveries, q) {
		if err != nil {
			return Count{}, err
		}
		if n++; n > mostPaged {
			break
		}
	}
	return countUpTo(n, mostPaged), nil
}
