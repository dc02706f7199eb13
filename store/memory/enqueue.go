package memory

import (
	"bytes"
	"context"
	"maps"
	"time"

	"example.com/hooks"
)

// Enqueue implements [hooks.Tx]. It copies what it is given.
func (s *Store) Enqueue(
	ctx context.Context, now time.Time, entries []hooks.Entry,
) ([]hooks.Receipt, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	d := draft{store: s, now: now}
	if err := d.plan(entries); err != nil {
		return nil, err
	}
	return d.write(), nil
}

// A draft is entries that will be stored, and what is known of them before:
// whether one is a duplicate, or cannot be stored at all.
type draft struct {
	store    *Store
	now      time.Time
	entries  []hooks.Entry
	receipts []hooks.Receipt
	events   map[string]bool  // new in this draft
	keys     map[keyID]string // taken in this draft, by the event with this id
}

// plan adds entries to the draft, or returns why none of it can be stored.
func (d *draft) plan(entries []hooks.Entry) error {
	for _, e := range entries {
		r := hooks.Receipt{EventID: e.Event.ID}
		known := d.knows(e.Event.ID)
		switch {
		case e.Add && !known:
			return hooks.ErrNotFound
		case e.Add:
		case known:
			r.Duplicate = true
		default:
			r.EventID, r.Duplicate = d.reserve(e)
		}
		d.entries = append(d.entries, e)
		d.receipts = append(d.receipts, r)
	}
	return nil
}

func (d *draft) knows(id string) bool {
	return d.events[id] || d.store.events[id] != nil
}

// reserve notes that e will be stored, unless its idempotency key is taken:
// then it returns by which event.
func (d *draft) reserve(e hooks.Entry) (id string, taken bool) {
	if e.Event.IdempotencyKey != "" {
		k := keyID{e.Event.Tenant, e.Event.IdempotencyKey}
		if holder, ok := d.holder(k); ok {
			return holder, true
		}
		if d.keys == nil {
			d.keys = map[keyID]string{}
		}
		if e.KeyUntil.After(d.now) {
			d.keys[k] = e.Event.ID
		}
	}
	if d.events == nil {
		d.events = map[string]bool{}
	}
	d.events[e.Event.ID] = true
	return e.Event.ID, false
}

func (d *draft) holder(id keyID) (event string, ok bool) {
	if k := d.store.keys[id]; k != nil && k.until.After(d.now) {
		return k.event, true
	}
	event, ok = d.keys[id]
	return event, ok
}

// write stores the draft and returns the receipts.
func (d *draft) write() []hooks.Receipt {
	for i, e := range d.entries {
		r := &d.receipts[i]
		if r.Duplicate {
			continue
		}
		ev := d.store.events[e.Event.ID]
		if !e.Add {
			ev = d.store.addEvent(d.now, e)
		}
		r.Deliveries = d.store.addDeliveries(ev, e.Deliveries)
	}
	return d.receipts
}

func (s *Store) addEvent(now time.Time, e hooks.Entry) *event {
	ev := &event{
		Event:      e.Event,
		stored:     now,
		deliveries: make(map[string]*delivery, len(e.Deliveries)),
	}
	ev.Data = bytes.Clone(ev.Data)
	ev.Metadata = maps.Clone(ev.Metadata)
	ev.Seq = s.next()
	s.events[ev.ID] = ev
	s.eventLog.add(ev.Seq, ev)
	s.unwanted.add(ev)
	if ev.IdempotencyKey != "" {
		s.takeKey(keyID{ev.Tenant, ev.IdempotencyKey}, ev.ID, e.KeyUntil)
	}
	return ev
}

func (s *Store) takeKey(id keyID, event string, until time.Time) {
	if old := s.keys[id]; old != nil {
		s.endings.remove(old)
	}
	k := &key{id: id, event: event, until: until}
	s.keys[id] = k
	s.endings.add(k)
}

// addDeliveries stores those that ev does not have, and counts them.
func (s *Store) addDeliveries(ev *event, ds []hooks.Delivery) (n int) {
	if len(ev.deliveries) == 0 && len(ds) > 0 {
		s.unwanted.remove(ev)
	}
	for _, given := range ds {
		if ev.deliveries[given.Subscriber] != nil {
			continue
		}
		d := &delivery{Delivery: given, event: ev}
		d.Seq = s.next()
		ev.deliveries[d.Subscriber] = d
		s.deliveries.add(d.Seq, d)
		s.listUnfinished(d)
		s.join(d)
		s.advance(d.line())
		n++
	}
	return n
}
