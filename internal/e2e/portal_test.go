package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
)

// portal is the access of somebody who works for the customer acme.
func portal(*http.Request) (admin.Access, error) {
	return admin.Access{Level: admin.Secrets, Tenant: "acme", User: "lee"}, nil
}

// TestFiveTasksOfACustomer does what customers open their portal for, and counts what they
// must do for it.
func TestFiveTasksOfACustomer(t *testing.T) {
	w := newWorld(t, portal)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme", Retry: []time.Duration{}}, "fail")
	w.endpoint(t, hooks.Endpoint{ID: "billing-globex", Tenant: "globex", Retry: []time.Duration{}}, "fail")
	w.publish(t, "globex", 3)
	failed := w.publish(t, "acme", 1)[0]
	p := &person{tab: open(t, desktop)}

	p.visit(w.url)
	p.sees("crm-sync")
	p.click("Endpoints")
	p.click("New endpoint")
	p.send("URL", "http://127.0.0.1/ok")
	p.sees("whsec_")
	p.within("make an endpoint", 3)
	secret := made(t, w)
	p.visit(w.url + "endpoints/" + secret)
	p.sees("Send a test")
	if strings.Contains(p.text(), "whsec_") {
		t.Error("the page of the endpoint shows the secret again")
	}
	p.within("see its secret once", 0)
	p.click("Send test")
	p.sees("200 OK")
	p.within("send a test", 1)

	p.visit(w.url)
	p.click("Failures")
	p.sees("503")
	p.click("List all of them")
	p.click("invoice.paid")
	p.sees("Why it failed", "upstream connect error", failed)
	p.within("find a failed delivery", 3)
	p.click("Replay now")
	p.sees("run 2")
	p.within("replay it", 2)
	for _, page := range []string{"", "deliveries", "failures", "events", "endpoints", "types", "actions"} {
		p.visit(w.url + page)
		p.sees("Times are UTC")
		if text := p.text(); strings.Contains(text, "globex") || strings.Contains(text, "audit-log") || strings.Contains(text, "fraud") {
			t.Errorf("/%s shows a customer something of others: %s", page, text)
		}
	}
}

// made returns the id of the endpoint of acme that was made on a page.
func made(t *testing.T, w *world) (id string) {
	t.Helper()
	list, _, err := w.Endpoints(t.Context(), hooks.Query{Tenant: "acme"})
	check(t, err)
	for _, e := range list {
		if e.ID != "crm-sync" {
			id = e.ID
		}
	}
	return id
}
