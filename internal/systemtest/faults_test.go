package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// Whichever call of the store fails, and whether it had done its work: an
// event is stored for all subscribers or for none, and repeating it makes it
// one delivery each.
func TestPublishIsAllOrNothing(t *testing.T) {
	for _, how := range []fate{failsBefore, failsAfter} {
		for n, fails := 1, true; fails; n++ {
			store := newFlaky(memory.New(), nil)
			a, _ := kit.Counting("a")
			b, _ := kit.Counting("b")
			c, _ := kit.Counting("c")
			h := kit.Subscribed(t, hooks.Config{Store: store}, a, b, c)
			ev := kit.OrderPlaced.New(kit.Order{ID: n})
			ev.ID = "evt_1"
			calls := 0
			store.follow(nth(n, how, &calls))
			_, err := h.Publish(t.Context(), ev)
			store.follow(nil)
			fails = err != nil
			if got := len(kit.Deliveries(t, h)); got != 3 && (!fails || got != 0) {
				t.Errorf("after Publish = %v there are %d deliveries; want all 3 or none", err, got)
			}
			kit.Publish(t, h, ev)
			wantOneEach(t, h, ev.ID, "a", "b", "c")
		}
	}
}

func wantOneEach(t *testing.T, h *hooks.Hooks, event string, subscribers ...string) {
	t.Helper()
	var got []string
	for _, d := range kit.Deliveries(t, h) {
		if d.Event == event {
			got = append(got, d.Subscriber)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, subscribers) {
		t.Errorf("deliveries of %s are to %q; want %q", event, got, subscribers)
	}
}

// While Run hands over what is published, an Enqueue that failed leaves no
// lease behind, and repeating the event calls every handler once.
func TestRepeatedPublishSendsOnce(t *testing.T) {
	for _, how := range []fate{failsBefore, failsAfter} {
		synctest.Test(t, func(t *testing.T) {
			store := newFlaky(memory.New(), nil)
			a, calls := kit.Counting("a")
			slow := a.Func
			a.Func = func(ctx context.Context, ev hooks.Event) error {
				time.Sleep(time.Second) // so that what goes wrong has the time to
				return slow(ctx, ev)
			}
			h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
			ev := kit.OrderPlaced.New(kit.Order{ID: 1})
			ev.ID = "evt_1"
			fail := how
			store.follow(func(method string) fate {
				if method != "Enqueue" {
					return sound
				}
				f := fail
				fail = sound
				return f
			})
			if _, err := h.Publish(t.Context(), ev); !errors.Is(err, kit.ErrFault) {
				t.Fatalf("Publish = %v; want the store's error", err)
			}
			if r := kit.Publish(t, h, ev); r.Duplicate != (how == failsAfter) {
				t.Errorf("Publish again: Duplicate = %v; want %v", r.Duplicate, how == failsAfter)
			}
			time.Sleep(10 * time.Second)
			d := kit.Delivery(t, h, ev.ID, "a")
			if d.Status != hooks.Succeeded || d.Lost != 0 || d.Attempts != 1 || calls.Of(ev.ID) != 1 {
				t.Errorf("delivery is %v, %d attempts, %d lost, %d calls; want succeeded, 1, 0, 1",
					d.Status, d.Attempts, d.Lost, calls.Of(ev.ID))
			}
		})
	}
}

// Errors of the store, even at half of all calls, neither stop the dispatcher nor lose a
// delivery. Within 5 s of their end, nothing that is due has not been tried.
func TestStoreErrorsLoseNothing(t *testing.T) {
	for _, p := range []float64{0.01, 0.1, 0.5} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkStoreErrors(t, p) })
		})
	}
}

// requireEach fails the test if ok is false of a delivery.
func requireEach(t *testing.T, h *hooks.Hooks, when string, ok func(hooks.Delivery) bool) {
	t.Helper()
	failed := 0
	for _, d := range kit.Deliveries(t, h) {
		if ok(d) {
			continue
		}
		if failed++; failed <= 3 {
			t.Logf("%v is %v %s, due %v, lost %d", d.DeliveryID, d.Status, d.Reason, time.Until(d.Due), d.Lost)
		}
	}
	if failed > 0 {
		t.Errorf("%s, %d deliveries have neither succeeded nor wait for their time", when, failed)
	}
}

func checkStoreErrors(t *testing.T, p float64) {
	const events = 500
	store := newFlaky(memory.New(), failing(p, 1))
	var handlers []hooks.Handler
	var tallies []*kit.Tally
	for _, name := range []string{"a", "b", "c"} {
		h, c := stubborn(name) // so that there is something to claim
		handlers, tallies = append(handlers, h), append(tallies, c)
	}
	h := kit.Dispatching(t, hooks.Config{
		Store: store, Logger: kit.Silent,
		Retry: retry.Schedule(slices.Repeat([]time.Duration{time.Second}, 100)),
	}, handlers...)
	for i := range events {
		ev := kit.OrderPlaced.New(kit.Order{ID: i})
		ev.ID = fmt.Sprintf("evt_%d", i)
		publishUntilStored(t, h, ev)
	}
	time.Sleep(20 * time.Second)
	store.follow(nil)
	time.Sleep(5 * time.Second)
	if got := len(kit.Deliveries(t, h)); got != 3*events {
		t.Errorf("there are %d deliveries; want %d", got, 3*events)
	}
	requireEach(t, h, "5 s after the last error", func(d hooks.Delivery) bool {
		return d.Status == hooks.Succeeded || time.Until(d.Due) > 0
	})
	time.Sleep(3 * time.Second) // two retries
	requireEach(t, h, "two retries later", func(d hooks.Delivery) bool { return d.Status == hooks.Succeeded })
	for i, c := range tallies {
		if got := len(c.All()); got != events {
			t.Errorf("%d events have reached %s; want %d", got, handlers[i].Name, events)
		}
	}
}

// Run begins although the store fails at first, and then records its handlers
// for other processes.
func TestRunBeginsInSpiteOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, calls := kit.Counting("a")
		store := newFlaky(memory.New(), func(string) fate { return failsBefore })
		h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
		time.Sleep(time.Minute)
		store.follow(nil)
		r := kit.PlaceOrder(t, h, 1)
		time.Sleep(5 * time.Second)
		if got := calls.Of(r.EventID); got != 1 {
			t.Errorf("the handler was called %d times; want once", got)
		}
		records, err := store.Records(t.Context(), 0)
		if err != nil || len(records) != 1 || records[0].Key != "handler/a" {
			t.Errorf("Records = %v, %v; want the handler's", records, err)
		}
	})
}

// What a worker says after its lease has ended and another has finished counts
// no more, whatever it says.
func TestStaleOutcomeChangesNothing(t *testing.T) {
	for _, late := range []error{nil, errors.New("no"), hooks.Permanent(errors.New("never"))} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			release := make(chan error)
			h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent}, hooks.Handler{
				Name: "a", Func: func(context.Context, hooks.Event) error { return <-release },
			})
			r := kit.PlaceOrder(t, h, 1)
			synctest.Wait()
			again := kit.Leased(t, store, "a", time.Now().Add(time.Hour))
			if len(again) != 1 {
				t.Fatalf("an hour later %d deliveries are due; want 1", len(again))
			}
			end := again[0]
			end.Status, end.Attempts, end.Code = hooks.Failed, 3, 418
			if stale, err := store.Update(t.Context(), time.Now(), []hooks.Change{{Delivery: end}}); err != nil || len(stale) > 0 {
				t.Fatalf("Update = %v, %v; want it to be done", stale, err)
			}
			want := kit.Delivery(t, h, r.EventID, "a")
			release <- late
			synctest.Wait()
			if got := kit.Delivery(t, h, r.EventID, "a"); got != want {
				t.Errorf("after the stale outcome %v: %+v; want %+v", late, got, want)
			}
			if as, err := h.Attempts(t.Context(), want.DeliveryID); err != nil || len(as) != 0 {
				t.Errorf("Attempts = %v, %v; want none of the stale worker", as, err)
			}
		})
	}
}

// die is a dispatcher that leases what is due and comes to nothing.
func die(t *testing.T, s *memory.Store) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if got := kit.Leased(t, s, "a", time.Now()); len(got) != 1 {
		t.Fatalf("%d deliveries are due; want 1", len(got))
	}
}

// Handlers that panic, exit their goroutine or never return harm none but
// their own deliveries, and every slot is free again afterwards.
func TestBadHandlersHarmThemselvesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events, slots = 1000, 4
		var bad, waits atomic.Bool
		var together atomic.Int32
		release := make(chan struct{})
		misbehaving := func(name string, ill func() error) hooks.Handler {
			return hooks.Handler{Name: name, Func: func(ctx context.Context, _ hooks.Event) error {
				if bad.Load() {
					return ill()
				}
				if waits.Load() {
					together.Add(1)
					<-ctx.Done()
				}
				return nil
			}}
		}
		h := kit.Dispatching(t, hooks.Config{
			Logger: kit.Silent, Retry: retry.Schedule{}, Timeout: time.Second,
			Concurrency: 8 * slots, SubscriberConcurrency: slots,
		},
			misbehaving("panics", func() error { panic("at the disco") }),
			misbehaving("exits", func() error { runtime.Goexit(); return nil }),
			misbehaving("sticks", func() error { <-release; return nil }),
			misbehaving("serves", func() error { return nil }))
		bad.Store(true)
		for i := range events {
			kit.PlaceOrder(t, h, i)
		}
		time.Sleep(5 * time.Second)
		wantEnded(t, h, "serves", hooks.Succeeded, "", events)
		time.Sleep(events * 1100 * time.Millisecond) // one at a time, because none of them worked
		wantEnded(t, h, "panics", hooks.Failed, "panic", events)
		wantEnded(t, h, "exits", hooks.Failed, "goexit", events)
		wantEnded(t, h, "sticks", hooks.Failed, "timeout", events)
		bad.Store(false)
		for range slots { // they show that they work, and get their slots
			kit.PlaceOrder(t, h, 0)
			synctest.Wait()
		}
		waits.Store(true)
		for i := range slots {
			kit.PlaceOrder(t, h, i)
		}
		synctest.Wait()
		if got := together.Load(); got != 4*slots {
			t.Errorf("%d handlers run at once; want %d, one in every slot", got, 4*slots)
		}
		close(release)
	})
}

// wantEnded checks that so many deliveries of a subscriber ended with a status
// and a class of failure after one attempt.
func wantEnded(t *testing.T, h *hooks.Hooks, subscriber string, status hooks.Status, class string, want int) {
	t.Helper()
	got := 0
	for _, d := range kit.Deliveries(t, h) {
		if d.Subscriber == subscriber && d.Status == status && d.Error == class && d.Attempts == 1 {
			got++
		}
	}
	if got != want {
		t.Errorf("%s: %d deliveries are %v %q after one attempt; want %d", subscriber, got, status, class, want)
	}
}

// However often Run is stopped, and whatever is under way: it returns in time,
// charges nobody for what it cut off, leaves no lease, and loses nothing.
func TestStopAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cycles := 250
		if *kit.Long {
			cycles = 5000
		}
		rng := rand.New(rand.NewPCG(17, 0))
		const drain = 2 * time.Second
		var charged atomic.Int64
		deaf := make(chan struct{}, 1000) // room for handlers that do not mind their context
		h := kit.Subscribed(t, hooks.Config{
			Logger: kit.Silent, DrainTimeout: drain, Timeout: 3 * time.Second,
			Retry: retry.Schedule(slices.Repeat([]time.Duration{time.Second}, 10_000)),
		}, sleepy("polite", &charged), deafened("deaf", deaf))
		published := 0
		for range cycles {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(5*time.Second))))
			stopped := make(chan error, 1)
			go func() { stopped <- h.Run(ctx) }()
			for range rng.IntN(8) {
				time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
				kit.PlaceOrder(t, h, published)
				published++
			}
			<-ctx.Done()
			cancel()
			began := time.Now()
			if err := <-stopped; err != nil {
				t.Fatalf("Run = %v; want nil", err)
			}
			if took := time.Since(began); took > drain+100*time.Millisecond {
				t.Errorf("Run returned %v after its context ended; want %v at most", took, drain+100*time.Millisecond)
			}
			wantNoLease(t, h)
		}
		kit.StartInBubble(t, h)
		time.Sleep(24 * time.Hour)
		wantAllCharged(t, h, published, charged.Load())
	})
}

// Run leaves no lease either when it is stopped in the middle of a claim, whose
// answer it does not get.
func TestStopInAClaimLeavesNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(memory.New(), nil)
		a, _ := kit.Counting("a")
		h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
		kit.PlaceOrder(t, h, 1)
		ctx, cancel := context.WithCancel(t.Context())
		store.follow(func(method string) fate {
			if method != "Claim" {
				return sound
			}
			cancel()
			return failsAfter
		})
		h.Run(ctx)
		wantNoLease(t, h)
	})
}

// sleepy returns a handler that takes its time, fails sometimes, ends when it
// is told to, and counts the calls that were not cut off by the end of Run.
func sleepy(name string, charged *atomic.Int64) hooks.Handler {
	return hooks.Handler{Name: name, Func: func(ctx context.Context, _ hooks.Event) error {
		var err error
		select {
		case <-time.After(rand.N(4 * time.Second)):
			if rand.IntN(4) == 0 {
				err = errors.New("no")
			}
		case <-ctx.Done():
			err = ctx.Err()
			if context.Cause(ctx) != context.DeadlineExceeded {
				return err
			}
		}
		charged.Add(1)
		return err
	}}
}

// deafened returns a handler that does not mind its context.
func deafened(name string, running chan struct{}) hooks.Handler {
	return hooks.Handler{Name: name, Func: func(context.Context, hooks.Event) error {
		running <- struct{}{}
		time.Sleep(rand.N(4 * time.Second))
		<-running
		return nil
	}}
}

func wantNoLease(t *testing.T, h *hooks.Hooks) {
	t.Helper()
	left, _, err := h.Deliveries(t.Context(), hooks.Query{Statuses: []hooks.Status{hooks.Sending}})
	if err != nil || len(left) > 0 {
		t.Errorf("when Run has returned %d deliveries are leased (error %v); want none", len(left), err)
	}
}

func wantAllCharged(t *testing.T, h *hooks.Hooks, published int, charged int64) {
	t.Helper()
	var attempts int64
	all := kit.Deliveries(t, h)
	for _, d := range all {
		if d.Status != hooks.Succeeded || d.Lost != 0 {
			t.Errorf("%v is %v with %d lost; want it to have succeeded with none", d.DeliveryID, d.Status, d.Lost)
		}
		if d.Subscriber == "polite" {
			attempts += int64(d.Attempts)
		}
	}
	if len(all) != 2*published || attempts != charged {
		t.Errorf("%d deliveries of %d events were charged %d attempts; want %d, and %d for as many calls that ended",
			len(all), published, attempts, 2*published, charged)
	}
}

// A delivery that expires in the queue takes nobody's turn: what is behind it
// is tried, though the one slot is of a subscriber that has just failed.
func TestExpiredDoesNotBlockTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, calls := kit.Counting("a")
		count := a.Func
		a.Func = func(ctx context.Context, ev hooks.Event) error {
			time.Sleep(10 * time.Second)
			count(ctx, ev)
			return errors.New("no")
		}
		h := kit.Dispatching(t, hooks.Config{Concurrency: 1, Retry: retry.Schedule{}}, a)
		kit.PlaceOrder(t, h, 1)
		brief := kit.OrderPlaced.New(kit.Order{ID: 2})
		brief.ExpiresAt = time.Now().Add(5 * time.Second)
		kit.Publish(t, h, brief)
		last := kit.PlaceOrder(t, h, 3)
		time.Sleep(time.Hour)
		if got := calls.Of(last.EventID); got != 1 {
			t.Errorf("the event behind the expired one was tried %d times within the hour; want once", got)
		}
	})
}
