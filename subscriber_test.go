package hooks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"example.com/hooks/internal/lanes"
	"example.com/hooks/retry"
)

// withSubscribers returns a Hooks that knows a subscriber of each kind, as from a store.
func withSubscribers(t *testing.T) *Hooks {
	t.Helper()
	h, err := New(Config{Store: struct{ Store }{}, Logger: slog.New(slog.DiscardHandler), Timeout: time.Minute})
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	var version int64
	write := func(key, data string, e *endpoint) {
		version++
		r := Record{Key: key, Version: version, Data: []byte(data)}
		if e != nil {
			e.record = r
		}
		h.dir.update(edit{Record: r, endpoint: e})
	}
	acme := Endpoint{Tenant: "acme", Concurrency: 7, Timeout: time.Second, Retry: []time.Duration{time.Hour}}
	write("endpoint/open", "{}", &endpoint{Endpoint: acme})
	write("endpoint/defaults", "{}", &endpoint{})
	write("endpoint/sealed", "{}", &endpoint{Endpoint: acme, closed: errors.New("no key")})
	disabled := acme
	disabled.ID = "disabled"
	write("endpoint/disabled", "{}", &endpoint{Endpoint: disabled})
	write("health/disabled", `{"form":1,"since":"2026-01-01T00:00:00Z"}`, nil)
	write("handler/elsewhere", "{}", nil)
	write("handler/here", "{}", nil)
	for _, key := range []string{"endpoint/gone", "endpoint/reused", "handler/removed"} {
		write(key, "{}", &endpoint{Endpoint: acme})
		write(key, "", nil)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.Register(EventType[int]{Name: "a"}))
	for _, name := range []string{"here", "reused"} {
		must(h.Subscribe(Handler{
			Name: name, Events: []string{"a"}, Concurrency: 2, Timeout: time.Hour, Retry: retry.Schedule{time.Minute},
			Func: func(context.Context, Event) error { return nil },
		}))
	}
	return h
}

func TestSubscriberSaysHowItIsCalledOrWhyNot(t *testing.T) {
	h := withSubscribers(t)
	for _, c := range []struct {
		id       string
		lane     lanes.Lane
		wait     time.Duration // after the first attempt, by its policy
		sends    bool
		declared bool
		recorded bool
		own      obstacle // to a delivery of tenant acme's
		others   obstacle // to one of another tenant's
	}{
		{"open", lanes.Lane{ID: "open", Slots: 7, Timeout: time.Second}, time.Hour, true, false, true, noObstacle, othersTenant},
		{"sealed", lanes.Lane{ID: "sealed", Slots: 7, Timeout: time.Second}, time.Hour, true, false, true, keyMissing, othersTenant},
		{"disabled", lanes.Lane{ID: "disabled", Slots: 7, Timeout: time.Second}, time.Hour, true, false, true, held, othersTenant},
		{"defaults", lanes.Lane{ID: "defaults", Slots: 4, Timeout: time.Minute}, 5 * time.Second, true, false, true, othersTenant, othersTenant},
		{"gone", lanes.Lane{ID: "gone", Slots: 4, Timeout: time.Minute}, 5 * time.Second, false, false, false, wasDeleted, wasDeleted},
		{"removed", lanes.Lane{ID: "removed", Slots: 4, Timeout: time.Minute}, 5 * time.Second, false, false, false, wasDeleted, wasDeleted},
		{"elsewhere", lanes.Lane{ID: "elsewhere", Slots: 4, Timeout: time.Minute}, 5 * time.Second, false, false, true, notHere, notHere},
		{"nobody", lanes.Lane{ID: "nobody", Slots: 4, Timeout: time.Minute}, 5 * time.Second, false, false, false, notHere, notHere},
		{"here", lanes.Lane{ID: "here", Slots: 2, Timeout: time.Hour}, time.Minute, true, true, true, noObstacle, noObstacle},
		{"reused", lanes.Lane{ID: "reused", Slots: 2, Timeout: time.Hour}, time.Minute, true, true, false, noObstacle, noObstacle},
	} {
		t.Run(c.id, func(t *testing.T) {
			s := h.subscriber(c.id)
			if got := s.lane(); got != c.lane {
				t.Errorf("lane = %+v; want %+v", got, c.lane)
			}
			if wait, _ := s.policy.Next(1); wait != c.wait {
				t.Errorf("policy.Next(1) = %v; want %v", wait, c.wait)
			}
			if sends, recorded := s.sender != nil, s.record.Version > 0; sends != c.sends || s.declared != c.declared || recorded != c.recorded {
				t.Errorf("has a sender %v, is declared %v, recorded %v; want %v, %v, %v",
					sends, s.declared, recorded, c.sends, c.declared, c.recorded)
			}
			own, others := s.obstacleTo(Delivery{Tenant: "acme"}), s.obstacleTo(Delivery{Tenant: "other"})
			if own != c.own || others != c.others {
				t.Errorf("obstacleTo(acme's, another's) = %v, %v; want %v, %v", own, others, c.own, c.others)
			}
			if servable := s.servable(); servable != (c.sends && c.own != keyMissing && c.own != held) {
				t.Errorf("servable = %v", servable)
			}
		})
	}
}

// Each delivery has its subscriber looked up several times.
func TestLookingUpASubscriberAllocatesNothing(t *testing.T) {
	h := withSubscribers(t)
	for _, id := range []string{"open", "here", "disabled", "gone", "nobody"} {
		if n := testing.AllocsPerRun(100, func() { h.subscriber(id) }); n > 0 {
			t.Errorf("subscriber(%q) allocates %v times; want 0", id, n)
		}
	}
}

func TestBlame(t *testing.T) {
	for _, c := range []struct {
		attempt Attempt
		want    lanes.Result
	}{
		{Attempt{Error: "timeout"}, lanes.Overloaded},
		{Attempt{Error: "timeout", Code: http.StatusOK}, lanes.Overloaded},
		{Attempt{Error: "status", Code: http.StatusBadGateway}, lanes.Overloaded},
		{Attempt{Error: "status", Code: http.StatusServiceUnavailable}, lanes.Overloaded},
		{Attempt{Error: "status", Code: http.StatusGatewayTimeout}, lanes.Overloaded},
		{Attempt{Error: "status", Code: http.StatusInternalServerError}, lanes.Failed},
		{Attempt{Error: "status", Code: http.StatusTooManyRequests}, lanes.Failed},
		{Attempt{Error: "connection refused"}, lanes.Failed},
		{Attempt{Error: "error"}, lanes.Failed},
		{Attempt{Error: "panic"}, lanes.Failed},
	} {
		if got := blame(&c.attempt); got != c.want {
			t.Errorf("blame(%q, %d) = %v; want %v", c.attempt.Error, c.attempt.Code, got, c.want)
		}
	}
}
