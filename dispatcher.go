package hooks

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"example.com/hooks/internal/lanes"
)

// A dispatcher delivers what is due, for one call of Run. Deliveries come to
// it in two ways: Publish hands them over, leased already, while their lane
// has room; everything else (retries, backlog, what other processes publish)
// it claims from the store. The lanes decide which may start, and what to claim.
// Outcomes leave through the [ledger].
//
// A nil dispatcher is that of a process that only publishes: it takes nothing.
type dispatcher struct {
	h        *Hooks
	stopped  chan struct{} // closed when Run returns
	flushing bool          // it runs for a Flush only
	news     atomic.Bool   // others have written: read the subscribers again
	store    *boundedStore
	ledger   *ledger
	lanes    *lanes.Set[*job]
	leases   leases
	looks    looks
	stop     context.CancelFunc        // ends Run's context
	deadline atomic.Pointer[time.Time] // when Run must have returned; nil until it is told to stop
	draining atomic.Bool               // attempts must not start, and the lanes are closed

	dated  atomic.Int64  // the steps of the clock that waits in the store follow; see [dispatcher.redate]
	seen   atomic.Int64  // how many they were
	dating chan struct{} // holds one while outcomes are written, or waits moved
	trial  chan struct{} // holds one while an accused delivery is attempted

	sweeping atomic.Int64 // deliveries of the last sweeps whose end is not written yet

	attempts sync.WaitGroup
	ctx      context.Context // of the attempts; Run's ends earlier
	cancel   context.CancelCauseFunc

	// The loop's own: when to read the backlog in any case, claims in a row that
	// found nothing, and the deleted subscribers that were swept.
	pollAt time.Time
	empty  int
	swept  map[string]bool

	// An attempt is taken from the lanes and counted, or the alarm is set, in one
	// step: else a later alarm could replace an earlier one.
	starting sync.Mutex    // guards what follows
	alarm    *time.Timer   // calls ring when something may start
	underWay int           // attempts
	alone    chan struct{} // see makeAlone; nil: further attempts may begin

	mu      sync.Mutex // guards what follows
	failure error      // why Run ends; nil if it was told to
}

// errDraining is the cause of cancelling attempts that outlast the drain.
var errDraining = errors.New("hooks: dispatcher stops")

func newDispatcher(h *Hooks) *dispatcher {
	d := &dispatcher{
		h:       h,
		looks:   looks{sooner: make(chan struct{}, 1)},
		stopped: make(chan struct{}),
		lanes:   lanes.New[*job](h.cfg.Concurrency),
		leases:  leases{held: make(map[DeliveryID]lease)},
		dating:  make(chan struct{}, 1),
		trial:   make(chan struct{}, 1),
		swept:   make(map[string]bool),
	}
	d.alarm = time.AfterFunc(longestSleep, d.ring) // it is set when it is needed
	d.alarm.Stop()
	_, steps := h.reading()
	d.dated.Store(int64(steps))
	if a := h.anchor.Load(); a != nil {
		d.seen.Store(a.count)
	}
	d.store = &boundedStore{
		Store: h.store, calls: &h.calls, remaining: d.remaining, failed: d.fail, doubtful: d.doubt,
	}
	d.ledger = newLedger(h, d.store, d.save, d.settleAll)
	return d
}

// run dispatches until ctx ends, and returns when all is drained.
func (d *dispatcher) run(ctx context.Context) {
	var running sync.WaitGroup
	go d.ledger.run() // until it is closed
	stopMeter := d.h.meter.run(d.store)
	d.lanes.Open()
	running.Go(func() { d.watch(ctx) })
	running.Go(func() { d.lookOut(ctx) })
	running.Go(func() { d.tellOthers(ctx) })
	running.Go(func() { d.prune(ctx) })
	running.Go(func() { d.reopen(ctx) })
	running.Go(func() { d.endDisablings(ctx) })
	recheck := d.lanes.Recheck
	d.h.stepped.Store(&recheck)
	running.Go(func() { d.loop(ctx) })
	if !d.flushing {
		running.Go(func() { d.carryOut(ctx) })
		running.Go(func() { d.h.warnOfWeaknesses(ctx) })
	}
	<-ctx.Done()
	d.h.stepped.Store(nil)
	deadline := time.Now().Add(d.drainTime())
	d.deadline.Store(&deadline)
	d.drain(deadline, &running)
	d.ledger.close(deadline)
	stopMeter(deadline)
	d.h.closeIdle()
}

// loop claims what is due and sleeps until something else is.
func (d *dispatcher) loop(ctx context.Context) {
	retry := backoff{report: d.h.storeError}
	d.pollSoon()
	for ctx.Err() == nil {
		again, err := d.claim(ctx)
		if err != nil {
			d.lanes.Recheck() // what is due may be unknown now
			retry.wait(ctx, err)
			continue
		}
		retry.reset()
		d.sleep(ctx, again)
	}
}

const (
	longestSleep = time.Minute // with something due later: the clock may be set meanwhile
	pollEvery    = time.Second // of stores that others write to: the safety net
)

// sleep waits until again (zero: for ever), or until the lanes have something new. If
// others write to the store, it waits until the next poll at most.
func (d *dispatcher) sleep(ctx context.Context, again time.Time) {
	var timer <-chan time.Time
	wait, polls := time.Until(again), false
	if again.IsZero() || wait > longestSleep {
		wait = longestSleep
	}
	_, exclusive := optional[Exclusive](d.h.store)
	if poll := time.Until(d.pollAt); !exclusive && poll < wait {
		wait, polls = poll, true
	}
	if !exclusive || !again.IsZero() {
		timer = time.After(wait)
	}
	select {
	case <-ctx.Done():
	case <-d.lanes.Ready():
	case <-timer:
		if polls {
			d.pollSoon()
			d.lanes.Recheck()
		}
	}
}

// pollSoon sets the time of the next poll. A random part keeps a fleet from polling
// in step.
func (d *dispatcher) pollSoon() {
	d.pollAt = time.Now().Add(time.Duration((0.9 + 0.2*rand.Float64()) * float64(pollEvery)))
}

// watch wakes the dispatcher when the store says that others have written.
func (d *dispatcher) watch(ctx context.Context) {
	if _, ok := optional[Waker](d.h.store); !ok {
		return
	}
	retry := backoff{report: d.h.storeError}
	for ctx.Err() == nil {
		if err := d.store.Wait(ctx); err != nil {
			retry.wait(ctx, err)
			continue
		}
		retry.reset()
		d.news.Store(true) // it may have been a subscriber
		d.heard()
	}
}

// reopen tries to decrypt what could not be, again and again while there is such an
// endpoint, and then what waits for it is delivered.
func (d *dispatcher) reopen(ctx context.Context) {
	for dir := d.h.dir; ctx.Err() == nil; {
		var again <-chan time.Time
		if dir.anyUndecryptable() {
			again = time.After(pollEvery)
		}
		select {
		case <-ctx.Done():
		case <-dir.undecryptable:
		case <-again:
			if dir.reopen() {
				d.lanes.Recheck()
			}
		}
	}
}

// drain ends the taking of work, gives back what has not started, and waits
// for what has, and for what takes work.
func (d *dispatcher) drain(deadline time.Time, running *sync.WaitGroup) {
	timer := time.AfterFunc(time.Until(deadline), func() { d.cancel(errDraining) })
	defer timer.Stop()
	if err := d.redate(d.ctx); err != nil {
		d.h.log.Warn("hooks: the clock was set; retries may come early or late by that", "error", err)
	}
	d.closeLanes()
	running.Wait() // the last claim may have returned an error
	if err := d.returnDoubtful(d.ctx); err != nil {
		d.h.log.Warn("hooks: leases may be left behind; they end by themselves", "error", err)
		d.endClaim()
	}
	d.attempts.Wait()
	d.cancel(errDraining)
}

// closeLanes ends the starting of attempts, and gives back what is queued.
func (d *dispatcher) closeLanes() {
	d.starting.Lock()
	defer d.starting.Unlock()
	d.draining.Store(true)
	d.alarm.Stop()
	for _, j := range d.lanes.Close() {
		d.ledger.enter(d.givenBack(*j))
	}
}
