package admin_test

import (
	"context"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
)

// hidden returns the names and values of the fields of a page that are not shown.
func (s shown) hidden() (pairs []string) {
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(s.html, -1) {
		pairs = append(pairs, html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return pairs
}

// run runs the dispatcher while f does something, in a bubble.
func (c *console) run(f func()) {
	c.t.Helper()
	ctx, stop := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.h.Run(ctx) }()
	f()
	stop()
	if err := <-ended; err != nil {
		c.t.Error(err)
	}
}

// failAll makes n deliveries to the endpoint crm fail for good.
func (c *console) failAll(n int) {
	c.t.Helper()
	c.answer = func(*http.Request) (int, string) { return 503, "" }
	c.put(hooks.Endpoint{ID: "crm", Retry: []time.Duration{}})
	c.publish(n)
}

func TestActionIsAskedForStartedWatchedAndStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.failAll(20)
		ask := c.get("/actions/new?kind=replay&status=failed&subscriber=crm&limit=5&cursor=17&order=oldest").
			is(200, "Replay 20 deliveries?", "crm is failing since 00:00:00. The last attempt failed with 503 Service Unavailable.",
				"Each of the 20 deliveries is sent to crm again", "Takes about 1 s at this rate.", "Status failed", "Subscriber crm", "See all 20").
			lacks("have succeeded")
		if len(c.audit) > 0 {
			t.Errorf("the audit was told of a page that only asks: %+v", c.audit)
		}
		send := append(ask.hidden(), "rate", "1", "per", "s")
		id := ask.value("id")
		c.run(func() {
			c.post("/actions", send...).goesTo("/actions/" + id)
			c.post("/actions", send...).goesTo("/actions/" + id) // starts nothing
			if got := c.audit[0]; got.Action != "action.start" || got.Target != id || got.Count != 20 || got.Query == nil || got.Query.Subscriber != "crm" {
				t.Errorf("audit = %+v; want action.start of %s with its query and 20", got, id)
			}
			time.Sleep(4500 * time.Millisecond)
			synctest.Wait()
			page := c.get("/actions/"+id).is(200, "Replay of 20 deliveries under way", "replayed · 0 skipped", "at 1 a second", "Rate 1 a second",
				"by kim", "Stop", id).has("<progress max=\"20\"", `href="../deliveries?status=failed&amp;subscriber=crm"`)
			if done := regexp.MustCompile(`(\d+) of 20, (\d+) %`).FindStringSubmatch(page.text); done == nil || done[1] == "0" || done[1] == "20" {
				t.Errorf("the page does not say that some of 20 are done: %s", page.text)
			}
			c.access.Level = admin.View
			c.get("/actions/" + id).is(200).lacks("Stop")
			c.post("/actions/" + id + "/stop").is(403)
			c.access.Level = admin.Manage
			c.post("/actions/" + id + "/stop").goesTo("/actions/" + id)
			time.Sleep(time.Minute)
			c.get("/actions/"+id).is(200, "Replay of 20 deliveries stopped", "left as they were").lacks(">Stop<")
		})
		c.get("/actions").is(200, "Replay failed, crm kim", "stopped after").lacks("under way")
		if list, _, err := c.h.Actions(t.Context(), hooks.Query{}); err != nil || len(list) != 1 {
			t.Errorf("there are %d actions, %v; want one", len(list), err)
		}
	})
}

func TestActionPageShowsOthersBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.get("/actions").is(200, "Nobody has started an action in the last 90 days.")
		c.failAll(3)
		c.run(func() {
			for _, kind := range []string{"cancel", "erase"} {
				ask := c.get("/actions/new?kind=" + kind + "&tenant=acme").is(200)
				c.post("/actions", append(ask.hidden(), "rate", "50", "per", "min")...)
				time.Sleep(time.Minute)
			}
		})
		list, _, err := c.h.Actions(t.Context(), hooks.Query{})
		if err != nil || len(list) != 1 {
			t.Fatalf("there are %d actions, %v; want one, because nothing could be canceled", len(list), err)
		}
		c.get("/actions/"+list[0].ID).is(200, "Erase of 3 events finished", "3 erased · 0 skipped", "Rate 50 a minute").lacks("Other actions", "left")
		second, err := c.h.StartAction(t.Context(), hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Types: []string{"**"}}, By: "lee"})
		if err != nil {
			t.Fatal(err)
		}
		c.get("/actions/"+second.ID).is(200, "Other actions", "Erase acme kim 3 0 finished after")
		c.get("/actions?limit=1").is(200, "Earlier actions", "lee").lacks("Erase")
	})
}

func TestActionSaysWhatEachKindDoes(t *testing.T) {
	c := newConsole(t)
	c.failAll(2)
	c.answer = nil
	c.publish(1)
	later := hooks.Event{Type: "invoice.paid", Tenant: "acme", Data: []byte("{}"), DeliverAt: time.Now().Add(time.Hour)}
	if _, err := c.h.Publish(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	c.put(hooks.Endpoint{ID: "new"})
	tests := []struct {
		query string
		words []string
	}{
		{"kind=cancel&subscriber=crm", []string{"Cancel 1 delivery?", "is canceled: it is not sent any more."}},
		{"kind=erase&tenant=acme", []string{"Erase 4 events?", "Nobody can undo this.", "See all 4"}},
		{"kind=backfill&subscriber=new&since=24h", []string{"Look through 4 events?", "of which new has no delivery are delivered to it", "Published since"}},
		{"kind=replay&subscriber=crm", []string{"Replay 4 deliveries?", "1 of them have succeeded. They are sent once more. Only those that failed"}},
		{"kind=replay&tenant=globex", []string{"Replay 0 deliveries?", "Nothing matches.", "Back"}},
		{"kind=replay&type=invoice.*&error=status&status=failed&reason=exhausted", []string{"its subscriber", "Type invoice.*", "Class status", "Reason exhausted"}},
	}
	for _, tt := range tests {
		c.get("/actions/new?"+tt.query).is(200, tt.words...)
	}
	c.get("/actions/new?kind=replay").is(200, "Replay 4 deliveries?", "Type **")
	c.get("/actions/new").goesTo("/actions")
	c.get("/actions/new?kind=replay&subscriber=crm").has(`href="../actions/new?kind=replay&amp;status=failed&amp;subscriber=crm"`)
	for query, status := range map[string]int{
		"kind=frog&subscriber=crm": 400, "subscriber=crm": 400, "kind=erase": 400, "kind=backfill&subscriber=crm": 400,
		"kind=backfill&subscriber=frog&since=1h": 404, "kind=replay&since=frog": 400, "kind=replay&frog=1": 400,
	} {
		if got := c.get("/actions/new?" + query); got.status != status {
			t.Errorf("GET /actions/new?%s = %d; want %d; it says: %s", query, got.status, status, got.text)
		}
		if got := c.get("/actions/new?" + query); strings.Contains(got.text, "What will happen") {
			t.Errorf("GET /actions/new?%s asks: %s", query, got.text)
		}
	}
}

func TestActionWarnsOfADisabledEndpoint(t *testing.T) {
	c := newConsole(t)
	c.failAll(1)
	if err := c.h.DisableEndpoint(t.Context(), "crm", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	c.get("/actions/new?kind=replay&subscriber=crm&status=failed").is(200, "crm is disabled since", "What is sent now is held until it is enabled")
	c.get("/actions/new?kind=cancel&subscriber=crm").is(200).lacks("is disabled")
}

func TestActionFormCarriesTheWholeQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.failAll(0)
		ev := hooks.Event{ID: "evt_1", Type: "invoice.paid", Tenant: "acme", Data: []byte("{}"), IdempotencyKey: "a key"}
		if _, err := c.h.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		c.publish(0)
		from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)
		for query, want := range map[string][]string{
			"kind=replay&since=1h&status=failed&status=retrying&type=invoice.*": {"from", from, "kind", "replay", "status", "failed", "status", "retrying", "type", "invoice.*"},
			"kind=replay&event=evt_1&subscriber=crm&error=status&tenant=acme&reason=exhausted&from=1999-01-01T00:00:00.5Z&to=2026-01-01T00:00:00Z": {
				"error", "status", "event", "evt_1", "from", "1999-01-01T00:00:00.5Z", "kind", "replay", "reason", "exhausted",
				"subscriber", "crm", "tenant", "acme", "to", "2026-01-01T00:00:00Z",
			},
			"kind=erase&tenant=acme&key=a+key&limit=3": {"key", "a key", "kind", "erase", "tenant", "acme"},
		} {
			got := c.get("/actions/new?"+query).is(200, "What will happen").hidden()
			if n := len(got); n < 2 || !slices.Equal(got[:n-2], want) || got[n-2] != "id" {
				t.Errorf("the form of %s carries %q; want %q and an id", query, got, want)
			}
		}
	})
}

func TestActionSaysWhatIsWrongWithTheRate(t *testing.T) {
	c := newConsole(t)
	c.failAll(1)
	ask := c.get("/actions/new?kind=replay&subscriber=crm&status=failed").is(200)
	for _, rate := range [][]string{{"0", "s"}, {"many", "s"}, {"1", "year"}, {"-1", "h"}} {
		page := c.post("/actions", append(ask.hidden(), "rate", rate[0], "per", rate[1])...).
			is(400, "Write how many in which time, such as 50 a second.", "Replay 1 delivery?").has(`id="rate-wrong"`)
		if got := page.value("rate") + " " + page.value("id"); got != rate[0]+" "+ask.value("id") {
			t.Errorf("the form shows %q; want what was typed, and the same id", got)
		}
	}
	c.post("/actions", "kind", "replay", "rate", "1", "per", "s").is(400)
	c.post("/actions", "kind", "frog", "rate", "1", "per", "s").is(400)
	if got := c.lastAudit(); got.Refused == "" || got.Action != "action.start" {
		t.Errorf("audit = %+v; want a refused action.start", got)
	}
	if list, _, err := c.h.Actions(t.Context(), hooks.Query{}); err != nil || len(list) != 0 {
		t.Errorf("there are %d actions, %v; want none", len(list), err)
	}
}

func TestActionsOfATenantAreItsOwn(t *testing.T) {
	c := newConsole(t)
	c.failAll(2)
	c.put(hooks.Endpoint{ID: "erp", Tenant: "globex"})
	theirs, err := c.h.StartAction(t.Context(), hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm"}, By: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	c.access = admin.Access{Level: admin.Manage, Tenant: "acme", User: "robin"}
	c.get("/actions").is(200, "Nobody has started an action").lacks("operator")
	c.get("/actions/" + theirs.ID).is(404).lacks("operator")
	c.post("/actions/" + theirs.ID + "/stop").is(404)
	ask := c.get("/actions/new?kind=replay&type=**&status=failed").is(200, "Replay 2 deliveries?")
	c.post("/actions", append(ask.hidden(), "rate", "5", "per", "h")...).goesTo("/actions/" + ask.value("id"))
	c.get("/actions").is(200, "robin").lacks("operator")

	c.access = admin.Access{Level: admin.Manage, Tenant: "globex"}
	c.get("/actions/"+ask.value("id")).is(404).lacks("acme", "robin")
	c.get("/actions/new?kind=replay&subscriber=crm&status=failed").is(404).lacks("crm is failing", "503")
	c.get("/actions/new?kind=backfill&subscriber=crm&since=1h").is(404)
	c.access.Level = admin.Replay
	c.get("/actions/new?kind=replay&status=failed").is(403)
	c.post("/actions", "kind", "replay", "status", "failed", "rate", "1", "per", "s").is(403)
}

func TestRecoverLeadsToAnAction(t *testing.T) {
	c := newConsole(t)
	c.failAll(2)
	c.get("/endpoints/crm").is(200, "Recover since…").has(`href="../endpoints/crm/recover"`)
	page := c.get("/endpoints/crm/recover").is(200, "Recover crm since…", "Send again what failed", "Send what it never got", "24 hours ago")
	want := []string{"kind", "replay", "subscriber", "crm", "status", "failed", "kind", "backfill", "subscriber", "crm"}
	if got := page.hidden(); !slices.Equal(got, want) {
		t.Errorf("the forms carry %q; want %q", got, want)
	}
	c.get("/actions/new?kind=replay&subscriber=crm&status=failed&since=24h").is(200, "Replay 2 deliveries?")
	c.get("/actions/new?kind=backfill&subscriber=crm&since=24h").is(200, "Look through 2 events?", "Those that it has already are skipped")
	c.access.Level = admin.Replay
	c.get("/endpoints/crm").is(200).lacks("Recover since…")
	c.get("/endpoints/crm/recover").is(403)
}
