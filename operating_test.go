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
