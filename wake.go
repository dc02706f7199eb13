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
// While Run or Flush runs in this process, Wake returns at once: Run's dispatcher looks,
// and Run tells other processes, at most ten times a second. Else Wake itself tells
// other processes, if the store is a [Waker]. That takes 1 s at most, and ends with ctx;
// it is left out if another call did so less than 100 ms ago, because dispatchers that
// have heard one go on looking for as long.
//
// Nothing is lost without Wake. A dispatcher of this process looks by itself, 1, 2, 4 …
// 128 ms after each PublishTx, and those of other processes poll the store every second.
func (h *Hooks) Wake(ctx context.Context) {
	if d := h.dispatcher(); d != nil {
		d.committed()
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if _, ok := h.store.(Waker); !ok || h.announcer.leave() || ctx.Err() != nil || !h.announcer.begin(time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceFor)
	defer cancel()
	w := &boundedStore{ // a store that ignores ctx is left behind
		Store: h.store, calls: &h.calls, remaining: func() time.Duration { return 0 }, failed: func(error) {},
	}
	for again := true; again; {
		again = h.announcer.end(h.announce(ctx, w, announceFor) && ctx.Err() == nil)
	}
}

// lookNow has the dispatcher of this process, if there is one, look for work now.
func (h *Hooks) lookNow() {
	if d := h.dispatcher(); d != nil {
		d.lanes.Recheck()
	}
}

const (
	announceEvery = 100 * time.Millisecond
	announceFor   = time.Second
)

// announce tells other processes that something was committed, within limit. It reports
// whether they know.
func (h *Hooks) announce(ctx context.Context, w *boundedStore, limit time.Duration) (told bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := w.Wake(ctx)
	if err != nil {
		h.log.Debug("hooks: other processes were not told of new work; they find it when they poll", "error", err)
	}
	return err == nil
}

// An announcer sees to it that other processes are told at most once in announceEvery.
type announcer struct {
	owed chan struct{} // holds one: Run's goroutine has something to tell

	mu       sync.Mutex // guards what follows
	served   bool       // Run's goroutine tells what is owed
	telling  bool       // a caller of Wake is telling, because Run does not run
	more     bool       // that one is to tell once more, of what was committed meanwhile
	resumeAt time.Time  // no caller tells before
}

// leave leaves the telling to Run's goroutine, and reports whether there is one.
func (a *announcer) leave() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.served {
		select {
		case a.owed <- struct{}{}:
		default: // it will tell of this commit, too
		}
	}
	return a.served
}

// begin reports whether the caller shall tell other processes; if so, it calls end.
func (a *announcer) begin(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case now.Before(a.resumeAt):
		return false
	case a.telling:
		a.more = true
		return false
	}
	a.telling, a.resumeAt = true, now.Add(announceEvery)
	return true
}

// end says whether the others were told, and reports whether to tell them once more. If
// they were not, the next call of begin need not wait.
func (a *announcer) end(told bool) (again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !told {
		a.resumeAt = time.Time{}
	}
	again = told && a.more
	a.telling, a.more = again, false
	return again
}

func (a *announcer) setServed(served bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served = served
}

// tellOthers tells other processes of commits until ctx ends, and then what they have
// not been told yet. It has to be told itself, see [announcer.leave].
func (d *dispatcher) tellOthers(ctx context.Context) {
	if _, ok := d.h.store.(Waker); !ok {
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
