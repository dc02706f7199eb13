package systemtest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A metered store notes when counters are written, and how many in one call.
type metered struct {
	exclusiveStore
	hooks.Reporter
	began time.Time

	mu     sync.Mutex // guards what follows
	writes []meterWrite
	err    error // if not nil: what AddMinutes returns, and writes nothing
}

type meterWrite struct {
	after time.Duration
	rows  int
}

func (s *metered) AddMinutes(ctx context.Context, ms []hooks.Minute) error {
	s.mu.Lock()
	s.writes = append(s.writes, meterWrite{time.Since(s.began), len(ms)})
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Reporter.AddMinutes(ctx, ms)
}

// fail sets what AddMinutes returns.
func (s *metered) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *metered) written() []meterWrite {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func meteredStore(s exclusiveStore) *metered {
	return &metered{exclusiveStore: s, Reporter: s.(hooks.Reporter), began: time.Now()}
}

// inMetered runs a test on each store, in a bubble that begins at midnight.
func inMetered(t *testing.T, f func(t *testing.T, s *metered)) {
	t.Helper()
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, meteredStore(open(t))) })
		})
	}
}

// activity returns what Activity lists.
func activity(t *testing.T, of func(context.Context, hooks.Query) ([]hooks.Minute, error), q hooks.Query) []hooks.Minute {
	t.Helper()
	list, err := of(t.Context(), q)
	if err != nil {
		t.Fatalf("Activity(%+v): %v", q, err)
	}
	return list
}

// attempts returns how many succeeded and failed in all.
func attempts(list []hooks.Minute) (ok, failed int) {
	for _, m := range list {
		ok += m.Succeeded
		failed += m.Failed
	}
	return ok, failed
}

// Counters are written ten seconds after the first attempt, in one call, and once more when
// Run ends. While nothing is attempted, nothing is written.
func TestActivityIsWrittenEveryTenSeconds(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		h := kit.Subscribed(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: kit.Ignore}, hooks.Handler{Name: "b", Func: kit.Ignore})
		stop := kit.StartInBubble(t, h)
		time.Sleep(time.Hour + 3*time.Second)
		s.began = time.Now()
		kit.PlaceOrder(t, h, 1)
		time.Sleep(9 * time.Second)
		kit.PlaceOrder(t, h, 2)
		time.Sleep(time.Second - time.Nanosecond)
		if got := activity(t, h.Activity, hooks.Query{}); len(got) > 0 {
			t.Errorf("Activity before ten seconds have passed = %+v; want nothing yet", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if ok, failed := attempts(activity(t, h.Activity, hooks.Query{})); ok != 4 || failed != 0 {
			t.Errorf("Activity after ten seconds counts %d and %d; want 4 and 0", ok, failed)
		}
		time.Sleep(24 * time.Hour)
		kit.PlaceOrder(t, h, 3)
		time.Sleep(3 * time.Second)
		stop()
		day := 24*time.Hour + 10*time.Second
		want := []meterWrite{{10 * time.Second, 3}, {day + 3*time.Second, 3}}
		if got := s.written(); !slices.Equal(got, want) {
			t.Errorf("counters were written %v; want %v", got, want)
		}
		if ok, _ := attempts(activity(t, h.Activity, hooks.Query{Subscriber: "a"})); ok != 3 {
			t.Errorf("Activity of a counts %d; want 3", ok)
		}
		kit.StartInBubble(t, h)()
		if got := s.written(); len(got) != 2 {
			t.Errorf("another Run has written %v; want nothing more", got[2:])
		}
	})
}

// Flush writes what it has counted.
func TestFlushWritesActivity(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		h := kit.Subscribed(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: kit.Ignore})
		kit.PlaceOrder(t, h, 1)
		flush(t, h)
		if ok, _ := attempts(activity(t, h.Activity, hooks.Query{})); ok != 1 {
			t.Errorf("Activity after Flush counts %d; want 1", ok)
		}
	})
}

// A From within the time of a counter selects the counter: a minute of all subscribers, five
// of one.
func TestActivityFromWithinACounter(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		h := kit.Subscribed(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: kit.Ignore})
		midnight := time.Now()
		for _, after := range []time.Duration{0, 5 * time.Minute, 6 * time.Minute} {
			time.Sleep(time.Until(midnight.Add(after)))
			kit.PlaceOrder(t, h, 1)
			flush(t, h)
		}
		for _, c := range []struct {
			q    hooks.Query
			want int
		}{
			{hooks.Query{From: midnight.Add(6*time.Minute - 1)}, 2},
			{hooks.Query{From: midnight.Add(6*time.Minute + 59*time.Second)}, 1},
			{hooks.Query{From: midnight.Add(7 * time.Minute)}, 0},
			{hooks.Query{Subscriber: "a", From: midnight.Add(5*time.Minute - 1)}, 3},
			{hooks.Query{Subscriber: "a", From: midnight.Add(9*time.Minute + 59*time.Second)}, 2},
			{hooks.Query{Subscriber: "a", From: midnight.Add(10 * time.Minute)}, 0},
		} {
			if got, _ := attempts(activity(t, h.Activity, c.q)); got != c.want {
				t.Errorf("Activity(%q from %v) counts %d; want %d", c.q.Subscriber, c.q.From.Sub(midnight), got, c.want)
			}
		}
	})
}

// An attempt is in the minute in which it ended, and in the counter of how long it took.
func TestActivityByMinuteAndDuration(t *testing.T) {
	const µs = time.Microsecond
	inMetered(t, func(t *testing.T, s *metered) {
		var took time.Duration
		var result error
		h := kit.Dispatching(t, hooks.Config{Store: s, Retry: retry.Schedule{}, Logger: kit.Silent}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { time.Sleep(took); return result },
		})
		midnight := time.Now().UTC()
		limits := []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}
		endsAt := func(end, lasts time.Duration, err error) {
			took, result = lasts, err
			time.Sleep(time.Until(midnight.Add(end - lasts)))
			kit.PlaceOrder(t, h, 1)
			time.Sleep(lasts)
			synctest.Wait()
		}
		endsAt(time.Minute-µs, 0, nil)
		endsAt(time.Minute, 0, errors.New("no"))
		endsAt(5*time.Minute-µs, 0, nil)
		endsAt(5*time.Minute, 0, nil)
		for i, ms := range limits {
			endsAt(10*time.Minute+time.Duration(i)*4*time.Minute, ms*time.Millisecond, nil)
			endsAt(12*time.Minute+time.Duration(i)*4*time.Minute, ms*time.Millisecond+µs, nil)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		one := func(start time.Duration, subscriber string, ok, failed, bucket int) hooks.Minute {
			m := hooks.Minute{Start: midnight.Add(start), Subscriber: subscriber, Succeeded: ok, Failed: failed}
			m.Took[bucket] = ok + failed
			return m
		}
		want := []hooks.Minute{
			one(0, "", 1, 0, 0), one(time.Minute, "", 0, 1, 0), one(4*time.Minute, "", 1, 0, 0), one(5*time.Minute, "", 1, 0, 0),
		}
		for i := range limits {
			want = append(want, one(time.Duration(10+4*i)*time.Minute, "", 1, 0, i), one(time.Duration(12+4*i)*time.Minute, "", 1, 0, i+1))
		}
		if got := activity(t, h.Activity, hooks.Query{}); !slices.Equal(got, want) {
			t.Errorf("Activity =\n%v; want\n%v", got, want)
		}
		wantA := []hooks.Minute{one(0, "a", 2, 1, 0), one(5*time.Minute, "a", 1, 0, 0)}
		to := midnight.Add(10 * time.Minute)
		if got := activity(t, h.Activity, hooks.Query{Subscriber: "a", To: to}); !slices.Equal(got, wantA) {
			t.Errorf("Activity of a =\n%v; want\n%v", got, wantA)
		}
	})
}

// A store that does not take the counters delays nothing. The counters are dropped, and the
// log has one line in ten minutes.
func TestActivityThatCannotBeWrittenIsDropped(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		var log lines
		a, calls := kit.Counting("a")
		h := kit.Subscribed(t, hooks.Config{Store: s, Logger: slog.New(&log)}, a)
		stop := kit.StartInBubble(t, h)
		s.fail(kit.ErrFault)
		for i := range 30 { // ten minutes
			r := kit.PlaceOrder(t, h, i)
			synctest.Wait()
			if calls.Of(r.EventID) != 1 {
				t.Errorf("event %d was not delivered at once", i)
			}
			time.Sleep(20*time.Second - 1)
		}
		const text = "did not take the counters"
		if n, w := log.count(text), len(s.written()); n != 1 || w != 30 {
			t.Errorf("%d lines after %d writes that failed; want 1 after 30", n, w)
		}
		s.fail(nil)
		kit.PlaceOrder(t, h, 31)
		synctest.Wait()
		stop()
		if ok, _ := attempts(activity(t, h.Activity, hooks.Query{})); ok != 1 {
			t.Errorf("Activity counts %d; want 1, and that the others were dropped", ok)
		}
		if log.count("the store fails") > 0 {
			t.Error("the log says that the store fails; want the line about counters only")
		}
	})
}

// A call that never returns delays neither deliveries nor the end of Run by much: the first
// one, at the end of Run, or many.
func TestActivityThatHangsDelaysNothing(t *testing.T) {
	for name, n := range map[string]int{"at the end": 5, "twice before": 200} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newHanging(t, stall{method: "AddMinutes", n: 1, all: true, deaf: true})
				defer close(store.release)
				a, calls := kit.Counting("a")
				h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, a)
				stop := kit.StartInBubble(t, h)
				for i := range n {
					r := kit.PlaceOrder(t, h, i)
					synctest.Wait()
					if calls.Of(r.EventID) != 1 {
						t.Errorf("event %d was not delivered at once", i)
					}
					time.Sleep(time.Second)
				}
				began := time.Now()
				stop()
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("Run returned after %v; want 3 s at most", took)
				}
				if calls, _, most, _ := store.state(); calls == 0 || most > 2 {
					t.Errorf("%d calls, %d hang at once; want some, and 2 at most", calls, most)
				}
			})
		})
	}
}

// An attempt is counted once, although the store's answer was lost; one whose outcome was
// stale is not counted, and neither is a test.
func TestActivityCountsWhatWasStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHanging(t, stall{method: "Update", n: 1, done: true})
		defer close(store.release)
		ok := kit.Exchange(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return kit.Answer(200, nil, ""), nil
		})
		h := kit.Dispatching(t, hooks.Config{Store: store, Logger: kit.Silent, Transport: ok})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.Send(t, h)
		time.Sleep(50 * time.Second)
		if n, _ := attempts(activity(t, h.Activity, hooks.Query{})); n != 1 {
			t.Errorf("Activity counts %d; want the one whose answer was lost", n)
		}
		r := kit.Send(t, h)
		time.Sleep(time.Millisecond)
		if _, err := h.Cancel(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "crm"}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SendTest(t.Context(), "crm", kit.InvoicePaid.New(kit.Invoice{})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if n, _ := attempts(activity(t, h.Activity, hooks.Query{})); n != 1 {
			t.Errorf("Activity counts %d after a stale outcome and a test; want still 1", n)
		}
	})
}

// Counters of more than a day ago are removed.
func TestActivityIsKeptForADay(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		h := kit.Dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: kit.Ignore})
		kit.PlaceOrder(t, h, 1)
		time.Sleep(25 * time.Hour)
		if whole, a := activity(t, h.Activity, hooks.Query{}), activity(t, h.Activity, hooks.Query{Subscriber: "a"}); len(whole) != 1 || len(a) != 1 {
			t.Errorf("Activity after 25 h has %d and %d rows; want 1 and 1", len(whole), len(a))
		}
		time.Sleep(time.Hour + 2*time.Minute)
		synctest.Wait()
		if whole, a := activity(t, h.Activity, hooks.Query{}), activity(t, h.Activity, hooks.Query{Subscriber: "a"}); len(whole)+len(a) != 0 {
			t.Errorf("Activity after 26 h has %d and %d rows; want none", len(whole), len(a))
		}
	})
}

// A store that is no Reporter has no activity, and that is no error.
func TestActivityOfAStoreWithoutCounters(t *testing.T) {
	type plain struct{ hooks.Store }
	h := kit.Subscribed(t, hooks.Config{Store: plain{memory.New()}}, hooks.Handler{Name: "a", Func: kit.Ignore})
	kit.PlaceOrder(t, h, 1)
	flush(t, h)
	if got := activity(t, h.Activity, hooks.Query{}); got != nil {
		t.Errorf("Activity = %v; want nothing", got)
	}
	if got := activity(t, h.Tenant("acme").Activity, hooks.Query{}); got != nil {
		t.Errorf("a tenant's Activity = %v; want nothing", got)
	}
}
