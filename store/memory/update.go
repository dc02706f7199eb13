package memory

import (
	"context"
	"time"

	"example.com/hooks"
)

// Update implements [hooks.Store]. When an entry of an Emit cannot be enqueued, it
// returns [hooks.ErrNotFound] and has changed nothing at all.
func (s *Store) Update(
	ctx context.Context, now time.Time, changes []hooks.Change,
) (stale []hooks.DeliveryID, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	stale, fresh := s.separate(changes)
	emitted := draft{store: s, now: now}
	for _, c := range fresh {
		if err := emitted.plan(c.Emit); err != nil {
			return nil, err
		}
	}
	for _, c := range fresh {
		s.apply(c)
	}
	emitted.write()
	return stale, nil
}

// separate parts the changes whose token is the row's, as it will be after
// the changes before them, from those that are stale.
func (s *Store) separate(changes []hooks.Change) (stale []hooks.DeliveryID, fresh []hooks.Change) {
	seen := make(map[*delivery]int64, len(changes))
	for _, c := range changes {
		d := s.find(c.Delivery.DeliveryID)
		if d == nil || d.Token+seen[d] != c.Delivery.Token {
			stale = append(stale, c.Delivery.DeliveryID)
			continue
		}
		seen[d]++
		fresh = append(fresh, c)
	}
	return stale, fresh
}

// find returns a delivery, or nil.
func (s *Store) find(id hooks.DeliveryID) *delivery {
	ev := s.events[id.Event]
	if ev == nil {
		return nil
	}
	return ev.deliveries[id.Subscriber]
}

func (s *Store) apply(c hooks.Change) {
	d, to := s.find(c.Delivery.DeliveryID), c.Delivery
	s.change(d, func() {
		if to.Run > d.Run {
			s.deliveries.remove(d.Seq)
			d.Seq = s.next()
			s.deliveries.add(d.Seq, d)
		}
		d.Status, d.Reason, d.Due = to.Status, to.Reason, to.Due
		d.Run, d.Attempts, d.Lost = to.Run, to.Attempts, to.Lost
		d.Updated, d.Code, d.Error = to.Updated, to.Code, to.Error
	})
	if c.Attempt != nil {
		d.attempts = append(d.attempts, copyAttempt(*c.Attempt))
	}
}
