package systemtest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A backlog is claimed piece by piece without looking at all lanes each time.
func TestABacklogIsNotLookedAtForEachClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks, claims atomic.Int64
		gate := make(chan struct{})
		store := &kit.GatedStore{Store: memory.New(), AfterBacklog: func() { looks.Add(1) }, AfterClaim: func() { claims.Add(1) }}
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			<-gate
			return nil
		}})
		for i := range 400 {
			kit.PlaceOrder(t, h, i)
		}
		kit.StartInBubble(t, h)
		h.Wake(t.Context())
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if c, l := claims.Load(), looks.Load(); c < 20 || l > 4 {
			t.Errorf("the backlog was looked at %d times for %d claims; want 4 times at most for 20 or more", l, c)
		}
	})
}

// A stingy store is shared, and leases one delivery at a time, as a store may.
type stingy struct {
	hooks.Store
	hooks.Waker
}

func (s stingy) Claim(ctx context.Context, now time.Time, lanes []hooks.Lane) ([]hooks.Entry, error) {
	for i := range lanes {
		if lanes[i].Subscriber == "quick" {
			lanes = slices.Clone(lanes)
			lanes[i].Max = 1
		}
	}
	return s.Store.Claim(ctx, now, lanes)
}

// A lane with a backlog, be it busy or hanging, delays nothing that becomes due for
// another lane meanwhile.
func TestABacklogHidesNothing(t *testing.T) {
	type party struct {
		*hooks.Hooks
		store *kit.GatedStore
		other *hooks.Hooks // on the same store
	}
	for name, publish := range map[string]func(*testing.T, party, hooks.Event){
		"found by a poll": func(t *testing.T, p party, ev hooks.Event) {
			kit.Publish(t, p.other, ev)
			time.Sleep(1100 * time.Millisecond)
		},
		"scheduled": func(t *testing.T, p party, ev hooks.Event) {
			ev.DeliverAt = time.Now().Add(130 * time.Millisecond)
			kit.Publish(t, p.Hooks, ev)
			time.Sleep(130 * time.Millisecond)
		},
		"of another process": func(t *testing.T, p party, ev hooks.Event) {
			kit.Publish(t, p.other, ev)
			p.store.Woken <- struct{}{}
		},
		"told by Wake": func(t *testing.T, p party, ev hooks.Event) {
			kit.Publish(t, p.other, ev)
			p.Wake(t.Context())
		},
		"of an ordering key": func(t *testing.T, p party, ev hooks.Event) {
			ev.OrderingKey = "k"
			first := ev
			first.Data = []byte(`{"id":0}`)
			kit.Publish(t, p.Hooks, first)
			kit.Publish(t, p.Hooks, ev)
		},
		"leased one by one": func(t *testing.T, p party, ev hooks.Event) {
			first := ev
			first.Data = []byte(`{"id":0}`)
			kit.Publish(t, p.other, first)
			kit.Publish(t, p.other, ev)
			p.Wake(t.Context())
		},
	} {
		for _, takes := range []time.Duration{10 * time.Millisecond, time.Hour} {
			t.Run(fmt.Sprintf("%s, beside a lane that takes %v", name, takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					came := make(chan time.Time, 1)
					slow := hooks.Handler{Name: "slow", Timeout: 2 * time.Hour, Func: func(ctx context.Context, _ hooks.Event) error {
						select {
						case <-time.After(takes):
						case <-ctx.Done():
						}
						return nil
					}}
					quick := hooks.Handler{Name: "quick", Ordered: true, Func: func(_ context.Context, ev hooks.Event) error {
						if string(ev.Data) == `{"id":-1}` {
							came <- time.Now()
						}
						return nil
					}}
					store := &kit.GatedStore{Store: memory.New(), Woken: make(chan struct{})}
					cfg := hooks.Config{Store: stingy{store, store}}
					p := party{kit.Subscribed(t, cfg, slow, quick), store, kit.Subscribed(t, cfg)}
					for i := range 400 {
						kit.Publish(t, p.Hooks, kit.OrderPlaced.New(kit.Order{ID: i}))
					}
					kit.StartInBubble(t, p.Hooks)
					for range 5 { // some of them just after the backlog was looked at
						publish(t, p, kit.OrderPlaced.New(kit.Order{ID: -1}))
						due := time.Now()
						if late := kit.Soon(t, came).Sub(due); late > 4*time.Millisecond { // of the pause between two looks
							t.Errorf("it came %v after it was due; want 4 ms at most", late)
						}
					}
				})
			})
		}
	}
}

// A backlog whose endpoint waits for its key is left alone.
func TestABacklogWithoutItsKeyIsNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var claims atomic.Int64
		store, gate := &kit.GatedStore{Store: memory.New(), AfterClaim: func() { claims.Add(1) }}, make(chan struct{})
		h := kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "1"), Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
			<-gate
			return kit.Answer(200, nil, ""), nil
		})})
		kit.Put(t, h, sealedEndpoint)
		for range 100 {
			kit.Send(t, h)
		}
		kit.Start(t, h)
		synctest.Wait()
		spoil(t, h, store)
		before := claims.Load()
		close(gate)
		time.Sleep(time.Minute)
		if n := claims.Load() - before; n > 1 {
			t.Errorf("it was claimed for %d times in a minute; want once at most", n)
		}
	})
}

// Nor does it keep the dispatcher from cancelling what a deleted endpoint has left.
func TestABacklogDelaysNoSweeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.Subscribed(t, hooks.Config{}, hooks.Handler{Name: "hangs", Timeout: time.Hour, Func: func(ctx context.Context, _ hooks.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		kit.Put(t, h, hooks.Endpoint{ID: "e", URL: kit.AnyURL, Events: []string{"**"}})
		for i := range 1000 {
			kit.PlaceOrder(t, h, i)
		}
		if err := h.Unsubscribe(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
		kit.StartInBubble(t, h)
		left := 0
		for _, d := range kit.Deliveries(t, h) {
			if d.Subscriber == "e" && d.Status != hooks.Canceled {
				left++
			}
		}
		if left > 0 {
			t.Errorf("%d of 1000 are not canceled; want none", left)
		}
	})
}
