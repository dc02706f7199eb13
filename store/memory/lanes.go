package memory

import "example.com/hooks"

// change alters d by f and moves it to where it then belongs. Every change
// increments the token.
func (s *Store) change(d *delivery, f func()) {
	s.leave(d)
	before, place := d.Status, d.Seq
	f()
	d.Token++
	s.join(d)
	if d.Status.Final() == before.Final() && d.Seq == place {
		s.advance(d.line())
		return
	}
	if !before.Final() {
		s.unlist(d.Subscriber, place)
	}
	s.listUnfinished(d)
	s.advance(d.line())
}

// join puts d into the queue that its status asks for. The caller advances
// the delivery's line next.
func (s *Store) join(d *delivery) {
	switch {
	case d.Status == hooks.Failed:
		d.queue = s.failed
	case d.Status.Final():
		d.queue = s.done
	case d.OrderingKey != "":
		d.queue = s.line(d.line()).waiting
	default:
		d.queue = s.lane(d.Subscriber)
	}
	d.queue.add(d)
}

// leave takes d out of its queue. The caller advances the delivery's line
// next, unless d is final.
func (s *Store) leave(d *delivery) {
	d.queue.remove(d)
	if d.queue.empty() && d.queue == s.lanes[d.Subscriber] {
		delete(s.lanes, d.Subscriber)
	}
	if l := s.lines[d.line()]; l != nil && l.head == d {
		l.head = nil
	}
}

// advance makes the lowest Seq of a line its head, unless the head that it
// has is in flight.
func (s *Store) advance(id lineID) {
	l := s.lines[id]
	if l == nil {
		return
	}
	if l.waiting.empty() {
		if l.head == nil {
			delete(s.lines, id)
		}
		return
	}
	if old := l.head; old != nil {
		if old.Status == hooks.Sending || earlierSeq(old, l.waiting.first()) {
			return
		}
		s.leave(old)
		s.join(old)
	}
	l.head = l.waiting.take()
	l.head.queue = s.lane(l.head.Subscriber)
	l.head.queue.add(l.head)
}

// lane returns the unfinished deliveries of a subscriber that do not wait in
// a line.
func (s *Store) lane(subscriber string) *queue[*delivery] {
	if s.lanes[subscriber] == nil {
		s.lanes[subscriber] = newQueue(earlierDue)
	}
	return s.lanes[subscriber]
}

func (s *Store) line(id lineID) *line {
	if s.lines[id] == nil {
		s.lines[id] = &line{waiting: newQueue(earlierSeq)}
	}
	return s.lines[id]
}

// listUnfinished notes d among the unfinished deliveries of its subscriber, unless it is
// final.
func (s *Store) listUnfinished(d *delivery) {
	if d.Status.Final() {
		return
	}
	if s.unfinished[d.Subscriber] == nil {
		s.unfinished[d.Subscriber] = &journal[*delivery]{}
	}
	s.unfinished[d.Subscriber].insert(d.Seq, d)
}

// unlist takes what has a number from the unfinished deliveries of a subscriber.
func (s *Store) unlist(subscriber string, seq int64) {
	j := s.unfinished[subscriber]
	if j.remove(seq); len(j.lines) == 0 {
		delete(s.unfinished, subscriber)
	}
}
