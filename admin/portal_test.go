package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// strange is in every name and text of what a customer must not see.
const strange = "zzz"

// crowded returns the pages of a Hooks with the customers acme and globex-zzz, a handler, a
// private type, and failed, waiting and succeeded deliveries of each. acme has one endpoint
// and three events.
func crowded(t *testing.T) *console {
	c := openConsole(t, hooks.Config{Store: memory.New()}, admin.Config{})
	secretive := hooks.EventType[bill]{Name: strange + ".flagged", Private: true, Description: strange}
	if err := c.h.Register(secretive); err != nil {
		t.Fatal(err)
	}
	fails := func(*http.Request) (int, string) { return 410, strange + " said " + strange }
	handler := hooks.Handler{Name: strange + "-mailer", Events: []string{"**"}, Func: kit.Ignore}
	if err := c.h.Subscribe(handler); err != nil {
		t.Fatal(err)
	}
	c.put(hooks.Endpoint{ID: "crm"})
	c.put(hooks.Endpoint{ID: "erp-" + strange, Tenant: "globex-" + strange, Description: strange, Header: map[string]string{"X-" + strange: strange}})
	c.answer = func(r *http.Request) (int, string) {
		if strings.Contains(r.Host, strange) {
			return fails(r)
		}
		return 200, "fine"
	}
	for _, ev := range []hooks.Event{
		{ID: "evt_acme", Type: "invoice.paid", Tenant: "acme"},
		{ID: "evt_shipped", Type: "order.shipped", Tenant: "acme"},
		{ID: "evt_again", Type: "invoice.paid", Tenant: "acme"},
		{ID: "evt_private_" + strange, Type: strange + ".flagged", Tenant: "acme"},
		{ID: "evt_" + strange, Type: "invoice.paid", Tenant: "globex-" + strange, IdempotencyKey: strange, OrderingKey: strange},
		{ID: "evt_nobody_" + strange, Type: "invoice.paid"},
	} {
		ev.Data = []byte(`{"number":"` + ev.ID + `"}`)
		if _, err := c.h.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.h.DisableEndpoint(t.Context(), "erp-"+strange, strange, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.h.StartAction(t.Context(), hooks.Action{
		Kind: hooks.ActionReplay, Query: hooks.Query{Tenant: "globex-" + strange, Statuses: []hooks.Status{hooks.Failed}}, By: strange,
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// crawl follows every link of the pages, and returns what they answered.
func (c *console) crawl() map[string]string {
	c.t.Helper()
	bodies := make(map[string]string)
	crawler := &kit.Crawler{Root: "http://app.example/", Do: func(r *http.Request) (*http.Response, error) {
		for {
			w := httptest.NewRecorder()
			c.ui.ServeHTTP(w, r)
			to, err := r.URL.Parse(w.Header().Get("Location"))
			if w.Code != http.StatusSeeOther || err != nil {
				bodies[r.URL.RequestURI()] = w.Body.String()
				resp := w.Result()
				resp.Request = r
				return resp, nil
			}
			r = httptest.NewRequestWithContext(r.Context(), http.MethodGet, to.String(), nil)
		}
	}}
	crawler.Crawl(c.t)
	return bodies
}

// A customer who follows every link finds nothing of anybody else, not even a count.
func TestACustomerFindsNothingOfOthers(t *testing.T) {
	c := crowded(t)
	c.access = admin.Access{Level: admin.Secrets, Tenant: "acme", User: "lee"}
	bodies := c.crawl()
	if len(bodies) < 20 {
		t.Errorf("%d pages were found; want 20 at least", len(bodies))
	}
	for _, rt := range admin.Routes() {
		if rt.Method == http.MethodGet && !strings.Contains(rt.Path, "{id}") {
			path := "/" + strings.TrimSuffix(rt.Path, "{$}")
			bodies[path] = c.get(path).html
		}
	}
	for _, path := range []string{
		"/deliveries?subscriber=erp-zzz", "/events?key=zzz", "/deliveries?event=evt_zzz", "/search?q=evt_zzz", "/failures?subscriber=zzz-mailer",
		"/api/v1/backlog", "/api/v1/activity", "/api/v1/endpoint-healths", "/api/v1/deliveries?limit=200", "/api/v1/events?limit=200", "/api/v1/types",
	} {
		if strings.HasPrefix(path, "/api/") {
			bodies[path] = c.get(path).html
			continue
		}
		page := c.get(path)
		bodies[path] = strings.NewReplacer("erp-zzz", "", "evt_zzz", "", "zzz-mailer", "", "key=zzz", "", `value="zzz"`, "", "Filter: zzz", "").Replace(page.html)
	}
	for path, body := range bodies {
		if strings.Contains(strings.ToLower(body), strange) {
			i := strings.Index(strings.ToLower(body), strange)
			t.Errorf("GET %s shows a customer something of others: …%s…", path, body[max(0, i-80):min(len(body), i+40)])
		}
		for _, word := range []string{"all tenants", "handlers", `name="tenant"`} {
			if strings.Contains(body, word) && !strings.Contains(path, "openapi") {
				t.Errorf("GET %s says %q to a customer", path, word)
			}
		}
	}
	c.get("/").is(200, "The one endpoint is working")
	var list struct{ Events, Deliveries []any }
	c.json("/api/v1/events?limit=200", &list)
	c.json("/api/v1/deliveries?limit=200", &list)
	if len(list.Events) != 3 || len(list.Deliveries) != 3 {
		t.Errorf("a customer sees %d events and %d deliveries; want 3 and 3", len(list.Events), len(list.Deliveries))
	}
}
