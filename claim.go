package hooks

import (
	"context"
	"time"
)

// farFuture is later than anything is due.
var farFuture = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// lookEvery is how long the backlog may go unseen while a lane has more in the store
// and nothing else is known to have become due.
const lookEvery = 50 * time.Millisecond

// claim leases what is due and fits, and returns when to look again: at once
// if anything was claimable, else when the next delivery is due; zero if none.
func (d *dispatcher) claim(ctx context.Context) (next time.Time, err error) {
	if d.ledger.failing.Load() { // what it could not write yet would be sent again
		return d.h.now().Add(pollEvery), nil
	}
	if err := d.refresh(ctx); err != nil {
		return time.Time{}, err
	}
	if err := d.forgo(ctx); err != nil {
		return time.Time{}, err
	}
	if err := d.redate(ctx); err != nil {
		return time.Time{}, err
	}
	lanes, next := d.known()
	if len(lanes) == 0 && next.IsZero() {
		lanes, next, err = d.look(ctx)
	}
	if err != nil || len(lanes) == 0 {
		return next, err
	}
	at, steps := d.h.reading()
	if int64(steps) != d.dated.Load() { // the clock was set meanwhile: the lanes have its old time
		return at, nil
	}
	d.mu.Lock()
	d.claiming = true
	d.mu.Unlock()
	entries, err := d.store.Claim(ctx, at, lanes)
	if err != nil {
		d.doubt(lanes)
		return time.Time{}, err
	}
	d.take(lanes, entries)
	d.claimed()
	if d.empty++; len(entries) > 0 {
		d.empty = 0
	}
	if d.empty > emptyClaims {
		return at.Add(pollEvery), nil
	}
	return at, nil
}

// known says for which lanes to claim without looking at the backlog, for a claim of
// theirs got all it asked for, and nothing has happened since but that they have room
// again. If they have none yet, next is when to look.
func (d *dispatcher) known() (lanes []Lane, next time.Time) {
	at := d.h.now()
	left := lookEvery - time.Since(d.looked)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sleepUntil.IsZero() {
		left = min(left, d.sleepUntil.Sub(at))
	}
	if d.unsure.Load() || left <= 0 {
		return nil, time.Time{}
	}
	for _, l := range d.lanes {
		if !l.more || d.lane(l.id) == nil {
			continue
		}
		next = at.Add(left)
		if l.roomy() {
			lanes = append(lanes, Lane{l.id, l.ask(), at, l.lease(at)})
		}
	}
	return lanes, next
}

// look looks at the backlog, and returns what [dispatcher.plan] makes of it.
func (d *dispatcher) look(ctx context.Context) (lanes []Lane, next time.Time, err error) {
	d.looked = time.Now()
	d.unsure.Store(false)
	d.mu.Lock()
	for _, l := range d.lanes {
		l.told, l.asked = false, 0 // before the store is asked: what is left there meanwhile counts
	}
	d.sleepUntil, d.asked, d.readAt = time.Time{}, len(d.flushes), d.changes
	d.mu.Unlock()
	backlog, err := d.store.Backlog(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	lanes, next = d.plan(backlog, d.h.now())
	return lanes, next, nil
}

// refresh reads what has changed, at least with each poll.
func (d *dispatcher) refresh(ctx context.Context) error {
	if !d.news.Swap(false) {
		return d.h.refresh(ctx, d.store, pollEvery/2)
	}
	err := d.h.reload(ctx, d.store)
	if err != nil {
		d.news.Store(true)
	}
	return err
}

// doubt records that a claim may have leased, though nobody here holds what it did: it
// returned an error, or after it was left behind. The loop looks for its leases.
func (d *dispatcher) doubt(lanes []Lane) {
	d.mu.Lock()
	d.doubtful = append(d.doubtful, lanes...)
	d.mu.Unlock()
	d.wake()
}

// forgo gives back what doubtful claims have leased. Else nobody would see to it until
// the leases end.
func (d *dispatcher) forgo(ctx context.Context) error {
	d.mu.Lock()
	lanes := d.doubtful
	d.doubtful = nil
	d.mu.Unlock()
	if len(lanes) == 0 {
		return nil
	}
	for i, l := range lanes {
		if err := d.forgoLane(ctx, l); err != nil {
			d.doubt(lanes[i:])
			return err
		}
	}
	d.claimed()
	return nil
}

func (d *dispatcher) forgoLane(ctx context.Context, l Lane) error {
	q := Query{Subscriber: l.Subscriber, Statuses: []Status{Sending}}
	for more := true; more; more = q.Cursor != "" {
		page, next, err := d.store.Deliveries(ctx, q)
		if err != nil {
			return err
		}
		q.Cursor = next
		d.mu.Lock()
		for _, dl := range page {
			if dl.Due.Equal(l.LeaseUntil) && !d.renewed(Event{}, dl) {
				d.giveBack(d.hold(Event{}, dl))
			}
		}
		d.mu.Unlock()
	}
	return nil
}

// emptyClaims is how many claims in a row may find nothing of what the backlog
// says is due, for a store may be setting blocked deliveries aside. A store that
// never comes to an end is asked less often.
const emptyClaims = 1000

// plan says for which lanes to claim how many, and when the next of the other
// deliveries is due.
func (d *dispatcher) plan(backlog []Waiting, at time.Time) (lanes []Lane, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := make(map[*lane]bool)
	for _, w := range backlog {
		deleted := d.h.dir.isDeleted(w.Subscriber)
		if !deleted {
			delete(d.swept, w.Subscriber)
		}
		l := d.lane(w.Subscriber)
		switch {
		case deleted && !(d.swept[w.Subscriber] && w.Due.After(at)):
			lanes = append(lanes, Lane{w.Subscriber, cancelStep, farFuture, at.Add(time.Minute)})
		case l == nil && !deleted: // a handler of another program, or its key is missing: leave it alone
		case w.Due.After(at):
			if next.IsZero() || w.Due.Before(next) {
				next = w.Due
			}
		default:
			due[l] = true
			if l.roomy() {
				lanes = append(lanes, Lane{w.Subscriber, l.ask(), at, l.lease(at)})
			} else {
				l.more = true
			}
		}
	}
	for _, l := range d.lanes {
		l.more = l.more && (due[l] || l.told)
	}
	if d.sleepUntil = next; len(lanes) == 0 {
		d.flushed()
	}
	return lanes, next
}

// cancelStep is how many deliveries of a deleted subscriber end at a time.
const cancelStep = 200

// lane returns the lane of a subscriber that this process can serve, with its
// present settings, or nil. d.mu is held.
func (d *dispatcher) lane(id string) *lane {
	slots, timeout, ok := d.h.settings(id)
	if !ok {
		return nil
	}
	l := d.lanes[id]
	if l == nil {
		l = &lane{id: id}
		d.lanes[id] = l
	}
	l.slots, l.timeout = min(slots, d.h.cfg.Concurrency), timeout
	return l
}

// settings returns how a subscriber wants to be called, if this process can.
func (h *Hooks) settings(id string) (slots int, timeout time.Duration, ok bool) {
	if e := h.dir.endpoint(id); e != nil && e.closed == nil {
		slots, timeout = e.Concurrency, e.Timeout
	} else if s, ok := h.handler(id); ok {
		slots, timeout = s.Concurrency, s.Timeout
	} else {
		return 0, 0, false
	}
	orDefault(&slots, h.cfg.SubscriberConcurrency)
	orDefault(&timeout, h.cfg.Timeout)
	return slots, timeout, true
}

func (h *Hooks) handler(name string) (Handler, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.handlers[name]
	return s, ok
}

// take puts what a claim has leased into its lanes, and ends what is not to be tried.
func (d *dispatcher) take(lanes []Lane, entries []Entry) {
	at := d.h.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	got := make(map[string]int)
	for _, e := range entries {
		for _, dl := range e.Deliveries {
			got[dl.Subscriber]++
			if d.renewed(e.Event, dl) {
				continue
			}
			if j := d.hold(e.Event, dl); !d.endUntried(j, at) {
				d.push(j)
			}
		}
	}
	for _, l := range lanes {
		d.answered(l, got[l.Subscriber])
	}
	d.schedule()
}

// answered notes that a claim has leased n for one of its lanes. If that is less than
// it asked for, nothing older is in the store than what was left there meanwhile (but
// what the claim could not have because of others). Newer ones need not queue up behind
// that: they would be left there, too, for the claim after this one, and so on without
// end. d.mu is held.
func (d *dispatcher) answered(claimed Lane, n int) {
	if claimed.Before.Equal(farFuture) {
		d.unsure.Store(true) // there may be more to end
		if n == 0 {          // nothing of a deleted subscriber is left but what is under way
			d.swept[claimed.Subscriber] = true
		}
		return
	}
	l := d.lanes[claimed.Subscriber]
	l.asked = 0
	if l.more = n >= claimed.Max; !l.more {
		d.unsure.Store(true) // it may have got less than there is
	}
}

// hold makes a leased delivery a job of its lane, or a stray if it has none. d.mu is
// held.
func (d *dispatcher) hold(ev Event, dl Delivery) job {
	d.held[dl.DeliveryID] = lease{token: dl.Token}
	j := job{Delivery: dl, event: ev, lane: d.lane(dl.Subscriber)}
	if j.lane != nil {
		j.lane.held++
	} else {
		d.strays++
	}
	return j
}

// endUntried ends a leased delivery that is not to be tried (any more), or not
// by this dispatcher, and reports whether it did. d.mu is held.
func (d *dispatcher) endUntried(j job, at time.Time) bool {
	end := j.Delivery
	end.Due, end.Updated = at, at
	switch expires := j.event.ExpiresAt; {
	case d.h.dir.isDeleted(j.Subscriber), d.h.dir.isOthers(j.Delivery):
		end.Status = Canceled
	case !expires.IsZero() && !at.Before(expires):
		end.Status, end.Reason = Failed, Expired
	case j.lane == nil, !d.open, at.Add(j.lane.timeout + saveWithin).After(j.Due):
		d.giveBack(j)
		return true
	default:
		return false
	}
	d.ledger.enter(outcome{Change: Change{Delivery: end}, lane: j.lane})
	return true
}

// giveBack returns a lease uncharged: the delivery is due again at once.
func (d *dispatcher) giveBack(j job) {
	d.ledger.enter(outcome{Change: Change{Delivery: d.back(j)}, lane: j.lane})
}

// back returns a leased delivery as it is given back.
func (d *dispatcher) back(j job) Delivery {
	back := j.before()
	back.Status, back.Due = back.waiting(), d.h.now()
	return back
}
