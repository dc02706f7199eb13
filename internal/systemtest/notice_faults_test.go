package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A notaryStore checks after each write that there is a notice for each failed delivery and
// for each disabled endpoint, and no other. Some of its calls of Put and Update fail.
type notaryStore struct {
	hooks.Store
	t    *testing.T
	fail func(call int) (before, after bool) // counts Put and Update from 1; nil: none fails

	mu       sync.Mutex // guards what follows
	calls    int
	disabled bool
}

func (s *notaryStore) Unwrap() hooks.Store { return s.Store }

// write makes one call, unless it is to fail before.
func (s *notaryStore) write(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	var before, after bool
	if s.fail != nil {
		before, after = s.fail(s.calls)
	}
	if before {
		return kit.ErrFault
	}
	err := do()
	s.check()
	if after {
		return kit.ErrFault
	}
	return err
}

func (s *notaryStore) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (v int64, err error) {
	err = s.write(func() error {
		if v, err = s.Store.Put(ctx, now, r, emit); err == nil && r.Key == "health/crm" {
			s.disabled = true
		}
		return err
	})
	return v, err
}

func (s *notaryStore) Update(ctx context.Context, now time.Time, c []hooks.Change) (stale []hooks.DeliveryID, err error) {
	err = s.write(func() error { stale, err = s.Store.Update(ctx, now, c); return err })
	return stale, err
}

func (s *notaryStore) check() {
	failed := s.count(func(q hooks.Query) (int, error) {
		q.Types, q.Statuses = []string{"invoice.paid"}, []hooks.Status{hooks.Failed}
		page, _, err := s.Deliveries(context.Background(), q)
		return len(page), err
	})
	told := s.countEvents("hooks.delivery.failed")
	if failed != told {
		s.t.Errorf("after write %d, %d deliveries have failed, and there are %d notices of it", s.calls, failed, told)
	}
	if told := s.countEvents("hooks.endpoint.disabled"); s.disabled != (told == 1) {
		s.t.Errorf("after write %d, there are %d notices of the disabling, and it was written: %v", s.calls, told, s.disabled)
	}
}

func (s *notaryStore) countEvents(typ string) int {
	return s.count(func(q hooks.Query) (int, error) {
		q.Types = []string{typ}
		page, _, err := s.Events(context.Background(), q)
		return len(page), err
	})
}

func (s *notaryStore) count(list func(hooks.Query) (int, error)) int {
	n, err := list(hooks.Query{Limit: 1000})
	if err != nil {
		s.t.Error(err)
	}
	return n
}

// A notice is in the same write as its cause: whichever write fails, before or after it was
// made, there are both or neither; and when the store works again, there is one.
func TestNoticesAreWrittenWithTheirCause(t *testing.T) {
	for name, open := range stores(t) {
		for call := 1; call <= 6; call++ {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, call %d, late %v", name, call, late), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						fails := func(n int) (before, after bool) { return n == call && !late, n == call && late }
						failAndDisable(t, &notaryStore{Store: open(t), t: t}, fails)
					})
				})
			}
		}
	}
}

// failAndDisable has three deliveries fail, and disables an endpoint, while the store fails.
func failAndDisable(t *testing.T, store *notaryStore, fails func(int) (before, after bool)) {
	t.Helper()
	told := &gazette{began: time.Now()}
	w := &ward{t: t, store: &writeCounter{Store: store}, began: time.Now(), status: 410}
	w.h = w.process()
	told.subscribe(t, w.h)
	kit.Put(t, w.h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	kit.StartInBubble(t, w.h)
	store.calls, store.fail = 0, fails
	for range 3 {
		w.send(0)
		time.Sleep(time.Minute)
	}
	err := kit.ErrFault
	for errors.Is(err, kit.ErrFault) {
		err = w.h.DisableEndpoint(t.Context(), "crm", "it is full", time.Time{})
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if n := len(told.ended); n != 3 || len(told.lines) != 4 {
		t.Errorf("told %q; want that three deliveries failed, and the endpoint is disabled", told.lines)
	}
	if store.calls < 6 {
		t.Errorf("the store was asked to write %d times; want 6 or more, or the test fails too late", store.calls)
	}
}

// A refusingStore calls failPut before each Put, which fails if that returns an error.
type refusingStore struct {
	*memory.Store
	failPut func() error // nil: none fails
}

func (s *refusingStore) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	if s.failPut != nil {
		if err := s.failPut(); err != nil {
			return 0, err
		}
	}
	return s.Store.Put(ctx, now, r, emit)
}

// Of several processes that see the end of a disabling, one tells of it. While none of them
// can write that, what was held is sent all the same.
func TestAFleetTellsOnceThatADisablingEnded(t *testing.T) {
	for name, outage := range map[string]time.Duration{"the store works": 0, "it fails for 5 min": 5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				shared := &refusingStore{Store: memory.New()}
				store := &writeCounter{Store: struct{ hooks.Store }{shared}} // hides that memory is Exclusive
				w := &ward{t: t, store: store, began: began, status: 200}
				told := &gazette{began: began}
				for range 3 {
					w.h = w.process()
					told.subscribe(t, w.h)
					kit.StartInBubble(t, w.h)
				}
				kit.Put(t, w.h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
				w.disable(began.Add(time.Minute))
				time.Sleep(2 * time.Second)
				event := w.send(0)
				shared.failPut = func() error {
					time.Sleep(time.Second) // so that all have seen that the disabling has ended
					if time.Since(began) < time.Minute+outage {
						return kit.ErrFault
					}
					return nil
				}
				time.Sleep(10 * time.Minute)
				w.wantSent("when the disabling has ended", event)
				if len(w.at) == 1 && w.at[0] > 61*time.Second {
					t.Errorf("it was sent after %v; want at once after a minute", w.at[0])
				}
				synctest.Wait()
				// Whether the event waited still is a matter of luck.
				if l := told.lines; len(l) != 2 || !strings.HasPrefix(l[1], `1m0s endpoint.enabled crm crm working ""`) {
					t.Errorf("told %q; want that it was disabled, and that it was enabled after a minute", l)
				}
			})
		})
	}
}

// Flush delivers the notice of a delivery that fails while it runs.
func TestFlushDeliversNotices(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			told := &gazette{}
			h := kit.New(t, hooks.Config{Store: open(t), Logger: kit.Silent, Retry: retry.Schedule{}})
			told.subscribe(t, h)
			failing := hooks.Handler{Name: "fragile", Events: []string{"**"}, Func: func(context.Context, hooks.Event) error { return kit.ErrFault }}
			if err := h.Subscribe(failing); err != nil {
				t.Fatal(err)
			}
			kit.Send(t, h)
			flush(t, h)
			if len(told.ended) != 1 || told.ended[0].Subscriber != "fragile" {
				t.Errorf("told of %v; want the delivery to fragile", told.ended)
			}
		})
	}
}
