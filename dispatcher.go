package hooks

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A dispatcher delivers what is due, for one call of Run. Deliveries come to
// it in two ways: Publish hands them over, leased already, while their lane
// has room; everything else (retries, backlog, what other processes publish)
// it claims from the store. Outcomes leave through its [ledger].
//
// A nil dispatcher is that of a process that only publishes: it takes nothing.
type dispatcher struct {
	h        *Hooks
	poke     chan struct{} // the loop is to go on; holds one
	stopped  chan struct{} // closed when Run returns
	flushing bool          // it runs for a Flush only
	news     atomic.Bool   // others have written: read the subscribers again
	unsure   atomic.Bool   // something may have become due since the loop looked at the backlog
	store    *boundedStore
	ledger   *ledger
	looks    looks
	stop     context.CancelFunc        // ends Run's context
	deadline atomic.Pointer[time.Time] // when Run must have returned; nil until it is told to stop

	dated  atomic.Int64  // the steps of the clock that waits in the store follow; see [dispatcher.redate]
	seen   atomic.Int64  // how many they were
	dating chan struct{} // holds one while outcomes are written, or waits moved

	attempts sync.WaitGroup
	ctx      context.Context // of the attempts; Run's ends earlier
	cancel   context.CancelCauseFunc

	// The loop's own: when it looked at the backlog, claims in a row that found
	// nothing, and the deleted subscribers that were swept.
	looked time.Time
	empty  int
	swept  map[string]bool

	mu         sync.Mutex // guards what follows, and the lanes
	failure    error      // why Run ends; nil if it was told to
	doubtful   []Lane     // of claims that returned an error, or too late: they may have leased
	open       bool       // deliveries may be handed over and attempts may start
	lanes      map[string]*lane
	line       []*lane            // those with a job to start, each once, in turn
	busy       map[*lane]struct{} // those with attempts under way
	active     int                // attempts under way
	trial      bool               // one of them is that of an accused delivery
	alone      chan struct{}      // see makeAlone; nil: further attempts may begin
	sleepUntil time.Time          // zero: until it is poked
	flushes    []chan struct{}    // closed when nothing is due or under way
	asked      int                // how many of them waited before the store was asked
	held       map[DeliveryID]lease
	claiming   bool      // a claim is under way, or it is unknown what one has leased
	unsettled  []outcome // stale, but maybe only because of that claim
	changes    int       // how often a delivery left its lane, or stayed in the store
	readAt     int       // what changes was when the last reading of the backlog began
	strays     int       // leased and not yet written back, of subscribers without a lane here
}

// errDraining is the cause of cancelling attempts that outlast the drain.
var errDraining = errors.New("hooks: dispatcher stops")

func newDispatcher(h *Hooks) *dispatcher {
	d := &dispatcher{
		h:       h,
		poke:    make(chan struct{}, 1),
		looks:   looks{sooner: make(chan struct{}, 1)},
		stopped: make(chan struct{}),
		lanes:   make(map[string]*lane),
		busy:    make(map[*lane]struct{}),
		swept:   make(map[string]bool),
		held:    make(map[DeliveryID]lease),
		dating:  make(chan struct{}, 1),
	}
	_, steps := h.reading()
	d.dated.Store(int64(steps))
	if a := h.anchor.Load(); a != nil {
		d.seen.Store(a.count)
	}
	d.store = &boundedStore{
		Store: h.store, calls: &h.calls, remaining: d.remaining, failed: d.fail, doubtful: d.doubt,
	}
	d.ledger = newLedger(h, d.store, d.save, d.settled)
	return d
}

// run dispatches until ctx ends, and returns when all is drained.
func (d *dispatcher) run(ctx context.Context) {
	var running sync.WaitGroup
	go d.ledger.run() // until it is closed
	d.mu.Lock()
	d.open = true
	d.mu.Unlock()
	running.Go(func() { d.watch(ctx) })
	running.Go(func() { d.lookOut(ctx) })
	running.Go(func() { d.tellOthers(ctx) })
	running.Go(func() { d.prune(ctx) })
	running.Go(func() { d.reopen(ctx) })
	wake := d.wake
	d.h.stepped.Store(&wake)
	running.Go(func() { d.loop(ctx) })
	if !d.flushing {
		running.Go(func() { d.h.warnOfWeaknesses(ctx) })
	}
	<-ctx.Done()
	d.h.stepped.Store(nil)
	deadline := time.Now().Add(d.drainTime())
	d.deadline.Store(&deadline)
	d.drain(deadline, &running)
	d.ledger.close(deadline)
	d.h.closeIdle()
}

// loop claims what is due and sleeps until something else is.
func (d *dispatcher) loop(ctx context.Context) {
	retry := backoff{report: d.h.storeError}
	for ctx.Err() == nil {
		next, err := d.claim(ctx)
		if err != nil {
			d.unsure.Store(true) // what a lane has may be unknown now
			retry.wait(ctx, err)
			continue
		}
		retry.reset()
		d.sleep(ctx, next)
	}
}

// sleep waits for the earlier of next (zero: none) and a poke.
func (d *dispatcher) sleep(ctx context.Context, next time.Time) {
	var timer <-chan time.Time
	if wait, ok := d.until(next); ok {
		timer = time.After(wait)
	}
	select {
	case <-ctx.Done():
	case <-d.poke:
	case <-timer:
	}
}

const (
	longestSleep = time.Minute // with something due later: the clock may be set meanwhile
	pollEvery    = time.Second // of stores that others write to: the safety net
)

// until returns how long to sleep; ok is false for ever.
func (d *dispatcher) until(next time.Time) (wait time.Duration, ok bool) {
	if !next.IsZero() {
		wait, ok = min(next.Sub(d.h.now()), longestSleep), true
	}
	if _, exclusive := d.h.store.(Exclusive); !exclusive {
		poll := time.Duration((0.9 + 0.2*rand.Float64()) * float64(pollEvery))
		if !ok || poll < wait {
			wait, ok = poll, true
		}
	}
	return wait, ok
}

// wake has the loop look at the backlog, for something may have become due.
func (d *dispatcher) wake() {
	d.unsure.Store(true)
	d.nudge()
}

// feed has the loop claim for a lane, if that is worth a call. d.mu is held.
func (d *dispatcher) feed(l *lane) {
	switch {
	case !l.hungry():
	case l.told:
		d.wake()
	default:
		d.nudge()
	}
}

// nudge has the loop go on.
func (d *dispatcher) nudge() {
	select {
	case d.poke <- struct{}{}:
	default: // it will look anyway
	}
}

// watch wakes the dispatcher when the store says that others have written.
func (d *dispatcher) watch(ctx context.Context) {
	if _, ok := d.h.store.(Waker); !ok {
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
		if dir.anyClosed() {
			again = time.After(pollEvery)
		}
		select {
		case <-ctx.Done():
		case <-dir.shut:
		case <-again:
			if dir.reopen() {
				d.wake()
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
	d.mu.Lock()
	d.open = false
	for _, l := range d.lanes {
		for _, j := range l.queue {
			d.giveBack(*j)
		}
		l.queue, l.ready = nil, false
	}
	d.line = nil
	d.mu.Unlock()
	running.Wait() // the last claim may have returned an error
	if err := d.forgo(d.ctx); err != nil {
		d.h.log.Warn("hooks: leases may be left behind; they end by themselves", "error", err)
		d.claimed()
	}
	d.attempts.Wait()
	d.cancel(errDraining)
}

// A backoff waits longer after each error, and tells of the first.
type backoff struct {
	report func(err error, failures int, wait time.Duration)
	fails  int
}

const (
	firstWait   = 50 * time.Millisecond
	longestWait = 2 * time.Second
)

// wait sleeps unless ctx ends; an error that comes of that is not reported. Up
// to half as much on top, at random, keeps a fleet from coming back in step.
func (b *backoff) wait(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	b.fails++
	wait := min(firstWait<<min(b.fails-1, 10), longestWait)
	wait += rand.N(wait / 2)
	b.report(err, b.fails, wait)
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

func (b *backoff) reset() {
	if b.fails > 0 {
		b.report(nil, b.fails, 0)
	}
	b.fails = 0
}

// storeError tells the log when the store begins to fail and when it works
// again, and the trace each time.
func (h *Hooks) storeError(err error, failures int, wait time.Duration) {
	if err == nil {
		h.log.Info("hooks: the store works again", "failures", failures)
		return
	}
	if failures == 1 {
		h.log.Error("hooks: the store fails; trying again", "error", err)
	}
	if f := h.cfg.Trace.StoreError; f != nil {
		f(err, wait)
	}
}

const (
	pruneFirst = time.Minute // after Run begins: some programs never live for an hour
	pruneEvery = time.Hour
	pruneStep  = 500 // rows a call, so that nobody waits long for the store
)

// prune forgets what is older than the retention, hour by hour.
func (d *dispatcher) prune(ctx context.Context) {
	retry := backoff{report: d.h.storeError}
	for wait := pruneFirst; ; wait = pruneEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		for err := d.h.prune(ctx, d.store); err != nil; err = d.h.prune(ctx, d.store) {
			if retry.wait(ctx, err); ctx.Err() != nil {
				return
			}
		}
		retry.reset()
	}
}
