package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/signer"
)

// Events, deliveries, leases, attempts and retries are dated by the store's
// clock, whatever the machine's says.
func TestDatesAreTheStores(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		var calls []time.Time
		h := kit.Dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			calls = append(calls, s.Time())
			time.Sleep(2 * time.Second)
			if len(calls) == 1 {
				return errors.New("no")
			}
			return nil
		}})
		began := s.Time()
		r := kit.PlaceOrder(t, h, 1)
		synctest.Wait()
		if ev := kit.Events(t, h)[0]; !ev.Time.Equal(began) {
			t.Errorf("Time of the event = %v; want %v", ev.Time, began)
		}
		d := kit.Delivery(t, h, r.EventID, "a")
		if lease := d.Due.Sub(began); d.Status != hooks.Sending || lease < time.Minute || lease > 2*time.Minute {
			t.Errorf("the delivery is %v until %v later; want a lease of one to two minutes", d.Status, lease)
		}
		time.Sleep(3 * time.Second)
		failed := began.Add(2 * time.Second)
		d = kit.Delivery(t, h, r.EventID, "a")
		if wait := d.Due.Sub(failed); d.Status != hooks.Retrying || !d.Updated.Equal(failed) || wait < 5*time.Second || wait > 6*time.Second {
			t.Errorf("the delivery is %v since %v, due %v later; want retrying since %v, 5 s to 6 s later", d.Status, d.Updated, wait, failed)
		}
		due := d.Due
		time.Sleep(7 * time.Second)
		synctest.Wait()
		d = kit.Delivery(t, h, r.EventID, "a")
		if want := due.Add(2 * time.Second); d.Status != hooks.Succeeded || d.Updated.Sub(want).Abs() > time.Microsecond || d.Lost != 0 {
			t.Errorf("the delivery is %v since %v, %d lost; want succeeded since %v, none", d.Status, d.Updated, d.Lost, want)
		}
		if len(calls) != 2 || calls[1].Sub(due).Abs() > time.Microsecond {
			t.Errorf("called at %v; want twice, the second time at %v", calls, due)
		}
		wantAttempts(t, h, d.DeliveryID, calls, 2*time.Second)
	})
}

// wantAttempts checks when the attempts of a delivery began, and that each took
// so long.
func wantAttempts(t *testing.T, h *hooks.Hooks, id hooks.DeliveryID, starts []time.Time, took time.Duration) {
	t.Helper()
	attempts, err := h.Attempts(t.Context(), id)
	if err != nil || len(attempts) != len(starts) {
		t.Fatalf("Attempts = %v, %v; want %d", attempts, err, len(starts))
	}
	for i, a := range attempts {
		if a.Start.Sub(starts[i]).Abs() > time.Microsecond || a.Took != took {
			t.Errorf("attempt %d began at %v and took %v; want %v and %v", i+1, a.Start, a.Took, starts[i], took)
		}
	}
}

// DeliverAt and ExpiresAt are moments of the store's clock.
func TestDeliverAtAndExpiresAtAreTheStores(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		called := make(map[string][]time.Time)
		h := kit.Dispatching(t, hooks.Config{Store: s, Retry: retry.Schedule{5 * time.Second, 5 * time.Minute}}, hooks.Handler{
			Name: "a", Concurrency: 1, Func: func(_ context.Context, ev hooks.Event) error {
				called[ev.ID] = append(called[ev.ID], s.Time())
				return errors.New("no")
			},
		})
		later, brief := kit.OrderPlaced.New(kit.Order{ID: 1}), kit.OrderPlaced.New(kit.Order{ID: 2})
		later.ID, later.DeliverAt = "evt_later", s.Time().Add(2*time.Hour)
		brief.ID, brief.ExpiresAt = "evt_brief", s.Time().Add(time.Minute)
		kit.Publish(t, h, later)
		kit.Publish(t, h, brief)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := called[later.ID]; len(got) != 3 || got[0].Sub(later.DeliverAt).Abs() > time.Microsecond {
			t.Errorf("the scheduled event was tried at %v; want 3 times, first at %v", got, later.DeliverAt)
		}
		if d := kit.Delivery(t, h, brief.ID, "a"); d.Reason != hooks.ReasonExpired || len(called[brief.ID]) != 2 {
			t.Errorf("the brief event is %v (%s) after %d calls; want failed (expired) after 2", d.Status, d.Reason, len(called[brief.ID]))
		}
	})
}

// A signature has the store's time, and a Retry-After that names a date is
// counted from it.
func TestSignaturesAndRetryAfterAreByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		cfg := hooks.Config{Store: s}
		finished := kit.Traced(&cfg)
		cfg.Transport = kit.Exchange(func(r *http.Request) (*http.Response, error) {
			at := s.Time()
			if got, want := r.Header.Get(signer.HeaderTimestamp), strconv.FormatInt(at.Unix(), 10); got != want {
				t.Errorf("webhook-timestamp = %s; want %s", got, want)
			}
			date := at.Truncate(time.Second).Add(time.Hour)
			return kit.Answer(503, http.Header{"Retry-After": {date.Format(http.TimeFormat)}}, ""), nil
		})
		h := kit.Dispatching(t, cfg)
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.Send(t, h)
		if got := kit.Soon(t, finished).Attempt.RetryAfter; got <= time.Hour-time.Second || got > time.Hour {
			t.Errorf("RetryAfter = %v; want an hour, give or take a part of a second", got)
		}
	})
}

// A secret that was replaced signs for 24 h of the store's time.
func TestReplacedSecretSignsByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		signatures := make(chan int, 1)
		h := kit.Dispatching(t, hooks.Config{Store: kit.LockableStore{ClockedStore: s}, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			signatures <- len(strings.Fields(r.Header.Get(signer.HeaderSignature)))
			return kit.Answer(204, nil, ""), nil
		})})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Secret: signer.NewSecret()})
		time.Sleep(24*time.Hour - time.Second)
		kit.Send(t, h)
		if got := kit.Soon(t, signatures); got != 2 {
			t.Errorf("a second before the day is over there are %d signatures; want 2", got)
		}
		time.Sleep(time.Second)
		kit.Send(t, h)
		if got := kit.Soon(t, signatures); got != 1 {
			t.Errorf("a day later there are %d signatures; want 1", got)
		}
	})
}

// Idempotency keys and finished deliveries are kept for as long as is
// configured, by the store's clock.
func TestWindowsAreByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		h := kit.Subscribed(t, hooks.Config{Store: s, Retention: time.Hour, IdempotencyWindow: 30 * time.Minute})
		once := kit.OrderPlaced.New(kit.Order{ID: 1})
		once.IdempotencyKey = "once"
		first := kit.Publish(t, h, once)
		for _, c := range []struct {
			wait      time.Duration
			duplicate bool
			left      int
		}{{29 * time.Minute, true, 1}, {2 * time.Minute, false, 2}, {28 * time.Minute, true, 2}, {90 * time.Second, true, 1}} {
			time.Sleep(c.wait)
			again := kit.Subscribed(t, hooks.Config{Store: s, Retention: time.Hour, IdempotencyWindow: 30 * time.Minute})
			if err := again.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := kit.Publish(t, again, once)
			if left := len(kit.Events(t, h)); r.Duplicate != c.duplicate || left != c.left {
				t.Errorf("%v later: Duplicate = %v with %d events kept of which %s was the first; want %v with %d",
					c.wait, r.Duplicate, left, first.EventID, c.duplicate, c.left)
			}
		}
	})
}

// What a fresh process does first is dated by the store's clock: decisions, the
// taking of the lock, and deletions.
func TestFirstCallsAreDatedByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		fresh := func() *hooks.Hooks {
			h := kit.New(t, hooks.Config{Store: kit.LockableStore{ClockedStore: s}})
			if err := h.Subscribe(hooks.Handler{Name: "a", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
				t.Fatal(err)
			}
			return h
		}
		id := hooks.DeliveryID{Event: kit.Send(t, fresh()).EventID, Subscriber: "a"}
		for _, decide := range []func(context.Context, hooks.DeliveryID) (hooks.Delivery, error){
			fresh().Replay, fresh().Cancel, fresh().Replay, // now, and again
		} {
			time.Sleep(time.Second)
			d, err := decide(t.Context(), id)
			if want := s.Time(); err != nil || !d.Updated.Equal(want) || !d.Due.Equal(want) {
				t.Errorf("decided at %v, due %v, error %v; want %v", d.Updated, d.Due, err, want)
			}
		}
		kit.Put(t, fresh(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		if err := fresh().DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Error(err)
		}
		if err := fresh().Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The clock is read about once a minute, however much is going on; so one that
// drifts, or is set, is followed.
func TestClockIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kit.NewClockedStore(t, 0)
		began := time.Now()
		s.Clock = func() time.Time { return began.Add(time.Since(began) * 99 / 100) } // 36 s an hour
		s.Tolerance = 650 * time.Millisecond
		h := kit.Dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		for i := range 3600 {
			kit.PlaceOrder(t, h, i)
			time.Sleep(time.Second)
		}
		if n := s.Asks(); n < 55 || n > 62 {
			t.Errorf("the clock was read %d times in an hour; want about 60", n)
		}
		s.Set(func(s *kit.ClockedStore) {
			s.Clock, s.Tolerance = func() time.Time { return time.Now().Add(time.Hour) }, 2*time.Hour
		})
		time.Sleep(62 * time.Second)
		s.Set(func(s *kit.ClockedStore) { s.Tolerance = time.Microsecond })
		kit.PlaceOrder(t, h, 0)
		time.Sleep(time.Minute)
	})
}

// As long as the clock has never been read, what needs the time is refused.
func TestUnreadableClockAtFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		call func(context.Context, *hooks.Hooks, *kit.ClockedStore) error
	}{
		{"Publish", func(ctx context.Context, h *hooks.Hooks, _ *kit.ClockedStore) error {
			_, err := h.Publish(ctx, kit.InvoicePaid.New(kit.Invoice{Number: 1}))
			return err
		}},
		{"PublishTx", func(ctx context.Context, h *hooks.Hooks, s *kit.ClockedStore) error {
			_, err := h.PublishTx(ctx, s, kit.InvoicePaid.New(kit.Invoice{Number: 1}))
			return err
		}},
		{"PutEndpoint", func(ctx context.Context, h *hooks.Hooks, _ *kit.ClockedStore) error {
			_, err := h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
			return err
		}},
		{"DeleteEndpoint", func(ctx context.Context, h *hooks.Hooks, _ *kit.ClockedStore) error {
			return h.DeleteEndpoint(ctx, "crm")
		}},
		{"Cancel", func(ctx context.Context, h *hooks.Hooks, _ *kit.ClockedStore) error {
			_, err := h.Cancel(ctx, hooks.DeliveryID{Event: "evt_1", Subscriber: "a"})
			return err
		}},
		{"Prune", func(ctx context.Context, h *hooks.Hooks, _ *kit.ClockedStore) error { return h.Prune(ctx) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := kit.NewClockedStore(t, time.Hour)
			s.Err = kit.ErrFault
			h := kit.New(t, hooks.Config{Store: kit.LockableStore{ClockedStore: s}, Logger: kit.Silent})
			err := c.call(t.Context(), h, s)
			if !errors.Is(err, kit.ErrFault) || !strings.Contains(fmt.Sprint(err), "hooks: read the store's clock: ") {
				t.Errorf("%s = %v; want that the store's clock cannot be read", c.name, err)
			}
			records, err := s.Records(t.Context(), 0)
			if n := len(kit.Events(t, h)); err != nil || n != 0 || len(records) != 0 {
				t.Errorf("%d events and %d records are stored, %v; want none", n, len(records), err)
			}
		})
	}
}

// Run waits for the clock, also where it needs the time to lock the store.
func TestRunWaitsForTheClock(t *testing.T) {
	for name, exclusive := range map[string]bool{"shared": false, "exclusive": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := kit.NewClockedStore(t, time.Hour)
				store := hooks.Store(s)
				if exclusive {
					store = kit.LockableStore{ClockedStore: s}
				}
				a, calls := kit.Counting("a")
				waiting := kit.Publish(t, kit.Subscribed(t, hooks.Config{Store: s}, a), kit.OrderPlaced.New(kit.Order{ID: 1}))
				s.Set(func(s *kit.ClockedStore) { s.Err = kit.ErrFault })
				kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
				time.Sleep(3 * time.Minute) // beyond the first pruning
				s.Set(func(s *kit.ClockedStore) { s.Err = nil })
				time.Sleep(4 * time.Second)
				if got := calls.Of(waiting.EventID); got != 1 {
					t.Errorf("when the clock can be read, the handler was called %d times; want once", got)
				}
			})
		})
	}
}
