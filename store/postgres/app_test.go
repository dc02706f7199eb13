package postgres_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/store/postgres"
)

type invoice struct {
	Number int `json:"number"`
}

var invoicePaid = hooks.EventType[invoice]{Name: "invoice.paid"}

// publishing is a Hooks that only publishes.
func publishing(t *testing.T, s *postgres.Store) *hooks.Hooks {
	t.Helper()
	h, err := hooks.New(hooks.Config{
		Store: s, Logger: silent,
		Egress: egress.Policy{AllowHTTP: true, AllowLoopback: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(invoicePaid); err != nil {
		t.Fatal(err)
	}
	return h
}

// delivering is a Hooks that also delivers, until the test ends, to an endpoint
// whose receiver keeps what it was sent.
func delivering(t *testing.T, s *postgres.Store) (*hooks.Hooks, *inbox) {
	t.Helper()
	box := &inbox{times: make(map[string]int), changed: make(chan struct{}, 1)}
	receiver := httptest.NewServer(box)
	t.Cleanup(receiver.Close)
	h := publishing(t, s)
	_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: receiver.URL, Events: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	return h, box
}

// An inbox is a receiver that counts what comes of each event.
type inbox struct {
	mu    sync.Mutex // guards what follows
	times map[string]int

	changed chan struct{} // holds one
}

// ServeHTTP is [http.Handler]'s.
func (b *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the sender has gone
	}
	b.mu.Lock()
	b.times[r.Header.Get("webhook-id")]++
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// await returns when all events have come, and fails the test if they do not.
func (b *inbox) await(t *testing.T, events ...string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		missing := b.missing(events)
		if len(missing) == 0 {
			return
		}
		select {
		case <-b.changed:
		case <-deadline:
			t.Fatalf("within a minute %d of %d events were not delivered, such as %s",
				len(missing), len(events), missing[0])
		}
	}
}

func (b *inbox) missing(events []string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(events), func(id string) bool { return b.times[id] > 0 })
}

// repeated lists the events that came more than once.
func (b *inbox) repeated() (events []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, n := range b.times {
		if n > 1 {
			events = append(events, id)
		}
	}
	return events
}

func mustPublish(t *testing.T, h *hooks.Hooks, ev hooks.Event) hooks.Receipt {
	t.Helper()
	r, err := h.Publish(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var silent = slog.New(slog.DiscardHandler)
