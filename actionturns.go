package hooks

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	mostSteps   = 4                // of actions, that one process makes at once
	actionLease = 10 * time.Second // how long an owner that is gone holds up an action
)

// An actionRunner carries out actions, for one call of Run. It has a goroutine for each step
// that is under way, and none for an action that waits. While no action is open it waits
// without a timer.
type actionRunner struct {
	d     *dispatcher
	owner string // what the actions that it owns have as Owner
	group sync.WaitGroup
	ended chan *actionRun // those whose turn ends; has room for all

	// Only the loop uses what follows.
	runs  map[string]*actionRun // by id: the open actions that had a turn
	busy  int                   // how many of them have one now
	turns int                   // how many there were
	last  map[string]int        // by the tenant of an action: which turn its last one was
}

// carryOut carries out actions until ctx ends and the steps that are under way have been
// made. Then it gives the actions up.
func (d *dispatcher) carryOut(ctx context.Context) {
	r := &actionRunner{
		d: d, owner: newID("run_"), ended: make(chan *actionRun, mostSteps),
		runs: make(map[string]*actionRun), last: make(map[string]int),
	}
	for ctx.Err() == nil {
		var timer <-chan time.Time
		if wait := r.start(ctx); wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-timer:
		case <-d.h.dir.acting:
		case run := <-r.ended:
			run.busy = false
			r.busy--
		}
	}
	r.group.Wait()
	if _, exclusive := optional[Exclusive](d.h.store); exclusive {
		return // the next owner does not wait
	}
	for _, run := range r.runs {
		run.giveUp(d.ctx)
	}
}

// start begins a turn of each action that is due, while there is room. It returns how long to
// wait for the next one to be due; zero: until something else happens.
func (r *actionRunner) start(ctx context.Context) (wait time.Duration) {
	due, wait := r.due()
	for len(due) > 0 && r.busy < mostSteps {
		a := slices.MinFunc(due, r.compare)
		due = slices.DeleteFunc(due, func(other *action) bool { return other == a })
		r.begin(ctx, a)
	}
	if len(due) > 0 {
		return 0 // one of those under way ends before
	}
	return wait
}

// begin begins a turn of an action.
func (r *actionRunner) begin(ctx context.Context, a *action) {
	run := r.runs[a.ID]
	if run == nil {
		run = r.newRun(a)
		r.runs[a.ID] = run
	}
	r.turns++
	run.turn, r.last[a.Tenant] = r.turns, r.turns
	run.busy = true
	r.busy++
	r.group.Go(func() {
		defer func() { r.ended <- run }()
		run.haveTurn(ctx)
	})
}

// due returns the open actions that may have a turn now, those that started first first, and
// how long to wait for the next of the others; zero: there is none. It forgets what is not
// open any more. An action that another Run owns may be left without being given up.
func (r *actionRunner) due() (due []*action, wait time.Duration) {
	open := r.d.h.dir.openActions()
	ids, tenants := make(map[string]bool), make(map[string]bool)
	for _, a := range open {
		ids[a.ID], tenants[a.Tenant] = true, true
	}
	maps.DeleteFunc(r.runs, func(id string, run *actionRun) bool { return !ids[id] && !run.busy })
	maps.DeleteFunc(r.last, func(tenant string, _ int) bool { return !tenants[tenant] })
	for _, a := range open {
		free := r.freeIn(a)
		if run := r.runs[a.ID]; run != nil {
			if run.busy {
				continue
			}
			free = max(free, time.Until(run.at))
		}
		switch {
		case free <= 0:
			due = append(due, a)
		case wait == 0 || free < wait:
			wait = free
		}
	}
	return due, wait
}

// compare says which of two actions has a turn first. Tenants, and the operator, take turns;
// and so do the actions of each.
func (r *actionRunner) compare(a, b *action) int {
	last := func(a *action) int {
		if run := r.runs[a.ID]; run != nil {
			return run.turn
		}
		return 0
	}
	return cmp.Or(cmp.Compare(r.last[a.Tenant], r.last[b.Tenant]), cmp.Compare(last(a), last(b)))
}

// freeIn returns how long another Run owns the action. If the store allows one dispatcher
// only, other owners are gone. A lease that lasts longer than any can is of before the clock
// was set back, and does not count.
func (r *actionRunner) freeIn(a *action) time.Duration {
	_, exclusive := optional[Exclusive](r.d.h.store)
	free := a.Lease.Sub(r.d.h.now())
	if exclusive || a.Owner == "" || a.Owner == r.owner || free > a.longestWait()+actionLease+step {
		return 0
	}
	return max(free, 0)
}

// newRun returns what the runner keeps of an action that it carries out.
func (r *actionRunner) newRun(a *action) *actionRun {
	return &actionRun{
		actionRunner: r, action: a,
		failing:   backoff{report: r.d.h.storeError},
		contended: backoff{report: func(context.Context, error, int, time.Duration) {}},
	}
}

var errNotOwner = errors.New("hooks: another process carries out the action")

// haveTurn makes the next step of the action, and says when it is due again. While the store
// fails, or others change the same rows or the record, that is later each time.
func (r *actionRun) haveTurn(ctx context.Context) {
	err := r.advance(r.d.ctx)
	var wait time.Duration
	switch {
	case errors.Is(err, errNotOwner): // the loop knows the new owner
		r.doubt = true
	case errors.Is(err, ErrConflict): // StopAction, another owner, or an attempt
		r.doubt = true
		wait = r.contended.failed(ctx, err)
	case err != nil:
		r.doubt = true
		wait = r.failing.failed(ctx, err)
	default:
		r.contended.reset()
		r.failing.reset()
		wait = r.wait()
	}
	r.at = time.Now().Add(wait)
}
