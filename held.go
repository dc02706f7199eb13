package hooks

import (
	"context"
	"sync"
	"time"
)

// leases is what the dispatcher knows of the deliveries that are leased to it. The
// store may grant a lease once more, if the first one seems to have ended because
// the clock was set forward, or because it was too short. The delivery is not started
// a second time then.
type leases struct {
	mu        sync.Mutex // guards what follows
	held      map[DeliveryID]lease
	claiming  bool      // a claim is under way, or it is unknown what one has leased
	doubtful  []Lane    // of claims that returned an error, or too late: they may have leased
	unsettled []outcome // stale, but maybe only because of that claim
}

// A lease is that of a delivery which is queued, under way, or being saved.
type lease struct {
	token int64     // as it stands after renewals and a charge
	until time.Time // when a renewed one ends; else zero
	again *job      // as it was leased after it had been changed
}

// own notes that a delivery is held. It reports false if it is held already.
func (l *leases) own(dl Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ownLocked(dl)
}

func (l *leases) ownLocked(dl Delivery) bool {
	if _, ok := l.held[dl.DeliveryID]; ok {
		return false
	}
	l.held[dl.DeliveryID] = lease{token: dl.Token}
	return true
}

// take is own for a delivery that a claim has leased. If it is held already and
// nothing but the claim has changed it, what it is held for goes on under the new
// lease. Otherwise an outcome of ours was written, or a decision, and the new lease is
// for another attempt, which begins when that is known here.
func (l *leases) take(j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ownLocked(j.Delivery) {
		return true
	}
	is := l.held[j.DeliveryID]
	is.again = j
	l.held[j.DeliveryID] = is.renew()
	return false
}

// renew returns the lease with the later one in its place, if that follows it.
func (l lease) renew() lease {
	if l.again != nil && l.again.Token == l.token+1 {
		return lease{token: l.again.Token, until: l.again.Due}
	}
	return l
}

// update gives a job that is about to start its lease as it now is.
func (l *leases) update(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if is := l.held[j.DeliveryID]; !is.until.IsZero() {
		j.Token, j.Due = is.token, is.until
	}
}

// noteToken notes the token of a delivery whose attempt was charged.
func (l *leases) noteToken(dl Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	is := l.held[dl.DeliveryID]
	is.token = max(is.token, dl.Token)
	l.held[dl.DeliveryID] = is.renew()
}

// updateTokens gives outcomes the tokens of the leases that were granted last.
func (l *leases) updateTokens(batch []outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batch {
		o := &batch[i]
		if is, ok := l.held[o.Delivery.DeliveryID]; ok && !o.exact {
			o.Delivery.Token = max(o.Delivery.Token, is.token)
		}
	}
}

// holds reports whether a delivery is held under its token.
func (l *leases) holds(dl Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	is, ok := l.held[dl.DeliveryID]
	return ok && is.token == dl.Token
}

// letGo forgets a delivery that is not held any more. It returns the delivery as it
// was leased after it had been changed, or nil.
func (l *leases) letGo(id DeliveryID) (again *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	again = l.held[id].again
	delete(l.held, id)
	return again
}

// stale decides about an outcome that the store calls stale. It is to be repeated if
// a claim of our own has moved the token. It waits for [leases.claimEnds], which
// returns it, if a claim that may do so is under way. Otherwise the delivery was
// decided elsewhere.
func (l *leases) stale(o outcome) (repeat, wait bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	is, ok := l.held[o.Delivery.DeliveryID]
	switch {
	case !ok || o.exact:
		return false, false
	case is.token > o.Delivery.Token:
		return true, false
	case l.claiming:
		l.unsettled = append(l.unsettled, o)
		return false, true
	default:
		return false, false
	}
}

func (l *leases) claimBegins() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claiming = true
}

// claimEnds says that it is known what the last claim has leased. It returns the
// outcomes that have waited for that.
func (l *leases) claimEnds() (unsettled []outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claiming = false
	unsettled, l.unsettled = l.unsettled, nil
	return unsettled
}

func (l *leases) doubt(list []Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubtful = append(l.doubtful, list...)
}

func (l *leases) takeDoubtful() []Lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.doubtful
	l.doubtful = nil
	return list
}

// doubt records that a claim may have leased, though nobody here holds what it did: it
// returned an error, or after it was left behind. The loop looks for its leases.
func (d *dispatcher) doubt(list []Lane) {
	d.leases.doubt(list)
	d.lanes.Recheck()
}

// returnDoubtful gives back what doubtful claims have leased. Otherwise it would wait
// until those leases end.
func (d *dispatcher) returnDoubtful(ctx context.Context) error {
	list := d.leases.takeDoubtful()
	if len(list) == 0 {
		return nil
	}
	for i, l := range list {
		if err := d.returnLane(ctx, l); err != nil {
			d.doubt(list[i:])
			return err
		}
	}
	d.claimEnds()
	return nil
}

func (d *dispatcher) returnLane(ctx context.Context, l Lane) error {
	q := Query{Subscriber: l.Subscriber, Statuses: []Status{Sending}}
	for more := true; more; more = q.Cursor != "" {
		page, next, err := d.store.Deliveries(ctx, q)
		if err != nil {
			return err
		}
		q.Cursor = next
		for _, dl := range page {
			if dl.Due.Equal(l.LeaseUntil) && d.leases.take(&job{Delivery: dl}) {
				d.lanes.Saving(dl.Subscriber)
				d.ledger.enter(d.givenBack(job{Delivery: dl}))
			}
		}
	}
	return nil
}

// claimEnds settles the outcomes that had to wait until it was known what the last
// claim has leased.
func (d *dispatcher) claimEnds() {
	for _, o := range d.leases.claimEnds() {
		if !d.keeps(o) {
			d.settle(o)
		}
	}
}

// drop takes a delivery out of its lane if it is queued, because a decision has ended
// its lease. One that is under way goes on.
func (d *dispatcher) drop(was Delivery) {
	if d == nil {
		return
	}
	for _, j := range d.lanes.Queued(was.Subscriber) {
		if j.DeliveryID == was.DeliveryID && d.leases.holds(was) && d.lanes.Drop(was.Subscriber, j) {
			d.resume(d.leases.letGo(was.DeliveryID))
		}
	}
}

// resume takes what was leased after its last outcome had been written, but before
// that was known here. again may be nil.
func (d *dispatcher) resume(again *job) {
	if again == nil {
		return
	}
	s := d.h.subscriber(again.Subscriber)
	ok := s.servable() && again.event.ID != "" // else returnLane has found it, without its event
	if ok {
		_, ok = d.lanes.Reserve(s.lane())
	}
	switch {
	case !ok:
		d.lanes.Saving(again.Subscriber)
		back := d.givenBack(*again)
		back.exact = true
		d.ledger.enter(back)
	case !d.leases.own(again.Delivery):
		d.lanes.Release(again.Subscriber)
	case d.admit(again, time.Now(), d.h.now()):
		d.launch()
	}
}
