package hooks

import (
	"slices"
	"time"
)

// enlist puts a lane in the line if it could start a job. d.mu is held.
func (d *dispatcher) enlist(l *lane) {
	if !l.ready && l.startable() {
		l.ready = true
		d.line = append(d.line, l)
	}
}

// schedule starts attempts while there are slots, one lane after the other.
// Lanes that may be hanging together leave half of the slots to the others.
// d.mu is held.
func (d *dispatcher) schedule() {
	at := time.Now()
	suspects := -1 // not counted yet
	for skipped := 0; d.active < d.h.cfg.Concurrency && skipped < len(d.line); {
		l := d.line[0]
		d.line = d.line[1:]
		if !l.startable() { // its job was dropped
			l.ready = false
			continue
		}
		suspect := l.suspect(at)
		if suspect {
			if suspects < 0 {
				suspects = d.suspects(at)
			}
			if suspects >= (d.h.cfg.Concurrency+1)/2 {
				d.line = append(d.line, l)
				skipped++
				continue
			}
		}
		skipped = 0
		l.ready = false
		if d.start(l, at) && suspect {
			suspects++
		}
		d.enlist(l)
	}
}

// suspects counts the attempts of lanes that may be hanging. d.mu is held.
func (d *dispatcher) suspects(at time.Time) (n int) {
	for l := range d.busy {
		if l.suspect(at) {
			n += len(l.active)
		}
	}
	return n
}

// start begins the lane's next attempt, unless there is no use in it any more,
// and reports whether it did. d.mu is held.
func (d *dispatcher) start(l *lane, at time.Time) (began bool) {
	j := l.pop()
	if d.endUntried(*j, d.h.now()) {
		return false
	}
	l.active = append(l.active, at)
	d.active++
	d.busy[l] = struct{}{}
	timeout := l.timeout
	d.attempts.Go(func() {
		ok := d.attempt(timeout, *j)
		d.finish(l, at, ok)
	})
	return true
}

// finish frees the slot of an attempt. How it went says whether the lane works.
func (d *dispatcher) finish(l *lane, began time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.finish(began)
	l.proven = ok || time.Since(began) <= slowAfter
	if len(l.active) == 0 {
		delete(d.busy, l)
	}
	d.active--
	d.enlist(l)
	d.schedule()
	if l.hungry() {
		d.wake()
	}
}

// drop takes a delivery out of the queue whose lease was ended by a decision: it
// is not begun. One that is under way goes on.
func (d *dispatcher) drop(was Delivery) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[was.Subscriber]
	if l == nil {
		return
	}
	i := slices.IndexFunc(l.queue, func(j *job) bool { return j.DeliveryID == was.DeliveryID && j.Token == was.Token })
	if i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		d.release(l)
	}
}
