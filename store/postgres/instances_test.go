package postgres_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/store/postgres"
)

// instance is a Hooks as another process would have it, on a pool of its own. What
// cfg leaves open is as these tests need it.
func instance(t *testing.T, s hooks.Store, cfg hooks.Config) *hooks.Hooks {
	t.Helper()
	cfg.Store, cfg.Logger = s, silent
	cfg.Egress = egress.Policy{AllowHTTP: true, AllowLoopback: true}
	h, err := hooks.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(invoicePaid); err != nil {
		t.Fatal(err)
	}
	return h
}

// running runs h until stop is called or the test ends.
func running(t *testing.T, h *hooks.Hooks) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// auditing is a handler that sends the ids of its events.
func auditing(t *testing.T, h *hooks.Hooks) <-chan string {
	t.Helper()
	handled := make(chan string, 100)
	err := h.Subscribe(invoicePaid.Handler("audit", func(_ context.Context, ev hooks.Event, _ invoice) error {
		handled <- ev.ID
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return handled
}

// untilFanout publishes until an event gets n deliveries, and returns its id. It
// takes as long as h may be mistaken about who subscribes.
func untilFanout(t *testing.T, h *hooks.Hooks, n int) (event string, took time.Duration) {
	t.Helper()
	for began := time.Now(); ; <-time.After(10 * time.Millisecond) {
		r := mustPublish(t, h, invoicePaid.New(invoice{}))
		took = time.Since(began)
		if r.Deliveries == n {
			return r.EventID, took
		}
		if took > time.Minute {
			t.Fatalf("for a minute events have %d deliveries; want %d", r.Deliveries, n)
		}
	}
}

// untilHandled returns when a handler has had an event.
func untilHandled(t *testing.T, handled <-chan string, event string) {
	t.Helper()
	for soon(t, handled, "the handler") != event {
	}
}

// A process that never runs a dispatcher publishes for an endpoint, and for a
// handler that only the worker has: once the worker's Run has recorded it.
func TestPublisherAndWorker(t *testing.T) {
	config := database(t)
	web := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
	worker := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
	handled := auditing(t, worker)
	box := &inbox{times: make(map[string]int), changed: make(chan struct{}, 1)}
	receiver := httptest.NewServer(box)
	defer receiver.Close()
	_, err := web.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: receiver.URL, Events: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	first := mustPublish(t, web, invoicePaid.New(invoice{1}))
	if first.Deliveries != 1 {
		t.Errorf("before the worker runs an event has %d deliveries; want 1, the endpoint's", first.Deliveries)
	}
	running(t, worker)
	event, took := untilFanout(t, web, 2)
	t.Logf("the handler was known after %v", took)
	untilHandled(t, handled, event)
	box.await(t, first.EventID, event)
}

// What waits for a handler that no process has any more is left alone by all
// dispatchers, is listed as pending, and is handled when a process has it again.
func TestHandlerThatNobodyHas(t *testing.T) {
	config := database(t)
	with := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
	handled := auditing(t, with)
	stop := running(t, with)
	without, box := delivering(t, storeOn(t, poolOn(t, config)))
	event, _ := untilFanout(t, without, 2)
	untilHandled(t, handled, event)
	stop()

	var events []string
	for range 20 {
		r := mustPublish(t, without, invoicePaid.New(invoice{}))
		events = append(events, r.EventID)
		box.await(t, r.EventID) // the dispatcher has looked at what is due
	}
	for _, event := range events {
		d, err := without.Delivery(t.Context(), hooks.DeliveryID{Event: event, Subscriber: "audit"})
		if err != nil {
			t.Fatal(err)
		}
		if d.Status != hooks.Pending || d.Token != 0 {
			t.Errorf("%v is %v, changed %d times; want pending as it was stored", d.DeliveryID, d.Status, d.Token)
		}
	}
	again := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
	handled = auditing(t, again)
	running(t, again)
	waiting := make(map[string]bool)
	for _, event := range events {
		waiting[event] = true
	}
	for len(waiting) > 0 {
		delete(waiting, soon(t, handled, "the handler"))
	}
}

// Concurrency is each instance's: two that call an endpoint with one request at a
// time call it with two.
func TestConcurrencyIsPerInstance(t *testing.T) {
	config := database(t)
	var mu sync.Mutex
	active, most := 0, 0
	both := make(chan struct{})
	box := &inbox{times: make(map[string]int), changed: make(chan struct{}, 1)}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		active++
		if most = max(most, active); active == 2 {
			select {
			case <-both:
			default:
				close(both)
			}
		}
		mu.Unlock()
		select { // until the other instance's request is here too
		case <-both:
		case <-r.Context().Done():
		}
		<-time.After(5 * time.Millisecond) // for a third to come meanwhile, if it may
		mu.Lock()
		active--
		mu.Unlock()
		box.ServeHTTP(w, r)
	}))
	defer receiver.Close()
	web := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
	_, err := web.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: receiver.URL, Events: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		running(t, instance(t, storeOn(t, poolOn(t, config)), hooks.Config{SubscriberConcurrency: 1}))
	}
	var events []string
	for range 50 {
		events = append(events, mustPublish(t, web, invoicePaid.New(invoice{})).EventID)
	}
	soon(t, both, "a second request at the same time")
	box.await(t, events...)
	mu.Lock()
	defer mu.Unlock()
	if most != 2 {
		t.Errorf("%d requests at once by two instances with one each; want 2", most)
	}
}

// An endpoint that one instance adds, changes and deletes is added, changed and
// deleted for another within a second if it listens, and else by its next look.
func TestEditsReachOtherInstances(t *testing.T) {
	for _, c := range []struct {
		name   string
		config postgres.Config
		within time.Duration
	}{
		{"listening", postgres.Config{}, time.Second},
		{"polling", postgres.Config{PollOnly: true}, 1700 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			const slack = 3 * time.Second // of a machine that is busy
			added, changed, deleted := edits(t, c.config)
			t.Logf("added after %v, changed after %v, deleted after %v; %v is promised", added, changed, deleted, c.within)
			for what, took := range map[string]time.Duration{"add": added, "change": changed, "delete": deleted} {
				if took > c.within+slack {
					t.Errorf("to %s an endpoint takes %v; want %v", what, took, c.within)
				}
			}
		})
	}
}

// edits has one instance edit an endpoint while another delivers and publishes. It
// returns how long after each edit that one went by what was before.
func edits(t *testing.T, c postgres.Config) (added, changed, deleted time.Duration) {
	t.Helper()
	config := database(t)
	calls := make(chan string, 10_000)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { calls <- r.URL.Path }))
	defer receiver.Close()
	here := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
	store, err := postgres.New(poolOn(t, config), c)
	if err != nil {
		t.Fatal(err)
	}
	there := instance(t, store, hooks.Config{})
	running(t, there)
	put := func(path string) {
		t.Helper()
		_, err := here.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: receiver.URL + path, Events: []string{"**"}})
		if err != nil {
			t.Fatal(err)
		}
	}

	mustPublish(t, there, invoicePaid.New(invoice{})) // it has just looked
	put("/old")
	_, added = untilFanout(t, there, 1)
	for soon(t, calls, "the first request") != "/old" {
	}
	put("/new")
	edited := time.Now()
	for path := ""; path != "/new"; { // published here, so that only the deliverer may be mistaken
		mustPublish(t, here, invoicePaid.New(invoice{}))
		path = soon(t, calls, "the next request")
	}
	changed = time.Since(edited)
	if err := here.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	_, deleted = untilFanout(t, there, 0)
	return added, changed, deleted
}

// A Flush ends when a whole line has been delivered, though each outcome frees the
// next of it, and answers about the backlog may be older than that.
func TestFlushWaitsForTheLine(t *testing.T) {
	const rounds, line = 10, 10
	h := instance(t, tardy{open(t)}, hooks.Config{})
	var served atomic.Int64
	audit := invoicePaid.Handler("audit", func(context.Context, hooks.Event, invoice) error {
		served.Add(1)
		return nil
	})
	audit.Ordered = true
	if err := h.Subscribe(audit); err != nil {
		t.Fatal(err)
	}
	running(t, h)
	for round := range rounds {
		for range line {
			ev := invoicePaid.New(invoice{})
			ev.OrderingKey = "k"
			mustPublish(t, h, ev)
		}
		if err := h.Flush(t.Context()); err != nil || served.Load() != int64((round+1)*line) {
			t.Fatalf("Flush = %v after %d deliveries; want nil after %d", err, served.Load(), (round+1)*line)
		}
	}
}

// A tardy store keeps its answers about the backlog to itself for a moment, so that
// they are old when they come.
type tardy struct{ *postgres.Store }

func (s tardy) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	waiting, err := s.Store.Backlog(ctx)
	time.Sleep(3 * time.Millisecond)
	return waiting, err
}
