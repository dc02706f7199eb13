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

func (m *model) Put(_ context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.copy()
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
	if _, err := m.enqueue(now, emit); err != nil {
		m.modelState = before
		return 0, err
	}
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
		if (q.Event == "" || e.ID == q.Event) && (q.Key == "" || m.has(e.Event, q)) &&
			selected(q, e.Tenant, e.Type, e.stored) {
			e.Metadata = maps.Clone(e.Metadata)
			page = append(page, e.Event)
		}
	}
	page, next = cut(page, q, func(e hooks.Event) int64 { return e.Seq })
	return page, next, nil
}

// has reports whether an event has the idempotency key that a query names.
func (s *modelState) has(e hooks.Event, q hooks.Query) bool {
	return e.IdempotencyKey == q.Key && e.Tenant == q.Tenant && slices.ContainsFunc(s.keys, func(k modelKey) bool {
		return k.key == q.Key && k.tenant == q.Tenant && k.event == e.ID
	})
}

func (m *model) Deliveries(
	_ context.Context, q hooks.Query,
) (page []hooks.Delivery, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	page, next = cut(m.matching(q), q, func(d hooks.Delivery) int64 { return d.Seq })
	return page, next, nil
}

// matching returns the deliveries that a query selects.
func (s *modelState) matching(q hooks.Query) (list []hooks.Delivery) {
	for _, d := range s.deliveries {
		if (q.Event == "" || d.Event == q.Event) &&
			(q.Subscriber == "" || d.Subscriber == q.Subscriber) &&
			(q.OrderingKey == "" || d.OrderingKey == q.OrderingKey && d.Tenant == q.Tenant) &&
			(len(q.Statuses) == 0 || slices.Contains(q.Statuses, d.Status)) &&
			(len(q.Reasons) == 0 || slices.Contains(q.Reasons, d.Reason)) &&
			(len(q.Errors) == 0 || slices.Contains(q.Errors, d.Error)) &&
			(len(q.Codes) == 0 || slices.Contains(q.Codes, d.Code)) &&
			selected(q, d.Tenant, d.Type, d.Created) {
			list = append(list, d)
		}
	}
	return list
}

// selected is the part of a query that is about events and deliveries alike.
func selected(q hooks.Query, tenant, name string, stored time.Time) bool {
	return (q.Tenant == "" || tenant == q.Tenant) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, name)) &&
		(q.From.IsZero() || !stored.Before(q.From)) &&
		(q.To.IsZero() || stored.Before(q.To))
}

// cut returns the page of q from all rows that it selects.
func cut[T any](rows []T, q hooks.Query, seq func(T) int64) (page []T, next string) {
	slices.SortFunc(rows, func(a, b T) int {
		if q.OldestFirst {
			return cmp.Compare(seq(a), seq(b))
		}
		return cmp.Compare(seq(b), seq(a))
	})
	cursor, err := strconv.ParseInt(q.Cursor, 10, 64)
	for _, r := range rows {
		if err == nil && (q.OldestFirst && seq(r) <= cursor || !q.OldestFirst && seq(r) >= cursor) {
			continue // it was on a page before
		}
		if len(page) == limitOf(q) {
			return page, strconv.FormatInt(seq(page[len(page)-1]), 10)
		}
		page = append(page, r)
	}
	return page, ""
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
	n += removeFirst(&m.minutes, p.Limit, func(c hooks.Minute) bool { return c.Start.Before(p.Minutes) })
	for _, id := range p.Erase {
		n += m.erase(id, p.Now)
	}
	return n, nil
}

// erase returns 1 if the event is stored, and was not erased before.
func (s *modelState) erase(id string, now time.Time) int {
	e := s.event(id)
	if e == nil || !e.Erased.IsZero() {
		return 0
	}
	e.Data, e.Metadata, e.Erased = []byte("null"), nil, now
	for i, a := range s.attempts {
		if a.of.Event == id {
			s.attempts[i].Header, s.attempts[i].Body = nil, nil
		}
	}
	return 1
}

func (m *model) Count(_ context.Context, q hooks.Query, most int) (hooks.Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return upTo(len(m.matching(q)), most), nil
}

func (m *model) AddMinutes(_ context.Context, ms []hooks.Minute) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range ms {
		i := slices.IndexFunc(m.minutes, func(o hooks.Minute) bool {
			return o.Start.Equal(c.Start) && o.Subscriber == c.Subscriber
		})
		if i < 0 {
			m.minutes = append(m.minutes, c)
		} else {
			m.minutes[i] = sum(m.minutes[i], c)
		}
	}
	return nil
}

func (m *model) Minutes(_ context.Context, q hooks.Query) (list []hooks.Minute, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.minutes {
		if c.Subscriber == q.Subscriber && (q.From.IsZero() || !c.Start.Before(q.From)) && (q.To.IsZero() || c.Start.Before(q.To)) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b hooks.Minute) int { return a.Start.Compare(b.Start) })
	return list, nil
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
