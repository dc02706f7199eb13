package storetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"example.com/hooks"
)

func (m *model) Put(_ context.Context, _ time.Time, r hooks.Record, _ []hooks.Entry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	current := int64(0)
	for _, old := range m.records {
		if old.Key == r.Key && old.Data != nil {
			current = old.Version
		}
	}
	if r.Version != current {
		return 0, hooks.ErrConflict
	}
	m.records = slices.DeleteFunc(m.records, func(old hooks.Record) bool { return old.Key == r.Key })
	r.Version = m.next()
	if r.Data = bytes.Clone(r.Data); len(r.Data) == 0 {
		r.Data = nil
	}
	m.records = append(m.records, r)
	return r.Version, nil
}

func (m *model) Records(_ context.Context, since int64) (list []hooks.Record, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Version > since {
			r.Data = bytes.Clone(r.Data)
			list = append(list, r)
		}
	}
	return list, nil
}

func (m *model) Events(
	_ context.Context, q hooks.Query,
) (page []hooks.Event, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if (q.Event == "" || e.ID == q.Event) && selected(q, e.Tenant, e.Type, e.stored) && below(e.Seq, q) {
			e.Metadata = maps.Clone(e.Metadata)
			page = append(page, e.Event)
		}
	}
	slices.SortFunc(page, func(a, b hooks.Event) int { return cmp.Compare(b.Seq, a.Seq) })
	if n := limitOf(q); len(page) > n {
		page = page[:n]
		next = strconv.FormatInt(page[n-1].Seq, 10)
	}
	return page, next, nil
}

func (m *model) Deliveries(
	_ context.Context, q hooks.Query,
) (page []hooks.Delivery, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deliveries {
		if (q.Event == "" || d.Event == q.Event) &&
			(q.Subscriber == "" || d.Subscriber == q.Subscriber) &&
			(len(q.Statuses) == 0 || slices.Contains(q.Statuses, d.Status)) &&
			selected(q, d.Tenant, d.Type, d.Created) && below(d.Seq, q) {
			page = append(page, d)
		}
	}
	slices.SortFunc(page, func(a, b hooks.Delivery) int { return cmp.Compare(b.Seq, a.Seq) })
	if n := limitOf(q); len(page) > n {
		page = page[:n]
		next = strconv.FormatInt(page[n-1].Seq, 10)
	}
	return page, next, nil
}

// selected is the part of a query that is about events and deliveries alike.
func selected(q hooks.Query, tenant, name string, stored time.Time) bool {
	return (q.Tenant == "" || tenant == q.Tenant) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, name)) &&
		(q.From.IsZero() || !stored.Before(q.From)) &&
		(q.To.IsZero() || stored.Before(q.To))
}

// below reports whether a row comes after the cursor.
func below(seq int64, q hooks.Query) bool {
	cursor, err := strconv.ParseInt(q.Cursor, 10, 64)
	return err != nil || seq < cursor
}

func limitOf(q hooks.Query) int {
	if q.Limit <= 0 {
		return 50
	}
	return q.Limit
}

func (m *model) Attempts(_ context.Context, id hooks.DeliveryID) (list []hooks.Attempt, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.attempts {
		if a.of == id {
			list = append(list, a.Attempt)
		}
	}
	return list, nil
}

func (m *model) Prune(_ context.Context, p hooks.Cutoffs) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := map[hooks.DeliveryID]bool{}
	left := map[string]bool{} // events that lost a delivery
	n += removeFirst(&m.deliveries, p.Limit, func(d hooks.Delivery) bool {
		before := p.Done
		if d.Status == hooks.Failed {
			before = p.Failed
		}
		if !d.Status.Final() || !d.Updated.Before(before) {
			return false
		}
		gone[d.DeliveryID], left[d.Event] = true, true
		return true
	})
	m.attempts = slices.DeleteFunc(m.attempts, func(a modelAttempt) bool { return gone[a.of] })
	n += removeFirst(&m.events, len(m.events), func(e modelEvent) bool {
		return left[e.ID] && m.unwanted(e)
	})
	n += removeFirst(&m.events, p.Limit, func(e modelEvent) bool {
		return e.stored.Before(p.Done) && m.unwanted(e)
	})
	n += removeFirst(&m.keys, p.Limit, func(k modelKey) bool { return k.until.Before(p.Keys) })
	return n, nil
}

// unwanted reports whether an event has no deliveries.
func (s *modelState) unwanted(e modelEvent) bool {
	return !slices.ContainsFunc(s.deliveries, func(d hooks.Delivery) bool { return d.Event == e.ID })
}

// removeFirst removes up to limit members of a list that match, and counts
// them.
func removeFirst[T any](list *[]T, limit int, match func(T) bool) (n int) {
	*list = slices.DeleteFunc(*list, func(x T) bool {
		if n == limit || !match(x) {
			return false
		}
		n++
		return true
	})
	return n
}
