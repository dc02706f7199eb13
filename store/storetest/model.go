package storetest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"example.com/hooks"
)

// A model is the store that other stores are compared with: as plain as can
// be, with lists that it searches from end to end. It is never clever.
//
// Its Claim and Backlog miss nothing. A store may miss for half a minute what somebody
// else made claimable more than a second after its Due; so nothing here is compared
// after a transaction that commits late, and all writes come through the store itself.
type model struct {
	mu sync.Mutex // guards what follows
	modelState
}

type modelState struct {
	seq        int64
	events     []modelEvent
	deliveries []hooks.Delivery
	attempts   []modelAttempt
	keys       []modelKey
	records    []hooks.Record
	minutes    []hooks.Minute
}

type modelEvent struct {
	hooks.Event
	stored time.Time
}

type modelAttempt struct {
	of hooks.DeliveryID
	hooks.Attempt
}

type modelKey struct {
	tenant, key, event string
	until              time.Time
}

func (s *modelState) next() int64 {
	s.seq++
	return s.seq
}

// copy is what a write begins with, to go back to if it fails.
func (s *modelState) copy() modelState {
	return modelState{
		s.seq, slices.Clone(s.events), slices.Clone(s.deliveries),
		slices.Clone(s.attempts), slices.Clone(s.keys), slices.Clone(s.records), slices.Clone(s.minutes),
	}
}

func (s *modelState) event(id string) *modelEvent {
	for i := range s.events {
		if s.events[i].ID == id {
			return &s.events[i]
		}
	}
	return nil
}

func (s *modelState) delivery(id hooks.DeliveryID) *hooks.Delivery {
	for i := range s.deliveries {
		if s.deliveries[i].DeliveryID == id {
			return &s.deliveries[i]
		}
	}
	return nil
}

func (m *model) Enqueue(
	_ context.Context, now time.Time, entries []hooks.Entry,
) ([]hooks.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.copy()
	receipts, err := m.enqueue(now, entries)
	if err != nil {
		m.modelState = before
	}
	return receipts, err
}

func (s *modelState) enqueue(
	now time.Time, entries []hooks.Entry,
) (receipts []hooks.Receipt, err error) {
	for _, e := range entries {
		r := hooks.Receipt{EventID: e.Event.ID}
		known := s.event(e.Event.ID) != nil
		holder, taken := s.holder(now, e.Event)
		switch {
		case e.Add && !known:
			return nil, hooks.ErrNotFound
		case e.Add:
		case known:
			r.Duplicate = true
		case taken:
			r.EventID, r.Duplicate = holder, true
		default:
			e.Event.Seq = s.next()
			s.events = append(s.events, modelEvent{e.Event, now})
			s.takeKey(e)
		}
		if !r.Duplicate {
			r.Deliveries = s.deliver(e.Deliveries)
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

// holder returns the event that has ev's idempotency key at a time.
func (s *modelState) holder(now time.Time, ev hooks.Event) (id string, taken bool) {
	for _, k := range s.keys {
		if k.key == ev.IdempotencyKey && k.tenant == ev.Tenant && k.until.After(now) {
			return k.event, true
		}
	}
	return "", false
}

func (s *modelState) takeKey(e hooks.Entry) {
	if e.Event.IdempotencyKey == "" {
		return
	}
	s.keys = slices.DeleteFunc(s.keys, func(k modelKey) bool {
		return k.tenant == e.Event.Tenant && k.key == e.Event.IdempotencyKey
	})
	s.keys = append(s.keys, modelKey{e.Event.Tenant, e.Event.IdempotencyKey, e.Event.ID, e.KeyUntil})
}

// deliver stores the deliveries that are not there, and counts them.
func (s *modelState) deliver(ds []hooks.Delivery) (n int) {
	for _, d := range ds {
		if s.delivery(d.DeliveryID) == nil {
			d.Seq = s.next()
			s.deliveries = append(s.deliveries, d)
			n++
		}
	}
	return n
}

func (m *model) Claim(
	_ context.Context, now time.Time, lanes []hooks.ClaimLane,
) (entries []hooks.Entry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lanes {
		for range l.Max {
			d := m.oldest(now, l)
			if d == nil {
				break
			}
			if d.Status == hooks.Sending {
				d.Lost++
			}
			d.Status, d.Due = hooks.Sending, l.LeaseUntil
			d.Token++
			i := slices.IndexFunc(entries, func(e hooks.Entry) bool { return e.Event.ID == d.Event })
			if i < 0 {
				i = len(entries)
				entries = append(entries, hooks.Entry{Event: m.event(d.Event).Event})
			}
			entries[i].Deliveries = append(entries[i].Deliveries, *d)
		}
	}
	return entries, nil
}

// oldest returns what a lane may lease next, nil if nothing.
func (s *modelState) oldest(now time.Time, l hooks.ClaimLane) (first *hooks.Delivery) {
	for i := range s.deliveries {
		d := &s.deliveries[i]
		leased := d.Status == hooks.Sending && d.Due.After(now)
		if d.Subscriber != l.Subscriber || d.Status.Final() || d.Due.After(l.Before) ||
			leased || s.blocked(d) {
			continue
		}
		if first == nil || cmp.Or(d.Due.Compare(first.Due), cmp.Compare(d.Seq, first.Seq)) < 0 {
			first = d
		}
	}
	return first
}

// blocked reports whether an earlier delivery of d's key is unfinished.
func (s *modelState) blocked(d *hooks.Delivery) bool {
	return d.OrderingKey != "" && slices.ContainsFunc(s.deliveries, func(o hooks.Delivery) bool {
		return o.Subscriber == d.Subscriber && o.Tenant == d.Tenant &&
			o.OrderingKey == d.OrderingKey && o.Seq < d.Seq && !o.Status.Final()
	})
}

func (m *model) Update(
	_ context.Context, now time.Time, changes []hooks.Change,
) (stale []hooks.DeliveryID, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.copy()
	for _, c := range changes {
		d := m.delivery(c.Delivery.DeliveryID)
		if d == nil || d.Token != c.Delivery.Token {
			stale = append(stale, c.Delivery.DeliveryID)
			continue
		}
		to := c.Delivery
		to.Type, to.Tenant, to.OrderingKey = d.Type, d.Tenant, d.OrderingKey
		to.Seq, to.Created = d.Seq, d.Created
		if to.Run > d.Run {
			to.Seq = m.next()
		}
		to.Token++
		*d = to
		if c.Attempt != nil {
			m.attempts = append(m.attempts, modelAttempt{d.DeliveryID, *c.Attempt})
		}
		if _, err := m.enqueue(now, c.Emit); err != nil {
			m.modelState = before
			return nil, err
		}
	}
	return stale, nil
}

func (m *model) Backlog(context.Context) (list []hooks.BacklogLane, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := map[string]time.Time{}
	for _, d := range m.deliveries {
		first, ok := due[d.Subscriber]
		if !d.Status.Final() && !m.blocked(&d) && (!ok || d.Due.Before(first)) {
			due[d.Subscriber] = d.Due
		}
	}
	for subscriber, first := range due {
		list = append(list, hooks.BacklogLane{Subscriber: subscriber, Due: first})
	}
	return list, nil
}
