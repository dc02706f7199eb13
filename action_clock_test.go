package hooks_test

import (
	"net/http"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
)

// This machine's clock is set in the midst of an action, and before another one. Each row is
// changed once, and soon.
func TestActionsWhileTheClockIsSet(t *testing.T) {
	bySteps(t, func(t *testing.T, cfg hooks.Config, by time.Duration) {
		cfg.Retry = retry.Schedule{time.Hour}
		cfg.Transport = kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(410, nil, ""), nil })
		h, w := settable(t, cfg)
		kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
		for i := range 20 {
			ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
			ev.Tenant = "acme"
			kit.Publish(t, h, ev)
		}
		time.Sleep(time.Minute)
		replay := hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"}, Rate: hooks.Rate{N: 1, Per: time.Second}}
		want := func(when string, a hooks.Action) {
			t.Helper()
			time.Sleep(time.Minute)
			if got, err := h.Action(t.Context(), a.ID); err != nil || got.Done != 20 || got.Finished.IsZero() {
				t.Errorf("Action(%s): done %d, skipped %d, finished %v, %v; want 20 done", when, got.Done, got.Skipped, got.Finished, err)
			}
		}
		a, err := h.StartAction(t.Context(), replay)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5500 * time.Millisecond)
		w.set(by)
		want("set in the midst", a)
		w.set(by)
		time.Sleep(time.Minute)
		if a, err = h.StartAction(t.Context(), replay); err != nil {
			t.Fatal(err)
		}
		want("set before", a)
	})
}
