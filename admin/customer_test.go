package admin_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

// operatorWords are for whoever runs the application, and are on no page of a customer.
var operatorWords = regexp.MustCompile(`(?i)\b(subscribers?|tenants?|handlers?|operators?|dispatchers?|process(es)?|the store|` +
	`Hooks\.Register|h\.Publish|your application|level (View|Replay|Manage|Secrets)|admin\.Config|hooks ` + regexp.QuoteMeta(hooks.Version) + `)\b`)

// notOurs are the parts of a page that nobody reads, or that are other people's text.
var notOurs = regexp.MustCompile(`(?s)<head>.*?</head>|<svg.*?</svg>|<pre.*?</pre>`)

// readAs returns what a person reads on a page.
func readAs(page string) string {
	return spaces.ReplaceAllString(html.UnescapeString(tags.ReplaceAllString(notOurs.ReplaceAllString(page, " "), " ")), " ")
}

// troubled returns the pages of an application whose customer acme has endpoints in every
// state, and deliveries in every status.
func troubled(t *testing.T) *console {
	t.Helper()
	c := crowded(t)
	for _, id := range []string{"off", "failing"} {
		c.put(hooks.Endpoint{ID: id})
	}
	c.answer = func(*http.Request) (int, string) { return 410, "no" }
	c.publish(4)
	c.lose("failing")
	c.lose("gone")
	c.publish(0)
	c.lose("left")
	if err := c.h.DisableEndpoint(t.Context(), "off", "moving", time.Time{}); err != nil {
		t.Fatal(err)
	}
	a := hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Failed}}, By: "lee"}
	if _, err := c.h.Tenant("acme").StartAction(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return c
}

// lose deletes an endpoint for which something waits.
func (c *console) lose(id string) {
	c.t.Helper()
	c.put(hooks.Endpoint{ID: id, Events: []string{"order.*"}})
	_, err := c.h.Publish(c.t.Context(), hooks.Event{Type: "order.shipped", Tenant: "acme", Data: []byte("{}")})
	if err == nil {
		err = c.h.DeleteEndpoint(c.t.Context(), id)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// A customer reads of endpoints and events, and nothing of how the application runs.
func TestACustomerReadsNoWordsOfTheOperator(t *testing.T) {
	empty := openConsole(t, hooks.Config{Store: memory.New()}, admin.Config{})
	for world, c := range map[string]*console{"troubled": troubled(t), "empty": empty} {
		for level := admin.View; level <= admin.Secrets; level++ {
			c.access = admin.Access{Level: level, Tenant: "acme", User: "lee"}
			for address, page := range c.crawl() {
				if !strings.HasPrefix(page, "<!doctype html>") {
					continue
				}
				text := readAs(page)
				if at := operatorWords.FindStringIndex(text); at != nil {
					t.Errorf("%s, %v: GET %s says %q to a customer: …%s…", world, level, address, text[at[0]:at[1]],
						text[max(0, at[0]-100):min(len(text), at[1]+60)])
				}
			}
		}
	}
}

// The first page of a customer who has nothing yet says what to do, as far as they may.
func TestACustomerIsToldHowToBegin(t *testing.T) {
	c := openConsole(t, hooks.Config{Store: memory.New()}, admin.Config{})
	c.access = admin.Access{Level: admin.Manage, Tenant: "acme"}
	for _, path := range []string{"/", "/deliveries", "/events"} {
		c.get(path).is(200, "Add an endpoint", "a URL of yours", "Send a test", "Wait for the first event").has(`href="./new-endpoint"`)
	}
	c.access.Level = admin.View
	c.get("/").is(200, "There is none yet.").lacks("new-endpoint")
	c.access.Level = admin.Manage
	c.get("/").is(200, "The endpoint’s page sends one")
	c.put(hooks.Endpoint{ID: "crm", Events: []string{"invoice.*"}})
	c.get("/deliveries").is(200, "crm listens to invoice.*", "The page of crm sends one").has(`href="./endpoints/crm#test"`)
}

// An address that leads nowhere says how to mount the handler to the operator only.
func TestACustomerIsNotToldHowToMount(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Prefix = "/hooks" }).as(customer)
	for _, path := range []string{"/hooks/nothing", "/hooks/system", "/hooks/api/v1/nothing", "/hooks//deliveries"} {
		if w := s.do(t, http.MethodGet, path, ""); w.Code != 404 || strings.Contains(w.Body.String(), "Prefix") {
			t.Errorf("GET %s by a customer = %d %s; want 404, without the Prefix", path, w.Code, said(w))
		}
	}
	if w := s.do(t, http.MethodGet, "/elsewhere", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "at /hooks, as admin.Config.Prefix says") {
		t.Errorf("GET /elsewhere = %d %s; want 404 that says how the portal is mounted", w.Code, said(w))
	}
}
