package hooks

import (
	"context"
	"time"
)

// redate is called after the clock was set. It moves the Due of deliveries that wait for a
// retry by as much, so that each wait lasts as long as it was meant to. Deliveries that
// were due stay due. Scheduled ones (DeliverAt) keep their Due, because it is a time of
// the clock.
//
// It moves deliveries only in a store that has one dispatcher and no Clock. In any other
// store it must not move what another process has dated.
//
// While redate runs, nothing is claimed and no outcome is written. So all waits in the
// store follow the old time before redate, and the new time after it.
func (d *dispatcher) redate(ctx context.Context) error {
	if d.h.now(); d.h.anchor.Load() == nil || d.h.anchor.Load().count == d.seen.Load() {
		return nil
	}
	select {
	case d.dating <- struct{}{}:
		defer func() { <-d.dating }()
	case <-ctx.Done():
		return ctx.Err()
	}
	at, steps := d.h.reading()
	a := d.h.anchor.Load()
	if a.count == d.seen.Load() {
		return nil // another caller has done it meanwhile
	}
	by := steps - time.Duration(d.dated.Load()) // perhaps zero, if the clock was set back again
	if d.datesAlone() {
		backlog, err := d.store.Backlog(ctx)
		if err != nil {
			return err
		}
		m := mover{h: d.h, store: d.store, by: by, at: at, set: a.store}
		for _, w := range backlog {
			m.move(ctx, w.Subscriber)
		}
	}
	d.dated.Store(int64(steps))
	d.seen.Store(a.count)
	d.lanes.Recheck()
	d.h.log.Warn("hooks: the clock was set; retries keep their waits, scheduled deliveries follow the clock", "by", by)
	return nil
}

// save writes outcomes for the ledger: each under its latest lease, and with a Due that
// follows the same clock steps as the waits in the store.
func (d *dispatcher) save(ctx context.Context, batch []outcome) (stale []DeliveryID, err error) {
	select {
	case d.dating <- struct{}{}:
		defer func() { <-d.dating }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.leases.updateTokens(batch)
	changes := make([]Change, len(batch))
	for i := range batch {
		d.date(&batch[i])
		changes[i] = batch[i].Change
	}
	return d.store.Update(ctx, d.h.now(), changes)
}

// datesAlone reports whether all times in the store are by the clock of this process.
func (d *dispatcher) datesAlone() bool {
	_, alone := optional[Exclusive](d.h.store)
	return alone && d.h.clock == nil
}

// date changes the Due of an outcome so that it follows the clock steps that the waits in
// the store follow. Then the next redate moves it together with them. During the drain
// there is no further redate, and the Due stays. The caller holds d.dating.
func (d *dispatcher) date(o *outcome) {
	dated := time.Duration(d.dated.Load())
	if d.draining.Load() || !d.datesAlone() || o.echo {
		return
	}
	if s := o.Delivery.Status; s == Retrying || s == Pending { // pending: given back
		by := dated - o.steps
		o.Delivery.Due, o.Delivery.Updated = micro(o.Delivery.Due.Add(by)), micro(o.Delivery.Updated.Add(by))
	}
	o.steps = dated
}

// A mover moves waits in a store after the clock was set.
type mover struct {
	h     *Hooks
	store *boundedStore
	by    time.Duration
	at    time.Time // now
	set   time.Time // when the clock was set; what was published since is dated right
}

// move moves the waits of a subscriber. It tries until the store does it or ctx ends,
// and never begins again: that would move what has been moved.
func (m mover) move(ctx context.Context, subscriber string) {
	q := Query{Subscriber: subscriber, Statuses: []Status{Pending, Retrying}, Limit: writeAtMost}
	for more := true; more && ctx.Err() == nil; more = q.Cursor != "" {
		var changes []Change
		m.insist(ctx, func() error {
			page, next, err := m.store.Deliveries(ctx, q)
			if err != nil {
				return err
			}
			q.Cursor = next
			for _, dl := range page {
				if moved := m.moved(dl); moved != dl {
					changes = append(changes, Change{Delivery: moved})
				}
			}
			return nil
		})
		if len(changes) > 0 {
			m.insist(ctx, func() error {
				_, err := m.store.Update(ctx, m.at, changes) // who is stale was decided meanwhile
				return err
			})
		}
	}
}

// insist calls f until it returns nil or ctx ends.
func (m mover) insist(ctx context.Context, f func() error) {
	retry := backoff{report: m.h.storeError}
	for err := f(); err != nil && ctx.Err() == nil; err = f() {
		retry.wait(ctx, err)
	}
	retry.reset()
}

// moved returns a delivery with its wait moved, if it is to be.
func (m mover) moved(dl Delivery) Delivery {
	switch {
	case m.moves(dl):
		dl.Due, dl.Updated = micro(dl.Due.Add(m.by)), micro(dl.Updated.Add(m.by))
	case dl.Status == Pending && dl.Due.Equal(dl.Created) && dl.Due.After(m.at):
		dl.Due = m.at // published while the clock was ahead, for at once
	}
	return dl
}

// moves reports whether the wait of a delivery moves with the clock.
func (m mover) moves(dl Delivery) bool {
	wasDue := !dl.Due.After(m.at.Add(-m.by))
	switch {
	case wasDue && !dl.Due.After(m.at):
		return false // it is due still
	case dl.Status == Retrying: // but not one that Replay has made due since
		return wasDue || dl.Due.After(dl.Updated)
	default: // a scheduled one follows the clock, also if it was published since
		return wasDue && (dl.Created.Before(m.set) || dl.Created.After(m.at) || dl.Due.Equal(dl.Created))
	}
}
