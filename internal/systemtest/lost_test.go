package systemtest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A delivery whose leases were lost without being tried is tried in the end,
// however often that happened.
func TestLostLeasesAreNotAttempts(t *testing.T) {
	for _, lost := range []int{1, 2, 3, 50} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			a, calls := kit.Counting("a")
			h := kit.Subscribed(t, hooks.Config{Store: store}, a)
			r := kit.PlaceOrder(t, h, 1)
			for range lost {
				die(t, store)
			}
			kit.StartInBubble(t, h)
			synctest.Wait()
			d := kit.Delivery(t, h, r.EventID, "a")
			if d.Status != hooks.Succeeded || d.Lost != lost || d.Attempts != 1 || calls.Of(r.EventID) != 1 {
				t.Errorf("after %d lost leases it is %v, %d lost, %d attempts, %d calls; want succeeded after 1",
					lost, d.Status, d.Lost, d.Attempts, calls.Of(r.EventID))
			}
		})
	}
}

// A delivery that ends the process whenever it is tried uses up its attempts.
func TestPoisonThatEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		calls := 0
		var killed *mortal
		var stop context.CancelFunc
		poison := hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			calls++
			killed.dead.Store(true) // from here on nothing is written
			stop()
			return nil
		}}
		ended := make(chan hooks.Delivery, 1)
		cfg := hooks.Config{
			Logger: kit.Silent, Retry: retry.Schedule{time.Second, time.Second}, DrainTimeout: time.Second,
			Trace: hooks.Trace{Ended: func(_ context.Context, d hooks.Delivery) { ended <- d; stop() }},
		}
		var id hooks.DeliveryID
		for life := 0; len(ended) == 0; life++ {
			if life > 20 {
				t.Fatalf("after %d calls it is still tried", calls)
			}
			killed = &mortal{Store: store}
			cfg.Store = killed
			h := kit.Subscribed(t, cfg, poison)
			if life == 0 {
				id = hooks.DeliveryID{Event: kit.PlaceOrder(t, h, 1).EventID, Subscriber: "a"}
			}
			ctx, cancel := context.WithCancel(t.Context())
			stop = cancel
			if err := h.Run(ctx); err != nil {
				t.Fatal(err)
			}
		}
		h := kit.Subscribed(t, hooks.Config{Store: store})
		d := kit.Delivery(t, h, id.Event, id.Subscriber)
		const uncharged, attempts = 3, 3
		if d.Status != hooks.Failed || d.Reason != hooks.ReasonLost || d.Attempts != attempts || calls != uncharged+attempts {
			t.Errorf("it is %v (%s) after %d attempts and %d calls; want failed (lost) after %d and %d",
				d.Status, d.Reason, d.Attempts, calls, attempts, uncharged+attempts)
		}
		if got := <-ended; got != d {
			t.Errorf("Trace.Ended got %+v; want %+v", got, d)
		}
	})
}

// What is charged when it begins is not charged when the drain cuts it off.
func TestDrainUnchargesWhatWasChargedAtTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		began := make(chan hooks.Delivery, 1)
		h := kit.Subscribed(t, hooks.Config{Store: store, DrainTimeout: time.Second}, hooks.Handler{
			Name: "a",
			Func: func(ctx context.Context, _ hooks.Event) error {
				d, _ := hooks.DeliveryFrom(ctx)
				began <- d
				<-ctx.Done()
				return ctx.Err()
			},
		})
		r := kit.PlaceOrder(t, h, 1)
		for range 3 {
			die(t, store)
		}
		stop := kit.StartInBubble(t, h)
		<-began
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Attempts != 0 || d.Error != "lost" {
			t.Errorf("while it is tried it is noted as %q with %d attempts; want it lost with none", d.Error, d.Attempts)
		}
		stop()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Pending || d.Error != "" {
			t.Errorf("cut off it is %v (%s); want pending and not accused", d.Status, d.Error)
		}
		kit.Accuse(t, store, hooks.DeliveryID{Event: r.EventID, Subscriber: "a"})
		stop = kit.StartInBubble(t, h)
		if d := <-began; d.Attempts != 0 {
			t.Errorf("the handler is told of %d attempts before; want none", d.Attempts)
		}
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Attempts != 1 {
			t.Errorf("while it is tried it has %d attempts; want it charged", d.Attempts)
		}
		stop()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Pending || d.Attempts != 0 || d.Error != "lost" {
			t.Errorf("cut off it is %v (%s) with %d attempts; want pending (lost) with none", d.Status, d.Error, d.Attempts)
		}
	})
}

// An accused delivery that waits while another one is tried is given back when Run is
// told to stop, and not tried.
func TestAnAccusedDeliveryThatWaitsIsNotTriedDuringTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		began, release := make(chan hooks.DeliveryID, 2), make(chan struct{})
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(ctx context.Context, _ hooks.Event) error {
			d, _ := hooks.DeliveryFrom(ctx)
			began <- d.DeliveryID
			<-release
			return nil
		}}, hooks.Handler{Name: "b", Func: func(ctx context.Context, _ hooks.Event) error {
			d, _ := hooks.DeliveryFrom(ctx)
			began <- d.DeliveryID
			<-release
			return nil
		}})
		r := kit.PlaceOrder(t, h, 1)
		for range 2 {
			kit.Leased(t, store, "b", time.Now())
			die(t, store) // and with it what is leased of "b"
		}
		for _, s := range []string{"a", "b"} {
			kit.Accuse(t, store, hooks.DeliveryID{Event: r.EventID, Subscriber: s})
		}
		stop := kit.StartInBubble(t, h)
		tried := <-began
		time.Sleep(10*time.Second + 500*time.Millisecond)
		go func() {
			time.Sleep(time.Millisecond)
			close(release)
		}()
		stop()
		for _, s := range []string{"a", "b"} {
			d := kit.Delivery(t, h, r.EventID, s)
			if was := d.DeliveryID == tried; was != (d.Status == hooks.Succeeded) || was != (d.Attempts == 1) {
				t.Errorf("%v is %v after %d attempts; want one of the two tried, %v", d.DeliveryID, d.Status, d.Attempts, tried)
			}
		}
		if len(began) > 0 {
			t.Errorf("%v was tried while Run ended", <-began)
		}
	})
}

// A delivery whose turn does not come is given back before its lease ends.
func TestLeasesDoNotEndWhileDeliveriesWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		h := kit.Dispatching(t, hooks.Config{Concurrency: 1}, hooks.Handler{Name: "slow", Timeout: time.Hour, Func: func(context.Context, hooks.Event) error {
			if slow.Load() {
				time.Sleep(10 * time.Minute)
			}
			return nil
		}}, hooks.Handler{Name: "waits", Timeout: time.Second, Func: func(context.Context, hooks.Event) error { return nil }})
		kit.PlaceOrder(t, h, 0) // both are known to work then
		synctest.Wait()
		slow.Store(true)
		var events []string
		for i := range 3 {
			events = append(events, kit.PlaceOrder(t, h, i).EventID)
			synctest.Wait()
		}
		for range 60 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for _, d := range kit.Deliveries(t, h) {
				if d.Status == hooks.Sending && time.Now().After(d.Due) {
					t.Fatalf("the lease of %v ended %v ago", d.DeliveryID, time.Since(d.Due))
				}
			}
		}
		time.Sleep(time.Hour)
		for _, id := range events {
			if d := kit.Delivery(t, h, id, "waits"); d.Status != hooks.Succeeded || d.Lost > 0 {
				t.Errorf("%v is %v, and lost %d leases; want it succeeded, and none lost", id, d.Status, d.Lost)
			}
		}
	})
}

// A mortal is the store of a process that dies: from then on it writes nothing.
type mortal struct {
	*memory.Store
	dead  atomic.Bool
	delay time.Duration // of the outcomes of attempts
}

func (s *mortal) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	if changes[0].Attempt != nil {
		time.Sleep(s.delay)
	}
	if s.dead.Load() {
		return nil, errors.New("dead")
	}
	return s.Store.Update(ctx, now, changes)
}

// What may be given up for ending the process is tried alone, but the others do not
// wait for it for ever.
func TestAnAccusedDeliveryIsTriedAlone(t *testing.T) {
	for name, c := range map[string]struct{ takes, others time.Duration }{
		"short": {10 * time.Second, 10 * time.Second},
		"long":  {10 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				began := make(chan struct{}, 1)
				a := hooks.Handler{Name: "a", Retry: retry.Schedule{}, Timeout: time.Hour, Func: func(context.Context, hooks.Event) error {
					began <- struct{}{}
					time.Sleep(c.takes)
					return nil
				}}
				r := kit.PlaceOrder(t, kit.Subscribed(t, hooks.Config{Store: store}, a), 1)
				for range 2 {
					die(t, store)
				}
				kit.Accuse(t, store, hooks.DeliveryID{Event: r.EventID, Subscriber: "a"})
				called := make(chan time.Time, 1)
				b := hooks.Handler{Name: "b", Func: func(context.Context, hooks.Event) error {
					called <- time.Now()
					return nil
				}}
				h := kit.Dispatching(t, hooks.Config{Store: store, DrainTimeout: time.Hour}, a, b)
				<-began
				at := time.Now()
				time.Sleep(time.Second)
				kit.PlaceOrder(t, h, 2)
				if got := (<-called).Sub(at); got != c.others {
					t.Errorf("the other is tried %v after it began; want after %v", got, c.others)
				}
			})
		})
	}
}
