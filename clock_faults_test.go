package hooks_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/retry"
)

// What was read of the clock is kept while it cannot be read again, without a
// word in the log, and it is read when it can be.
func TestReadingIsKeptWhileTheClockFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newClocked(t, time.Hour)
		var log bytes.Buffer
		a, calls := counting("a")
		h := dispatching(t, hooks.Config{Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))}, a)
		s.set(func(s *clocked) { s.err = errFault })
		time.Sleep(time.Minute)
		before := s.asks()
		for i := range 600 {
			if r := publish(t, h, i); r.Deliveries != 1 {
				t.Errorf("Publish made %d deliveries; want 1", r.Deliveries)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := len(calls.n); got != 600 || log.Len() > 0 {
			t.Errorf("%d events were handled, and the log says %q; want 600 and nothing", got, &log)
		}
		if n := s.asks() - before; n < 300 || n > 1300 {
			t.Errorf("the clock was asked %d times in ten minutes; want with every reading of the subscribers", n)
		}
		s.set(func(s *clocked) { s.err = nil })
		time.Sleep(2 * time.Second)
		before = s.asks()
		time.Sleep(50 * time.Second)
		if n := s.asks() - before; n != 0 {
			t.Errorf("the clock was asked %d times in the minute after it could be read; want none", n)
		}
	})
}

// The answer counts as of the middle of the call. A slow one, which may be far
// off, is used for want of another only.
func TestSlowClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newClocked(t, time.Hour)
		s.before, s.after = 3*time.Second, 3*time.Second
		h := dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		time.Sleep(10 * time.Second)
		publish(t, h, 0)
		s.set(func(s *clocked) { s.before, s.after = 0, 2*time.Second }) // a second off
		for i := range 300 {
			publish(t, h, i)
			time.Sleep(time.Second)
		}
		s.set(func(s *clocked) {
			s.before, s.after = 400*time.Millisecond, 400*time.Millisecond
			s.clock = func() time.Time { return time.Now().Add(2 * time.Hour) }
			s.off = 2 * time.Hour
		})
		time.Sleep(5 * time.Second)
		s.set(func(s *clocked) { s.off = time.Microsecond })
		publish(t, h, 0)
	})
}

// A Tx with a clock is asked in the place of the store, which may have no
// connection left.
func TestPublishTxReadsTheTransactionsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newClocked(t, time.Hour)
		h := newHooks(t, hooks.Config{Store: s})
		tx := newClocked(t, time.Hour)
		tx.Store = s.Store
		for range 3 {
			if _, err := h.PublishTx(t.Context(), tx, invoicePaid.New(invoice{1})); err != nil {
				t.Fatal(err)
			}
			time.Sleep(45 * time.Second)
		}
		if s.asks() != 0 || tx.asks() != 2 {
			t.Errorf("the store was asked %d times and the transaction %d times; want never and twice", s.asks(), tx.asks())
		}
		tx.set(func(tx *clocked) { tx.err = errFault })
		time.Sleep(time.Minute)
		if _, err := h.PublishTx(t.Context(), tx, invoicePaid.New(invoice{2})); err != nil {
			t.Errorf("PublishTx when the clock fails = %v; want nil, for it was read before", err)
		}
		_, err := newHooks(t, hooks.Config{Store: s}).PublishTx(t.Context(), tx, invoicePaid.New(invoice{3}))
		if !errors.Is(err, errFault) || s.asks() != 0 {
			t.Errorf("first PublishTx when the clock fails = %v, with the store asked %d times; want the error, and never", err, s.asks())
		}
	})
}

// A Tx without a clock leaves the store to be asked.
func TestPublishTxReadsTheStoresClock(t *testing.T) {
	s := newClocked(t, time.Hour)
	s.off = time.Minute // there is no bubble
	h := newHooks(t, hooks.Config{Store: s})
	began := s.time()
	if _, err := h.PublishTx(t.Context(), struct{ hooks.Tx }{s}, invoicePaid.New(invoice{1})); err != nil {
		t.Fatal(err)
	}
	if ev := storedEvents(t, h)[0]; ev.Time.Before(began) || ev.Time.After(s.time()) || s.asks() != 1 {
		t.Errorf("the event is of %v, with the store asked %d times; want between %v and now, once", ev.Time, s.asks(), began)
	}
}

// What is given back, and what is noted before it starts, is dated by the
// store's clock too.
func TestLeasesGivenBackAndNotedByTheStoresClock(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		web := subscribed(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: ignore})
		r := publish(t, web, 1)
		for range 4 { // three leases are lost
			if got := leased(t, s.Store, "a", s.time()); len(got) != 1 {
				t.Fatalf("%d deliveries are due; want 1", len(got))
			}
			time.Sleep(time.Minute)
		}
		h := subscribed(t, hooks.Config{Store: s, Logger: silent, DrainTimeout: time.Second}, hooks.Handler{
			Name: "a", Func: func(ctx context.Context, _ hooks.Event) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})
		stop := runUntilCleanup(t, h)
		if d := delivery(t, h, r.EventID, "a"); d.Status != hooks.Sending || d.Error != "lost" {
			t.Errorf("under way the delivery is %v (%s); want sending, noted as lost", d.Status, d.Error)
		}
		stop()
		d := delivery(t, h, r.EventID, "a")
		if want := s.time(); d.Status != hooks.Pending || !d.Due.Equal(want) {
			t.Errorf("given back the delivery is %v, due %v; want pending, due %v", d.Status, d.Due, want)
		}
	})
}

// What is due later than the dispatcher sleeps anyway does not wake it, by the
// store's clock: neither what is scheduled nor what is tried again.
func TestSleepsByTheStoresClock(t *testing.T) {
	byClocks(t, func(t *testing.T, s *clocked) {
		counting := &countingStore{Store: s.Store}
		s.Store = counting
		h := dispatching(t, hooks.Config{Store: lockable{s}, Retry: retry.Schedule{2 * time.Hour}}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { return errors.New("no") },
		})
		soonest := orderPlaced.New(order{0})
		soonest.DeliverAt = s.time().Add(time.Hour)
		mustPublish(t, h, soonest)
		synctest.Wait()
		before := counting.backlogs.Load()
		for i := range 20 {
			publish(t, h, i)
			synctest.Wait()
			later := orderPlaced.New(order{i})
			later.DeliverAt = s.time().Add(2 * time.Hour)
			mustPublish(t, h, later)
			synctest.Wait()
		}
		if n := counting.backlogs.Load() - before; n != 0 {
			t.Errorf("the store was asked %d times what is due; want never", n)
		}
	})
}
