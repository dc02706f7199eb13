package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

func TestDeliversAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := make(chan hooks.Event, 1)
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(_ context.Context, ev hooks.Event) error {
			got <- ev
			return nil
		}})
		r := kit.PlaceOrder(t, h, 7)
		ev := <-got
		if ev.ID != r.EventID || string(ev.Data) != `{"id":7}` {
			t.Errorf("handler got %s %s; want %s {\"id\":7}", ev.ID, ev.Data, r.EventID)
		}
		synctest.Wait()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Succeeded || d.Attempts != 1 {
			t.Errorf("delivery is %v after %d attempts; want succeeded after 1", d.Status, d.Attempts)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v of the clock; want none", took)
		}
	})
}

func TestRetriesAsTheScheduleSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			starts = append(starts, time.Now())
			return errors.New("no")
		}})
		r := kit.PlaceOrder(t, h, 1)
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		schedule := retry.Standard()
		if len(starts) != len(schedule)+1 {
			t.Fatalf("%d attempts; want %d", len(starts), len(schedule)+1)
		}
		for i, wait := range schedule {
			got := starts[i+1].Sub(starts[i])
			if got < wait || got > wait+wait/5+time.Millisecond {
				t.Errorf("wait %d = %v; want %v to 20 %% more", i+1, got, wait)
			}
		}
		d := kit.Delivery(t, h, r.EventID, "a")
		if d.Status != hooks.Failed || d.Reason != hooks.ReasonExhausted || d.Attempts != 10 {
			t.Errorf("delivery is %v (%s) after %d attempts; want failed (exhausted) after 10", d.Status, d.Reason, d.Attempts)
		}
		attempts, err := h.Attempts(t.Context(), d.DeliveryID)
		if err != nil || len(attempts) != 10 {
			t.Fatalf("Attempts = %d, %v; want 10", len(attempts), err)
		}
		for i, a := range attempts {
			if a.Number != i+1 || a.Run != 1 || a.Error != "error" || string(a.Body) != "no" || !a.Start.Equal(starts[i].Truncate(time.Microsecond)) {
				t.Errorf("attempt %d = %+v", i+1, a)
			}
		}
	})
}

func TestRetryAfterAndPermanent(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status hooks.Status
		reason hooks.Reason
		least  time.Duration
		most   time.Duration
	}{
		{"later than the schedule", hooks.RetryAfter(errors.New("busy"), time.Hour), hooks.Retrying, "", time.Hour, time.Hour},
		{"sooner than the schedule", hooks.RetryAfter(errors.New("busy"), time.Second), hooks.Retrying, "", 5 * time.Second, 6 * time.Second},
		{"beyond a day", hooks.RetryAfter(errors.New("busy"), 99*time.Hour), hooks.Retrying, "", 24 * time.Hour, 24 * time.Hour},
		{"never", hooks.Permanent(errors.New("bad")), hooks.Failed, hooks.ReasonRejected, 0, 0},
		{"never, wrapped", fmt.Errorf("x: %w", hooks.Permanent(errors.New("bad"))), hooks.Failed, hooks.ReasonRejected, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return c.err }})
				at := time.Now()
				r := kit.PlaceOrder(t, h, 1)
				synctest.Wait()
				d := kit.Delivery(t, h, r.EventID, "a")
				if d.Status != c.status || d.Reason != c.reason {
					t.Errorf("delivery is %v (%s); want %v (%s)", d.Status, d.Reason, c.status, c.reason)
				}
				if wait := d.Due.Sub(at); wait < c.least.Truncate(time.Microsecond) || wait > c.most {
					t.Errorf("due in %v; want %v to %v", wait, c.least, c.most)
				}
			})
		})
	}
}

func TestWaitsForDeliverAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var called atomic.Int64
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			called.Store(time.Now().UnixMicro())
			return nil
		}})
		ev := kit.OrderPlaced.New(kit.Order{ID: 1})
		ev.DeliverAt = time.Now().Add(36 * time.Hour)
		if _, err := h.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		if got := called.Load(); got != ev.DeliverAt.UnixMicro() {
			t.Errorf("called at %v; want %v", time.UnixMicro(got), ev.DeliverAt)
		}
	})
}

func TestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			calls++
			return errors.New("no")
		}})
		ev := kit.OrderPlaced.New(kit.Order{ID: 1})
		ev.ExpiresAt = time.Now().Add(time.Minute)
		r, err := h.Publish(t.Context(), ev)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		// The second attempt is at 5 s, the third would be at 5 m.
		d := kit.Delivery(t, h, r.EventID, "a")
		if d.Status != hooks.Failed || d.Reason != hooks.ReasonExpired || calls != 2 {
			t.Errorf("delivery is %v (%s) after %d calls; want failed (expired) after 2", d.Status, d.Reason, calls)
		}
	})
}

func TestExpiredBeforeItCouldBeTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.Subscribed(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			t.Error("called")
			return nil
		}})
		ev := kit.OrderPlaced.New(kit.Order{ID: 1})
		ev.ExpiresAt = time.Now().Add(time.Minute)
		r, err := h.Publish(t.Context(), ev)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		kit.StartInBubble(t, h)
		synctest.Wait()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Reason != hooks.ReasonExpired || d.Attempts != 0 {
			t.Errorf("delivery is %v (%s) after %d attempts; want failed (expired) after 0", d.Status, d.Reason, d.Attempts)
		}
	})
}

// When nothing is due, nothing runs: the bubble's clock jumps from one due
// moment to the next.
func TestSleepsWhenNothingIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.CountingStore{Store: memory.New()}
		h := kit.Dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		kit.PlaceOrder(t, h, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := store.Backlogs.Load()
		time.Sleep(24 * time.Hour)
		if n := store.Backlogs.Load() - before; n > 2 {
			t.Errorf("the store was asked %d times in an idle day; want no polling", n)
		}
	})
}

func TestDrainGivesBackUncharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		stuck := hooks.Handler{Name: "a", Concurrency: 2, Func: func(ctx context.Context, _ hooks.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		h := kit.Subscribed(t, hooks.Config{Store: store, DrainTimeout: time.Second}, stuck)
		stop := kit.StartInBubble(t, h)
		for i := range 20 {
			kit.PlaceOrder(t, h, i)
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("Run returned after %v; want at most DrainTimeout + 100 ms", took)
		}
		page, _, err := h.Deliveries(t.Context(), hooks.Query{Limit: 100})
		if err != nil || len(page) != 20 {
			t.Fatalf("Deliveries = %d, %v; want 20", len(page), err)
		}
		for _, d := range page {
			if d.Status != hooks.Pending || d.Attempts != 0 || d.Lost != 0 || d.Due.After(time.Now()) {
				t.Errorf("%v is %v, %d attempts, %d lost, due %v; want pending and uncharged", d.DeliveryID, d.Status, d.Attempts, d.Lost, d.Due)
			}
		}
	})
}

func TestReplayAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works := false
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			if works {
				return nil
			}
			return errors.New("no")
		}})
		ctx := t.Context()
		r := kit.PlaceOrder(t, h, 1)
		synctest.Wait()
		id := hooks.DeliveryID{Event: r.EventID, Subscriber: "a"}

		works = true
		if _, err := h.Cancel(ctx, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Canceled || d.Attempts != 1 {
			t.Errorf("canceled: %v after %d attempts; want canceled after 1", d.Status, d.Attempts)
		}
		if _, err := h.Replay(ctx, id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Succeeded || d.Run != 2 || d.Attempts != 1 {
			t.Errorf("replayed: %v, run %d, %d attempts; want succeeded, run 2, 1", d.Status, d.Run, d.Attempts)
		}
		var wrong *hooks.StatusError
		if _, err := h.Cancel(ctx, id); !errors.As(err, &wrong) || wrong.From != hooks.Succeeded {
			t.Errorf("Cancel of a succeeded delivery = %v; want a StatusError", err)
		}
		if _, err := h.Replay(ctx, hooks.DeliveryID{Event: "evt_no", Subscriber: "a"}); !errors.Is(err, hooks.ErrNotFound) {
			t.Errorf("Replay of nothing = %v; want ErrNotFound", err)
		}
	})
}

func TestReplayOfAWaitingDeliveryDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			calls++
			return errors.New("no")
		}})
		r := kit.PlaceOrder(t, h, 1)
		synctest.Wait()
		id := hooks.DeliveryID{Event: r.EventID, Subscriber: "a"}
		if d, err := h.Replay(t.Context(), id); err != nil || d.Run != 1 || d.Attempts != 1 || d.Status != hooks.Retrying {
			t.Fatalf("Replay = %+v, %v; want it retrying, in its first run", d, err)
		}
		synctest.Wait()
		if calls != 2 {
			t.Errorf("%d calls; want 2 without waiting", calls)
		}
	})
}

func TestOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		h := kit.Dispatching(t, hooks.Config{Store: store})
		if err := h.Run(t.Context()); !errors.Is(err, hooks.ErrRunning) {
			t.Errorf("second Run = %v; want ErrRunning", err)
		}
		other := kit.Subscribed(t, hooks.Config{Store: store})
		if err := other.Run(t.Context()); !errors.Is(err, hooks.ErrLocked) {
			t.Errorf("Run of another Hooks = %v; want ErrLocked", err)
		}
	})
}

// A store that says there is work and hands none out keeps nobody busy.
func TestEmptyClaimsDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lyingStore{Store: memory.New()}
		h := kit.Dispatching(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		h.Wake(t.Context())
		time.Sleep(time.Minute) // never ends if the loop spins, for the bubble's clock stands still
		if n := store.claims.Load(); n > 2000 {
			t.Errorf("%d claims in a minute; want about one a second in the end", n)
		}
	})
}

// A lyingStore has something due for subscriber a that no claim finds.
type lyingStore struct {
	hooks.Store
	claims atomic.Int64
}

func (s *lyingStore) Backlog(context.Context) ([]hooks.BacklogLane, error) {
	return []hooks.BacklogLane{{Subscriber: "a", Due: time.Now()}}, nil
}

func (s *lyingStore) Claim(context.Context, time.Time, []hooks.ClaimLane) ([]hooks.Entry, error) {
	s.claims.Add(1)
	return nil, nil
}

func (s *lyingStore) Lock(ctx context.Context, now time.Time) (func() error, error) {
	return s.Store.(hooks.Exclusive).Lock(ctx, now)
}

// Deleting a subscriber cancels what waits for it, and lets what is under way
// end; meanwhile the dispatcher sleeps.
func TestDeleteEndpointWhileUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.CountingStore{Store: memory.New()}
		slow := kit.Exchange(func(req *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Second)
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}, nil
		})
		h := kit.Dispatching(t, hooks.Config{Store: store, Transport: slow, SubscriberConcurrency: 1})
		if _, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "e", URL: "https://example.com/", Events: []string{"**"}}); err != nil {
			t.Fatal(err)
		}
		first := kit.PlaceOrder(t, h, 0)
		for i := range 1000 {
			kit.PlaceOrder(t, h, i)
		}
		synctest.Wait()
		before := store.Backlogs.Load()
		if err := h.DeleteEndpoint(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := kit.Delivery(t, h, first.EventID, "e"); d.Status != hooks.Succeeded {
			t.Errorf("what was under way is %v; want succeeded", d.Status)
		}
		page, _, err := h.Deliveries(t.Context(), hooks.Query{Statuses: []hooks.Status{hooks.Canceled}, Limit: 2000})
		if err != nil || len(page) != 1000 {
			t.Errorf("%d canceled, %v; want 1000", len(page), err)
		}
		if n := store.Backlogs.Load() - before; n > 50 {
			t.Errorf("the store was asked %d times; want about one for each 200 canceled", n)
		}
	})
}
