package admin_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"example.com/hooks"
)

// A page that looks for what no index finds stops after some thousands of rows. It says so,
// and its link goes on.
func TestASearchThatStoppedGoesOn(t *testing.T) {
	const most = 10_000 // rows that the memory store looks through for a page
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm"})
	publish := func(n int, kind string) {
		t.Helper()
		evs := make([]hooks.Event, n)
		for i := range evs {
			evs[i] = hooks.Event{Type: kind, Tenant: "acme", Data: []byte("{}")}
		}
		if _, err := c.h.PublishBatch(t.Context(), evs); err != nil {
			t.Fatal(err)
		}
	}
	publish(1, "order.shipped")
	for range most / 1000 {
		publish(1000, "invoice.paid")
	}
	next := regexp.MustCompile(`rel="next" href="(?:\./?)*([^"]+)"`)
	for _, list := range []string{"deliveries", "events"} {
		page := c.get("/"+list+"?type=order.shipped").is(200, "found so far.", "The search for this page has stopped", "Go on searching")
		link := next.FindStringSubmatch(page.html)
		if link == nil {
			t.Fatalf("/%s has no link to go on", list)
		}
		c.get("/"+strings.ReplaceAll(link[1], "&amp;", "&")).is(200, "order.shipped").lacks("has stopped", "Go on")
		c.get(fmt.Sprintf("/%s", list)).is(200, "Older "+list).lacks("has stopped")
	}
}
