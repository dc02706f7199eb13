package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file has what each kind of action does to the rows of a step. A step may be made
// several times, by several processes: after a call whose outcome is unknown, and after a
// process was killed. A row that is still as it was planned is changed. One that a write of
// the same step has changed is recognised by its date, and counts as done. Any other one was
// changed by somebody else, and is skipped.

// makeStep makes the step that is under way, unless it was made already and only could not
// be counted.
func (r *actionRun) makeStep(ctx context.Context) error {
	step := r.Step
	before := r.Done + r.Skipped
	if r.made.at.Equal(step.At) && r.made.before == before {
		return nil
	}
	how := r.decideAll
	switch r.Kind { // it is a known one
	case ActionBackfill:
		how = r.backfill
	case ActionErase:
		how = r.erase
	}
	began := r.d.h.now()
	t, err := how(ctx, step, began)
	if err != nil {
		for i := range step.Rows { // they may be others now
			step.Rows[i].delivery, step.Rows[i].event = nil, nil
		}
		return err
	}
	r.made = stepOutcome{tally: t, at: step.At, before: before, next: began.Add(time.Duration(t.done) * r.Rate.gap())}
	return nil
}

// impossible returns why the action cannot go on, or "".
func (r *actionRun) impossible() string {
	dir, id := r.d.h.dir, r.Ask.Subscriber
	if id == "" || r.Kind != ActionReplay && r.Kind != ActionBackfill {
		return ""
	}
	_, isHandler := dir.listener(id)
	exists := dir.isEndpoint(id) || isHandler
	if !dir.since(id).Equal(r.Since) || !exists && (r.Kind == ActionBackfill || r.d.h.isDeleted(id)) {
		return fmt.Sprintf("%q was deleted.", id)
	}
	return ""
}

// decideAll replays or cancels the deliveries of a step. What is replayed becomes due at the
// action's rate, the first one at from.
func (r *actionRun) decideAll(ctx context.Context, step *actionStep, from time.Time) (t tally, err error) {
	var rows []actionRow
	var was []Delivery
	var changes []Change
	for _, row := range step.Rows {
		d, err := r.delivery(ctx, row)
		if err == nil && d.Token == row.Token {
			var next Delivery
			if next, err = r.decide(ctx, d, step.At); err == nil {
				if next.Due = step.At; r.Kind == ActionReplay {
					next.Due = from.Add(time.Duration(len(changes)) * r.Rate.gap())
				}
				rows, was, changes = append(rows, row), append(was, d), append(changes, Change{Delivery: next})
				continue
			}
		}
		ours := false
		if err == nil {
			ours, err = r.hasChanged(ctx, step, row, d)
		}
		if err != nil && !isRefusal(err) {
			return t, err
		}
		t.add(ours)
	}
	stale, err := r.update(ctx, was, changes)
	for i := 0; i < len(rows) && err == nil; i++ {
		ours := true
		if slices.Contains(stale, changes[i].Delivery.DeliveryID) {
			ours, err = r.hasChangedMeanwhile(ctx, step, rows[i])
		}
		t.add(ours)
	}
	return t, err
}

// hasChangedMeanwhile reports whether a write of the step has changed a delivery, which was
// as planned a moment ago. An earlier write may have been slower than its caller was patient,
// or another process makes the same step.
func (r *actionRun) hasChangedMeanwhile(ctx context.Context, step *actionStep, row actionRow) (bool, error) {
	d, err := readDelivery(ctx, r.d.store, DeliveryID{row.Event, row.Subscriber})
	switch {
	case errors.Is(err, ErrNotFound): // it was pruned
		return false, nil
	case err != nil:
		return false, err
	}
	return r.hasChanged(ctx, step, row, d)
}

// hasChanged reports whether a write of the step has changed a delivery, which is not as it
// was planned any more.
func (r *actionRun) hasChanged(ctx context.Context, step *actionStep, row actionRow, d Delivery) (bool, error) {
	if d.Updated.Equal(step.At) || d.Run > row.Run || r.Kind != ActionReplay {
		return d.Updated.Equal(step.At) || d.Run > row.Run, nil
	}
	// A waiting delivery that the step has made due may have had an attempt since. If the
	// step has not changed it, the claim for that attempt has made the next token.
	attempts, err := r.d.store.Attempts(ctx, d.DeliveryID)
	attempts = slices.DeleteFunc(attempts, func(a Attempt) bool { return a.Run != row.Run || a.Token <= row.Token })
	return len(attempts) > 0 && attempts[0].Token > row.Token+1, err
}

// delivery returns the delivery of a row as it was planned or, if that is not known, as it
// is now.
func (r *actionRun) delivery(ctx context.Context, row actionRow) (Delivery, error) {
	if row.delivery != nil {
		return *row.delivery, nil
	}
	return readDelivery(ctx, r.d.store, DeliveryID{row.Event, row.Subscriber})
}

// decide returns a delivery as it is when the action has changed it, or a refusal. One that
// is dated later than now was changed before the clock was set back, and so before the start.
func (r *actionRun) decide(ctx context.Context, d Delivery, at time.Time) (Delivery, error) {
	switch {
	case d.Updated.After(r.Started) && !d.Updated.After(r.d.h.now()):
		return d, &StatusError{ID: d.DeliveryID, From: d.Status, To: d.Status}
	case r.Kind == ActionCancel:
		return d.move(Canceled, at)
	}
	return r.d.h.replayed(ctx, r.d.store, d, at)
}

// isRefusal reports whether err says that a delivery is in no state for a decision.
func isRefusal(err error) bool {
	_, status := errors.AsType[*StatusError](err)
	_, refused := errors.AsType[*InvalidError](err)
	return status || refused || errors.Is(err, ErrNotFound)
}

// update writes deliveries, which were others before, and returns which of the changes are
// stale.
func (r *actionRun) update(ctx context.Context, was []Delivery, changes []Change) (stale []DeliveryID, err error) {
	if len(changes) == 0 {
		return nil, nil
	}
	stale, err = r.d.store.Update(ctx, r.d.h.now(), changes)
	if err != nil {
		return nil, err
	}
	for _, d := range was {
		r.d.drop(d)
	}
	r.d.lanes.Recheck()
	return stale, nil
}

// backfill adds deliveries of the events of a step. They become due at the action's rate, the
// first one at from.
func (r *actionRun) backfill(ctx context.Context, step *actionStep, from time.Time) (t tally, err error) {
	var rows []actionRow
	var entries []Entry
	for _, row := range step.Rows {
		filled, err := r.isFilled(ctx, step, row)
		if err == nil {
			t.add(filled)
			continue
		}
		if !errors.Is(err, ErrNotFound) {
			return t, err
		}
		ev, err := r.event(ctx, row)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return t, err
		}
		m, receives := r.d.h.receives(r.Ask.Subscriber, ev.Tenant, ev.Type, r.d.h.isForHandlers(ev))
		if err != nil || !receives || ev.isOver(from) || r.impossible() != "" {
			t.add(false)
			continue
		}
		d := m.delivery(ev, step.At, r.Since)
		d.Due = later(d.Due, from.Add(time.Duration(len(entries))*r.Rate.gap()))
		row.event = nil // if its delivery is there before this one, it is read
		rows, entries = append(rows, row), append(entries, Entry{Event: ev, Add: true, Deliveries: []Delivery{d}})
	}
	if len(entries) == 0 {
		return t, nil
	}
	receipts, err := r.d.store.Enqueue(ctx, r.d.h.now(), entries)
	if err != nil {
		return t, err
	}
	r.d.lanes.Recheck()
	for i, receipt := range receipts {
		filled := receipt.Deliveries > 0
		if !filled { // see hasChangedMeanwhile
			if filled, err = r.isFilled(ctx, step, rows[i]); err != nil && !errors.Is(err, ErrNotFound) {
				return t, err
			}
		}
		t.add(filled)
	}
	return t, nil
}

// isFilled reports whether a write of the step has added the delivery of a row. If there is no
// delivery, it is an error, [ErrNotFound].
func (r *actionRun) isFilled(ctx context.Context, step *actionStep, row actionRow) (bool, error) {
	switch {
	case row.Has:
		return false, nil
	case row.event != nil: // the step was planned a moment ago
		return false, ErrNotFound
	}
	is, err := readDelivery(ctx, r.d.store, DeliveryID{row.Event, r.Ask.Subscriber})
	return is.Created.Equal(later(step.At, r.Since)), err
}

// event returns the event of a row as it was planned or, if that is not known, as it is now,
// without Data.
func (r *actionRun) event(ctx context.Context, row actionRow) (Event, error) {
	if row.event != nil {
		return *row.event, nil
	}
	ev, err := first(ctx, r.d.store.Events, Query{Event: row.Event})
	return ev.withoutData(), err
}

// isOver reports whether an event has been erased, or has expired at a time.
func (ev Event) isOver(at time.Time) bool {
	return !ev.Erased.IsZero() || !ev.ExpiresAt.IsZero() && !at.Before(ev.ExpiresAt)
}
