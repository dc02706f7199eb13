package memory

import (
	"context"
	"time"

	"example.com/hooks"
)

// Prune implements [hooks.Store]. A limit that is not positive removes nothing, but does not
// keep p.Erase from being erased.
func (s *Store) Prune(ctx context.Context, p hooks.Cutoffs) (n int, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	deliveries, events := s.pruneFinal(s.done, p.Done, p.Limit)
	more, moreEvents := s.pruneFinal(s.failed, p.Failed, p.Limit-deliveries)
	unwanted := s.pruneUnwanted(p.Done, p.Limit)
	keys := s.pruneKeys(p.Keys, p.Limit)
	minutes := s.pruneMinutes(p.Minutes, p.Limit)
	erased := s.erase(p.Erase, p.Now)
	return deliveries + events + more + moreEvents + unwanted + keys + minutes + erased, nil
}

// erase erases the events with these ids that are stored and not erased yet, and counts
// them.
func (s *Store) erase(ids []string, now time.Time) (n int) {
	for _, id := range ids {
		e := s.events[id]
		if e == nil || !e.Erased.IsZero() {
			continue
		}
		e.Data, e.Metadata, e.Erased = []byte("null"), nil, now
		for _, d := range e.deliveries {
			for i := range d.attempts {
				d.attempts[i].Header, d.attempts[i].Body = nil, nil
			}
		}
		n++
	}
	return n
}

// pruneFinal removes deliveries that q holds since before a time, and the
// events whose last delivery each was.
func (s *Store) pruneFinal(q *queue[*delivery], before time.Time, limit int) (deliveries, events int) {
	for deliveries < limit && !q.empty() && q.first().Updated.Before(before) {
		d := q.take()
		s.deliveries.remove(d.Seq)
		delete(d.event.deliveries, d.Subscriber)
		deliveries++
		if len(d.event.deliveries) == 0 {
			s.forget(d.event)
			events++
		}
	}
	return deliveries, events
}

// pruneUnwanted removes events without deliveries that were stored before a
// time.
func (s *Store) pruneUnwanted(before time.Time, limit int) (n int) {
	for n < limit && !s.unwanted.empty() && s.unwanted.first().stored.Before(before) {
		s.forget(s.unwanted.take())
		n++
	}
	return n
}

func (s *Store) forget(e *event) {
	delete(s.events, e.ID)
	s.eventLog.remove(e.Seq)
}

// pruneKeys removes idempotency keys whose time ended before a time.
func (s *Store) pruneKeys(before time.Time, limit int) (n int) {
	for n < limit && !s.endings.empty() && s.endings.first().until.Before(before) {
		delete(s.keys, s.endings.take().id)
		n++
	}
	return n
}
