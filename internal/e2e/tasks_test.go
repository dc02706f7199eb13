package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/hooks"
)

// TestTenTasks does what people open the pages for, and counts what they must do for it.
func TestTenTasks(t *testing.T) {
	w := newWorld(t, operator)
	once := []time.Duration{} // no attempt after the first
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme", Retry: once}, "fail")
	w.publish(t, "acme", 1_204)
	w.endpoint(t, hooks.Endpoint{ID: "billing", Tenant: "globex"}, "fail")
	ids := w.publish(t, "globex", 1)

	t.Run("find the failed delivery of an event, see why, and replay it", func(t *testing.T) {
		p := &person{tab: open(t, desktop)}
		p.visit(w.url)
		p.press("/")
		p.send("Event id or idempotency key", ids[0])
		p.sees(ids[0])
		p.click("billing")
		p.sees("503 Service Unavailable")
		p.within("find the failed delivery of an event id", 3)
		p.sees("Why it failed", "upstream connect error", "When next", "Attempt 2 at")
		p.within("why it failed and when next", 0)
		p.click("Replay now")
		p.sees("Attempt 2")
		p.within("replay it", 2)
	})
	t.Run("replay all failures of an endpoint and stop half-way", func(t *testing.T) {
		p := &person{tab: open(t, desktop)}
		p.visit(w.url)
		p.click("crm-sync")
		p.click("failed for good")
		p.sees("upstream connect error")
		p.click("Replay 1,204…")
		p.sees("1,204")
		p.click("Replay 1,204 deliveries")
		p.click("Stop")
		p.sees("stopped")
		p.within("replay 1,204 failures and stop half-way", 5)
	})
	t.Run("make an endpoint, rotate its secret, send a test, disable and enable it", func(t *testing.T) {
		p := &person{tab: open(t, desktop)}
		p.visit(w.url)
		p.click("Endpoints")
		p.click("New endpoint")
		p.send("URL", "http://127.0.0.1/ok")
		p.sees("whsec_")
		p.within("make an endpoint and see its secret once", 4)
		made, _, err := w.Endpoints(t.Context(), hooks.Query{Tenant: ""})
		check(t, err)
		var id string
		for _, e := range made {
			if e.Tenant == "" {
				id = e.ID
			}
		}
		p.visit(w.url + "endpoints/" + id)
		p.click("Rotate secret")
		p.sees("whsec_")
		p.within("rotate its secret", 3)
		p.visit(w.url + "endpoints/" + id)
		p.click("Send test")
		p.sees("200 OK")
		p.within("send a test and see the answer", 3)
		p.visit(w.url + "endpoints/" + id)
		p.click("Disable…")
		p.click("Disable")
		p.sees("disabled")
		p.within("disable it", 2)
		p.click("Enable")
		p.sees("working")
		p.within("enable it", 2)
	})
}

func TestTwoAttemptsAreCompared(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme", Retry: []time.Duration{}}, "counting/"+t.Name())
	id := w.publish(t, "acme", 1)[0] + ".crm-sync"
	parsed, err := hooks.ParseDeliveryID(id)
	check(t, err)
	_, err = w.Replay(t.Context(), parsed)
	check(t, err)
	check(t, w.Flush(t.Context()))
	for name, l := range map[string]look{"with the key d": desktop, "without JavaScript": {width: 1280, height: 1000, noScript: true}} {
		t.Run(name, func(t *testing.T) {
			p := &person{tab: open(t, l)}
			p.visit(w.url + "deliveries/" + id)
			if l.noScript {
				p.click("Compare 1 of run 2 with 1 of run 1")
			} else {
				p.sees("Compare 1 of run 2 with 1 of run 1")
				p.press("d")
			}
			p.sees("Attempt 1 of run 2 with 1 of run 1", "seen.requests 1 2 changed")
			p.within("compare two attempts", 3)
		})
	}
}

func TestTheOneThatFailsAmong200IsFound(t *testing.T) {
	w := newWorld(t, operator)
	for i := range 200 {
		path := "ok"
		if i == 117 {
			path = "fail"
		}
		w.endpoint(t, hooks.Endpoint{ID: fmt.Sprintf("shop-%03d", i), Tenant: "acme"}, path)
	}
	w.publish(t, "acme", 4)
	p := &person{tab: open(t, desktop)}
	p.visit(w.url)
	p.sees("shop-117 is failing")
	p.click("shop-117")
	p.sees("Failing since")
	p.within("find the one endpoint that is failing among 200", 1)
}
