package postgres_test

import (
	"encoding/json"
	"net/http"
	"os"
	process "os/exec"
	"testing"
	"time"

	"example.com/hooks"
)

// A workshop is a database with endpoint "crm", and a Hooks that does not run. Its transport
// answers with 200.
type workshop struct {
	t *testing.T
	h *hooks.Hooks
	n int // rows
}

type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Request: r}, nil
}

func newWorkshop(t *testing.T, s hooks.Store, n int) *workshop {
	t.Helper()
	w := &workshop{t: t, n: n, h: instance(t, s, hooks.Config{Transport: accepting{}})}
	w.put("crm")
	return w
}

func (w *workshop) put(id string) {
	w.t.Helper()
	e := hooks.Endpoint{ID: id, Tenant: "acme", URL: "http://127.0.0.1/" + id, Events: []string{"**"}}
	if _, err := w.h.PutEndpoint(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

// publish publishes the rows, to be delivered after a wait.
func (w *workshop) publish(wait time.Duration) {
	w.t.Helper()
	evs := make([]hooks.Event, w.n)
	for i := range evs {
		evs[i] = invoicePaid.New(invoice{i})
		evs[i].Tenant = "acme"
		if wait > 0 {
			evs[i].DeliverAt = time.Now().Add(wait)
		}
	}
	if _, err := w.h.PublishBatch(w.t.Context(), evs); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workshop) start(a hooks.Action) string {
	w.t.Helper()
	a, err := w.h.StartAction(w.t.Context(), a)
	if err != nil || a.Total.N != w.n {
		w.t.Fatalf("StartAction = %+v, %v; want %d rows", a, err, w.n)
	}
	return a.ID
}

// await waits until so is true of an action.
func (w *workshop) await(id, what string, so func(hooks.Action) bool) hooks.Action {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for {
		a, err := w.h.Action(w.t.Context(), id)
		if err == nil && so(a) {
			return a
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("Action(%s) = %+v, %v; want %s within a minute", id, a, err, what)
		}
	}
}

// wantDone waits for the end of an action, and checks that all its rows were changed.
func (w *workshop) wantDone(id string) {
	w.t.Helper()
	a := w.await(id, "it finished", func(a hooks.Action) bool { return !a.Finished.IsZero() })
	if a.Done != w.n || a.Skipped != 0 || a.Error != "" || a.Stopped {
		w.t.Errorf("Action = %+v; want %d done", a, w.n)
	}
}

// wantDeliveries waits until all deliveries of a subscriber are as they should be.
func (w *workshop) wantDeliveries(subscriber, what string, so func(hooks.Delivery) bool) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for {
		n, others := 0, 0
		for d, err := range hooks.All(w.t.Context(), w.h.Deliveries, hooks.Query{Subscriber: subscriber}) {
			if err != nil {
				w.t.Fatal(err)
			}
			if n++; !so(d) {
				others++
			}
		}
		if n == w.n && others == 0 {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("of %d deliveries to %s, %d are not %s; want all %d to be", n, subscriber, others, what, w.n)
		}
	}
}

// Two processes carry out each kind of action, in several steps. Each row is changed once.
func TestActions(t *testing.T) {
	t.Parallel()
	config := database(t)
	w := newWorkshop(t, storeOn(t, poolOn(t, config)), 650)
	since := time.Now().Add(-time.Minute)
	w.publish(0)
	if err := w.h.DisableEndpoint(t.Context(), "crm", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	running(t, w.h)
	running(t, instance(t, storeOn(t, poolOn(t, config)), hooks.Config{Transport: accepting{}}))

	start := func(k hooks.ActionKind, q hooks.Query) string {
		return w.start(hooks.Action{Kind: k, Query: q, Rate: hooks.Rate{N: 10_000, Per: time.Second}})
	}
	crm := hooks.Query{Subscriber: "crm"}
	w.wantDone(start(hooks.ActionCancel, crm))
	w.wantDeliveries("crm", "canceled", func(d hooks.Delivery) bool { return d.Status == hooks.Canceled })
	if err := w.h.EnableEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	w.wantDone(start(hooks.ActionReplay, crm))
	w.wantDeliveries("crm", "sent once", func(d hooks.Delivery) bool { return d.Status == hooks.Succeeded && d.Run == 2 })
	w.put("new")
	w.wantDone(start(hooks.ActionBackfill, hooks.Query{Subscriber: "new", From: since}))
	w.wantDeliveries("new", "sent once", func(d hooks.Delivery) bool { return d.Status == hooks.Succeeded && d.Run == 1 })
	w.wantDone(start(hooks.ActionErase, hooks.Query{Tenant: "acme"}))
	for ev, err := range hooks.All(t.Context(), w.h.Events, hooks.Query{}) {
		if err != nil || ev.Erased.IsZero() || string(ev.Data) != "null" {
			t.Errorf("%+v, %v is not erased", ev, err)
		}
	}
	id := start(hooks.ActionReplay, hooks.Query{Tenant: "acme", Subscriber: "crm"})
	a := w.await(id, "it finished", func(a hooks.Action) bool { return !a.Finished.IsZero() })
	if a.Done != 0 || a.Skipped != w.n {
		t.Errorf("replay of what is erased: %+v; want all skipped", a)
	}
}

// The process that carries out an action is killed. Another one goes on, and each row is
// changed once.
func TestAnActionWhoseOwnerIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as long as an action's lease, 10 s")
	}
	config := database(t)
	w := newWorkshop(t, storeOn(t, poolOn(t, config)), 15)
	w.publish(24 * time.Hour)
	o, err := json.Marshal(orders{config.ConnString(), config.Database, 1})
	if err != nil {
		t.Fatal(err)
	}
	child := process.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFleetChild$")
	child.Env = append(os.Environ(), fleetEnv+"="+string(o))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	id := w.start(hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Subscriber: "crm"}, Rate: hooks.Rate{N: 5, Per: time.Second}})
	w.await(id, "the child began", func(a hooks.Action) bool { return a.Done > 0 })
	running(t, w.h)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	killed := time.Now()
	w.wantDone(id)
	if took := time.Since(killed); took > 20*time.Second {
		t.Errorf("the action went on and finished %v after the kill; want it within its lease and 5 s", took)
	}
	w.wantDeliveries("crm", "canceled once", func(d hooks.Delivery) bool { return d.Status == hooks.Canceled && d.Token == 1 })
}
