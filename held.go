package hooks

import (
	"context"
	"sync"
	"time"
)

// leases records which deliveries the dispatcher holds. It holds a delivery that is
// leased to it while the delivery is queued, under way or being saved.
//
// The store may lease a held delivery to this dispatcher once more. That happens if the
// first lease seems to have ended because the clock was set forward, or because the lease
// was too short. The delivery is not started a second time then.
type leases struct {
	mu        sync.Mutex // guards what follows
	held      map[DeliveryID]lease
	claiming  bool        // a claim is under way, or nobody knows what the last one has leased
	doubtful  []ClaimLane // lanes of claims that failed or came too late, and may have leased
	unsettled []outcome   // called stale by the store, perhaps only because of the claim
}

// A lease is what the dispatcher knows of a held delivery.
type lease struct {
	token int64     // the delivery's token after renewals and after a note
	until time.Time // when the lease ends if it was renewed; zero: it was not
	next  *job      // leased by a claim after our own outcome was written; nil: none
}

// own records that the dispatcher holds a delivery. It reports false if the dispatcher
// holds it already.
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

// take is own for a delivery that a claim has leased. If the dispatcher holds the delivery
// already, there are two cases:
//
//   - Only the claim has changed it. Then the present attempt goes on under the new lease.
//   - An outcome of ours was written before the claim, or an operator's decision. Then the
//     new lease is for the next attempt, which begins when [leases.release] returns it.
func (l *leases) take(j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ownLocked(j.Delivery) {
		return true
	}
	known := l.held[j.DeliveryID]
	known.next = j
	l.held[j.DeliveryID] = known.renew()
	return false
}

// renew returns the later lease in place of l if nothing was written between the two.
func (l lease) renew() lease {
	if l.next != nil && l.next.Token == l.token+1 {
		return lease{token: l.next.Token, until: l.next.Due}
	}
	return l
}

// update gives a job that is about to start the token and the end of its renewed lease.
func (l *leases) update(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.held[j.DeliveryID]; !known.until.IsZero() {
		j.Token, j.Due = known.token, known.until
	}
}

// noteToken records the token of a delivery after the note of its attempt was written.
func (l *leases) noteToken(dl Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.held[dl.DeliveryID]
	known.token = max(known.token, dl.Token)
	l.held[dl.DeliveryID] = known.renew()
}

// updateTokens gives outcomes the tokens of their latest leases.
func (l *leases) updateTokens(batch []outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batch {
		o := &batch[i]
		if known, ok := l.held[o.Delivery.DeliveryID]; ok && !o.exact {
			o.Delivery.Token = max(o.Delivery.Token, known.token)
		}
	}
}

// holds reports whether the dispatcher holds a delivery under the token that dl has.
func (l *leases) holds(dl Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.held[dl.DeliveryID]
	return ok && known.token == dl.Token
}

// release records that the dispatcher does not hold a delivery any more. If a claim has
// leased it for another attempt meanwhile, release returns the job of that lease.
func (l *leases) release(id DeliveryID) (next *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = l.held[id].next
	delete(l.held, id)
	return next
}

// judgeStale decides about an outcome that the store calls stale:
//
//   - A claim of our own has raised the token: the caller writes the outcome again.
//   - A claim that may raise it is under way: the outcome waits until endClaim returns it.
//   - Neither: another process or an operator has decided about the delivery.
func (l *leases) judgeStale(o outcome) (repeat, wait bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.held[o.Delivery.DeliveryID]
	switch {
	case !ok || o.exact:
		return false, false
	case known.token > o.Delivery.Token:
		return true, false
	case l.claiming:
		l.unsettled = append(l.unsettled, o)
		return false, true
	default:
		return false, false
	}
}

// beginClaim records that a claim is under way.
func (l *leases) beginClaim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claiming = true
}

// endClaim records that the dispatcher knows what the last claim has leased. It returns
// the outcomes that judgeStale has kept until then.
func (l *leases) endClaim() (unsettled []outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claiming = false
	unsettled, l.unsettled = l.unsettled, nil
	return unsettled
}

// doubt adds lanes whose claims may have leased although the dispatcher got no answer.
func (l *leases) doubt(list []ClaimLane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubtful = append(l.doubtful, list...)
}

// takeDoubtful returns those lanes and forgets them.
func (l *leases) takeDoubtful() []ClaimLane {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.doubtful
	l.doubtful = nil
	return list
}

// doubt records a claim that returned an error, or returned after the dispatcher had
// stopped waiting for it. The claim may have leased deliveries that nobody holds here.
// The loop wakes, and returnDoubtful looks for them.
func (d *dispatcher) doubt(list []ClaimLane) {
	d.leases.doubt(list)
	d.lanes.Recheck()
}

// returnDoubtful gives back the deliveries that doubtful claims have leased. Otherwise
// they would be blocked until their leases end.
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
	d.endClaim()
	return nil
}

// returnLane gives back the deliveries that the doubtful claim of one lane has leased. The
// end of their lease tells them from the deliveries of other claims.
func (d *dispatcher) returnLane(ctx context.Context, l ClaimLane) error {
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

// endClaim is called when the dispatcher knows what the last claim has leased. It judges
// again the outcomes that have waited for that.
func (d *dispatcher) endClaim() {
	for _, o := range d.leases.endClaim() {
		if !d.retryStale(o) {
			d.settle(o)
		}
	}
}

// drop takes a queued delivery out of its lane, because an operator's decision has ended
// its lease. An attempt that is under way goes on. d may be nil.
func (d *dispatcher) drop(was Delivery) {
	if d == nil {
		return
	}
	for _, j := range d.lanes.Queued(was.Subscriber) {
		if j.DeliveryID == was.DeliveryID && d.leases.holds(was) && d.lanes.Drop(was.Subscriber, j) {
			d.queueNext(d.leases.release(was.DeliveryID))
		}
	}
}

// queueNext queues a job that a claim has leased between the writing of the delivery's
// last outcome and the store's answer, or gives it back if its lane has no place. next
// may be nil.
func (d *dispatcher) queueNext(next *job) {
	if next == nil {
		return
	}
	s := d.h.subscriber(next.Subscriber)
	ok := s.servable() && next.event.ID != "" // without an event, returnLane has found the job
	if ok {
		_, ok = d.lanes.Reserve(s.lane())
	}
	switch {
	case !ok:
		d.lanes.Saving(next.Subscriber)
		back := d.givenBack(*next)
		back.exact = true
		d.ledger.enter(back)
	case !d.leases.own(next.Delivery):
		d.lanes.Release(next.Subscriber)
	case d.admit(next, time.Now(), d.h.now()):
		d.launch()
	}
}
