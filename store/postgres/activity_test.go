package postgres_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/hooks"
)

// Two processes on one database add to the same counters. A tenant sees those of its own
// endpoints.
func TestProcessesCountTogether(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	const each = 40
	config := database(t)
	handled := make(chan string, 2*each)
	var all []*hooks.Hooks
	var stops []func()
	for range 2 {
		h := instance(t, storeOn(t, poolOn(t, config)), hooks.Config{SubscriberConcurrency: 8})
		err := h.Subscribe(invoicePaid.Handler("audit", func(_ context.Context, ev hooks.Event, _ invoice) error {
			handled <- ev.ID
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	web := hooks.Endpoint{ID: "crm", Tenant: "acme", URL: receiver.URL, Events: []string{"invoice.paid"}}
	if _, err := all[0].PutEndpoint(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		if _, err := h.Health(t.Context()); err != nil { // reads the endpoint
			t.Fatal(err)
		}
		stops = append(stops, running(t, h))
		for range each {
			ev := invoicePaid.New(invoice{})
			ev.Tenant = "acme"
			mustPublish(t, h, ev)
		}
	}
	for range 2 * each {
		soon(t, handled, "an event")
	}
	for _, h := range all {
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, stop := range stops {
		stop() // and writes the counters
	}
	for _, want := range []struct {
		what string
		of   func(context.Context, hooks.Query) ([]hooks.Minute, error)
		q    hooks.Query
		n    int
	}{
		{"the operator's", all[0].Activity, hooks.Query{}, 4 * each},
		{"the operator's of a handler", all[1].Activity, hooks.Query{Subscriber: "audit"}, 2 * each},
		{"the tenant's", all[1].Tenant("acme").Activity, hooks.Query{}, 2 * each},
		{"the tenant's of a handler", all[1].Tenant("acme").Activity, hooks.Query{Subscriber: "audit"}, 0},
		{"another tenant's", all[0].Tenant("rival").Activity, hooks.Query{Subscriber: "crm"}, 0},
	} {
		list, err := want.of(t.Context(), want.q)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range list {
			n += m.Succeeded
		}
		if n != want.n {
			t.Errorf("Activity, %s, counts %d; want %d", want.what, n, want.n)
		}
	}
}

// The backlog is counted to 10,000, and beyond that it is known that there are more.
func TestBacklogCountsToTenThousand(t *testing.T) {
	h := instance(t, open(t), hooks.Config{})
	if _, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: "http://127.0.0.1/", Events: []string{"**"}}); err != nil {
		t.Fatal(err)
	}
	evs := make([]hooks.Event, 9_999)
	for i := range evs {
		evs[i] = invoicePaid.New(invoice{})
	}
	for _, c := range []struct {
		more int // events to publish before
		want hooks.Count
	}{
		{9_999, hooks.Count{N: 9_999}}, {1, hooks.Count{N: 10_000}}, {1, hooks.Count{N: 10_000, More: true}},
	} {
		if _, err := h.PublishBatch(t.Context(), evs[:c.more]); err != nil {
			t.Fatal(err)
		}
		page, _, err := h.Backlog(t.Context(), hooks.Query{})
		if err != nil || len(page) != 1 || page[0].Pending != c.want {
			t.Errorf("Backlog = %+v, %v; want %v pending", page, err, c.want)
		}
	}
}
