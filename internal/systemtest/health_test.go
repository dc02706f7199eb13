package systemtest_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
)

// A ward is an endpoint "crm" in a bubble, whose receiver takes its time. It notes the
// events that are sent to it.
type ward struct {
	t     *testing.T
	store *writeCounter
	h     *hooks.Hooks
	took  time.Duration // of each request
	began time.Time

	mu     sync.Mutex // guards what follows
	status int
	sent   []string // events, in the order of the requests
	at     []time.Duration
	ended  []hooks.Delivery // that became final without an attempt
}

// A writeCounter counts what is written and claimed.
type writeCounter struct {
	hooks.Store
	puts, updates, leased atomic.Int64
	emitted               atomic.Int64 // events that were given to Put and Update to be stored
}

func (s *writeCounter) Unwrap() hooks.Store { return s.Store }

func (s *writeCounter) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	s.puts.Add(1)
	s.emitted.Add(int64(len(emit)))
	return s.Store.Put(ctx, now, r, emit)
}

func (s *writeCounter) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	s.updates.Add(int64(len(c)))
	for _, change := range c {
		s.emitted.Add(int64(len(change.Emit)))
	}
	return s.Store.Update(ctx, now, c)
}

func (s *writeCounter) Claim(ctx context.Context, now time.Time, l []hooks.ClaimLane) ([]hooks.Entry, error) {
	entries, err := s.Store.Claim(ctx, now, l)
	for _, e := range entries {
		s.leased.Add(int64(len(e.Deliveries)))
	}
	return entries, err
}

// inWards runs a test on each store, with a Hooks that has the endpoint e and does not run.
func inWards(t *testing.T, e hooks.Endpoint, test func(w *ward)) {
	t.Helper()
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &ward{t: t, store: &writeCounter{Store: open(t)}, took: time.Second, began: time.Now(), status: 200}
				w.h = w.process()
				e.ID, e.URL = "crm", kit.AnyURL
				kit.Put(t, w.h, e)
				test(w)
			})
		})
	}
}

// process returns another Hooks on the store, as another process would have it.
func (w *ward) process() *hooks.Hooks {
	cfg := hooks.Config{
		Store: w.store, Logger: kit.Silent, SubscriberConcurrency: 1, Transport: kit.Exchange(w.answer),
		Retry: retry.Schedule{time.Hour, time.Hour, time.Hour},
	}
	cfg.Trace.Ended = func(_ context.Context, d hooks.Delivery) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = append(w.ended, d)
	}
	return kit.New(w.t, cfg)
}

func (w *ward) answer(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.sent = append(w.sent, r.Header.Get("webhook-id"))
	w.at = append(w.at, time.Since(w.began))
	status := w.status
	w.mu.Unlock()
	time.Sleep(w.took)
	return kit.Answer(status, nil, ""), nil
}

func (w *ward) disable(until time.Time) {
	w.t.Helper()
	if err := w.h.DisableEndpoint(w.t.Context(), "crm", "it is full", until); err != nil {
		w.t.Fatal(err)
	}
}

func (w *ward) enable() {
	w.t.Helper()
	if err := w.h.EnableEndpoint(w.t.Context(), "crm"); err != nil {
		w.t.Fatal(err)
	}
}

// send publishes an event, which is due after wait.
func (w *ward) send(wait time.Duration) string {
	w.t.Helper()
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
	if wait > 0 {
		ev.DeliverAt = time.Now().Add(wait)
	}
	return kit.Publish(w.t, w.h, ev).EventID
}

// wantSent checks which events were sent, in this order.
func (w *ward) wantSent(what string, events ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.sent, events) {
		w.t.Errorf("%s: sent %v at %v; want %v", what, w.sent, w.at, events)
	}
}

// want checks how the delivery of an event stands.
func (w *ward) want(event string, s hooks.Status, reason hooks.Reason, attempts int) hooks.Delivery {
	w.t.Helper()
	d := kit.Delivery(w.t, w.h, event, "crm")
	if d.Status != s || d.Reason != reason || d.Attempts != attempts || d.Lost != 0 {
		w.t.Errorf("%s is %v, %q with %d attempts and %d lost; want %v, %q, %d, 0", event, d.Status, d.Reason, d.Attempts, d.Lost, s, reason, attempts)
	}
	return d
}

// Whatever waits for a disabled endpoint stays in the store, uncharged, and is sent at once
// when the endpoint is enabled.
func TestADisabledEndpointGetsNothing(t *testing.T) {
	for name, play := range map[string]func(w *ward){
		"what was stored before": func(w *ward) {
			first := w.send(0)
			w.disable(time.Time{})
			second := w.send(0)
			kit.StartInBubble(w.t, w.h)
			third := w.send(0)
			time.Sleep(time.Hour)
			w.wantSent("while it is disabled")
			w.want(third, hooks.Pending, "", 0)
			w.enable()
			w.wantSent("at once", first)
			time.Sleep(3 * time.Second)
			w.wantSent("afterwards", first, second, third)
		},
		"queued, and one under way": func(w *ward) {
			kit.StartInBubble(w.t, w.h)
			first, second := w.send(0), w.send(0)
			w.wantSent("at first", first)
			w.disable(time.Time{})
			synctest.Wait()
			w.want(first, hooks.Sending, "", 0)
			w.want(second, hooks.Pending, "", 0) // given back at once
			time.Sleep(time.Hour)
			w.wantSent("while it is disabled", first)
			w.want(first, hooks.Succeeded, "", 1)
			w.enable()
			w.wantSent("at once", first, second)
		},
		"a retry": func(w *ward) {
			kit.StartInBubble(w.t, w.h)
			w.status = 500
			event := w.send(0)
			synctest.Wait()
			w.disable(time.Time{})
			time.Sleep(5 * time.Hour)
			w.wantSent("while it is disabled", event)
			w.want(event, hooks.Retrying, "", 1)
			w.enable()
			w.wantSent("at once", event, event)
		},
		"scheduled": func(w *ward) {
			kit.StartInBubble(w.t, w.h)
			w.disable(time.Time{})
			soon, late := w.send(time.Hour), w.send(3*time.Hour)
			time.Sleep(2 * time.Hour)
			w.wantSent("while it is disabled")
			w.enable()
			w.wantSent("at once", soon)
			time.Sleep(time.Hour)
			w.wantSent("later", soon, late)
		},
		"after a restart": func(w *ward) {
			stop := kit.StartInBubble(w.t, w.h)
			w.disable(time.Time{})
			event := w.send(0)
			stop()
			w.h = w.process()
			kit.StartInBubble(w.t, w.h)
			time.Sleep(time.Hour)
			w.wantSent("while it is disabled")
			is, err := w.h.EndpointHealth(w.t.Context(), "crm")
			if err != nil || is.State != hooks.StateDisabled || is.Reason != "it is full" || time.Since(is.Since) != time.Hour {
				w.t.Errorf("EndpointHealth = %+v, %v; want disabled for an hour, because it is full", is, err)
			}
			w.enable()
			w.wantSent("at once", event)
		},
	} {
		t.Run(name, func(t *testing.T) { inWards(t, hooks.Endpoint{}, play) })
	}
}

// An endpoint is enabled by itself at the time that was given. That it has ended is written
// once.
func TestADisablingEnds(t *testing.T) {
	for name, publish := range map[string]func(w *ward, disable func()) string{
		"what came before":    func(w *ward, disable func()) string { id := w.send(0); disable(); return id },
		"what came meanwhile": func(w *ward, disable func()) string { disable(); return w.send(0) },
		"scheduled":           func(w *ward, disable func()) string { disable(); return w.send(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			inWards(t, hooks.Endpoint{}, func(w *ward) {
				t := w.t
				event := publish(w, func() { w.disable(w.began.Add(100 * time.Minute)) })
				kit.StartInBubble(t, w.h)
				puts := w.store.puts.Load()
				time.Sleep(24 * time.Hour)
				w.wantSent("a day later", event)
				if len(w.at) == 1 && w.at[0] != 100*time.Minute {
					t.Errorf("it was sent after %v; want 1h40m", w.at[0])
				}
				if n := w.store.puts.Load() - puts; n != 1 {
					t.Errorf("%d records were written; want one", n)
				}
				if is, err := w.h.EndpointHealth(t.Context(), "crm"); err != nil || is.State != hooks.StateWorking || !is.Until.IsZero() {
					t.Errorf("EndpointHealth = %+v, %v; want working", is, err)
				}
			})
		})
	}
}

// A delivery that was held for as long as the hold fails then, and not before.
func TestAHoldEnds(t *testing.T) {
	const hold = 30 * time.Hour
	for name, ordered := range map[string]bool{"plain": false, "ordered": true} {
		t.Run(name, func(t *testing.T) {
			inWards(t, hooks.Endpoint{Hold: hold, Ordered: ordered}, func(w *ward) {
				t := w.t
				kit.StartInBubble(t, w.h)
				publish := func(wait time.Duration) string {
					ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
					ev.OrderingKey = "k"
					if wait > 0 {
						ev.DeliverAt = time.Now().Add(wait)
					}
					return kit.Publish(t, w.h, ev).EventID
				}
				publish(0) // is under way
				before := publish(0)
				time.Sleep(500 * time.Millisecond)
				w.disable(time.Time{})
				since := time.Now()
				scheduled := publish(time.Hour)
				time.Sleep(2 * time.Hour)
				after := publish(0)
				time.Sleep(3 * hold)
				for event, due := range map[string]time.Time{before: since, scheduled: since.Add(time.Hour), after: since.Add(2 * time.Hour)} {
					d := w.want(event, hooks.Failed, hooks.ReasonExpired, 0)
					if want := due.Add(hold); !d.Updated.Equal(want) {
						t.Errorf("%s failed %v after the disabling; want %v", event, d.Updated.Sub(since), want.Sub(since))
					}
				}
			})
		})
	}
}
