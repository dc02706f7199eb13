package systemtest_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
)

// What was read of the clock is kept while it cannot be read again, without a
// word in the log, and it is read when it can be.
func TestReadingIsKeptWhileTheClockFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kit.NewClockedStore(t, time.Hour)
		var log bytes.Buffer
		a, calls := kit.Counting("a")
		h := kit.Dispatching(t, hooks.Config{Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))}, a)
		s.Set(func(s *kit.ClockedStore) { s.Err = kit.ErrFault })
		time.Sleep(time.Minute)
		before := s.Asks()
		for i := range 600 {
			if r := kit.PlaceOrder(t, h, i); r.Deliveries != 1 {
				t.Errorf("Publish made %d deliveries; want 1", r.Deliveries)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := len(calls.All()); got != 600 || log.Len() > 0 {
			t.Errorf("%d events were handled, and the log says %q; want 600 and nothing", got, &log)
		}
		if n := s.Asks() - before; n < 300 || n > 1300 {
			t.Errorf("the clock was asked %d times in ten minutes; want with every reading of the subscribers", n)
		}
		s.Set(func(s *kit.ClockedStore) { s.Err = nil })
		time.Sleep(2 * time.Second)
		before = s.Asks()
		time.Sleep(50 * time.Second)
		if n := s.Asks() - before; n != 0 {
			t.Errorf("the clock was asked %d times in the minute after it could be read; want none", n)
		}
	})
}

// The answer counts as of the middle of the call. A slow one, which may be far
// off, is used for want of another only.
func TestSlowClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kit.NewClockedStore(t, time.Hour)
		s.BeforeReading, s.AfterReading = 3*time.Second, 3*time.Second
		h := kit.Dispatching(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error { return nil }})
		time.Sleep(10 * time.Second)
		kit.PlaceOrder(t, h, 0)
		s.Set(func(s *kit.ClockedStore) { s.BeforeReading, s.AfterReading = 0, 2*time.Second }) // a second off
		for i := range 300 {
			kit.PlaceOrder(t, h, i)
			time.Sleep(time.Second)
		}
		s.Set(func(s *kit.ClockedStore) {
			s.BeforeReading, s.AfterReading = 400*time.Millisecond, 400*time.Millisecond
			s.Clock = func() time.Time { return time.Now().Add(2 * time.Hour) }
			s.Tolerance = 2 * time.Hour
		})
		time.Sleep(5 * time.Second)
		s.Set(func(s *kit.ClockedStore) { s.Tolerance = time.Microsecond })
		kit.PlaceOrder(t, h, 0)
	})
}

// A Tx with a clock is asked in the place of the store, which may have no
// connection left.
func TestPublishTxReadsTheTransactionsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kit.NewClockedStore(t, time.Hour)
		h := kit.New(t, hooks.Config{Store: s})
		tx := kit.NewClockedStore(t, time.Hour)
		tx.Store = s.Store
		for range 3 {
			if _, err := h.PublishTx(t.Context(), tx, kit.InvoicePaid.New(kit.Invoice{Number: 1})); err != nil {
				t.Fatal(err)
			}
			time.Sleep(45 * time.Second)
		}
		if s.Asks() != 0 || tx.Asks() != 2 {
			t.Errorf("the store was asked %d times and the transaction %d times; want never and twice", s.Asks(), tx.Asks())
		}
		tx.Set(func(tx *kit.ClockedStore) { tx.Err = kit.ErrFault })
		time.Sleep(time.Minute)
		if _, err := h.PublishTx(t.Context(), tx, kit.InvoicePaid.New(kit.Invoice{Number: 2})); err != nil {
			t.Errorf("PublishTx when the clock fails = %v; want nil, for it was read before", err)
		}
		_, err := kit.New(t, hooks.Config{Store: s}).PublishTx(t.Context(), tx, kit.InvoicePaid.New(kit.Invoice{Number: 3}))
		if !errors.Is(err, kit.ErrFault) || s.Asks() != 0 {
			t.Errorf("first PublishTx when the clock fails = %v, with the store asked %d times; want the error, and never", err, s.Asks())
		}
	})
}

// A Tx without a clock leaves the store to be asked.
func TestPublishTxReadsTheStoresClock(t *testing.T) {
	s := kit.NewClockedStore(t, time.Hour)
	s.Tolerance = time.Minute // there is no bubble
	h := kit.New(t, hooks.Config{Store: s})
	began := s.Time()
	if _, err := h.PublishTx(t.Context(), struct{ hooks.Tx }{s}, kit.InvoicePaid.New(kit.Invoice{Number: 1})); err != nil {
		t.Fatal(err)
	}
	if ev := kit.Events(t, h)[0]; ev.Time.Before(began) || ev.Time.After(s.Time()) || s.Asks() != 1 {
		t.Errorf("the event is of %v, with the store asked %d times; want between %v and now, once", ev.Time, s.Asks(), began)
	}
}

// What is given back, and what is noted before it starts, is dated by the
// store's clock too.
func TestLeasesGivenBackAndNotedByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		web := kit.Subscribed(t, hooks.Config{Store: s}, hooks.Handler{Name: "a", Func: kit.Ignore})
		r := kit.PlaceOrder(t, web, 1)
		for range 4 { // three leases are lost
			if got := kit.Leased(t, s.Store, "a", s.Time()); len(got) != 1 {
				t.Fatalf("%d deliveries are due; want 1", len(got))
			}
			time.Sleep(time.Minute)
		}
		h := kit.Subscribed(t, hooks.Config{Store: s, Logger: kit.Silent, DrainTimeout: time.Second}, hooks.Handler{
			Name: "a", Func: func(ctx context.Context, _ hooks.Event) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})
		stop := kit.StartInBubble(t, h)
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Sending || d.Error != "lost" {
			t.Errorf("under way the delivery is %v (%s); want sending, noted as lost", d.Status, d.Error)
		}
		stop()
		d := kit.Delivery(t, h, r.EventID, "a")
		if want := s.Time(); d.Status != hooks.Pending || !d.Due.Equal(want) {
			t.Errorf("given back the delivery is %v, due %v; want pending, due %v", d.Status, d.Due, want)
		}
	})
}

// What is due later than the dispatcher sleeps anyway does not wake it, by the
// store's clock: neither what is scheduled nor what is tried again.
func TestSleepsByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		counting := &kit.CountingStore{Store: s.Store}
		s.Store = counting
		h := kit.Dispatching(t, hooks.Config{Store: kit.LockableStore{ClockedStore: s}, Retry: retry.Schedule{2 * time.Hour}}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { return errors.New("no") },
		})
		soonest := kit.OrderPlaced.New(kit.Order{ID: 0})
		soonest.DeliverAt = s.Time().Add(time.Hour)
		kit.Publish(t, h, soonest)
		synctest.Wait()
		before := counting.Backlogs.Load()
		for i := range 20 {
			kit.PlaceOrder(t, h, i)
			synctest.Wait()
			later := kit.OrderPlaced.New(kit.Order{ID: i})
			later.DeliverAt = s.Time().Add(2 * time.Hour)
			kit.Publish(t, h, later)
			synctest.Wait()
		}
		if n := counting.Backlogs.Load() - before; n != 0 {
			t.Errorf("the store was asked %d times what is due; want never", n)
		}
	})
}
