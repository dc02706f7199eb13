package hooks

import (
	"context"
	"time"
)

// A lease is what the dispatcher knows of the lease of a delivery that it holds:
// one that is queued, under way, or being saved. The store may grant it to us once
// more, if it seems to have ended because the clock was set forward, or because it
// was too short. The delivery is not started a second time then.
type lease struct {
	token int64     // of the lease, as it stands after renewals and a charge
	until time.Time // when a renewed one ends; else zero
	again *job      // a lease that was granted after the delivery was changed
}

// own notes that a delivery is held. It reports false if it is held already. d.mu is
// held.
func (d *dispatcher) own(j job) bool {
	if _, ok := d.held[j.DeliveryID]; ok {
		return false
	}
	d.held[j.DeliveryID] = lease{token: j.Token}
	return true
}

// renewed reports whether a delivery that was just leased is held already. If nothing
// but the claim has changed it, what it is held for goes on under the new lease.
// Otherwise an outcome of ours was written, or a decision, and the new lease is for
// another attempt, which begins when that is known here. d.mu is held.
func (d *dispatcher) renewed(ev Event, dl Delivery) bool {
	l, ok := d.held[dl.DeliveryID]
	if ok {
		l.again = &job{Delivery: dl, event: ev}
		d.held[dl.DeliveryID] = l.renew()
	}
	return ok
}

// renew returns the lease with the later one in its place, if that follows it.
func (l lease) renew() lease {
	if l.again != nil && l.again.Token == l.token+1 {
		return lease{token: l.again.Token, until: l.again.Due}
	}
	return l
}

// update gives a job that is about to start its lease as it now is. d.mu is held.
func (d *dispatcher) update(j *job) {
	if l := d.held[j.DeliveryID]; !l.until.IsZero() {
		j.Token, j.Due = l.token, l.until
	}
}

// noteToken notes the token of a delivery whose attempt was charged.
func (d *dispatcher) noteToken(dl Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.held[dl.DeliveryID]
	l.token = max(l.token, dl.Token)
	d.held[dl.DeliveryID] = l.renew()
}

// save writes outcomes, each under the lease that was granted last, and dated as
// what is in the store.
func (d *dispatcher) save(ctx context.Context, batch []outcome) (stale []DeliveryID, err error) {
	select {
	case d.dating <- struct{}{}:
		defer func() { <-d.dating }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	changes := make([]Change, len(batch))
	d.mu.Lock()
	for i := range batch {
		o := &batch[i]
		if l, ok := d.held[o.Delivery.DeliveryID]; ok && !o.exact {
			o.Delivery.Token = max(o.Delivery.Token, l.token)
		}
		d.date(o)
		changes[i] = o.Change
	}
	d.mu.Unlock()
	return d.store.Update(ctx, d.h.now(), changes)
}

// keeps reports whether a stale outcome is to be written all the same, because it
// was a claim of our own that moved the token. d.mu is held.
func (d *dispatcher) keeps(o outcome) bool {
	l, ok := d.held[o.Delivery.DeliveryID]
	switch {
	case !ok || o.exact:
		return false
	case l.token > o.Delivery.Token:
		d.ledger.again(o)
	case d.claiming:
		d.unsettled = append(d.unsettled, o)
	default:
		return false // decided elsewhere
	}
	return true
}

// claimed ends a claim: it is known what it has leased, and what of the stale
// outcomes was stale because of it.
func (d *dispatcher) claimed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claiming = false
	unsettled := d.unsettled
	d.unsettled = nil
	for _, o := range unsettled {
		if !d.keeps(o) {
			d.settle(o)
		}
	}
}

// letGo forgets a delivery whose outcome was written, and returns the lease that was
// granted after that, if there is one. d.mu is held.
func (d *dispatcher) letGo(o outcome) *job {
	if o.exact {
		return nil // of what is not held
	}
	l := d.held[o.Delivery.DeliveryID]
	delete(d.held, o.Delivery.DeliveryID)
	return l.again
}

// resume takes what was leased after its last outcome was written, but before that
// was known here. d.mu is held.
func (d *dispatcher) resume(leased *job) {
	if leased == nil {
		return
	}
	j := d.hold(leased.event, leased.Delivery)
	switch {
	case j.event.ID == "": // found by forgo, which gives back
		d.giveBack(j)
	case !d.endUntried(j, d.h.now()):
		d.push(j)
		d.schedule()
	}
}
