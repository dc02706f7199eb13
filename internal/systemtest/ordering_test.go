package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
)

// No delivery starts before the earlier ones of its key are final, whatever
// fails and however often.
func TestOrderingKeyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, each = 5, 40
		rng := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex // guards what follows
		got := make(map[string][]string)
		active := make(map[string]bool)
		h := kit.Dispatching(t, hooks.Config{Retry: retry.Schedule(slices.Repeat([]time.Duration{time.Second}, 20))}, hooks.Handler{
			Name:    "a",
			Ordered: true,
			Func: func(_ context.Context, ev hooks.Event) error {
				mu.Lock()
				fails, busy := rng.IntN(3) == 0, active[ev.OrderingKey]
				active[ev.OrderingKey] = true
				mu.Unlock()
				if busy {
					t.Errorf("two of key %s at once", ev.OrderingKey)
				}
				time.Sleep(100 * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				active[ev.OrderingKey] = false
				if fails {
					return errors.New("no")
				}
				got[ev.OrderingKey] = append(got[ev.OrderingKey], ev.ID)
				return nil
			},
		})
		want := make(map[string][]string)
		for i := range keys * each {
			ev := kit.OrderPlaced.New(kit.Order{ID: i})
			ev.OrderingKey = fmt.Sprint("key", i%keys)
			r, err := h.Publish(t.Context(), ev)
			if err != nil {
				t.Fatal(err)
			}
			want[ev.OrderingKey] = append(want[ev.OrderingKey], r.EventID)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		for key := range want {
			if !slices.Equal(got[key], want[key]) {
				t.Errorf("key %s came as %v; want %v", key, got[key], want[key])
			}
		}
	})
}

// A key that is stuck holds up itself alone.
func TestOrderingKeysAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := make(map[string]int)
		h := kit.Dispatching(t, hooks.Config{}, hooks.Handler{
			Name: "a", Ordered: true, Concurrency: 1,
			Func: func(_ context.Context, ev hooks.Event) error {
				if ev.OrderingKey == "stuck" {
					return errors.New("no")
				}
				served[ev.OrderingKey]++
				return nil
			},
		})
		for i := range 300 {
			for _, key := range []string{"stuck", "other", ""} {
				ev := kit.OrderPlaced.New(kit.Order{ID: i})
				ev.OrderingKey = key
				if _, err := h.Publish(t.Context(), ev); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if served["other"] != 300 || served[""] != 300 {
			t.Errorf("served %v; want 300 of each key that is not stuck", served)
		}
	})
}
