package hooks

import (
	"context"
	"sync"
	"time"
)

// Wake tells dispatchers to look for work now. Call it after the commit of a
// transaction that PublishTx took part in, because a store may not learn of that
// commit by itself.
//
// While Run or Flush runs in this process, Wake returns at once. Run's dispatcher looks
// for work, and Run tells other processes, at most ten times a second.
//
// Otherwise Wake itself tells other processes, if the store is a [Waker]. That takes 1 s
// at most, and ends with ctx. Wake tells nobody if another call of it has done so less
// than 100 ms ago, because dispatchers keep looking for that long after they were told.
//
// Without Wake nothing is lost. A dispatcher of this process looks for work 1, 2, 4 …
// 128 ms after each PublishTx, and those of other processes poll the store every second.
func (h *Hooks) Wake(ctx context.Context) {
	if d := h.dispatcher(); d != nil {
		d.committed()
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if _, ok := optional[Waker](h.store); !ok || h.announcer.leaveToRun() || ctx.Err() != nil || !h.announcer.begin(time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceFor)
	defer cancel()
	w := &boundedStore{ // does not wait for a store that ignores ctx
		Store: h.store, calls: &h.calls, remaining: func() time.Duration { return 0 }, failed: func(error) {},
	}
	for again := true; again; {
		again = h.announcer.end(h.announce(ctx, w, announceFor) && ctx.Err() == nil)
	}
}

// lookNow makes the dispatcher of this process look for work now, if there is one.
func (h *Hooks) lookNow() {
	if d := h.dispatcher(); d != nil {
		d.lanes.Recheck()
	}
}

const (
	announceEvery = 100 * time.Millisecond // a process tells others at most this often
	announceFor   = time.Second            // and waits this long at most for the store
)

// announce tells other processes that something was committed. It waits for limit at most
// and reports whether it succeeded.
func (h *Hooks) announce(ctx context.Context, w *boundedStore, limit time.Duration) (told bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := w.Wake(ctx)
	if err != nil {
		h.log.Debug("hooks: other processes were not told of new work; they find it when they poll", "error", err)
	}
	return err == nil
}

// An announcer decides who tells other processes of a commit, so that this process tells
// them at most once in announceEvery: a goroutine of Run, or a caller of Wake if Run does
// not run.
type announcer struct {
	owed chan struct{} // tells Run's goroutine to announce; holds one

	mu      sync.Mutex // guards what follows
	served  bool       // Run's goroutine announces
	calling bool       // a caller of Wake announces
	again   bool       // that caller announces once more, for a commit that came meanwhile
	silent  time.Time  // until then no caller begins to announce
}

// leaveToRun asks Run's goroutine to announce, and reports whether there is one.
func (a *announcer) leaveToRun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.served {
		select {
		case a.owed <- struct{}{}:
		default: // a signal is pending already, and serves this commit too
		}
	}
	return a.served
}

// begin reports whether the caller announces. If so, the caller calls end afterwards.
func (a *announcer) begin(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case now.Before(a.silent):
		return false
	case a.calling:
		a.again = true
		return false
	}
	a.calling, a.silent = true, now.Add(announceEvery)
	return true
}

// end records whether the caller has told other processes, and reports whether it must
// announce once more. If it has not told them, the next caller may announce at once.
func (a *announcer) end(told bool) (again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !told {
		a.silent = time.Time{}
	}
	again = told && a.again
	a.calling, a.again = again, false
	return again
}

// setServed records whether Run's goroutine announces.
func (a *announcer) setServed(served bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served = served
}

// tellOthers is Run's goroutine that tells other processes of commits. It announces when
// [announcer.leaveToRun] asks for it, until ctx ends. Then it announces once more if a
// commit has not been announced yet.
func (d *dispatcher) tellOthers(ctx context.Context) {
	if _, ok := optional[Waker](d.h.store); !ok {
		return
	}
	a := &d.h.announcer
	a.setServed(true)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-a.owed:
			d.h.announce(ctx, d.store, announceFor)
			select {
			case <-ctx.Done():
			case <-time.After(announceEvery):
			}
		}
	}
	a.setServed(false)
	select {
	case <-a.owed:
		d.h.announce(context.WithoutCancel(ctx), d.store, min(announceFor, d.remaining()/2))
	default:
	}
}
