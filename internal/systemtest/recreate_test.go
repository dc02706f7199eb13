package systemtest_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

const (
	oldURL = "https://example.com/old"
	newURL = "https://example.com/new"
)

// A caller keeps the URLs that it is told to call, and answers with status after a while.
type caller struct {
	status int
	takes  time.Duration

	mu   sync.Mutex // guards urls
	urls []string
}

func (c *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.urls = append(c.urls, r.URL.String())
	c.mu.Unlock()
	time.Sleep(c.takes)
	return kit.Answer(c.status, nil, ""), nil
}

func (c *caller) called() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.urls)
}

// flush delivers what is due, one request after the other.
func flush(t *testing.T, h *hooks.Hooks) {
	t.Helper()
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A scene is an endpoint "crm" that is deleted and put again, each time by another process
// on one store.
type scene struct {
	t     *testing.T
	store hooks.Store
	calls caller
}

// process returns a Hooks that has just started.
func (s *scene) process() *hooks.Hooks {
	return kit.New(s.t, hooks.Config{Store: s.store, Transport: &s.calls, Logger: kit.Silent, SubscriberConcurrency: 1})
}

func (s *scene) put(url string) { kit.Put(s.t, s.process(), hooks.Endpoint{ID: "crm", URL: url}) }

func (s *scene) delete() {
	s.t.Helper()
	if err := s.process().DeleteEndpoint(s.t.Context(), "crm"); err != nil {
		s.t.Fatal(err)
	}
}

// row returns the delivery of an event, and makes it due if it waits.
func (s *scene) makeDue(event string) {
	s.t.Helper()
	d := kit.Delivery(s.t, s.process(), event, "crm")
	d.Due = d.Updated
	if stale, err := s.store.Update(s.t.Context(), d.Updated, []hooks.Change{{Delivery: d}}); err != nil || len(stale) > 0 {
		s.t.Fatal(stale, err)
	}
}

// wantCanceled checks that a delivery ended because its endpoint was deleted, and what was
// called in all.
func (s *scene) wantCanceled(event string, urls ...string) {
	s.t.Helper()
	d := kit.Delivery(s.t, s.process(), event, "crm")
	if d.Status != hooks.Canceled || d.Reason != hooks.ReasonDeleted {
		s.t.Errorf("the delivery is %v, %q; want canceled, %q", d.Status, d.Reason, hooks.ReasonDeleted)
	}
	if got := s.calls.called(); !slices.Equal(got, urls) {
		s.t.Errorf("requests went to %q; want %q", got, urls)
	}
}

// What was published for an endpoint is not sent to another one that has its id later.
func TestAnEndpointPutAgainGetsNothingOfTheOld(t *testing.T) {
	for name, play := range map[string]func(*scene){
		"it waits": func(s *scene) {
			s.put(oldURL)
			event := kit.Send(s.t, s.process()).EventID
			s.delete()
			s.put(newURL)
			flush(s.t, s.process())
			s.wantCanceled(event)
		},
		"another process has a lease": func(s *scene) {
			s.put(oldURL)
			event := kit.Send(s.t, s.process()).EventID
			if len(kit.Leased(s.t, s.store, "crm", time.Now())) != 1 {
				s.t.Fatal("nothing was leased")
			}
			s.delete()
			s.put(newURL)
			flush(s.t, s.process()) // the lock ends all leases
			s.wantCanceled(event)
		},
		"it waits for a retry": func(s *scene) {
			s.put(oldURL)
			event := kit.Send(s.t, s.process()).EventID
			s.calls.status = 500
			flush(s.t, s.process())
			s.calls.status = 200
			s.delete()
			s.put(newURL)
			s.makeDue(event)
			flush(s.t, s.process())
			s.wantCanceled(event, oldURL)
		},
		"the new one was changed since": func(s *scene) {
			s.put(oldURL)
			event := kit.Send(s.t, s.process()).EventID
			s.delete()
			s.put("https://example.com/typo")
			s.put(newURL)
			if _, err := s.process().RotateSecret(s.t.Context(), "crm", hooks.Rotation{}); err != nil {
				s.t.Fatal(err)
			}
			flush(s.t, s.process())
			s.wantCanceled(event)
		},
		"twice": func(s *scene) {
			s.put(oldURL)
			first := kit.Send(s.t, s.process()).EventID
			s.delete()
			s.put("https://example.com/second")
			second := kit.Send(s.t, s.process()).EventID
			s.delete()
			s.put(newURL)
			flush(s.t, s.process())
			s.wantCanceled(first)
			s.wantCanceled(second)
		},
		"the id was a handler's": func(s *scene) {
			worker := s.process()
			if err := worker.Subscribe(hooks.Handler{Name: "crm", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
				s.t.Fatal(err)
			}
			flush(s.t, worker)
			event := kit.Send(s.t, s.process()).EventID
			if err := s.process().DeleteHandler(s.t.Context(), "crm"); err != nil {
				s.t.Fatal(err)
			}
			s.put(newURL)
			flush(s.t, s.process())
			s.wantCanceled(event)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBothStores(t, func(t *testing.T, store hooks.Store) {
				s := &scene{t: t, store: store, calls: caller{status: 200}}
				play(s)
				sent := len(s.calls.called())
				kit.Send(t, s.process()) // in a bubble at the very moment in which the endpoint was put
				flush(t, s.process())
				if got := s.calls.called()[sent:]; !slices.Equal(got, []string{newURL}) {
					t.Errorf("an event of afterwards went to %q; want %q", got, newURL)
				}
			})
		})
	}
}

// onBothStores runs test on SQLite, and in memory in a bubble, where time stands still.
func onBothStores(t *testing.T, test func(*testing.T, hooks.Store)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, memory.New()) })
	})
	t.Run("sqlite", func(t *testing.T) {
		store, err := sqlite.Open(filepath.Join(t.TempDir(), "hooks.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		test(t, store)
	})
}

// A clock that is set back makes neither old deliveries new, nor new ones old.
func TestAnEndpointPutAgainWhenTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		clocked := &skewed{Store: memory.New(), ahead: &ahead}
		s := &scene{t: t, store: clocked, calls: caller{status: 200}}
		s.put(oldURL)
		old := kit.Send(t, s.process()).EventID
		ahead = -time.Hour
		s.delete()
		s.put(newURL)
		fresh := kit.Send(t, s.process())
		ahead = time.Hour
		flush(t, s.process())
		s.wantCanceled(old, newURL)
		if d := kit.Delivery(t, s.process(), fresh.EventID, "crm"); d.Status != hooks.Succeeded {
			t.Errorf("the delivery to the new endpoint is %v, %q; want succeeded", d.Status, d.Reason)
		}
	})
}

// A skewed store has a clock that a test sets. Each Hooks reads it when it starts.
type skewed struct {
	hooks.Store
	ahead *time.Duration
}

func (s *skewed) Now(context.Context) (time.Time, error) { return time.Now().Add(*s.ahead), nil }

// A dispatcher that holds deliveries in its lane notices as well.
func TestAnEndpointPutAgainWhileDeliveriesAreQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := &caller{status: 200, takes: time.Second}
		h := kit.New(t, hooks.Config{SubscriberConcurrency: 1, Transport: calls})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: oldURL})
		kit.StartInBubble(t, h)
		kit.Send(t, h) // is under way
		queued := kit.Send(t, h).EventID
		synctest.Wait()
		if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: newURL})
		fresh := kit.Send(t, h).EventID
		time.Sleep(time.Minute)
		if got, want := calls.called(), []string{oldURL, newURL}; !slices.Equal(got, want) {
			t.Errorf("requests went to %q; want %q", got, want)
		}
		if d := kit.Delivery(t, h, queued, "crm"); d.Status != hooks.Canceled || d.Reason != hooks.ReasonDeleted {
			t.Errorf("what was queued is %v, %q; want canceled, deleted", d.Status, d.Reason)
		}
		if d := kit.Delivery(t, h, fresh, "crm"); d.Status != hooks.Succeeded {
			t.Errorf("what was published since is %v; want succeeded", d.Status)
		}
	})
}

// A dispatcher that ends what a deleted endpoint has left leaves alone what was published
// for another one with its id, which was put a moment before.
func TestAnEndpointPutAgainWhileTheOldOneIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.GatedStore{Store: memory.New()}
		s := &scene{t: t, store: store.Store, calls: caller{status: 200}}
		later := kit.InvoicePaid.New(kit.Invoice{})
		later.DeliverAt = time.Now().Add(time.Hour)
		s.put(oldURL)
		old := kit.Publish(t, s.process(), later).EventID
		running := kit.New(t, hooks.Config{Store: store, Transport: &s.calls, Logger: kit.Silent, SubscriberConcurrency: 1})
		kit.StartInBubble(t, running)
		time.Sleep(time.Second)
		s.delete()
		var now, scheduled string
		store.BeforeWrite = func() error { // which is the claim of the sweep
			if now == "" {
				now = "being put"
				s.put(newURL)
				now = kit.Send(t, s.process()).EventID
				scheduled = kit.Publish(t, s.process(), later).EventID
			}
			return nil
		}
		running.Wake(t.Context())
		time.Sleep(time.Minute)
		s.wantCanceled(old, newURL)
		if d := kit.Delivery(t, running, now, "crm"); d.Status != hooks.Succeeded {
			t.Errorf("what was published for the new one is %v, %q; want succeeded", d.Status, d.Reason)
		}
		if d := kit.Delivery(t, running, scheduled, "crm"); d.Status != hooks.Pending || !d.Due.Equal(later.DeliverAt) {
			t.Errorf("what was scheduled for the new one is %v, %q, due %v; want pending until %v", d.Status, d.Reason, d.Due, later.DeliverAt)
		}
		time.Sleep(time.Hour)
		if d := kit.Delivery(t, running, scheduled, "crm"); d.Status != hooks.Succeeded {
			t.Errorf("an hour later it is %v; want succeeded", d.Status)
		}
	})
}

// A process that runs meanwhile, and has not yet read that the endpoint is another one,
// does not call the new URL for what the old one was sent.
func TestTwoProcessesAndAnEndpointPutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, store: memory.New(), calls: caller{status: 500}}
		s.put(oldURL)
		running := s.process()
		kit.StartInBubble(t, running)
		event := kit.Send(t, running).EventID
		synctest.Wait() // one attempt failed
		s.delete()
		s.put(newURL)
		time.Sleep(24 * time.Hour)
		s.wantCanceled(event, oldURL)
	})
}

// A delivery of a deleted subscriber is not sent again, also if the id is in use again.
func TestReplayForADeletedSubscriber(t *testing.T) {
	onBothStores(t, func(t *testing.T, store hooks.Store) {
		s := &scene{t: t, store: store, calls: caller{status: 200}}
		s.put(oldURL)
		id := hooks.DeliveryID{Event: kit.Send(t, s.process()).EventID, Subscriber: "crm"}
		waiting := hooks.DeliveryID{Event: kit.Send(t, s.process()).EventID, Subscriber: "crm"}
		if _, err := s.process().Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		s.delete()
		for _, again := range []bool{false, true} {
			if again {
				s.put(newURL)
			}
			for _, id := range []hooks.DeliveryID{id, waiting} {
				_, err := s.process().Replay(t.Context(), id)
				kit.WantInvalid(t, err, "DeliveryID", hooks.ErrNotFound, "the subscriber of "+id.String()+" was deleted")
			}
		}
		if d := kit.Delivery(t, s.process(), id.Event, "crm"); d.Status != hooks.Canceled || d.Run != 1 {
			t.Errorf("the delivery is %v in run %d; want it as it was", d.Status, d.Run)
		}
	})
}

// What a method says of a delivery that it cannot change tells what to do.
func TestStatusErrorsSayWhatToDo(t *testing.T) {
	s := &scene{t: t, store: memory.New(), calls: caller{status: 200}}
	s.put(oldURL)
	h := s.process()
	id := hooks.DeliveryID{Event: kit.Send(t, h).EventID, Subscriber: "crm"}
	want := func(err error, from hooks.Status, text string) {
		t.Helper()
		wrong, ok := errors.AsType[*hooks.StatusError](err)
		if !ok || wrong.From != from || wrong.To == from && from == hooks.Sending || err.Error() != "hooks: delivery "+id.String()+" is "+text {
			t.Errorf("error = %v; want a StatusError: … is %s", err, text)
		}
	}
	kit.Leased(t, s.store, "crm", time.Now())
	_, err := h.Replay(t.Context(), id)
	want(err, hooks.Sending, "being sent now; wait for its outcome, or cancel it")
	if _, err := h.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	_, err = h.Cancel(t.Context(), id)
	want(err, hooks.Canceled, "canceled already; only one that is not final can be canceled")
	if _, err := h.Replay(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	flush(t, h)
	_, err = h.Cancel(t.Context(), id)
	want(err, hooks.Succeeded, "succeeded already; only one that is not final can be canceled")
}
