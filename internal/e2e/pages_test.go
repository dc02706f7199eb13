package e2e_test

import (
	"testing"

	"example.com/hooks"
)

func TestTheListOfDeliveriesOpens(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "fail")
	w.publish(t, "acme", 3)
	tb := open(t, desktop)
	tb.visit(w.url + "deliveries")
	tb.sees("Deliveries", "503 Service Unavailable", "Updated")
}
