package systemtest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A shared store is not Exclusive: any number of dispatchers work on it.
type shared struct{ hooks.Store }

// A waking store is a shared one that is told when others have written.
type waking struct {
	hooks.Store
	written chan struct{}
}

func (s waking) Wait(ctx context.Context) error {
	select {
	case <-s.written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s waking) Wake(context.Context) error { return nil }

// Two instances share the work of a store: each delivery is one's, and begins
// within 1.1 s by polling alone.
func TestInstancesShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := shared{memory.New()}
		a, calls := kit.Counting("a")
		count := a.Func
		a.Func = func(ctx context.Context, ev hooks.Event) error {
			if late := time.Since(ev.Time); late > 1100*time.Millisecond {
				t.Errorf("an event was handled %v after it was published; want 1.1 s at most", late)
			}
			return count(ctx, ev)
		}
		web := kit.Subscribed(t, hooks.Config{Store: store}, a)
		kit.Dispatching(t, hooks.Config{Store: store}, a)
		kit.Dispatching(t, hooks.Config{Store: store}, a)
		for i := range 200 {
			kit.PlaceOrder(t, web, i)
			time.Sleep(317 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		for _, d := range kit.Deliveries(t, web) {
			if d.Status != hooks.Succeeded || d.Attempts != 1 || calls.Of(d.Event) != 1 {
				t.Errorf("%v is %v after %d attempts and %d calls; want succeeded after one", d.DeliveryID, d.Status, d.Attempts, calls.Of(d.Event))
			}
		}
	})
}

// A store that others write to is asked every second, and no more often.
func TestPollsSharedStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.CountingStore{Store: memory.New()}
		kit.Dispatching(t, hooks.Config{Store: shared{store}})
		before := store.Backlogs.Load()
		time.Sleep(time.Minute)
		if n := store.Backlogs.Load() - before; n < 54 || n > 67 {
			t.Errorf("the store was asked %d times in a minute; want 54 to 67", n)
		}
	})
}

// A Waker saves waiting for the poll.
func TestWakerSparesTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := waking{memory.New(), make(chan struct{})}
		a, calls := kit.Counting("a")
		web := kit.Subscribed(t, hooks.Config{Store: store}, a)
		kit.Dispatching(t, hooks.Config{Store: store}, a)
		for i := range 10 {
			r := kit.PlaceOrder(t, web, i)
			store.written <- struct{}{}
			synctest.Wait()
			if got := calls.Of(r.EventID); got != 1 {
				t.Errorf("at once the handler was called %d times; want once", got)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A snapshot is a transaction that sees the store as it was when it began.
type snapshot struct {
	hooks.Tx
	records []hooks.Record
}

func (s snapshot) Records(_ context.Context, since int64) (list []hooks.Record, err error) {
	for _, r := range s.records {
		if r.Version > since {
			list = append(list, r)
		}
	}
	return list, nil
}

// Publishing in transactions that see only what was, such as repeatable reads,
// hides no subscriber from what is published otherwise.
func TestSnapshotsHideNoSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := shared{memory.New()}
		h := kit.Subscribed(t, hooks.Config{Store: store})
		kit.PlaceOrder(t, h, 1) // everything has been read
		kit.Put(t, kit.Subscribed(t, hooks.Config{Store: store}), hooks.Endpoint{ID: "new", URL: "https://new.example.com/", Events: []string{"**"}})
		time.Sleep(2 * time.Second)
		if _, err := h.PublishTx(t.Context(), snapshot{Tx: store}, kit.OrderPlaced.New(kit.Order{ID: 2})); err != nil {
			t.Fatal(err)
		}
		if r := kit.PlaceOrder(t, h, 3); r.Deliveries != 1 {
			t.Errorf("Publish made %d deliveries; want one, for the endpoint that was put 2 s before", r.Deliveries)
		}
	})
}

// An endpoint's edit by one instance holds for the attempts that another begins
// 1.2 s later, if it polls, and at once, if it is woken.
func TestEditsReachRunningInstances(t *testing.T) {
	for _, c := range []struct {
		name   string
		wake   bool
		within time.Duration
	}{{"by polling", false, 1200 * time.Millisecond}, {"woken", true, time.Microsecond}} {
		t.Run(c.name, func(t *testing.T) {
			for range 20 { // polling has jitter
				synctest.Test(t, func(t *testing.T) {
					for _, after := range requestsAfterEdit(t, c.wake)["https://old.example.com/"] {
						if after >= c.within {
							t.Errorf("the old URL was called %v after the edit; want less than %v", after, c.within)
						}
					}
				})
			}
		})
	}
}

// requestsAfterEdit has one instance edit an endpoint while another, which does
// not publish, works through what it leased before: a request each 400 ms. It
// returns which URL was called how long after the edit.
func requestsAfterEdit(t *testing.T, wake bool) map[string][]time.Duration {
	type request struct {
		url string
		at  time.Time
	}
	store := memory.New()
	requests, written := make(chan request, 5), make(chan struct{})
	cfg := hooks.Config{Store: shared{store}, SubscriberConcurrency: 1, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
		requests <- request{r.URL.String(), time.Now()}
		time.Sleep(400 * time.Millisecond)
		return kit.Answer(204, nil, ""), nil
	})}
	if wake {
		cfg.Store = waking{store, written}
	}
	here, there := kit.New(t, hooks.Config{Store: shared{store}}), kit.New(t, cfg)
	kit.StartInBubble(t, there)
	kit.Put(t, here, hooks.Endpoint{ID: "crm", URL: "https://old.example.com/"})
	for range cap(requests) {
		kit.Send(t, here)
	}
	edited := kit.Soon(t, requests).at
	kit.Put(t, here, hooks.Endpoint{ID: "crm", URL: "https://new.example.com/"})
	if wake {
		written <- struct{}{}
	}
	after := make(map[string][]time.Duration)
	for range cap(requests) - 1 {
		r := kit.Soon(t, requests)
		after[r.url] = append(after[r.url], r.at.Sub(edited))
	}
	return after
}

// What is reported while the subscribers are being read is read again, for the
// reading under way may not have seen it.
func TestNewsDuringAReadingAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &kit.SlowReaderStore{Store: memory.New()}
		written := make(chan struct{})
		store := struct {
			*kit.SlowReaderStore
			hooks.Waker
		}{slow, waking{slow, written}}
		got := make(chan string, 1)
		here := kit.New(t, hooks.Config{Store: slow.Store})
		there := kit.New(t, hooks.Config{Store: store, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			got <- r.URL.String()
			return kit.Answer(204, nil, ""), nil
		})})
		kit.Put(t, here, hooks.Endpoint{ID: "crm", URL: "https://old.example.com/"})
		kit.StartInBubble(t, there)
		time.Sleep(90 * time.Second) // the first Prune, which reads records as well, is over
		release := slow.HoldNext()
		there.Wake(t.Context())
		synctest.Wait() // it has read, and is not told yet
		kit.Put(t, here, hooks.Endpoint{ID: "crm", URL: "https://new.example.com/"})
		written <- struct{}{}
		synctest.Wait()
		release()
		synctest.Wait()
		kit.Send(t, here)
		there.Wake(t.Context())
		if url := kit.Soon(t, got); url != "https://new.example.com/" {
			t.Errorf("called %s; want the new URL", url)
		}
	})
}

// Instances whose database comes back after an outage do not do so in step:
// the waits between tries differ.
func TestInstancesTryAgainOutOfStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits [2][]time.Duration
		for i := range waits {
			cfg := hooks.Config{Store: newFlaky(memory.New(), func(string) fate { return failsBefore }), Logger: kit.Silent}
			cfg.Trace.StoreError = func(_ context.Context, err error, wait time.Duration) {
				if !errors.Is(err, kit.ErrFault) {
					t.Errorf("StoreError(%v); want the store's error", err)
				}
				waits[i] = append(waits[i], wait)
			}
			kit.Dispatching(t, cfg)
		}
		time.Sleep(50 * time.Second)
		synctest.Wait()
		for i, wait := range waits[0] {
			least := min(50*time.Millisecond<<min(i, 10), 2*time.Second)
			if wait < least || wait > least*3/2 {
				t.Errorf("wait %d is %v; want %v to half as much again", i+1, wait, least)
			}
			if i < len(waits[1]) && wait == waits[1][i] {
				t.Errorf("both instances wait %v after failure %d; want them to differ", wait, i+1)
			}
		}
		if n := len(waits[0]); n < 15 || n > 30 {
			t.Errorf("%d tries in 50 s; want them to go on, every 2 s to 3 s in the end", n)
		}
	})
}
