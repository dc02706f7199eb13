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

// An attempt under way, or about to be.
type attempt struct {
	lane    *lane
	job     *job
	began   time.Time
	timeout time.Duration
	accused bool
}

// schedule starts attempts while there are slots. d.mu is held.
func (d *dispatcher) schedule() { d.launch(d.begin()) }

// launch makes attempts that have begun, each in a goroutine that goes on with what can
// be begun then: a new one would have to grow its stack every time.
func (d *dispatcher) launch(list []*attempt) {
	for _, a := range list {
		d.attempts.Go(func() {
			var w worker
			defer w.leave()
			for a := a; a != nil; {
				ok := d.attempt(&w, a.timeout, *a.job)
				a = d.finish(a, ok)
			}
		})
	}
}

// begin begins attempts while there are slots, in one lane after the other; they are to
// be launched. Lanes that may be hanging together leave half of the slots to the others.
// d.mu is held.
func (d *dispatcher) begin() (list []*attempt) {
	at := time.Now()
	suspects := -1 // not counted yet
	for skipped := 0; d.alone == nil && d.active < d.h.cfg.Concurrency && skipped < len(d.line); {
		l := d.line[0]
		d.line = d.line[1:]
		next := l.first(!d.trial)
		if !l.startable() || next < 0 { // its job was dropped, or waits for another accused one
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
		if a := d.beginOne(l, next, at); a != nil {
			list = append(list, a)
			if suspect {
				suspects++
			}
		}
		d.enlist(l)
	}
	return list
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

// beginOne begins an attempt of the job at a place of the lane's queue; nil if there is
// no use in it any more. d.mu is held.
func (d *dispatcher) beginOne(l *lane, next int, at time.Time) *attempt {
	j := l.take(next)
	d.update(j)
	if d.endUntried(*j, d.h.now()) {
		return nil
	}
	l.active = append(l.active, at)
	d.active++
	d.busy[l] = struct{}{}
	accused := isAccused(j.Delivery)
	d.trial = d.trial || accused
	return &attempt{l, j, at, l.timeout, accused}
}

// finish frees the slot of an attempt, and returns one to go on with, if there is one.
// How it went says whether the lane works.
func (d *dispatcher) finish(a *attempt, ok bool) *attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := a.lane
	l.finish(a.began)
	l.proven = ok || time.Since(a.began) <= slowAfter
	if len(l.active) == 0 {
		delete(d.busy, l)
	}
	d.active--
	d.checkAlone()
	d.enlist(l)
	if a.accused {
		d.trial = false
		for _, l := range d.lanes {
			d.enlist(l)
		}
	}
	list := d.begin()
	d.feed(l)
	if len(list) == 0 {
		return nil
	}
	d.launch(list[1:])
	return list[0]
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
	i := slices.IndexFunc(l.queue, func(j *job) bool { return j.DeliveryID == was.DeliveryID })
	if i >= 0 && d.held[was.DeliveryID].token == was.Token {
		defer d.resume(d.held[was.DeliveryID].again) // a replay may have been leased already
		delete(d.held, was.DeliveryID)
		l.queue = slices.Delete(l.queue, i, i+1)
		d.release(l)
	}
}
