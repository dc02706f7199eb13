package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"example.com/hooks"
)

// Claim implements [hooks.Store].
func (s *Store) Claim(
	ctx context.Context, now time.Time, lanes []hooks.ClaimLane,
) ([]hooks.Entry, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var leased []hooks.Delivery
	for _, l := range lanes {
		for _, d := range s.lease(now, l) {
			leased = append(leased, d.Delivery)
		}
	}
	entries := hooks.GroupByEvent(leased)
	for i := range entries {
		entries[i].Event = s.events[entries[i].Event.ID].copy()
	}
	return entries, nil
}

// lease claims one lane's deliveries, earliest due first.
func (s *Store) lease(now time.Time, l hooks.ClaimLane) []*delivery {
	due := s.due(now, l)
	for _, d := range due {
		s.change(d, func() {
			if d.Status == hooks.Sending {
				d.Lost++
			}
			d.Status = hooks.Sending
			d.Due = l.LeaseUntil
		})
	}
	return due
}

// due returns what a lane may lease. Leases that have not ended may stand
// among them when l.Before is in the future; there are never many.
func (s *Store) due(now time.Time, l hooks.ClaimLane) (due []*delivery) {
	q := s.lanes[l.Subscriber]
	if q == nil {
		return nil
	}
	var passed []*delivery
	for len(due) < l.Max && !q.empty() && !q.first().Due.After(l.Before) {
		d := q.take()
		passed = append(passed, d)
		if d.Status != hooks.Sending || !d.Due.After(now) {
			due = append(due, d)
		}
	}
	for _, d := range passed {
		q.add(d)
	}
	return due
}

// Backlog implements [hooks.Store]. What waits for another of its ordering key
// never counts. The list is in the order of subscribers.
func (s *Store) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	list := make([]hooks.BacklogLane, 0, len(s.lanes))
	for subscriber, q := range s.lanes {
		list = append(list, hooks.BacklogLane{Subscriber: subscriber, Due: q.first().Due})
	}
	slices.SortFunc(list, func(a, b hooks.BacklogLane) int {
		return cmp.Compare(a.Subscriber, b.Subscriber)
	})
	return list, nil
}
