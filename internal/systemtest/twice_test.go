package systemtest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// This file is about things that happen twice, or back and forth, while the store is
// slow: what the second time finds is not what the first time left.

// The tombstone of an endpoint says nothing of a handler that has its id now.
func TestAHandlerMayHaveTheIDOfADeletedEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		before := kit.New(t, hooks.Config{Store: store})
		kit.Put(t, before, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		if err := before.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		a, calls := kit.Counting("crm")
		h := kit.Dispatching(t, hooks.Config{Store: store}, a)
		time.Sleep(time.Second) // until Run has read the records
		r := kit.PlaceOrder(t, h, 1)
		time.Sleep(time.Second)
		if d := kit.Delivery(t, h, r.EventID, "crm"); d.Status != hooks.Succeeded || calls.Of(r.EventID) != 1 {
			t.Errorf("the delivery is %v after %d calls; want succeeded after one", d.Status, calls.Of(r.EventID))
		}
	})
}

// A belatedClaims is a store whose first Claim takes its time, and happens also when it
// has answered that its context ended, as SQLite's may.
type belatedClaims struct {
	*memory.Store
	n     atomic.Int32
	takes time.Duration
}

func (s *belatedClaims) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	if s.n.Add(1) > 1 {
		return s.Store.Claim(ctx, now, lanes)
	}
	done := make(chan []hooks.Entry, 1)
	go func() {
		time.Sleep(s.takes)
		entries, _ := s.Store.Claim(context.WithoutCancel(ctx), now, lanes)
		done <- entries
	}()
	select {
	case entries := <-done:
		return entries, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A Run that is told to stop while it claims leaves no lease behind.
func TestStoppingDuringAClaimLeavesNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := kit.Counting("a")
		h := kit.Subscribed(t, hooks.Config{Store: &belatedClaims{Store: memory.New(), takes: 50 * time.Millisecond}}, a)
		r := kit.PlaceOrder(t, h, 1)
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		if err := h.Run(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Pending || d.Lost != 0 {
			t.Errorf("after Run the delivery is %v, its lease ends in %v; want pending", d.Status, time.Until(d.Due))
		}
	})
}

// What a claim leases that is answered a moment after its deadline is delivered at once.
func TestAClaimThatIsDoneAfterItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, calls := kit.BusyFor(2*time.Second, 1)
		h := kit.Subscribed(t, hooks.Config{Store: &belatedClaims{Store: memory.New(), takes: 30*time.Second + time.Second/2}, Logger: kit.Silent}, a)
		var events []string
		for i := range 12 { // more than a lane takes
			events = append(events, kit.PlaceOrder(t, h, i).EventID)
		}
		kit.StartInBubble(t, h)
		time.Sleep(90 * time.Second)
		for _, id := range events {
			if d := kit.Delivery(t, h, id, "a"); d.Status != hooks.Succeeded || d.Lost != 0 || len(calls.Of(id)) != 1 {
				t.Errorf("%s is %v, lost %d, after %d calls; want succeeded, 0, 1", id, d.Status, d.Lost, len(calls.Of(id)))
			}
		}
	})
}

// A slowDecisions is a store that takes its time to say that it has canceled.
type slowDecisions struct{ *memory.Store }

func (s slowDecisions) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	stale, err := s.Store.Update(ctx, now, changes)
	if changes[0].Delivery.Status == hooks.Canceled {
		time.Sleep(100 * time.Millisecond)
	}
	return stale, err
}

// A replay of what was just canceled is delivered, although its lease was granted before
// the canceling process knew that it had canceled.
func TestAReplayBesideItsCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := kit.BusyFor(3*time.Second, 1)
		h := kit.Dispatching(t, hooks.Config{Store: slowDecisions{memory.New()}}, a)
		kit.PlaceOrder(t, h, 1)
		id := hooks.DeliveryID{Event: kit.PlaceOrder(t, h, 2).EventID, Subscriber: "a"} // it is queued
		synctest.Wait()
		go func() { _, _ = h.Cancel(context.WithoutCancel(t.Context()), id) }()
		time.Sleep(10 * time.Millisecond)
		if _, err := h.Replay(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if d := kit.Delivery(t, h, id.Event, "a"); d.Status != hooks.Succeeded || d.Lost != 0 {
			t.Errorf("the delivery is %v, lost %d; want succeeded, 0", d.Status, d.Lost)
		}
	})
}

// A tardyUnlock is a store that takes its time to be unlocked.
type tardyUnlock struct{ *memory.Store }

func (s tardyUnlock) Lock(ctx context.Context, now time.Time) (func() error, error) {
	free, err := s.Store.Lock(ctx, now)
	return func() error { time.Sleep(3 * time.Second); return free() }, err
}

// A Run after one whose lock is not free yet waits for it.
func TestRunWaitsForASlowUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.Subscribed(t, hooks.Config{Store: tardyUnlock{memory.New()}, Logger: kit.Silent, DrainTimeout: 100 * time.Millisecond})
		for range 2 {
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			if err := h.Run(ctx); err != nil {
				t.Errorf("Run = %v; want nil", err)
			}
		}
		time.Sleep(10 * time.Second) // until what was left behind has returned
	})
}
