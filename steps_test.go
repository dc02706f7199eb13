package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// A wall is a machine's clock, which can be set.
type wall struct{ ahead atomic.Int64 }

func (w *wall) now() time.Time { return time.Now().Round(0).Add(time.Duration(w.ahead.Load())) }

func (w *wall) set(by time.Duration) { w.ahead.Add(int64(by)) }

const year = 365 * 24 * time.Hour

// bySteps runs a test on memory and SQLite, for each step by which a clock may be set.
func bySteps(t *testing.T, f func(t *testing.T, cfg hooks.Config, by time.Duration)) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, year, -year} {
		t.Run(fmt.Sprintf("memory/%v", by), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, hooks.Config{Store: memory.New(), Logger: kit.Silent}, by) })
		})
		file := filepath.Join(t.TempDir(), "hooks.db")
		t.Run(fmt.Sprintf("sqlite/%v", by), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, err := sqlite.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { store.Close() })
				f(t, hooks.Config{Store: store, Logger: kit.Silent}, by)
			})
		})
	}
}

// settable returns a Hooks that runs on a machine whose clock can be set.
func settable(t *testing.T, cfg hooks.Config, handlers ...hooks.Handler) (*hooks.Hooks, *wall) {
	t.Helper()
	h, w := kit.Subscribed(t, cfg, handlers...), &wall{}
	hooks.SetWall(h, w.now)
	kit.StartInBubble(t, h)
	return h, w
}

// failingFirst returns a handler that fails the first call for each event.
func failingFirst(took time.Duration) (hooks.Handler, *kit.CallLog) {
	l := kit.NewCallLog()
	return hooks.Handler{Name: "a", Func: func(_ context.Context, ev hooks.Event) error {
		n := l.Note(ev.ID)
		time.Sleep(took)
		if n == 1 {
			return errors.New("no")
		}
		return nil
	}}, l
}

// wantOnce checks that events were sent once each, and have succeeded so.
func wantOnce(t *testing.T, h *hooks.Hooks, l *kit.CallLog, events []string) {
	t.Helper()
	for _, id := range events {
		d := kit.Delivery(t, h, id, "a")
		if calls := l.Of(id); len(calls) != 1 || d.Status != hooks.Succeeded || d.Attempts != 1 || d.Lost != 0 {
			t.Errorf("%s was sent at %v, and is %v with %d attempts and %d lost; want once, succeeded, 1, 0",
				id, calls, d.Status, d.Attempts, d.Lost)
		}
	}
}

// When the clock is set, what is under way, queued or still in the store is sent
// once, and without a delay.
func TestClockSetDuringAttempts(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		a, calls := kit.BusyFor(10*time.Second, 2)
		h, w := settable(t, cfg, a)
		for _, n := range []int{8, 30} { // a lane takes 10; the others wait in the store
			var events []string
			for i := range n {
				events = append(events, kit.PlaceOrder(t, h, i).EventID)
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(5 * time.Second)
			w.set(by)
			h.Wake(t.Context())
			time.Sleep(10 * time.Second)
			events = append(events, kit.PlaceOrder(t, h, n).EventID, kit.PlaceOrder(t, h, n+1).EventID)
			time.Sleep(time.Duration(n+2) * 5 * time.Second)
			wantOnce(t, h, calls, events)
		}
	})
}

// An attempt that is under way when the clock is set counts, also if it was charged
// when it began; so does one that is being saved.
func TestClockSetWhileOneIsCharged(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		a, calls := kit.BusyFor(10*time.Second, 2)
		h, w := kit.Subscribed(t, cfg, a), &wall{}
		hooks.SetWall(h, w.now)
		r := kit.PlaceOrder(t, h, 0)
		runs := make(map[int]bool)
		for i := range 4 { // leases are lost
			got := kit.Leased(t, cfg.Store, "a", w.now().Add(time.Duration(i)*2*time.Minute).UTC().Truncate(time.Microsecond))
			runs[len(got)] = true
		}
		time.Sleep(10 * time.Minute)
		kit.Accuse(t, cfg.Store, hooks.DeliveryID{Event: r.EventID, Subscriber: "a"})
		kit.StartInBubble(t, h)
		synctest.Wait()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Sending || d.Attempts != 1 || len(runs) != 1 {
			t.Fatalf("the delivery is %v with %d attempts; want sending with one charged", d.Status, d.Attempts)
		}
		time.Sleep(time.Second)
		w.set(by)
		kit.PlaceOrder(t, h, 1)
		h.Wake(t.Context())
		time.Sleep(time.Minute)
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Succeeded || d.Attempts != 1 || len(calls.Of(r.EventID)) != 1 {
			t.Errorf("the delivery is %v with %d attempts, sent %d times; want succeeded with 1, once", d.Status, d.Attempts, len(calls.Of(r.EventID)))
		}
	})
}

// A slowStore takes its time to write outcomes, to say that it has, and to say what
// it has leased.
type slowStore struct {
	hooks.Store
	before, after, claims time.Duration
}

func (s slowStore) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	defer time.Sleep(s.claims)
	return s.Store.Claim(ctx, now, lanes)
}

func (s slowStore) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	time.Sleep(s.before)
	defer time.Sleep(s.after)
	return s.Store.Update(ctx, now, changes)
}

func (s slowStore) Lock(ctx context.Context, now time.Time) (func() error, error) {
	return s.Store.(hooks.Exclusive).Lock(ctx, now)
}

// What is being saved when the clock is set is not sent again, and a retry that is
// being saved comes after its wait.
func TestClockSetWhileOutcomesAreSaved(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		for _, store := range []slowStore{{cfg.Store, 20 * time.Second, 0, 0}, {cfg.Store, 0, 20 * time.Second, 0}} {
			cfg.Store, cfg.Retry = store, retry.Schedule{10 * time.Minute}
			a, calls := failingFirst(0)
			h, w := kit.Subscribed(t, cfg, a), &wall{}
			hooks.SetWall(h, w.now)
			stop := kit.StartInBubble(t, h)
			var events []string
			for i := range 3 { // the first is being saved, the others wait for that
				events = append(events, kit.PlaceOrder(t, h, i).EventID)
				time.Sleep(time.Second)
			}
			w.set(by)
			h.Wake(t.Context())
			time.Sleep(time.Hour)
			for _, id := range events {
				if got := calls.Of(id); len(got) != 2 || got[1]-got[0] < 10*time.Minute || got[1]-got[0] > 14*time.Minute {
					t.Errorf("sent at %v; want twice, 10 to 14 minutes apart", got)
				}
			}
			stop()
		}
	})
}

// An attempt counts whose lease a claim has renewed, also if that is not known yet when
// its outcome is refused.
func TestClockSetBeforeAClaimThatIsSlowToAnswer(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		cfg.Store = slowStore{Store: cfg.Store, claims: 5 * time.Second}
		a, calls := kit.BusyFor(3*time.Second, 4)
		h, w := settable(t, cfg, a)
		events := []string{kit.PlaceOrder(t, h, 0).EventID, kit.PlaceOrder(t, h, 1).EventID}
		time.Sleep(time.Second)
		w.set(by)
		h.Wake(t.Context())
		time.Sleep(time.Minute)
		wantOnce(t, h, calls, events)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := h.Flush(ctx); err != nil {
			t.Errorf("Flush = %v; want nil, because nothing is held any more", err)
		}
	})
}

// What is claimed again before it is known here that its last outcome was saved begins
// when that is known.
func TestRetryThatIsClaimedBeforeItIsKnownToBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, calls := failingFirst(0)
		store := slowStore{Store: memory.New(), after: 20 * time.Second}
		h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent, Retry: retry.Schedule{10 * time.Second}}, a)
		r := kit.PlaceOrder(t, h, 0)
		time.Sleep(15 * time.Second)
		h.Wake(t.Context())
		time.Sleep(time.Minute)
		got := calls.Of(r.EventID)
		if d := kit.Delivery(t, h, r.EventID, "a"); len(got) != 2 || got[1] > 21*time.Second || d.Status != hooks.Succeeded || d.Lost != 0 {
			t.Errorf("sent at %v, and is %v with %d lost; want twice, after 20 s, succeeded, 0", got, d.Status, d.Lost)
		}
	})
}

// A retry waits for as long as the policy says, whatever becomes of the clock.
func TestRetriesKeepTheirWaitsWhenTheClockIsSet(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		const wait = 3 * time.Hour
		cfg.Retry = retry.Schedule{wait}
		a, calls := failingFirst(time.Second)
		h, w := settable(t, cfg, a)
		var events []string
		for i := range 40 {
			events = append(events, kit.PlaceOrder(t, h, i).EventID)
			time.Sleep(3 * time.Minute) // an hour before the clock is set, too
		}
		w.set(by)
		time.Sleep(30 * time.Minute)
		w.set(-by)
		time.Sleep(10 * time.Minute)
		w.set(by)
		time.Sleep(5 * time.Hour)
		for _, id := range events {
			got := calls.Of(id)
			if len(got) != 2 || got[1]-got[0] < wait || got[1]-got[0] > wait*6/5+2*time.Minute {
				t.Errorf("sent at %v; want twice, %v apart or a fifth more", got, wait)
			}
		}
	})
}

// A scheduled delivery comes when the clock says so.
func TestScheduledDeliveriesFollowTheClock(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		a, calls := kit.BusyFor(0, 1)
		h, w := settable(t, cfg, a)
		later := kit.OrderPlaced.New(kit.Order{ID: 1})
		later.DeliverAt = w.now().Add(2 * time.Hour)
		r := kit.Publish(t, h, later)
		time.Sleep(10 * time.Minute)
		w.set(by)
		soon := kit.OrderPlaced.New(kit.Order{ID: 2})
		soon.DeliverAt = w.now().Add(30 * time.Minute)
		second := kit.Publish(t, h, soon)
		time.Sleep(5 * time.Hour)
		want := max(2*time.Hour-by, 10*time.Minute)
		switch got := calls.Of(r.EventID); {
		case by == -year:
			if len(got) != 0 {
				t.Errorf("sent at %v; want not within a year", got)
			}
		case len(got) != 1 || got[0] < want || got[0] > want+2*time.Minute:
			t.Errorf("sent at %v; want once, %v later", got, want)
		}
		if got := calls.Of(second.EventID); len(got) != 1 || got[0] < 40*time.Minute || got[0] > 42*time.Minute {
			t.Errorf("scheduled after the clock was set, sent at %v; want once, 40 minutes later", got)
		}
	})
}

// What is signed and kept has the time of the clock as it was set.
func TestSignaturesFollowTheClock(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		w := &wall{}
		cfg.Transport = kit.Exchange(func(r *http.Request) (*http.Response, error) {
			sec, err := strconv.ParseInt(r.Header.Get(signer.HeaderTimestamp), 10, 64)
			if got := time.Unix(sec, 0); err != nil || w.now().Sub(got).Abs() > 2*time.Second {
				t.Errorf("webhook-timestamp is that of %v; want %v", got, w.now())
			}
			return kit.Answer(204, nil, ""), nil
		})
		finished := kit.Traced(&cfg)
		h := kit.Subscribed(t, cfg)
		hooks.SetWall(h, w.now)
		kit.StartInBubble(t, h)
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		for range 2 {
			kit.Send(t, h)
			if got := kit.Soon(t, finished).Attempt.Start; w.now().Sub(got).Abs() > 2*time.Second {
				t.Errorf("Start = %v; want %v", got, w.now())
			}
			w.set(by)
		}
	})
}

// A clock that was set forward makes nothing forgotten for a day, and for good if it
// was right.
func TestClockSetForwardForgetsNothingForADay(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		cfg.Retention = 30 * 24 * time.Hour
		a, _ := kit.BusyFor(0, 1)
		h, w := settable(t, cfg, a)
		kit.PlaceOrder(t, h, 0)
		time.Sleep(time.Hour)
		w.set(by)
		time.Sleep(23 * time.Hour)
		if err := h.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(kit.Events(t, h)); n != 1 {
			t.Errorf("23 hours after the clock was set there are %d events; want the one", n)
		}
		time.Sleep(3 * time.Hour)
		want := 1
		if by == year {
			want = 0
		}
		if n := len(kit.Events(t, h)); n != want {
			t.Errorf("26 hours after the clock was set there are %d events; want %d", n, want)
		}
	})
}

// A database's clock may be set, too: then leases seem to have ended. One process
// sends nothing twice.
func TestStoresClockSetDuringAttempts(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, year} {
		synctest.Test(t, func(t *testing.T) {
			s := kit.NewClockedStore(t, 0)
			s.Tolerance = 2 * year
			a, calls := kit.BusyFor(100*time.Second, 4)
			a.Timeout = 2 * time.Minute
			h := kit.Dispatching(t, hooks.Config{Store: s, Logger: kit.Silent}, a)
			var events []string
			for i := range 12 {
				events = append(events, kit.PlaceOrder(t, h, i).EventID)
			}
			time.Sleep(time.Second)
			s.Set(func(s *kit.ClockedStore) { s.Clock = func() time.Time { return time.Now().Add(by) } })
			time.Sleep(10 * time.Minute)
			wantOnce(t, h, calls, events)
		})
	}
}

// What is published while the clock is wrong for a moment does not wait until it would
// have been right, also if the lane is full and the store has nothing to tell.
func TestClockSetForwardAndBack(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		a, calls := kit.BusyFor(10*time.Second, 1)
		h, w := settable(t, cfg, a)
		var events []string
		for i := range 6 { // a lane takes 5
			events = append(events, kit.PlaceOrder(t, h, i).EventID)
		}
		time.Sleep(time.Second)
		w.set(by)
		time.Sleep(time.Second)
		events = append(events, kit.PlaceOrder(t, h, 7).EventID)
		time.Sleep(time.Second)
		w.set(-by)
		time.Sleep(5 * time.Minute)
		wantOnce(t, h, calls, events)
	})
}

// What is given back before the clock is set back, and written afterwards, is due.
func TestGivenBackWhileTheClockIsSetBack(t *testing.T) {
	for range 20 { // of the goroutines that meet, any may be first
		synctest.Test(t, func(t *testing.T) {
			s := &kit.SlowWriter{Store: memory.New()}
			a, _ := kit.BusyFor(time.Millisecond, 4)
			h, w := settable(t, hooks.Config{Store: s, Logger: kit.Silent}, a)
			time.Sleep(time.Second)
			s.Slow.Store(true)
			kit.PlaceOrder(t, h, 1)
			time.Sleep(100 * time.Millisecond)
			s.Fail.Store(true)
			ev := kit.OrderPlaced.New(kit.Order{ID: 2})
			ev.ID = "evt_2"
			if _, err := h.Publish(t.Context(), ev); err == nil {
				t.Fatal("Publish = nil; want the store's error")
			}
			s.Fail.Store(false)
			time.Sleep(100 * time.Millisecond)
			w.set(-time.Hour)
			h.Wake(t.Context())
			kit.Publish(t, h, ev) // a duplicate
			time.Sleep(30 * time.Second)
			if d := kit.Delivery(t, h, "evt_2", "a"); d.Status != hooks.Succeeded {
				t.Errorf("30 s later it is %v, due in %v; want succeeded", d.Status, d.Due.Sub(w.now()))
			}
		})
	}
}
