package memory

import (
	"context"
	"slices"
	"time"

	"example.com/hooks"
)

// A minuteID names the counters that are added up: of one subscriber, or of all, from
// a start.
type minuteID struct {
	subscriber string
	start      time.Time // in UTC, as all times that a store is given
}

// AddMinutes implements [hooks.Reporter].
func (s *Store) AddMinutes(ctx context.Context, ms []hooks.Minute) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, m := range ms {
		id := minuteID{m.Subscriber, m.Start}
		old := s.minutes[id]
		m.Succeeded += old.Succeeded
		m.Failed += old.Failed
		for i, n := range old.Took {
			m.Took[i] += n
		}
		s.minutes[id] = m
	}
	return nil
}

// Minutes implements [hooks.Reporter].
func (s *Store) Minutes(ctx context.Context, q hooks.Query) (list []hooks.Minute, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for id, m := range s.minutes {
		if id.subscriber == q.Subscriber && within(id.start, q) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b hooks.Minute) int { return a.Start.Compare(b.Start) })
	return list, nil
}

// pruneMinutes removes counters that start before a time.
func (s *Store) pruneMinutes(before time.Time, limit int) (n int) {
	for id := range s.minutes {
		if n < limit && id.start.Before(before) {
			delete(s.minutes, id)
			n++
		}
	}
	return n
}
