package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	mostActions = 4                // that one process carries out at once
	actionLease = 10 * time.Second // how long an owner that is gone holds up an action
)

// An actionRunner carries out actions, for one call of Run. It has a goroutine for each
// action that it owns, and while no action is open it waits without a timer.
type actionRunner struct {
	d     *dispatcher
	owner string // what the actions that it owns have as Owner
	group sync.WaitGroup
	ended chan string // ids of actions whose goroutine ends; has room for all

	owned map[string]bool // the loop's own: ids of actions that have a goroutine
}

// carryOut carries out actions until ctx ends and the steps that are under way have been
// made.
func (d *dispatcher) carryOut(ctx context.Context) {
	r := &actionRunner{d: d, owner: newID("run_"), ended: make(chan string, mostActions), owned: make(map[string]bool)}
	defer r.group.Wait()
	for ctx.Err() == nil {
		var timer <-chan time.Time
		if wait := r.start(ctx); wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-timer:
		case <-d.h.dir.acting:
		case id := <-r.ended:
			delete(r.owned, id)
		}
	}
}

// start starts a goroutine for each open action that nobody else owns, while there is room.
// It returns how long to wait for one that another Run owns, which may have ended without
// giving it up; zero: there is none.
func (r *actionRunner) start(ctx context.Context) (wait time.Duration) {
	for _, a := range r.d.h.dir.openActions() {
		switch free := r.freeIn(a); {
		case r.owned[a.ID]:
		case len(r.owned) == mostActions:
			return 0 // one of them ends before
		case free > 0:
			if wait == 0 || free < wait {
				wait = free
			}
		default:
			r.owned[a.ID] = true
			r.group.Go(func() {
				defer func() { r.ended <- a.ID }()
				run := &actionRun{actionRunner: r, action: a}
				run.carryOut(ctx)
			})
		}
	}
	return wait
}

// freeIn returns how long another Run owns the action. If the store allows one dispatcher
// only, other owners are gone.
func (r *actionRunner) freeIn(a *action) time.Duration {
	_, exclusive := optional[Exclusive](r.d.h.store)
	if exclusive || a.Owner == "" || a.Owner == r.owner {
		return 0
	}
	return max(a.Lease.Sub(r.d.h.now()), 0)
}

// An actionRun carries out one action. Only its goroutine uses it.
type actionRun struct {
	*actionRunner
	*action             // as it was read or written last
	doubt   bool        // the record may be another by now: read it again
	made    stepOutcome // of the last step that was made
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

var errNotOwner = errors.New("hooks: another process carries out the action")

// carryOut makes steps until the action has finished, ctx ends or another Run owns the
// action. It tries again while the store fails.
func (r *actionRun) carryOut(ctx context.Context) {
	retry := backoff{report: r.d.h.storeError}
	contended := backoff{report: func(context.Context, error, int, time.Duration) {}}
	for ctx.Err() == nil {
		wait, err := r.advance(r.d.ctx)
		switch {
		case errors.Is(err, errNotOwner):
			return
		case errors.Is(err, ErrConflict): // StopAction, another owner, or an attempt
			contended.wait(ctx, err)
			r.doubt = true
			continue
		case err != nil:
			retry.wait(ctx, err)
			r.doubt = true
			continue
		}
		retry.reset()
		contended.reset()
		if !r.open() {
			return
		}
		sleep(ctx, min(wait, pollEvery)) // StopAction may be called meanwhile
	}
	r.giveUp(r.d.ctx)
}

// sleep waits for a time, unless ctx ends before.
func sleep(ctx context.Context, wait time.Duration) {
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// advance makes the next step, or the one that is under way, and counts it. It returns how
// long to wait then.
//
// After an error the record says how far the action has come, whichever writes have
// happened: a step that is still there is made again, and its rows tell which of them were
// changed before.
func (r *actionRun) advance(ctx context.Context) (wait time.Duration, err error) {
	if err := r.own(ctx); err != nil || !r.open() {
		return 0, err
	}
	if _, err := r.Kind.looksAt(); err != nil {
		return 0, r.fail(ctx, fmt.Sprintf("This version of hooks knows no actions of kind %q.", r.Kind))
	}
	now := r.d.h.now()
	if wait := r.Next.Sub(now); r.Step == nil && wait > 0 {
		return min(wait, r.longestWait()), nil // longer only if the clock was set back
	}
	if r.Step == nil {
		if err := r.plan(ctx); err != nil || r.Step == nil {
			return 0, err
		}
	}
	if err := r.makeStepAsOwner(ctx); err != nil {
		return 0, err
	}
	return 0, r.count(ctx)
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
		r.action, r.doubt = h.dir.action(r.ID), false
	}
	switch {
	case r.action == nil || r.unreadable != nil || r.freeIn(r.action) > 0:
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
		if known == nil || known.Owner != r.owner {
			return
		}
		r.action, r.doubt = known, false
	}
	r.doubt = r.put(ctx, r.actionRecord) != nil
}

// longestWait is the longest time from one step to the next.
func (r *actionRun) longestWait() time.Duration { return max(r.Rate.gap(), time.Second) }

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
	if r.doubt || r.Owner != r.owner {
		return
	}
	rec := r.actionRecord
	rec.Owner, rec.Lease = "", time.Time{}
	if err := r.write(ctx, rec); err != nil {
		r.d.h.log.Debug("hooks: an action could not be given up; others go on with it a little later", "action", r.ID, "error", err)
	}
}
