package hooks

import (
	"time"

	"example.com/hooks/internal/lanes"
)

// launch starts attempts while the lanes allow it, each in its own goroutine.
func (d *dispatcher) launch() {
	d.starting.Lock()
	defer d.starting.Unlock()
	d.launchLocked()
}

func (d *dispatcher) launchLocked() {
	for s := d.nextLocked(); s != nil; s = d.nextLocked() {
		d.attempts.Go(func() { d.deliver(s) })
	}
}

// nextLocked returns an attempt that begins now. If none may begin, it sets the
// alarm to when one may.
func (d *dispatcher) nextLocked() *lanes.Start[*job] {
	if d.alone != nil {
		return nil // the release calls launch
	}
	s, again := d.lanes.Next(time.Now())
	switch {
	case s != nil:
		d.underWay++
	case !again.IsZero():
		d.alarm.Reset(time.Until(again))
	}
	return s
}

// ring is called when the alarm goes off. It gives back what could not start in
// time, and starts what may start now.
func (d *dispatcher) ring() {
	d.starting.Lock()
	defer d.starting.Unlock()
	for _, j := range d.lanes.Overdue(time.Now()) {
		d.ledger.enter(d.givenBack(*j))
	}
	d.launchLocked()
}

// deliver makes an attempt. Its goroutine goes on with the next attempt that may
// begin, because a new goroutine would have to grow its stack each time.
func (d *dispatcher) deliver(s *lanes.Start[*job]) {
	var w worker
	defer w.leave()
	for s != nil {
		j := *s.Job // others may be looking at the lane's
		out, result := d.attempt(&w, &j, s.Timeout)
		d.lanes.Finish(s, result, time.Now())
		d.enter(out, j.endTrial)
		s = d.finish()
	}
}

// finish ends an attempt, and returns one that the caller is to go on with, if
// one may begin. All others that may begin get goroutines of their own.
func (d *dispatcher) finish() *lanes.Start[*job] {
	d.starting.Lock()
	defer d.starting.Unlock()
	d.underWay--
	d.checkAloneLocked()
	s := d.nextLocked()
	if s != nil {
		d.launchLocked()
	}
	return s
}
