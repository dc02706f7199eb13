package systemtest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A telling store is a shared one that keeps when other processes were told.
type telling struct {
	hooks.Store
	written chan struct{}               // makes Wait return
	wake    func(context.Context) error // what Wake does besides; nil: nothing

	mu   sync.Mutex // guards told
	told []time.Time
}

func newTelling() *telling {
	return &telling{Store: memory.New(), written: make(chan struct{}, 1)}
}

func (s *telling) Wait(ctx context.Context) error { return waking{s.Store, s.written}.Wait(ctx) }

func (s *telling) Wake(ctx context.Context) error {
	s.mu.Lock()
	s.told = append(s.told, time.Now())
	s.mu.Unlock()
	if s.wake != nil {
		return s.wake(ctx)
	}
	return nil
}

// times returns when other processes were told, since a moment.
func (s *telling) times(since time.Time) (after []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.told {
		after = append(after, at.Sub(since))
	}
	return after
}

// An openTx is a transaction that holds what is published until it is committed.
type openTx struct {
	hooks.Tx
	commit func() error
}

func (o *openTx) Enqueue(_ context.Context, now time.Time, entries []hooks.Entry) (receipts []hooks.Receipt, err error) {
	before := o.commit
	o.commit = func() error {
		if before != nil {
			if err := before(); err != nil {
				return err
			}
		}
		_, err := o.Tx.Enqueue(context.Background(), now, entries)
		return err
	}
	for _, e := range entries {
		receipts = append(receipts, hooks.Receipt{EventID: e.Event.ID, Deliveries: len(e.Deliveries)})
	}
	return receipts, nil
}

// commitLater publishes in a transaction, and commits it a time after that.
func commitLater(t *testing.T, h *hooks.Hooks, to hooks.Tx, d time.Duration) hooks.Receipt {
	t.Helper()
	tx := &openTx{Tx: to}
	r, err := h.PublishTx(t.Context(), tx, kit.OrderPlaced.New(kit.Order{ID: 1}))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
	return r[0]
}

// A dispatcher finds what its own process has published in transactions soon after the
// commit: at once with Wake, and by itself after as long as the transaction took, or 4 ms.
func TestCommitsAreFoundSoon(t *testing.T) {
	for _, took := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 60 * time.Millisecond, 127 * time.Millisecond} {
		for _, wake := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				a, calls := kit.Counting("a")
				store := memory.New() // it is polled by nobody
				h := kit.Dispatching(t, hooks.Config{Store: store}, a)
				synctest.Wait()
				r := commitLater(t, h, store, took)
				within := max(took, 4*time.Millisecond)
				if wake {
					within = 4 * time.Millisecond // of the pause between two looks
					h.Wake(t.Context())
				}
				time.Sleep(within)
				synctest.Wait()
				if n := calls.Of(r.EventID); n != 1 {
					t.Errorf("%v after a commit that came %v after PublishTx, with Wake %v, there were %d calls; want 1", within, took, wake, n)
				}
			})
		}
	}
}

// After the last look nothing is left to do.
func TestLookingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.CountingStore{Store: memory.New()}
		a, _ := kit.Counting("a")
		h := kit.Dispatching(t, hooks.Config{Store: store}, a)
		synctest.Wait()
		commitLater(t, h, store, 0)
		before := store.Backlogs.Load()
		time.Sleep(time.Second)
		looks := store.Backlogs.Load() - before
		time.Sleep(30 * time.Second)
		if n := store.Backlogs.Load() - before; looks < 5 || looks > 12 || n > looks {
			t.Errorf("the store was looked at %d times in a second, and %d times in 31; want 5 to 12, and no more", looks, n)
		}
	})
}

// While Run runs, Wake does not wait for the store, and others are told ten times a
// second at most, of the last commit too.
func TestRunTellsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTelling()
		h := kit.Dispatching(t, hooks.Config{Store: store})
		synctest.Wait()
		began := time.Now()
		for range 250 {
			before := time.Now()
			h.Wake(t.Context())
			if took := time.Since(before); took > 0 {
				t.Fatalf("Wake took %v; want none", took)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		wantTimes(t, store.times(began), 0, 100*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond)
	})
}

func wantTimes(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && got[i] == want[i]
	}
	if !same {
		t.Errorf("others were told after %v; want %v", got, want)
	}
}

// What others were not told yet when Run is told to stop, they are told at its end.
func TestRunTellsOthersAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTelling()
		h := kit.Subscribed(t, hooks.Config{Store: store})
		stop := kit.StartInBubble(t, h)
		synctest.Wait()
		began := time.Now()
		h.Wake(t.Context())
		time.Sleep(30 * time.Millisecond)
		h.Wake(t.Context())
		stop()
		wantTimes(t, store.times(began), 0, 30*time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		h.Wake(t.Context()) // by itself
		wantTimes(t, store.times(began), 0, 30*time.Millisecond, 130*time.Millisecond)
	})
}

// Without Run, Wake tells others itself, before it returns, once in 100 ms at most. It
// begins no goroutine: the bubble would not end.
func TestWakeTellsOthersWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTelling()
		h := kit.Subscribed(t, hooks.Config{Store: store})
		began := time.Now()
		for range 250 {
			h.Wake(t.Context())
			time.Sleep(time.Millisecond)
		}
		wantTimes(t, store.times(began), 0, 100*time.Millisecond, 200*time.Millisecond)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Minute)
		h.Wake(ended)
		if n := len(store.times(began)); n != 3 {
			t.Errorf("others were told %d times; want 3, and not with a context that has ended", n)
		}
	})
}

// A store that does not answer holds Wake up for a second, or until its context ends, and
// one caller only.
func TestWakeOfAStoreThatHangs(t *testing.T) {
	for _, c := range []struct{ limit, want time.Duration }{
		{time.Hour, time.Second},
		{300 * time.Millisecond, 300 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newTelling()
			store.wake = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			h := kit.Subscribed(t, hooks.Config{Store: store})
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			began := time.Now()
			var first sync.WaitGroup
			first.Go(func() { h.Wake(ctx) })
			synctest.Wait()
			time.Sleep(200 * time.Millisecond)
			h.Wake(ctx)
			if took := time.Since(began); took != 200*time.Millisecond {
				t.Errorf("a second call of Wake took %v; want none, because another one tells", took-200*time.Millisecond)
			}
			first.Wait()
			if took := time.Since(began); took != c.want {
				t.Errorf("Wake took %v; want %v", took, c.want)
			}
		})
	}
}

// Nor does one hold up Run, or what it delivers, even if it minds no context.
func TestRunTellsAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, release := newTelling(), make(chan struct{})
		defer close(release)
		store.wake = func(context.Context) error { <-release; return errors.New("released") }
		a, calls := kit.Counting("a")
		h := kit.Subscribed(t, hooks.Config{Store: store, DrainTimeout: time.Second}, a)
		stop := kit.StartInBubble(t, h)
		synctest.Wait()
		h.Wake(t.Context())
		time.Sleep(10 * time.Millisecond)
		r := commitLater(t, h, store.Store, 0)
		h.Wake(t.Context())
		synctest.Wait()
		if n := calls.Of(r.EventID); n != 1 {
			t.Errorf("%d calls; want 1 at once, though the store does not return from Wake", n)
		}
		began := time.Now()
		stop()
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("Run took %v to end; want its DrainTimeout of 1 s at most", took)
		}
	})
}

// A process that only publishes keeps silent for 100 ms after it has told others of a
// commit. They look by themselves meanwhile.
func TestWhatNobodyTellsOfIsFoundByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, calls := kit.Counting("a")
		store := newTelling()
		web := kit.Subscribed(t, hooks.Config{Store: store}, a)
		kit.Dispatching(t, hooks.Config{Store: store}, a)
		time.Sleep(1500 * time.Millisecond)
		for took := range 10 {
			commitLater(t, web, store.Store, 0)
			store.written <- struct{}{}
			time.Sleep(time.Duration(took) * 10 * time.Millisecond)
			r := commitLater(t, web, store.Store, 0)
			time.Sleep(128*time.Millisecond - time.Duration(took)*10*time.Millisecond)
			synctest.Wait()
			if n := calls.Of(r.EventID); n != 1 {
				t.Errorf("%d calls of an event that was committed %d ms after another; want 1", n, took*10)
			}
			time.Sleep(317 * time.Millisecond)
		}
	})
}

// Without Run, what is committed while others are being told slowly is told once more,
// and a Wake after one that failed does not rest.
func TestWakeTellsOfWhatCameMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		err   error
		after time.Duration // of the second Wake
	}{
		"slow":   {300 * time.Millisecond, nil, 200 * time.Millisecond},
		"slower": {300 * time.Millisecond, nil, 350 * time.Millisecond},
		"failed": {0, kit.ErrFault, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, began := newTelling(), time.Now()
				store.wake = func(context.Context) error { time.Sleep(c.takes); return c.err }
				h := kit.New(t, hooks.Config{Store: store})
				go h.Wake(t.Context())
				time.Sleep(c.after)
				h.Wake(t.Context())
				time.Sleep(2 * time.Second)
				if times := store.times(began); len(times) != 2 || times[1] < c.after {
					t.Errorf("others are told after %v; want it at once and not before %v", times, c.after)
				}
			})
		})
	}
}

// A store that ignores its context holds up no Wake for longer than that lasts.
func TestWakeOfAStoreThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, release := newTelling(), make(chan struct{})
		store.wake = func(context.Context) error { <-release; return nil }
		h, began := kit.New(t, hooks.Config{Store: store}), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		h.Wake(ctx)
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("Wake took %v; want as long as its context lasts", took)
		}
		close(release)
	})
}
