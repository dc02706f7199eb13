package hooks_test

import (
	"bytes"
	"context"
	"log"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// The pieces of Go in docs/operating.md are parts of the functions here, word by word; a test
// of internal/policy sees to that. TestOperatingGuide runs them.

// A duty is a piece of the guide. ctx and h are what the guide calls so.
type duty func(ctx context.Context, h *hooks.Hooks, log *log.Logger) error

func readHealth(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	warnings, err := h.Health(ctx)
	if err != nil {
		return err // the store does not answer: nothing is delivered until it does
	}
	for _, w := range warnings {
		log.Println(w.Code, w.Subscriber, w.Text)
	}
	return nil
}

func readBacklog(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	for b, err := range hooks.All(ctx, h.Backlog, hooks.Query{}) {
		if err != nil {
			return err
		}
		log.Println(b.Subscriber, b.Pending, b.Retrying, b.Sending, "oldest due", b.Oldest)
	}
	return nil
}

func readAttempts(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	is, err := h.EndpointHealth(ctx, "crm")
	if err != nil {
		return err
	}
	log.Println(is.State, "since", is.Since, is.LastError, is.LastCode, is.Waiting, "waiting")

	unhappy := hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Retrying, hooks.Failed}, Limit: 1}
	page, _, err := h.Deliveries(ctx, unhappy)
	if err != nil || len(page) == 0 {
		return err
	}
	attempts, err := h.Attempts(ctx, page[0].DeliveryID)
	if err != nil || len(attempts) == 0 {
		return err
	}
	last := attempts[len(attempts)-1]
	log.Println(last.URL, last.Code, last.Error, last.Took, string(last.Body))
	return nil
}

func sendTest(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	a, err := h.SendTest(ctx, "crm", InvoicePaid.New(InvoicePaid.Example))
	if err != nil {
		return err
	}
	log.Println(a.Code, a.Error, a.Took)
	return nil
}

func disable(ctx context.Context, h *hooks.Hooks, _ *log.Logger) error {
	err := h.DisableEndpoint(ctx, "crm", "kim: they migrate until noon", time.Now().Add(6*time.Hour))
	return err
}

func explain(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	why, err := h.ExplainDelivery(ctx, hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"})
	if err != nil {
		return err // hooks.ErrNotFound: there is no such delivery, or it is older than the retention
	}
	log.Println(why.Code, why.Text, why.Until)
	return nil
}

func replay(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	d, err := h.Replay(ctx, hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"})
	log.Println(d.Status)
	return err
}

func replayMany(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	outage := time.Now().Add(-time.Hour)
	failed := hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Failed}, From: outage}
	plan, err := h.StartAction(ctx, hooks.Action{Kind: hooks.ActionReplay, Query: failed, DryRun: true})
	if err != nil {
		return err
	}
	log.Println("this replays", plan.Total)
	_, err = h.StartAction(ctx, hooks.Action{
		ID: "crm-is-back", Kind: hooks.ActionReplay, Query: failed, By: "kim",
		Rate: hooks.Rate{N: 50, Per: time.Second},
	})
	return err
}

func readAction(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	a, err := h.Action(ctx, "crm-is-back")
	if err != nil {
		return err
	}
	log.Println(a.Done, "done,", a.Skipped, "skipped, of", a.Total, "finished", a.Finished, a.Error)
	return nil
}

func backfill(ctx context.Context, h *hooks.Hooks, _ *log.Logger) error {
	_, err := h.StartAction(ctx, hooks.Action{
		Kind: hooks.ActionBackfill, By: "kim",
		Query: hooks.Query{Subscriber: "crm", From: time.Now().AddDate(0, 0, -7)},
	})
	return err
}

func offboard(ctx context.Context, h *hooks.Hooks, _ *log.Logger) error {
	for e, err := range hooks.All(ctx, h.Endpoints, hooks.Query{Tenant: "acme"}) {
		if err != nil {
			return err
		}
		if err := h.DeleteEndpoint(ctx, e.ID); err != nil {
			return err
		}
	}
	_, err := h.StartAction(ctx, hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}, By: "kim"})
	return err
}

func subscribePager(h *hooks.Hooks, page func(text string) error) error {
	err := h.Subscribe(hooks.DeliveryFailed.Handler("pager", func(_ context.Context, _ hooks.Event, n hooks.DeliveryNotice) error {
		return page(n.Delivery.DeliveryID.String() + " failed: " + string(n.Delivery.Reason))
	}))
	return err
}

func readNumbers(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	lastHour := hooks.Query{From: time.Now().Add(-time.Hour)}
	minutes, err := h.Activity(ctx, lastHour)
	if err != nil {
		return err
	}
	for _, m := range minutes {
		log.Println(m.Start, m.Succeeded, m.Failed, m.Took)
	}
	return nil
}

func reseal(ctx context.Context, h *hooks.Hooks, log *log.Logger) error {
	n, err := h.Reseal(ctx)
	if err != nil {
		return err // it names each endpoint that could not be decrypted
	}
	log.Println(n, "endpoints encrypted anew")
	return nil
}

// What docs/operating.md tells people to write does what it says.
func TestOperatingGuide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := kit.Exchange(func(*http.Request) (*http.Response, error) {
			return kit.Answer(503, nil, "out of order"), nil
		})
		h := kit.New(t, hooks.Config{Logger: kit.Silent, Transport: broken, Keeper: kit.NewKeeper(t, "new")})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.StartInBubble(t, h)
		for _, id := range []string{"evt_1", "evt_2", "evt_3"} {
			ev := kit.InvoicePaid.New(kit.Invoice{})
			ev.ID = id
			kit.Publish(t, h, ev)
		}
		time.Sleep(4 * time.Second) // the first retries come later
		for _, step := range []struct {
			what string
			do   duty
			want string // of what is logged
		}{
			{"Health", readHealth, `failing crm Its last 3 attempts failed`},
			{"Backlog", readBacklog, "crm 0 3 0 oldest due"},
			{"Attempts", readAttempts, "https://example.com/hooks 503 status 0s out of order"},
			{"SendTest", sendTest, "503 status"},
			{"ExplainDelivery", explain, "retrying Attempt 1 of run 1 failed with status 503"},
			{"Replay", replay, "retrying"},
			{"Activity", readNumbers, ""}, // nothing in the first ten seconds
			{"DisableEndpoint", disable, ""},
			{"ExplainDelivery of a disabled one", explain, "disabled Its endpoint has been disabled"},
			{"Health of a disabled one", readHealth, "disabled crm It has been disabled"},
			{"Reseal", reseal, "0 endpoints encrypted anew"},
		} {
			var out bytes.Buffer
			if err := step.do(t.Context(), h, log.New(&out, "", 0)); err != nil {
				t.Errorf("%s: %v", step.what, err)
			}
			if !strings.Contains(out.String(), step.want) {
				t.Errorf("%s logged %q; want %q", step.what, out.String(), step.want)
			}
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		var out bytes.Buffer
		if err := readNumbers(t.Context(), h, log.New(&out, "", 0)); err != nil || !strings.Contains(out.String(), " 0 4 [4 ") {
			t.Errorf("Activity logged %q, %v; want four failures", out.String(), err)
		}
	})
}

// The guide's way from an outage over a customer who leaves: failed deliveries are told of and
// sent again, an endpoint gets the past, and in the end nothing of the data is there.
func TestOperatingGuideOnManyRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 410
		web := kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(status, nil, "thanks"), nil })
		h := kit.New(t, hooks.Config{Logger: kit.Silent, Transport: web})
		paged := make(chan string, 100)
		if err := subscribePager(h, func(text string) error { paged <- text; return nil }); err != nil {
			t.Fatal(err)
		}
		kit.StartInBubble(t, h)
		step := func(do duty, want string) {
			t.Helper()
			var out bytes.Buffer
			if err := do(t.Context(), h, log.New(&out, "", 0)); err != nil || !strings.Contains(out.String(), want) {
				t.Errorf("logged %q, %v; want %q", out.String(), err, want)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		publish := func(id string) {
			ev := kit.InvoicePaid.New(kit.Invoice{})
			ev.ID, ev.Tenant = id, "acme"
			kit.Publish(t, h, ev)
			synctest.Wait()
		}
		publish("evt_0") // before there is an endpoint
		kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
		publish("evt_1")
		publish("evt_2")
		if got := <-paged; got != "evt_1.crm failed: rejected" {
			t.Errorf("the pager was told %q", got)
		}
		status = 200
		step(replayMany, "this replays 2")
		step(readAction, "2 done, 0 skipped, of 2")
		step(backfill, "")
		for _, id := range []string{"evt_0", "evt_1", "evt_2"} {
			if d := kit.Delivery(t, h, id, "crm"); d.Status != hooks.Succeeded {
				t.Errorf("%s is %v; want succeeded", id, d.Status)
			}
		}
		step(offboard, "")
		for _, ev := range kit.Events(t, h) {
			if ev.Tenant == "acme" && (ev.Erased.IsZero() || string(ev.Data) != "null") {
				t.Errorf("%s of acme holds %s; want it erased", ev.ID, ev.Data)
			}
		}
		if list, _, err := h.Endpoints(t.Context(), hooks.Query{}); err != nil || len(list) != 0 {
			t.Errorf("Endpoints = %v, %v; want none", list, err)
		}
	})
}
