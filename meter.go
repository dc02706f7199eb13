package hooks

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A meter counts attempts for [Hooks.Activity]. The ledger tells it of each attempt whose
// outcome the store has saved. While Run runs, a goroutine adds the counters to those in
// the store, every ten seconds if there are any, so that no outcome waits for that.
//
// A nil meter is that of a store that is no [Reporter]: it counts nothing.
type meter struct {
	log    *slog.Logger
	quiet  throttle
	signal chan struct{} // tells the goroutine that there are counters; holds one

	mu       sync.Mutex // guards what follows
	counters map[counterID]*Minute
}

// A counterID names the counters of a subscriber, or of all if it is empty, from a time on.
type counterID struct {
	subscriber string
	start      time.Time
}

const (
	wholeSpan      = time.Minute     // of the counters of all subscribers together
	subscriberSpan = 5 * time.Minute // of those of one subscriber
	keepMinutes    = 25 * time.Hour  // in the store: a day, and the hour until the next Prune
	meterEvery     = 10 * time.Second
	lastMeterWrite = time.Second // how long the write at the end of Run may take
)

// tookUpTo are the limits of the counters in [Minute].Took. The last counter has none.
var tookUpTo = [...]time.Duration{
	1 * time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2 * time.Second, 5 * time.Second,
}

func newMeter(s Store, log *slog.Logger) *meter {
	if _, ok := optional[Reporter](s); !ok {
		return nil
	}
	return &meter{log: log, signal: make(chan struct{}, 1), counters: make(map[counterID]*Minute)}
}

// count counts an attempt that ended at a time, in the counters of its subscriber too if
// there is one. It ended at a time of [Hooks.now].
func (m *meter) count(subscriber string, ended time.Time, a Attempt) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.counters) == 0 {
		select {
		case m.signal <- struct{}{}:
		default: // a signal is pending already
		}
	}
	m.add(counterID{"", ended.Truncate(wholeSpan)}, a)
	if subscriber != "" {
		m.add(counterID{subscriber, ended.Truncate(subscriberSpan)}, a)
	}
}

// add counts an attempt in one of the counters. The caller holds m.mu.
func (m *meter) add(id counterID, a Attempt) {
	c := m.counters[id]
	if c == nil {
		c = &Minute{Start: id.start, Subscriber: id.subscriber}
		m.counters[id] = c
	}
	if a.Error == "" {
		c.Succeeded++
	} else {
		c.Failed++
	}
	i, _ := slices.BinarySearch(tookUpTo[:], a.Took)
	c.Took[i]++
}

// take returns the counters, and begins anew.
func (m *meter) take() (list []Minute) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.counters {
		list = append(list, *c)
	}
	m.counters = make(map[counterID]*Minute) // a large one does not stay
	return list
}

// run starts the goroutine that writes the counters to the store. stop ends it: what is left
// is written until the deadline and 50 ms more, but within a second.
func (m *meter) run(store *boundedStore) (stop func(deadline time.Time)) {
	if m == nil {
		return func(time.Time) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for m.wait(quit) {
			m.write(ctx, store)
		}
		m.write(ctx, store)
	})
	return func(deadline time.Time) {
		defer cancel()
		const grace = 50 * time.Millisecond // as much as the ledger has for its last write
		timer := time.AfterFunc(min(time.Until(deadline)+grace, lastMeterWrite), cancel)
		defer timer.Stop()
		close(quit)
		done.Wait()
	}
}

// wait waits until ten seconds after there are counters, or returns false when quit is
// closed. While nothing is counted, no timer runs.
func (m *meter) wait(quit <-chan struct{}) bool {
	select {
	case <-m.signal:
	case <-quit:
		return false
	}
	select {
	case <-time.After(meterEvery):
		return true
	case <-quit:
		return false
	}
}

// write adds the counters to those in the store. After an error they are dropped, because
// the store may have added them all the same.
func (m *meter) write(ctx context.Context, store *boundedStore) {
	list := m.take()
	if len(list) == 0 {
		return
	}
	err := ctx.Err()
	if err == nil {
		err = store.AddMinutes(ctx, list)
	}
	if err == nil {
		return
	}
	const text = "hooks: the store did not take the counters of the last attempts; Activity lacks them"
	leftOut, ok := m.quiet.pass(throttled{text: text}, time.Now())
	if !ok {
		return
	}
	args := []any{"error", err}
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	m.log.Warn(text, args...)
}
