package postgres_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"example.com/hooks"
)

// Processes on one database tell once of each step of an endpoint, whoever made it, and once
// of a delivery that has failed. Two of them see the end of the disabling at the same time.
func TestNoticesOfAFleet(t *testing.T) {
	config := database(t)
	told := make(chan hooks.Event, 100)
	process := func() *hooks.Hooks {
		h := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{})
		err := h.Subscribe(hooks.Handler{Name: "pager", Events: []string{"hooks.**"}, Func: func(_ context.Context, ev hooks.Event) error {
			told <- ev
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer receiver.Close()
	web := process() // does not run
	if _, err := web.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: receiver.URL, Events: []string{"**"}}); err != nil {
		t.Fatal(err)
	}
	running(t, process())
	running(t, process())

	until := time.Now().Add(500 * time.Millisecond).UTC().Truncate(time.Microsecond)
	if err := web.DisableEndpoint(t.Context(), "crm", "it is full", until); err != nil {
		t.Fatal(err)
	}
	event := mustPublish(t, web, invoicePaid.New(invoice{})).EventID
	var got []string
	for range 3 {
		ev := soon(t, told, "a notice")
		got = append(got, ev.Type)
		switch ev.Type {
		case hooks.EndpointEnabled.Name:
			if n, err := hooks.EndpointEnabled.Decode(ev); err != nil || n.Health.State != hooks.StateWorking || !ev.Time.Equal(until) {
				t.Errorf("enabled at %v, %+v, %v; want working, at %v", ev.Time, n, err, until)
			}
		case hooks.DeliveryFailed.Name:
			if n, err := hooks.DeliveryFailed.Decode(ev); err != nil || n.Delivery.Event != event || n.Delivery.Reason != hooks.ReasonRejected {
				t.Errorf("the notice is about %+v, %v; want %s, rejected", n, err, event)
			}
		}
	}
	slices.Sort(got)
	want := []string{"hooks.delivery.failed", "hooks.endpoint.disabled", "hooks.endpoint.enabled"}
	if !slices.Equal(got, want) {
		t.Errorf("told of %q; want %q", got, want)
	}
	page, _, err := web.Events(t.Context(), hooks.Query{Types: []string{"hooks.**"}})
	if err != nil || len(page) != 3 {
		t.Errorf("%d notices are stored, %v; want 3", len(page), err)
	}
}
