package hooks

import (
	"context"
	"time"

	"example.com/hooks/internal/lanes"
)

// farFuture is later than anything is due.
var farFuture = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// emptyClaims bounds claims in a row that find nothing although something is
// due, as happens while a store sets blocked deliveries aside. Beyond it the
// loop claims once a second.
const emptyClaims = 1000

// cancelStep is how many deliveries of a deleted subscriber end at a time, or of a disabled
// endpoint whose hold is over.
const cancelStep = 200

// claim leases what is due and has a place in its lane, and returns when to call
// it again if the lanes have nothing new before: at once, later, or not at all
// (zero). That time is by this process's clock.
func (d *dispatcher) claim(ctx context.Context) (again time.Time, err error) {
	if d.ledger.failing.Load() {
		// An unsaved outcome's lease may have ended: claiming now would send
		// the delivery twice.
		return time.Now().Add(pollEvery), nil
	}
	if err := d.redate(ctx); err != nil {
		return time.Time{}, err
	}
	claims, read := d.lanes.Refill(time.Now())
	if len(claims) > 0 {
		return d.claimFor(ctx, claims, nil)
	}
	if read.IsZero() || time.Until(read) > 0 {
		return read, nil
	}
	claims, sweeps, err := d.read(ctx)
	if err != nil || len(claims)+len(sweeps) == 0 {
		return time.Now(), err
	}
	return d.claimFor(ctx, claims, sweeps)
}

// read reads the subscribers and the backlog. It returns which claims follow for
// lanes, and sweeps: claims of what deleted subscribers have left, and of what disabled
// endpoints have been held for too long.
func (d *dispatcher) read(ctx context.Context) (claims []lanes.Claim, sweeps []ClaimLane, err error) {
	if err := d.refresh(ctx); err != nil {
		return nil, nil, err
	}
	if err := d.returnDoubtful(ctx); err != nil {
		return nil, nil, err
	}
	d.pollSoon()
	r := d.lanes.Read(time.Now())
	backlog, err := d.store.Backlog(ctx)
	if err != nil {
		return nil, nil, err
	}
	due, sweeps, next := d.sortBacklog(backlog)
	if d.sweeping.Load() > 0 {
		sweeps = nil // else the outcomes of a large backlog would fill the memory; settle rechecks
	}
	claims = d.lanes.Plan(r, due, next, time.Now())
	if len(due)+len(sweeps) == 0 {
		d.lanes.Quiet(r)
	}
	return claims, sweeps, nil
}

// refresh reads which subscribers have changed: at once if others have written,
// and at least with each poll.
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

// sortBacklog returns the lanes that have something due, the sweeps to make, and
// when the next of the other deliveries becomes due, by this process's clock. It
// leaves out subscribers that this process cannot call now. For those of them that are
// held, next is also when that ends, or when the next hold is over.
func (d *dispatcher) sortBacklog(backlog []BacklogLane) (due []lanes.Lane, sweeps []ClaimLane, next time.Time) {
	clock, at := time.Now(), d.h.now()
	for _, w := range backlog {
		s := d.h.subscriber(w.Subscriber)
		if s.obstacle == wasDeleted {
			d.lanes.Remove(w.Subscriber)
			if !d.swept[w.Subscriber] || !w.Due.After(at) {
				sweeps = append(sweeps, ClaimLane{w.Subscriber, cancelStep, farFuture, at.Add(time.Minute)})
			}
			continue
		}
		delete(d.swept, w.Subscriber)
		look := w.Due
		switch {
		case s.obstacle == held:
			d.returnQueued(w.Subscriber)
			if sweep, ok := s.overdue(w.Due, at); ok {
				sweeps = append(sweeps, sweep)
				continue
			}
			look = s.nextLook(w.Due)
		case !s.servable():
			continue
		case !w.Due.After(at):
			due = append(due, s.lane())
			continue
		}
		if t := clock.Add(look.Sub(at)); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return due, sweeps, next
}

// claimFor makes claims and sweeps in one call of the store, and returns when to
// go on.
func (d *dispatcher) claimFor(ctx context.Context, claims []lanes.Claim, sweeps []ClaimLane) (again time.Time, err error) {
	at, steps := d.h.reading()
	if int64(steps) != d.dated.Load() { // the waits in the store must be moved first
		d.unclaim(claims)
		return time.Now(), nil
	}
	claims, list := d.servable(claims, at)
	list = append(list, sweeps...)
	if len(list) == 0 {
		return time.Now(), nil
	}
	d.leases.beginClaim()
	entries, err := d.store.Claim(ctx, at, list)
	if err == nil && len(sweeps) > 0 {
		// The endpoint may have been put again since the subscribers were read. Whoever
		// published for the new one knew that, so it is in the store by now.
		err = d.h.reload(ctx, d.store)
	}
	if err != nil {
		d.unclaim(claims)
		d.doubt(list)
		return time.Time{}, err
	}
	d.take(claims, sweeps, entries)
	d.endClaim()
	if d.empty++; len(entries) > 0 {
		d.empty = 0
	}
	if d.empty > emptyClaims {
		return time.Now().Add(pollEvery), nil
	}
	return time.Now(), nil
}

// servable returns the claims for subscribers that this process can still call, and the
// same claims as the store takes them. It ends the others.
func (d *dispatcher) servable(claims []lanes.Claim, at time.Time) (kept []lanes.Claim, list []ClaimLane) {
	for _, c := range claims {
		if !d.h.subscriber(c.ID).servable() {
			d.lanes.Unclaimed(c)
			continue
		}
		kept = append(kept, c)
		list = append(list, ClaimLane{c.ID, c.Max, at, leaseUntil(at, c.Lease)})
	}
	return kept, list
}

// unclaim ends claims that were not made, or failed. What is due is read again.
func (d *dispatcher) unclaim(claims []lanes.Claim) {
	for _, c := range claims {
		d.lanes.Unclaimed(c)
	}
	d.lanes.Recheck()
}

// take puts what a claim has leased into its lanes. What a sweep has leased, or
// nobody has asked for, it ends.
func (d *dispatcher) take(claims []lanes.Claim, sweeps []ClaimLane, entries []Entry) {
	clock, at := time.Now(), d.h.now()
	asked, got := make(map[string]bool, len(claims)), make(map[string]int)
	for _, c := range claims {
		asked[c.ID] = true
	}
	for _, e := range entries {
		for _, dl := range e.Deliveries {
			got[dl.Subscriber]++
			j := &job{Delivery: dl, event: e.Event}
			switch fresh := d.leases.take(j); {
			case fresh && asked[dl.Subscriber]:
				d.admit(j, clock, at)
			case fresh:
				end, ended := d.endUnstarted(*j, d.h.subscriber(dl.Subscriber), 0)
				if !ended { // the subscriber has come back
					end = d.givenBack(*j)
				}
				if !end.Delivery.Status.Final() && e.Event.DeliverAt.After(at) {
					end.Delivery.Due = e.Event.DeliverAt // a sweep takes scheduled ones, too
				}
				d.lanes.Saving(dl.Subscriber)
				d.sweeping.Add(1)
				end.swept = true
				d.ledger.enter(end)
			case asked[dl.Subscriber]:
				d.lanes.Release(dl.Subscriber) // it has a place already
			}
		}
	}
	for _, c := range claims {
		d.lanes.Claimed(c, got[c.ID])
	}
	for _, s := range sweeps {
		if got[s.Subscriber] == 0 && s.Before.Equal(farFuture) {
			d.swept[s.Subscriber] = true // deleted, and nothing is left but what is under way
		}
		if d.sweeping.Load() == 0 {
			d.lanes.Recheck() // there may be more to end; otherwise settle rechecks
		}
	}
	d.launch()
}
