package systemtest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// However many endpoints hang, the first attempt of one that answers comes within a
// second: after a restart, while all that hang are tried for the first time, and when
// they are known to hang.
func TestHangingEndpointsDelayNoNewcomer(t *testing.T) {
	const newcomers = 20
	for _, hanging := range []int{8, 12, 20, 30, 60, 200} {
		for _, after := range []time.Duration{0, 100 * time.Millisecond, 5 * time.Second, 40 * time.Second} {
			t.Run(fmt.Sprintf("%d hang, newcomers after %v", hanging, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					answered := make(map[string]bool)
					var mu sync.Mutex // guards answered
					h := kit.New(t, hooks.Config{Logger: kit.Silent, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
						if strings.HasPrefix(r.URL.Path, "/hangs") {
							<-r.Context().Done()
							return nil, r.Context().Err()
						}
						mu.Lock()
						defer mu.Unlock()
						answered[r.URL.Path] = true
						return kit.Answer(200, nil, ""), nil
					})})
					putMany(t, h, "hangs", hanging)
					if after == 0 {
						putMany(t, h, "newcomer", newcomers)
					}
					for range 3 {
						kit.Send(t, h)
					}
					kit.Start(t, h)
					time.Sleep(after)
					if after > 0 {
						putMany(t, h, "newcomer", newcomers)
						kit.Send(t, h)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					mu.Lock()
					defer mu.Unlock()
					if n := len(answered); n != newcomers {
						t.Errorf("%d of %d newcomers got something within a second", n, newcomers)
					}
				})
			})
		}
	}
}

// putMany puts so many endpoints whose ids and URLs' paths begin alike.
func putMany(t *testing.T, h *hooks.Hooks, path string, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s%03d", path, i)
		kit.Put(t, h, hooks.Endpoint{ID: id, URL: "https://example.com/" + id})
	}
}

// Receivers that take half a second and work are not taken for slow: they keep every
// slot busy.
func TestReceiversThatTakeTheirTimeGetEverySlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes, slots, receivers, events = 500 * time.Millisecond, 64, 16, 80
		var begun, active atomic.Int64
		var handlers []hooks.Handler
		for i := range receivers {
			handlers = append(handlers, hooks.Handler{Name: fmt.Sprintf("s%02d", i), Func: func(context.Context, hooks.Event) error {
				active.Add(1)
				defer active.Add(-1)
				time.Sleep(takes + time.Duration(begun.Add(1)%11-5)*20*time.Millisecond) // out of step
				return nil
			}})
		}
		h := kit.Subscribed(t, hooks.Config{Concurrency: slots}, handlers...)
		for i := range events {
			kit.PlaceOrder(t, h, i)
		}
		kit.StartInBubble(t, h)
		time.Sleep(3 * time.Second) // until all have shown that they work
		for range 60 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if n := active.Load(); n != slots {
				t.Fatalf("%d attempts are under way; want %d", n, slots)
			}
		}
	})
}

// A subscriber that times out or says that it is overloaded gets fewer attempts at once,
// until it works again. Other failures change nothing.
func TestAnOverloadedReceiverGetsFewerAtOnce(t *testing.T) {
	const slots, timeout = 4, 10 * time.Second
	for _, c := range []struct {
		code int // zero: no answer
		want int
	}{
		{0, 1},
		{502, 1},
		{503, 1},
		{504, 1},
		{500, slots},
		{429, slots},
		{404, slots},
	} {
		t.Run(fmt.Sprint(c.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var code, active atomic.Int64
				code.Store(200)
				h := kit.New(t, hooks.Config{Logger: kit.Silent, SubscriberConcurrency: slots, Timeout: timeout, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
					active.Add(1)
					defer active.Add(-1)
					if code.Load() == 0 {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					time.Sleep(100 * time.Millisecond)
					return kit.Answer(int(code.Load()), nil, ""), nil
				})})
				kit.Put(t, h, hooks.Endpoint{ID: "e", URL: kit.AnyURL, Retry: []time.Duration{}})
				kit.Start(t, h)
				deliver := func(n int) (atOnce int) {
					for range n {
						kit.Send(t, h)
					}
					synctest.Wait()
					atOnce = int(active.Load())
					time.Sleep(time.Duration(n) * 2 * timeout)
					return atOnce
				}
				deliver(2 * slots)
				if n := deliver(slots); n != slots {
					t.Fatalf("%d at once though it works; want %d", n, slots)
				}
				code.Store(int64(c.code))
				deliver(slots)
				code.Store(200)
				if n := deliver(slots); n != c.want {
					t.Errorf("%d at once after answers of %d; want %d", n, c.code, c.want)
				}
				deliver(2 * slots)
				if n := deliver(slots); n != slots {
					t.Errorf("%d at once when it works again; want %d", n, slots)
				}
			})
		})
	}
}

// A subscriber begins with one attempt at a time; each that works lets another begin.
func TestASubscriberThatWorksGetsMoreAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var active atomic.Int64
		h := kit.Dispatching(t, hooks.Config{SubscriberConcurrency: 4}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			active.Add(1)
			defer active.Add(-1)
			time.Sleep(time.Second)
			return nil
		}})
		for i := range 5 {
			kit.PlaceOrder(t, h, i)
		}
		time.Sleep(500 * time.Millisecond)
		for i, want := range []int64{1, 2, 2} {
			if n := active.Load(); n != want {
				t.Errorf("%d calls under way after %d s and a half; want %d", n, i, want)
			}
			time.Sleep(time.Second)
		}
	})
}
