package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"example.com/hooks"
)

// maxExamined bounds the rows that one call looks at, because others wait meanwhile.
const maxExamined = 10_000

// Events implements [hooks.Store]. A cursor that no page returned is a
// [*hooks.InvalidError].
func (s *Store) Events(
	ctx context.Context, q hooks.Query,
) (page []hooks.Event, next string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	rows := &s.eventLog
	switch {
	case q.Key != "":
		rows = s.eventWithKey(keyID{q.Tenant, q.Key})
	case q.Event != "":
		rows = s.eventNamed(q.Event)
	}
	found, next, err := list(rows, q, func(e *event) bool {
		return (q.Event == "" || e.ID == q.Event) &&
			(q.Tenant == "" || e.Tenant == q.Tenant) &&
			(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
			within(e.stored, q)
	})
	for _, e := range found {
		page = append(page, e.copy())
	}
	return page, next, err
}

// eventNamed returns the event with an id, so that the others are not examined.
func (s *Store) eventNamed(id string) *journal[*event] {
	var j journal[*event]
	if e := s.events[id]; e != nil {
		j.add(e.Seq, e)
	}
	return &j
}

// eventWithKey returns the event that has an idempotency key. One that was stored later
// under the same id may have another key, or none.
func (s *Store) eventWithKey(id keyID) *journal[*event] {
	var j journal[*event]
	if k := s.keys[id]; k != nil {
		if e := s.events[k.event]; e != nil && id == (keyID{e.Tenant, e.IdempotencyKey}) {
			j.add(e.Seq, e)
		}
	}
	return &j
}

// Deliveries implements [hooks.Store]. A cursor that no page returned is a
// [*hooks.InvalidError].
func (s *Store) Deliveries(
	ctx context.Context, q hooks.Query,
) (page []hooks.Delivery, next string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	found, next, err := list(s.deliveryRows(q), q, func(d *delivery) bool { return selects(q, d) })
	for _, d := range found {
		page = append(page, d.Delivery)
	}
	return page, next, err
}

// Count implements [hooks.Reporter].
func (s *Store) Count(ctx context.Context, q hooks.Query, most int) (c hooks.Count, err error) {
	if err := s.enter(ctx); err != nil {
		return c, err
	}
	defer s.mu.Unlock()
	examined := 0
	for _, d := range s.deliveryRows(q).after(0) {
		matches := selects(q, d)
		if examined == maxExamined || matches && c.N >= most {
			c.More = true
			break
		}
		examined++
		if matches {
			c.N++
		}
	}
	return c, nil
}

// deliveryRows returns the deliveries among which those are that q selects.
func (s *Store) deliveryRows(q hooks.Query) *journal[*delivery] {
	switch {
	case q.Event != "":
		return s.deliveriesOf(q.Event)
	case q.Subscriber != "" && len(q.Statuses) > 0 && !slices.ContainsFunc(q.Statuses, hooks.Status.Final):
		return cmp.Or(s.unfinished[q.Subscriber], &journal[*delivery]{})
	}
	return &s.deliveries
}

// selects reports whether q selects a delivery, its event aside.
func selects(q hooks.Query, d *delivery) bool {
	return (q.Subscriber == "" || d.Subscriber == q.Subscriber) &&
		(q.Tenant == "" || d.Tenant == q.Tenant) &&
		(q.OrderingKey == "" || d.OrderingKey == q.OrderingKey && d.Tenant == q.Tenant) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, d.Type)) &&
		(len(q.Statuses) == 0 || slices.Contains(q.Statuses, d.Status)) &&
		(len(q.Reasons) == 0 || slices.Contains(q.Reasons, d.Reason)) &&
		(len(q.Errors) == 0 || slices.Contains(q.Errors, d.Error)) &&
		(len(q.Codes) == 0 || slices.Contains(q.Codes, d.Code)) &&
		within(d.Created, q)
}

// deliveriesOf returns the deliveries of one event.
func (s *Store) deliveriesOf(id string) *journal[*delivery] {
	var j journal[*delivery]
	if ev := s.events[id]; ev != nil {
		for _, d := range ev.deliveries {
			j.lines = append(j.lines, numbered[*delivery]{seq: d.Seq, value: d})
		}
		slices.SortFunc(j.lines, byNumber)
	}
	return &j
}

// list returns the page of q from rows: those that match, and the cursor of the page that
// follows.
func list[T any](rows *journal[T], q hooks.Query, match func(T) bool) (page []T, next string, err error) {
	bound, err := q.Position()
	if err != nil {
		return nil, "", err
	}
	ordered := rows.before(bound)
	if q.OldestFirst {
		ordered = rows.after(bound)
	}
	limit, examined, last := q.PageSize(maxExamined), 0, int64(0)
	for seq, row := range ordered {
		if len(page) == limit || examined == maxExamined {
			return page, hooks.Cursor(last), nil
		}
		examined++
		last = seq
		if match(row) {
			page = append(page, row)
		}
	}
	return page, "", nil
}

func within(t time.Time, q hooks.Query) bool {
	return (q.From.IsZero() || !t.Before(q.From)) && (q.To.IsZero() || t.Before(q.To))
}

// Attempts implements [hooks.Store].
func (s *Store) Attempts(ctx context.Context, id hooks.DeliveryID) ([]hooks.Attempt, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	d := s.find(id)
	if d == nil {
		return nil, nil
	}
	list := make([]hooks.Attempt, len(d.attempts))
	for i, a := range d.attempts {
		list[i] = copyAttempt(a)
	}
	return list, nil
}
