package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/retry"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

// A clocked store is shared, and has a clock of its own, by which it checks
// every time that it is given.
type clocked struct {
	hooks.Store
	t *testing.T

	mu     sync.Mutex // guards what follows
	clock  func() time.Time
	off    time.Duration // how far from it what is given may be
	before time.Duration // how long an answer takes until the clock is read
	after  time.Duration // and then
	err    error         // not nil: the clock cannot be read
	asked  int
}

// newClocked returns a store whose clock differs from the machine's, on a
// memory store.
func newClocked(t *testing.T, ahead time.Duration) *clocked {
	return &clocked{
		Store: memory.New(), t: t, off: time.Microsecond,
		clock: func() time.Time { return time.Now().Add(ahead) },
	}
}

// set changes the store.
func (s *clocked) set(change func(*clocked)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// time returns the store's time as it would be given.
func (s *clocked) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock().UTC().Truncate(time.Microsecond)
}

func (s *clocked) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Now answers in a time zone of its own.
func (s *clocked) Now(context.Context) (time.Time, error) {
	s.mu.Lock()
	s.asked++
	before, after, err := s.before, s.after, s.err
	s.mu.Unlock()
	time.Sleep(before)
	at := s.time()
	time.Sleep(after)
	if err != nil {
		return time.Time{}, err
	}
	return at.In(time.FixedZone("elsewhere", 7*3600)), nil
}

// check holds a time that the store is given against its clock.
func (s *clocked) check(what string, got time.Time) {
	s.mu.Lock()
	off := s.off
	s.mu.Unlock()
	want := s.time()
	if got.Location() != time.UTC || !got.Equal(got.Truncate(time.Microsecond)) || got.Sub(want).Abs() > off {
		s.t.Errorf("%s was given the time %v; want %v, give or take %v", what, got, want, off)
	}
}

func (s *clocked) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	s.check("Enqueue", now)
	for _, e := range entries {
		for _, d := range e.Deliveries {
			s.check("Enqueue of a delivery created", d.Created)
		}
	}
	return s.Store.Enqueue(ctx, now, entries)
}

func (s *clocked) Claim(ctx context.Context, now time.Time, lanes []hooks.Lane) ([]hooks.Entry, error) {
	s.check("Claim", now)
	for _, l := range lanes {
		s.check("Claim of what was due", l.Before)
	}
	return s.Store.Claim(ctx, now, lanes)
}

func (s *clocked) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	s.check("Update", now)
	return s.Store.Update(ctx, now, changes)
}

func (s *clocked) Put(ctx context.Context, now time.Time, r hooks.Record) (int64, error) {
	s.check("Put", now)
	return s.Store.Put(ctx, now, r)
}

func (s *clocked) Prune(ctx context.Context, p hooks.Prune) (int, error) {
	s.check("Prune", p.Keys)
	return s.Store.Prune(ctx, p)
}

// A lockable store is a clocked one for one dispatcher.
type lockable struct{ *clocked }

func (s lockable) Lock(ctx context.Context, now time.Time) (func() error, error) {
	s.check("Lock", now)
	return s.Store.(hooks.Exclusive).Lock(ctx, now)
}

// byClocks runs a test with stores whose clocks differ from the machine's.
func byClocks(t *testing.T, f func(t *testing.T, s *clocked)) {
	for name, ahead := range map[string]time.Duration{
		"an hour ahead":     time.Hour,
		"a minute behind":   -time.Minute + 7*time.Nanosecond,
		"ten years behind":  -10 * 365 * 24 * time.Hour,
		"as the machine is": 0,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newClocked(t, ahead)) })
		})
	}
}

// Events, deliveries, leases, attempts and retries are dated by the store's
// clock, whatever the machine's says.
func TestDatesAreTheStores(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		var calls []time.Time
		h := dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			calls = append(calls, s.time())
			time.Sleep(2 * time.Second)
			if len(calls) == 1 {
				return errors.New("no")
			}
			return nil
		}})
		began := s.time()
		r := publish(t, h, 1)
		synctest.Wait()
		if ev := storedEvents(t, h)[0]; !ev.Time.Equal(began) {
			t.Errorf("Time of the event = %v; want %v", ev.Time, began)
		}
		d := delivery(t, h, r.EventID, "a")
		if lease := d.Due.Sub(began); d.Status != hooks.Sending || lease < time.Minute || lease > 2*time.Minute {
			t.Errorf("the delivery is %v until %v later; want a lease of one to two minutes", d.Status, lease)
		}
		time.Sleep(3 * time.Second)
		failed := began.Add(2 * time.Second)
		d = delivery(t, h, r.EventID, "a")
		if wait := d.Due.Sub(failed); d.Status != hooks.Retrying || !d.Updated.Equal(failed) || wait < 5*time.Second || wait > 6*time.Second {
			t.Errorf("the delivery is %v since %v, due %v later; want retrying since %v, 5 s to 6 s later", d.Status, d.Updated, wait, failed)
		}
		due := d.Due
		time.Sleep(7 * time.Second)
		synctest.Wait()
		d = delivery(t, h, r.EventID, "a")
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
	byClocks(t, func(t *testing.T, s *clocked) {
		called := make(map[string][]time.Time)
		h := dispatching(t, hooks.Config{Store: s, Retry: retry.Schedule{5 * time.Second, 5 * time.Minute}}, hooks.Handler{
			Name: "a", Concurrency: 1, Func: func(_ context.Context, ev hooks.Event) error {
				called[ev.ID] = append(called[ev.ID], s.time())
				return errors.New("no")
			},
		})
		later, brief := orderPlaced.New(order{1}), orderPlaced.New(order{2})
		later.ID, later.DeliverAt = "evt_later", s.time().Add(2*time.Hour)
		brief.ID, brief.ExpiresAt = "evt_brief", s.time().Add(time.Minute)
		mustPublish(t, h, later)
		mustPublish(t, h, brief)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := called[later.ID]; len(got) != 3 || got[0].Sub(later.DeliverAt).Abs() > time.Microsecond {
			t.Errorf("the scheduled event was tried at %v; want 3 times, first at %v", got, later.DeliverAt)
		}
		if d := delivery(t, h, brief.ID, "a"); d.Reason != hooks.Expired || len(called[brief.ID]) != 2 {
			t.Errorf("the brief event is %v (%s) after %d calls; want failed (expired) after 2", d.Status, d.Reason, len(called[brief.ID]))
		}
	})
}

// A signature has the store's time, and a Retry-After that names a date is
// counted from it.
func TestSignaturesAndRetryAfterAreByTheStoresClock(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		cfg := hooks.Config{Store: s}
		finished := traced(&cfg)
		cfg.Transport = exchange(func(r *http.Request) (*http.Response, error) {
			at := s.time()
			if got, want := r.Header.Get(signer.HeaderTimestamp), strconv.FormatInt(at.Unix(), 10); got != want {
				t.Errorf("webhook-timestamp = %s; want %s", got, want)
			}
			date := at.Truncate(time.Second).Add(time.Hour)
			return answer(503, http.Header{"Retry-After": {date.Format(http.TimeFormat)}}, ""), nil
		})
		h := dispatching(t, cfg)
		put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL})
		send(t, h)
		if got := soon(t, finished).Attempt.RetryAfter; got <= time.Hour-time.Second || got > time.Hour {
			t.Errorf("RetryAfter = %v; want an hour, give or take a part of a second", got)
		}
	})
}

// A secret that was replaced signs for 24 h of the store's time.
func TestReplacedSecretSignsByTheStoresClock(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		signatures := make(chan int, 1)
		h := dispatching(t, hooks.Config{Store: lockable{s}, Transport: exchange(func(r *http.Request) (*http.Response, error) {
			signatures <- len(strings.Fields(r.Header.Get(signer.HeaderSignature)))
			return answer(204, nil, ""), nil
		})})
		put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL})
		put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL, Secret: signer.NewSecret()})
		time.Sleep(24*time.Hour - time.Second)
		send(t, h)
		if got := soon(t, signatures); got != 2 {
			t.Errorf("a second before the day is over there are %d signatures; want 2", got)
		}
		time.Sleep(time.Second)
		send(t, h)
		if got := soon(t, signatures); got != 1 {
			t.Errorf("a day later there are %d signatures; want 1", got)
		}
	})
}

// Idempotency keys and finished deliveries are kept for as long as is
// configured, by the store's clock.
func TestWindowsAreByTheStoresClock(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		h := subscribed(t, hooks.Config{Store: s, Retention: time.Hour, IdempotencyWindow: 30 * time.Minute})
		once := orderPlaced.New(order{1})
		once.IdempotencyKey = "once"
		first := mustPublish(t, h, once)
		for _, c := range []struct {
			wait      time.Duration
			duplicate bool
			left      int
		}{{29 * time.Minute, true, 1}, {2 * time.Minute, false, 2}, {28 * time.Minute, true, 2}, {90 * time.Second, true, 1}} {
			time.Sleep(c.wait)
			again := subscribed(t, hooks.Config{Store: s, Retention: time.Hour, IdempotencyWindow: 30 * time.Minute})
			if err := again.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := mustPublish(t, again, once)
			if left := len(storedEvents(t, h)); r.Duplicate != c.duplicate || left != c.left {
				t.Errorf("%v later: Duplicate = %v with %d events kept of which %s was the first; want %v with %d",
					c.wait, r.Duplicate, left, first.EventID, c.duplicate, c.left)
			}
		}
	})
}

// What a fresh process does first is dated by the store's clock: decisions, the
// taking of the lock, and deletions.
func TestFirstCallsAreDatedByTheStoresClock(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		fresh := func() *hooks.Hooks {
			h := newHooks(t, hooks.Config{Store: lockable{s}})
			if err := h.Subscribe(hooks.Handler{Name: "a", Events: []string{"**"}, Func: ignore}); err != nil {
				t.Fatal(err)
			}
			return h
		}
		id := hooks.DeliveryID{Event: send(t, fresh()).EventID, Subscriber: "a"}
		for _, decide := range []func(context.Context, hooks.DeliveryID) (hooks.Delivery, error){
			fresh().SendNow, fresh().Cancel, fresh().Replay,
		} {
			time.Sleep(time.Second)
			d, err := decide(t.Context(), id)
			if want := s.time(); err != nil || !d.Updated.Equal(want) || !d.Due.Equal(want) {
				t.Errorf("decided at %v, due %v, error %v; want %v", d.Updated, d.Due, err, want)
			}
		}
		put(t, fresh(), hooks.Endpoint{ID: "crm", URL: anyURL})
		if err := fresh().Unsubscribe(t.Context(), "crm"); err != nil {
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
		s := newClocked(t, 0)
		began := time.Now()
		s.clock = func() time.Time { return began.Add(time.Since(began) * 99 / 100) } // 36 s an hour
		s.off = 650 * time.Millisecond
		h := dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		for i := range 3600 {
			publish(t, h, i)
			time.Sleep(time.Second)
		}
		if n := s.asks(); n < 55 || n > 62 {
			t.Errorf("the clock was read %d times in an hour; want about 60", n)
		}
		s.set(func(s *clocked) {
			s.clock, s.off = func() time.Time { return time.Now().Add(time.Hour) }, 2*time.Hour
		})
		time.Sleep(62 * time.Second)
		s.set(func(s *clocked) { s.off = time.Microsecond })
		publish(t, h, 0)
		time.Sleep(time.Minute)
	})
}

// As long as the clock has never been read, what needs the time is refused.
func TestUnreadableClockAtFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		call func(context.Context, *hooks.Hooks, *clocked) error
	}{
		{"Publish", func(ctx context.Context, h *hooks.Hooks, _ *clocked) error {
			_, err := h.Publish(ctx, invoicePaid.New(invoice{1}))
			return err
		}},
		{"PublishTx", func(ctx context.Context, h *hooks.Hooks, s *clocked) error {
			_, err := h.PublishTx(ctx, s, invoicePaid.New(invoice{1}))
			return err
		}},
		{"PutEndpoint", func(ctx context.Context, h *hooks.Hooks, _ *clocked) error {
			_, err := h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", URL: anyURL, Events: []string{"**"}})
			return err
		}},
		{"Unsubscribe", func(ctx context.Context, h *hooks.Hooks, _ *clocked) error { return h.Unsubscribe(ctx, "crm") }},
		{"Cancel", func(ctx context.Context, h *hooks.Hooks, _ *clocked) error {
			_, err := h.Cancel(ctx, hooks.DeliveryID{Event: "evt_1", Subscriber: "a"})
			return err
		}},
		{"Prune", func(ctx context.Context, h *hooks.Hooks, _ *clocked) error { return h.Prune(ctx) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newClocked(t, time.Hour)
			s.err = errFault
			h := newHooks(t, hooks.Config{Store: lockable{s}, Logger: silent})
			err := c.call(t.Context(), h, s)
			if !errors.Is(err, errFault) || !strings.Contains(fmt.Sprint(err), "hooks: read the store's clock: ") {
				t.Errorf("%s = %v; want that the store's clock cannot be read", c.name, err)
			}
			records, err := s.Records(t.Context(), 0)
			if n := len(storedEvents(t, h)); err != nil || n != 0 || len(records) != 0 {
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
				s := newClocked(t, time.Hour)
				store := hooks.Store(s)
				if exclusive {
					store = lockable{s}
				}
				a, calls := counting("a")
				waiting := mustPublish(t, subscribed(t, hooks.Config{Store: s}, a), orderPlaced.New(order{1}))
				s.set(func(s *clocked) { s.err = errFault })
				dispatching(t, hooks.Config{Store: store, Logger: silent}, a)
				time.Sleep(3 * time.Minute) // beyond the first pruning
				s.set(func(s *clocked) { s.err = nil })
				time.Sleep(4 * time.Second)
				if got := calls.of(waiting.EventID); got != 1 {
					t.Errorf("when the clock can be read, the handler was called %d times; want once", got)
				}
			})
		})
	}
}
