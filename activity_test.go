package hooks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// When the clock is set back, what is attempted adds to the minutes that it names again.
func TestActivityWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := settable(t, hooks.Config{Store: memory.New(), Logger: kit.Silent}, hooks.Handler{Name: "a", Func: kit.Ignore})
		midnight := time.Now().UTC()
		send := func() {
			kit.PlaceOrder(t, h, 1)
			synctest.Wait()
		}
		send() // at 00:00
		time.Sleep(time.Hour)
		send() // at 01:00
		w.set(-time.Hour)
		send() // at 00:00
		time.Sleep(5 * time.Minute)
		send() // at 00:05
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for subscriber, want := range map[string]map[time.Duration]int{
			"":  {0: 2, 5 * time.Minute: 1, time.Hour: 1},
			"a": {0: 2, 5 * time.Minute: 1, time.Hour: 1},
		} {
			list, err := h.Activity(t.Context(), hooks.Query{Subscriber: subscriber})
			if err != nil || len(list) != len(want) {
				t.Errorf("Activity of %q = %v, %v; want %v", subscriber, list, err, want)
			}
			for _, m := range list {
				if n := want[m.Start.Sub(midnight)]; m.Succeeded != n || m.Failed != 0 {
					t.Errorf("Activity of %q at %v counts %d and %d; want %d", subscriber, m.Start, m.Succeeded, m.Failed, n)
				}
			}
		}
	})
}

// Activity is dated by the store's clock, if the store has one.
func TestActivityByTheStoresClock(t *testing.T) {
	kit.ByClocks(t, func(t *testing.T, s *kit.ClockedStore) {
		type reporting struct {
			*kit.ClockedStore
			hooks.Reporter
		}
		h := kit.Dispatching(t, hooks.Config{Store: reporting{s, s.Store.(hooks.Reporter)}, Logger: kit.Silent}, hooks.Handler{Name: "a", Func: kit.Ignore})
		kit.PlaceOrder(t, h, 1)
		want := s.Time().Truncate(time.Minute)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		list, err := h.Activity(t.Context(), hooks.Query{})
		if err != nil || len(list) != 1 || !list[0].Start.Equal(want) {
			t.Errorf("Activity = %v, %v; want one that starts at %v", list, err, want)
		}
	})
}
