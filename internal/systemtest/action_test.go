package systemtest_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
)

// A yard is a Hooks that does not run, with the endpoint "crm" of the tenant "acme", in a
// bubble. Its receiver answers with status and notes what came, and when.
type yard struct {
	t     *testing.T
	store hooks.Store
	h     *hooks.Hooks
	began time.Time

	mu     sync.Mutex // guards what follows
	status int
	sent   []string // events, in the order of the requests
	at     []time.Duration
	bodies []string
}

// inYards runs a test on each store.
func inYards(t *testing.T, test func(y *yard)) {
	t.Helper()
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newYard(t, open(t))) })
		})
	}
}

func newYard(t *testing.T, s hooks.Store) *yard {
	y := &yard{t: t, store: s, began: time.Now(), status: 200}
	y.h = y.process()
	kit.Put(t, y.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
	return y
}

// process returns another Hooks on the store, as another process would have it.
func (y *yard) process() *hooks.Hooks {
	return kit.Subscribed(y.t, hooks.Config{
		Store: y.store, Logger: kit.Silent, Transport: kit.Exchange(y.answer), Retry: retry.Schedule{time.Hour},
	})
}

func (y *yard) answer(r *http.Request) (*http.Response, error) {
	body := new(strings.Builder)
	if err := r.Write(body); err != nil {
		return nil, err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.sent = append(y.sent, r.Header.Get("webhook-id"))
	y.at = append(y.at, time.Since(y.began))
	y.bodies = append(y.bodies, body.String())
	return kit.Answer(y.status, nil, "an answer"), nil
}

// respond makes the receiver answer with a status, and forget what came.
func (y *yard) respond(status int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.status, y.sent, y.at, y.bodies, y.began = status, nil, nil, nil, time.Now()
}

func (y *yard) received() (sent []string, at []time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.Clone(y.sent), slices.Clone(y.at)
}

// publish publishes n events of a tenant, a second apart, and returns their ids.
func (y *yard) publish(tenant string, n int) (ids []string) {
	y.t.Helper()
	for i := range n {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
		ev.Tenant = tenant
		ids = append(ids, kit.Publish(y.t, y.h, ev).EventID)
		time.Sleep(time.Second)
	}
	return ids
}

// fail publishes n events of acme whose deliveries fail for good.
func (y *yard) fail(n int) (ids []string) {
	y.t.Helper()
	ids = y.publish("acme", n)
	y.respond(410)
	y.run(time.Minute)
	y.respond(200)
	return ids
}

// run runs a process for a while.
func (y *yard) run(d time.Duration) {
	y.t.Helper()
	stop := kit.StartInBubble(y.t, y.process())
	time.Sleep(d)
	stop()
}

func (y *yard) start(a hooks.Action) hooks.Action {
	y.t.Helper()
	a, err := y.h.StartAction(y.t.Context(), a)
	if err != nil {
		y.t.Fatalf("StartAction = %v", err)
	}
	return a
}

// wantAction checks how an action stands, as another process reads it.
func (y *yard) wantAction(id string, total, done, skipped int, finished bool) hooks.Action {
	y.t.Helper()
	a, err := y.process().Action(y.t.Context(), id)
	if err != nil {
		y.t.Fatalf("Action(%s) = %v", id, err)
	}
	if a.Total.N != total || a.Done != done || a.Skipped != skipped || a.Finished.IsZero() == finished {
		y.t.Errorf("Action(%s): total %v, done %d, skipped %d, finished %v, error %q; want %d, %d, %d, %t",
			id, a.Total, a.Done, a.Skipped, a.Finished, a.Error, total, done, skipped, finished)
	}
	return a
}

// What failed is sent again, the oldest first, at the rate, and what others have decided
// about since is skipped.
func TestReplayAction(t *testing.T) {
	inYards(t, func(y *yard) {
		ids := y.fail(10)
		failed := hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Failed}}
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: failed, Rate: hooks.Rate{N: 2, Per: time.Second}, By: "kim"})
		if a.ID == "" || a.Total.N != 10 || a.By != "kim" || a.Started.IsZero() {
			y.t.Errorf("StartAction = %+v; want an id, a total of 10", a)
		}
		if _, err := y.h.Replay(y.t.Context(), hooks.DeliveryID{Event: ids[3], Subscriber: "crm"}); err != nil {
			y.t.Fatal(err)
		}
		y.wantAction(a.ID, 10, 0, 0, false)
		y.run(2500 * time.Millisecond)
		y.wantAction(a.ID, 10, 6, 0, false)
		y.run(time.Minute)
		y.wantAction(a.ID, 10, 9, 1, true)
		sent, at := y.received()
		want := slices.Concat(ids[3:4], ids[:3], ids[4:])
		if !slices.Equal(sent, want) {
			y.t.Errorf("sent %v; want %v", sent, want)
		}
		for i := range at[2:6] {
			if gap := at[i+2] - at[i+1]; gap < 450*time.Millisecond || gap > 550*time.Millisecond {
				y.t.Errorf("requests came at %v; want one each half a second", at)
			}
		}
	})
}

// What waits is canceled, and what is final stays as it is.
func TestCancelAction(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(3)
		waiting := y.publish("acme", 7)
		a := y.start(hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Subscriber: "crm"}})
		if a.Total.N != 7 {
			y.t.Errorf("StartAction: total %v; want 7", a.Total)
		}
		if err := y.h.DisableEndpoint(y.t.Context(), "crm", "", time.Time{}); err != nil {
			y.t.Fatal(err)
		}
		y.run(time.Minute)
		y.wantAction(a.ID, 7, 7, 0, true)
		for _, id := range waiting {
			if d := kit.Delivery(y.t, y.h, id, "crm"); d.Status != hooks.Canceled || d.Reason != "" {
				y.t.Errorf("%v is %v %s; want canceled", d.DeliveryID, d.Status, d.Reason)
			}
		}
	})
}

// An endpoint gets the events that it never got: those that it would receive now.
func TestBackfillAction(t *testing.T) {
	inYards(t, func(y *yard) {
		y.publish("acme", 1) // before From
		since := time.Now()
		old := y.publish("acme", 3)
		y.publish("other", 2)
		expired := kit.InvoicePaid.New(kit.Invoice{})
		expired.Tenant, expired.ExpiresAt = "acme", time.Now().Add(time.Second)
		kit.Publish(y.t, y.h, expired)
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "new", Tenant: "acme", URL: kit.AnyURL})
		both := y.publish("acme", 1)
		a := y.start(hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "new", From: since}})
		y.publish("acme", 1) // after the start
		y.run(time.Minute)
		y.wantAction(a.ID, 5, 3, 2, true) // it skips the expired one, and the one that was published for it
		for _, id := range append(old, both...) {
			if d := kit.Delivery(y.t, y.h, id, "new"); d.Status != hooks.Succeeded {
				y.t.Errorf("%v is %v; want succeeded", d.DeliveryID, d.Status)
			}
		}
		// To crm: 5 of before the start, the one that expired, and one of after it; to new: the
		// last two of these, and what was filled in.
		if n := len(kit.Deliveries(y.t, y.h)); n != 7+2+3 {
			y.t.Errorf("%d deliveries; want 12", n)
		}
	})
}

// Nothing of an erased event is left or sent.
func TestEraseAction(t *testing.T) {
	inYards(t, func(y *yard) {
		done := y.fail(2)
		waiting := y.publish("acme", 2)
		other := y.publish("other", 1)
		if err := y.h.DisableEndpoint(y.t.Context(), "crm", "", time.Time{}); err != nil {
			y.t.Fatal(err)
		}
		a := y.start(hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}})
		y.run(time.Minute)
		y.wantAction(a.ID, 4, 4, 0, true)
		for _, ev := range kit.Events(y.t, y.h) {
			if erased := ev.ID != other[0]; erased != !ev.Erased.IsZero() || erased != (string(ev.Data) == "null") {
				y.t.Errorf("event %s has the data %s, erased %v; want erased: %t", ev.ID, ev.Data, ev.Erased, erased)
			}
		}
		attempts, err := y.h.Attempts(y.t.Context(), hooks.DeliveryID{Event: done[0], Subscriber: "crm"})
		if err != nil || len(attempts) != 1 || attempts[0].Body != nil || attempts[0].Code != 410 {
			y.t.Errorf("Attempts = %+v, %v; want one without a body", attempts, err)
		}
		for _, id := range waiting {
			d := kit.Delivery(y.t, y.h, id, "crm")
			if d.Status != hooks.Canceled || d.Reason != hooks.ReasonErased {
				y.t.Errorf("%v is %v %s; want canceled, erased", d.DeliveryID, d.Status, d.Reason)
			}
			_, err := y.h.Replay(y.t.Context(), d.DeliveryID)
			kit.WantInvalid(y.t, err, "DeliveryID", nil, "was erased at")
			e, err := y.h.ExplainDelivery(y.t.Context(), d.DeliveryID)
			if err != nil || e.Code != "final" || !strings.Contains(e.Text, "because its event was erased") {
				y.t.Errorf("ExplainDelivery = %+v, %v", e, err)
			}
		}
		e, err := y.h.ExplainDelivery(y.t.Context(), hooks.DeliveryID{Event: done[0], Subscriber: "crm"})
		if err != nil || !strings.Contains(e.Text, "cannot be sent again") {
			y.t.Errorf("ExplainDelivery = %+v, %v; want that it cannot be sent again", e, err)
		}
		replay := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"}})
		y.run(time.Minute)
		y.wantAction(replay.ID, 4, 0, 4, true)
		if err := y.h.EnableEndpoint(y.t.Context(), "crm"); err != nil {
			y.t.Fatal(err)
		}
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "new", Tenant: "acme", URL: kit.AnyURL})
		backfill := y.start(hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "new", From: time.Now().Add(-time.Hour)}})
		y.run(time.Minute)
		y.wantAction(backfill.ID, 4, 0, 4, true)
		if sent, _ := y.received(); len(sent) > 0 {
			y.t.Errorf("sent %v; want nothing", sent)
		}
	})
}

func TestActionsInJSON(t *testing.T) {
	a := hooks.Action{
		ID: "act_1", Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"},
		Rate: hooks.Rate{N: 50, Per: time.Second}, Total: hooks.Count{N: 3},
	}
	text, err := json.Marshal(a)
	const want = `{"id":"act_1","kind":"replay","query":{"subscriber":"crm"},"rate":{"n":50,"per_ms":1000},` +
		`"total":{"n":3},"done":0,"skipped":0}`
	if err != nil || string(text) != want {
		t.Errorf("json.Marshal = %s, %v; want %s", text, err, want)
	}
	var read hooks.Action
	if err := json.Unmarshal(text, &read); err != nil || !reflect.DeepEqual(read, a) {
		t.Errorf("json.Unmarshal = %+v, %v; want %+v", read, err, a)
	}
	for _, text := range []string{`{"n":"x"}`, `{"per_ms":0.1234567}`, `7`} {
		if err := json.Unmarshal([]byte(text), new(hooks.Rate)); err == nil {
			t.Errorf("json.Unmarshal(%s) = nil; want an error", text)
		}
	}
}
