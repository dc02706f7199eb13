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
	w, ok := h.store.(Waker)
	if !ok || h.announcer.leave() || ctx.Err() != nil || !h.announcer.begin(time.Now()) {
		return
	}
	defer func() { h.announcer.end(time.Now()) }()
	h.announce(ctx, w, announceFor)
}

// lookNow has the dispatcher of this process, if there is one, look for work now.
func (h *Hooks) lookNow() {
	if d := h.dispatcher(); d != nil {
		d.wake()
	}
}

const (
	announceEvery = 100 * time.Millisecond
	announceFor   = time.Second
)

// announce tells other processes that something was committed, within limit.
func (h *Hooks) announce(ctx context.Context, w interface{ Wake(context.Context) error }, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := w.Wake(ctx); err != nil {
		h.log.Debug("hooks: other processes were not told of new work; they find it when they poll", "error", err)
	}
}

// An announcer sees to it that other processes are told at most once in announceEvery.
type announcer struct {
	owed chan struct{} // holds one: Run's goroutine has something to tell

	mu       sync.Mutex // guards what follows
	served   bool       // Run's goroutine tells what is owed
	telling  bool       // a caller of Wake is telling, because Run does not run
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
	if a.telling || now.Before(a.resumeAt) {
		return false
	}
	a.telling = true
	return true
}

func (a *announcer) end(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.telling, a.resumeAt = false, now.Add(announceEvery)
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
