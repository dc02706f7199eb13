package memory

import (
	"context"
	"iter"
	"slices"
	"time"

	"example.com/hooks"
)

// maxExamined bounds the rows that one call looks at, because others wait meanwhile.
const maxExamined = 10_000

// Events is [hooks.Store]'s. A cursor that no page returned is a
// [*hooks.InvalidError].
func (s *Store) Events(
	ctx context.Context, q hooks.Query,
) (page []hooks.Event, next string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	from, err := q.Position()
	if err != nil {
		return nil, "", err
	}
	found, next := list(s.eventLog.before(from), q.PageSize(maxExamined), func(e *event) bool {
		return (q.Event == "" || e.ID == q.Event) &&
			(q.Tenant == "" || e.Tenant == q.Tenant) &&
			(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
			within(e.stored, q)
	})
	for _, e := range found {
		page = append(page, e.copy())
	}
	return page, next, nil
}

// Deliveries is [hooks.Store]'s. A cursor that no page returned is a
// [*hooks.InvalidError].
func (s *Store) Deliveries(
	ctx context.Context, q hooks.Query,
) (page []hooks.Delivery, next string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	from, err := q.Position()
	if err != nil {
		return nil, "", err
	}
	rows := s.deliveries.before(from)
	if q.Event != "" {
		rows = s.deliveriesOf(q.Event).before(from)
	}
	found, next := list(rows, q.PageSize(maxExamined), func(d *delivery) bool {
		return (q.Subscriber == "" || d.Subscriber == q.Subscriber) &&
			(q.Tenant == "" || d.Tenant == q.Tenant) &&
			(len(q.Types) == 0 || slices.Contains(q.Types, d.Type)) &&
			(len(q.Statuses) == 0 || slices.Contains(q.Statuses, d.Status)) &&
			within(d.Created, q)
	})
	for _, d := range found {
		page = append(page, d.Delivery)
	}
	return page, next, nil
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

// list returns the first rows that match, at most limit, and the cursor of the page that
// follows.
func list[T any](rows iter.Seq2[int64, T], limit int, match func(T) bool) (page []T, next string) {
	examined, last := 0, int64(0)
	for seq, row := range rows {
		if len(page) == limit || examined == maxExamined {
			return page, hooks.Cursor(last)
		}
		examined++
		last = seq
		if match(row) {
			page = append(page, row)
		}
	}
	return page, ""
}

func within(t time.Time, q hooks.Query) bool {
	return (q.From.IsZero() || !t.Before(q.From)) && (q.To.IsZero() || t.Before(q.To))
}

// Attempts is [hooks.Store]'s.
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
