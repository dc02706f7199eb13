package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// actionForm is the form of action records.
const actionForm = 1

// An actionRecord is what the store keeps of an action, under "action/" and its id. It has
// all that a process needs in order to go on with the action. StartAction writes it, then
// the process that carries out the action, and StopAction.
type actionRecord struct {
	Form int `json:"form"`
	Action
	Ask      Query     `json:"ask"`                 // Query as the store is asked it
	NoTenant bool      `json:"no_tenant,omitempty"` // it has events without a tenant only, which no Query can ask for
	Since    time.Time `json:"since,omitzero"`      // of the endpoint Query.Subscriber, see endpoint
	Until    int64     `json:"until"`               // the highest Seq when it started: later rows are not part of it
	Cursor   string    `json:"cursor,omitempty"`    // of the rows that follow those that are done and the step

	Owner string    `json:"owner,omitempty"` // which Run carries it out; empty: none
	Lease time.Time `json:"lease,omitzero"`  // until when no other Run may
	Next  time.Time `json:"next,omitzero"`   // when the next step may begin

	// Step is under way. It is written before the rows are changed, and removed together
	// with the counting of these. So whoever goes on after a crash knows which rows may
	// have been changed already.
	Step *actionStep `json:"step,omitempty"`
}

// An actionStep is rows that an action changes together.
type actionStep struct {
	At     time.Time   `json:"at"` // what is changed is dated by this, and so recognised
	Rows   []actionRow `json:"rows"`
	Cursor string      `json:"cursor,omitempty"` // of the rows that follow
	Last   bool        `json:"last,omitempty"`   // none follow
}

// open reports whether there is something left to do, or to count.
func (rec *actionRecord) open() bool { return rec.Finished.IsZero() || rec.Step != nil }

// endedBefore reports whether the action has finished before a time.
func (rec *actionRecord) endedBefore(at time.Time) bool {
	return !rec.open() && rec.Finished.Before(at)
}

// An action is an actionRecord as this process knows it. It does not change.
type action struct {
	actionRecord
	record     Record
	unreadable error // why record cannot be read; then the actionRecord is empty
}

// applyAction applies the record of an action, and tells Run's goroutine. A record that
// cannot be read is left alone. The caller holds dir.mu.
func (dir *directory) applyAction(id string, r Record) error {
	if len(r.Data) == 0 {
		delete(dir.actions, id)
		return nil
	}
	next := &action{record: r}
	next.unreadable = json.Unmarshal(r.Data, &next.actionRecord)
	if next.unreadable == nil && next.Form > actionForm {
		next.unreadable = errRecordTooNew
	}
	switch {
	case next.unreadable != nil:
		next.actionRecord = actionRecord{}
	case next.Rate.N <= 0 || next.Rate.Per <= 0: // only somebody else can have written it
		next.Rate = defaultRate
	}
	insert(&dir.actions, id, next)
	select {
	case dir.acting <- struct{}{}:
	default: // a signal is pending already
	}
	return next.unreadable
}

// action returns the action with an id, or nil.
func (dir *directory) action(id string) *action {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.actions[id]
}

// actionsBackwards returns all actions, those that started last first.
func (dir *directory) actionsBackwards() []*action {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	list := make([]*action, 0, len(dir.actions))
	for _, a := range dir.actions {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *action) int { return b.place().compare(a.place()) })
	return list
}

// openActions returns the actions with something left to do, those that started first first.
func (dir *directory) openActions() []*action {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	var list []*action
	for _, a := range dir.actions {
		if a.unreadable == nil && a.open() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b *action) int { return a.place().compare(b.place()) })
	return list
}

// countActions returns how many actions the view of a tenant has started since a time, and how
// many of its actions are unfinished. An empty tenant is the operator.
func (dir *directory) countActions(tenant string, since time.Time) (recent, unfinished int) {
	for _, a := range dir.actionsBackwards() {
		if a.Tenant != tenant || a.unreadable != nil {
			continue
		}
		if a.Started.After(since) {
			recent++
		}
		if a.Finished.IsZero() {
			unfinished++
		}
	}
	return recent, unfinished
}

// pruneActions deletes the records of actions that have finished 90 days before at.
func (h *Hooks) pruneActions(ctx context.Context, store Store, at time.Time) error {
	var tx Tx
	if bounded, ok := store.(*boundedStore); ok {
		tx = bounded
	}
	if err := h.refresh(ctx, tx, staleAfter); err != nil {
		return err
	}
	for _, a := range h.dir.actionsBackwards() {
		if a.unreadable != nil || !a.endedBefore(at.Add(-actionsKept)) {
			continue
		}
		gone := Record{Key: a.record.Key, Version: a.record.Version}
		version, err := store.Put(ctx, h.now(), gone, nil)
		switch {
		case errors.Is(err, ErrConflict): // another process was first
		case err != nil:
			return fmt.Errorf("hooks: forget action %q: %w", a.ID, err)
		default:
			gone.Version = version
			h.dir.update(edit{Record: gone})
		}
	}
	return nil
}
