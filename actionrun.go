package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// An actionRun carries out one action, a turn at a time.
type actionRun struct {
	*actionRunner

	// The runner's loop uses what follows; at only between turns.
	busy bool      // it has a turn
	turn int       // which of all turns its last one was
	at   time.Time // when it is due, by this process's clock; its turn sets it

	// Its turn uses what follows.
	*action               // as it was read or written last
	doubt     bool        // the record may be another by now: read it again
	made      stepOutcome // of the last step that was made
	failing   backoff     // while the store fails
	contended backoff     // while others write the same
}

// A stepOutcome is what a step came to.
type stepOutcome struct {
	tally
	at     time.Time // the step's
	before int       // how many rows were counted before; tells it from other steps of that time
	next   time.Time // when the next step may begin
}

// A tally counts rows.
type tally struct{ done, skipped int }

// add counts a row, which the action has changed or not.
func (t *tally) add(done bool) {
	if done {
		t.done++
	} else {
		t.skipped++
	}
}

// advance makes the next step, or the one that is under way, and counts it, unless it is too
// early.
//
// After an error the record says how far the action has come, whichever writes have
// happened: a step that is still there is made again, and its rows tell which of them were
// changed before.
func (r *actionRun) advance(ctx context.Context) error {
	if err := r.own(ctx); err != nil || !r.open() {
		return err
	}
	if _, err := r.Kind.looksAt(); err != nil {
		return r.fail(ctx, fmt.Sprintf("This version of hooks knows no actions of kind %q.", r.Kind))
	}
	if r.wait() > 0 {
		return nil
	}
	if r.Step == nil {
		if err := r.plan(ctx); err != nil || r.Step == nil {
			return err
		}
	}
	if err := r.makeStepAsOwner(ctx); err != nil {
		return err
	}
	return r.count(ctx)
}

// wait returns how long to wait for the next step. If that is longer than it can be, the
// clock was set back, and the step is due.
func (r *actionRun) wait() time.Duration {
	wait := r.Next.Sub(r.d.h.now())
	if r.Step != nil || !r.open() || wait > r.longestWait()+step {
		return 0
	}
	return max(wait, 0)
}

// own makes this Run the action's owner. It reads the record again if it may have changed.
func (r *actionRun) own(ctx context.Context) error {
	h := r.d.h
	if err := h.refresh(ctx, r.d.store, staleAfter); err != nil {
		return err
	}
	if known := h.dir.action(r.ID); known == nil || known.record.Version != r.record.Version {
		r.doubt = true
	}
	if r.doubt {
		if err := h.reload(ctx, r.d.store); err != nil {
			return err
		}
		known := h.dir.action(r.ID)
		if known == nil || known.unreadable != nil {
			return errNotOwner
		}
		r.action, r.doubt = known, false
	}
	switch {
	case r.freeIn(r.action) > 0:
		return errNotOwner
	case r.Owner == r.owner || !r.open():
		return nil
	}
	return r.put(ctx, r.actionRecord)
}

// makeStepAsOwner makes the step that is under way, and remains the owner meanwhile: a call of
// the store may take longer than the lease lasts.
func (r *actionRun) makeStepAsOwner(ctx context.Context) error {
	step := *r // renew replaces r's action
	done := make(chan error, 1)
	go func() { done <- step.makeStep(ctx) }()
	renewal := time.NewTicker(actionLease / 3)
	defer renewal.Stop()
	for {
		select {
		case err := <-done:
			r.made = step.made
			return err
		case <-renewal.C:
			r.renew(ctx)
		}
	}
}

// renew makes the lease last from now on, unless another Run owns the action now. If it
// fails, the next renewal or the counting of the step reads the record again.
func (r *actionRun) renew(ctx context.Context) {
	h := r.d.h
	if r.doubt {
		if err := h.reload(ctx, r.d.store); err != nil {
			return
		}
		known := h.dir.action(r.ID)
		if known == nil || known.unreadable != nil || known.Owner != r.owner {
			return
		}
		r.action, r.doubt = known, false
	}
	r.doubt = r.put(ctx, r.actionRecord) != nil
}

// longestWait is the longest time from one step to the next.
func (rec *actionRecord) longestWait() time.Duration { return max(rec.Rate.gap(), time.Second) }

// put writes the record of the action, whose owner this Run then is, for a while.
func (r *actionRun) put(ctx context.Context, rec actionRecord) error {
	h := r.d.h
	rec.Owner, rec.Lease = r.owner, later(h.now(), rec.Next).Add(actionLease)
	if !rec.open() {
		rec.Owner, rec.Lease, rec.Next = "", time.Time{}, time.Time{}
	}
	return r.write(ctx, rec)
}

func (r *actionRun) write(ctx context.Context, rec actionRecord) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	record, err := r.d.h.writeRecord(ctx, r.d.store, r.record.Key, r.record, data, nil)
	if err != nil {
		return err
	}
	r.action = &action{actionRecord: rec, record: record}
	r.d.h.dir.update(edit{Record: record})
	return nil
}

// plan reads the rows of the next step and writes them down. If there are none, the action
// has finished, or the rows that the page had are not part of it.
func (r *actionRun) plan(ctx context.Context) error {
	if why := r.impossible(); why != "" {
		return r.fail(ctx, why)
	}
	h, rec := r.d.h, r.actionRecord
	now := h.now()
	rows, next, err := h.actionRows(ctx, r.d.store, &rec, rec.Cursor, rec.Rate.inSecond(rec.Kind.mostRows()))
	if err == nil && rec.Kind == ActionBackfill {
		err = r.noteDeliveries(ctx, rows)
	}
	switch {
	case err != nil:
		return err
	case len(rows) > 0:
		rec.Step = &actionStep{At: now, Rows: rows, Cursor: next, Last: next == ""}
	case next == "":
		rec.finish(now)
	default:
		rec.Cursor = next
		if rec.Lease.Sub(now) > actionLease/2 {
			r.action = &action{actionRecord: rec, record: r.record} // the next step writes it
			return nil
		}
	}
	return r.put(ctx, rec)
}

// fail records that the action cannot go on, and why.
func (r *actionRun) fail(ctx context.Context, why string) error {
	rec := r.actionRecord
	rec.Error, rec.Step = why, nil
	if rec.Finished.IsZero() {
		rec.Finished = r.d.h.now()
	}
	return r.put(ctx, rec)
}

// noteDeliveries notes which events have a delivery to the subscriber of a backfill.
func (r *actionRun) noteDeliveries(ctx context.Context, rows []actionRow) error {
	for i, row := range rows {
		_, err := readDelivery(ctx, r.d.store, DeliveryID{row.Event, r.Ask.Subscriber})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		rows[i].Has = err == nil
	}
	return nil
}

// count writes down what the step came to, and that it is done.
func (r *actionRun) count(ctx context.Context) error {
	rec := r.actionRecord
	rec.Done += r.made.done
	rec.Skipped += r.made.skipped
	rec.Cursor, rec.Next = rec.Step.Cursor, r.made.next
	if rec.Step.Last {
		rec.finish(r.d.h.now())
	}
	rec.Step = nil
	return r.put(ctx, rec)
}

// finish records that nothing is left to do, unless somebody has stopped the action. Rows
// that it has not met were changed by others: a replay gives a delivery a place after Until.
func (rec *actionRecord) finish(at time.Time) {
	if !rec.Finished.IsZero() {
		return
	}
	rec.Finished = at
	if !rec.Total.More {
		rec.Skipped = max(rec.Skipped, rec.Total.N-rec.Done)
	}
}

// giveUp lets another Run go on with the action at once. If that fails, another Run goes on
// when the lease has ended.
func (r *actionRun) giveUp(ctx context.Context) {
	if r.doubt || !r.open() || r.Owner != r.owner {
		return
	}
	rec := r.actionRecord
	rec.Owner, rec.Lease = "", time.Time{}
	if err := r.write(ctx, rec); err != nil {
		r.d.h.log.Debug("hooks: an action could not be given up; others go on with it a little later", "action", r.ID, "error", err)
	}
}
