package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// strange is in every name and text of what a customer must not see.
const strange = "zzz"

// crowded returns the pages of a Hooks on which acme is not alone: see [ownWorld].
func crowded(t *testing.T) *console {
	t.Helper()
	return ownWorld(t, true)
}

// ownWorld returns the pages of a Hooks whose customer acme has endpoints that work, fail and
// are disabled, deliveries in several statuses, and an action. If acme is not alone, there are
// also another customer, a handler, a private type, events of both and of nobody, and actions
// of both and of the operator, with strange in each of their fields.
func ownWorld(t *testing.T, others bool) *console {
	t.Helper()
	c := openConsole(t, hooks.Config{Store: memory.New(), Instance: strange}, admin.Config{})
	c.answer = func(r *http.Request) (int, string) {
		switch {
		case strings.Contains(r.Host, strange):
			return 410, strange + " said " + strange
		case strings.Contains(r.Host, "billing"):
			return 410, "no such customer 17"
		}
		return 200, "fine"
	}
	if others {
		c.addOthers()
	}
	for _, id := range []string{"crm", "billing", "off"} {
		c.put(hooks.Endpoint{ID: id, Secret: kit.Secret(t, kit.LeakySecret)})
	}
	for i, id := range []string{"evt_acme", "evt_shipped", "evt_again"} {
		ev := hooks.Event{ID: id, Type: "invoice.paid", Tenant: "acme", IdempotencyKey: "key_" + id, OrderingKey: "order_7"}
		if i == 1 {
			ev.Type = "order.shipped"
		}
		c.publishOne(ev)
		for n := range 40 {
			if others {
				c.publishOthers(n, id)
			}
		}
	}
	c.publishOne(hooks.Event{ID: "evt_tomorrow", Type: "invoice.paid", Tenant: "acme", DeliverAt: time.Now().Add(24 * time.Hour)})
	c.publish(0)
	c.disable("off", "they move")
	c.act("acme", hooks.Action{ID: "act_acme", By: "lee"})
	if others {
		c.disable("erp-"+strange, strange)
		c.act("globex-"+strange, hooks.Action{ID: "act_" + strange, By: strange})
		c.act("", hooks.Action{ID: "act_operator_" + strange, By: strange})
	}
	return c
}

// addOthers adds whoever is not acme.
func (c *console) addOthers() {
	c.t.Helper()
	private := hooks.EventType[bill]{Name: strange + ".flagged", Private: true, Description: strange, Example: bill{Number: strange}}
	if err := c.h.Register(private); err != nil {
		c.t.Fatal(err)
	}
	if err := c.h.Subscribe(hooks.Handler{Name: strange + "-mailer", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		c.t.Fatal(err)
	}
	for _, id := range []string{"a-" + strange, "erp-" + strange} {
		c.put(hooks.Endpoint{ID: id, Tenant: "globex-" + strange, Description: strange, Header: hooks.Header{"X-" + strange: strange}})
	}
}

// publishOthers publishes an event each: of acme's private type, of the other customer, of
// nobody, and of the other customer for later.
func (c *console) publishOthers(n int, after string) {
	c.t.Helper()
	id := fmt.Sprintf("%s_%s_%d", after, strange, n)
	c.publishOne(hooks.Event{ID: "p" + id, Type: strange + ".flagged", Tenant: "acme"})
	c.publishOne(hooks.Event{
		ID: "g" + id, Type: "invoice.paid", Tenant: "globex-" + strange, IdempotencyKey: strange + id, OrderingKey: strange,
		Metadata: map[string]string{strange: strange},
	})
	c.publishOne(hooks.Event{ID: "n" + id, Type: "order.shipped"})
	c.publishOne(hooks.Event{ID: "w" + id, Type: "invoice.paid", Tenant: "globex-" + strange, DeliverAt: time.Now().Add(time.Hour)})
}

func (c *console) publishOne(ev hooks.Event) {
	c.t.Helper()
	ev.Data = []byte(`{"number":"` + ev.ID + `"}`)
	if _, err := c.h.Publish(c.t.Context(), ev); err != nil {
		c.t.Fatal(err)
	}
}

func (c *console) disable(id, reason string) {
	c.t.Helper()
	if err := c.h.DisableEndpoint(c.t.Context(), id, reason, time.Time{}); err != nil {
		c.t.Fatal(err)
	}
}

// act starts an action that replays what has failed, of a tenant, or of acme as the operator.
func (c *console) act(tenant string, a hooks.Action) {
	c.t.Helper()
	a.Kind, a.Query.Statuses = hooks.ActionReplay, []hooks.Status{hooks.Failed}
	start := c.h.Tenant(tenant).StartAction
	if tenant == "" {
		start, a.Query.Tenant = c.h.StartAction, "acme"
	}
	if _, err := start(c.t.Context(), a); err != nil {
		c.t.Fatal(err)
	}
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

// addresses are all that a customer of [ownWorld] can ask for: each route with GET and each id,
// and each list by each filter. What pages link to comes with crawl.
func addresses() (list []string) {
	own := map[string][]string{
		"deliveries": {"evt_acme.crm", "evt_again.billing", "evt_tomorrow.crm", "evt_shipped.off"}, "events": {"evt_acme", "evt_tomorrow"},
		"endpoints": {"crm", "billing", "off"}, "actions": {"act_acme"},
	}
	lists := regexp.MustCompile(`^(api/v1/)?(deliveries|failures|events|endpoints|endpoint-healths|backlog|activity|actions)$`)
	for _, rt := range admin.Routes() {
		switch path, kind, _ := strings.Cut("/"+rt.Path, "{"); {
		case rt.Method != http.MethodGet || rt.Operator:
		case kind == "":
			list = append(list, path)
			if lists.MatchString(rt.Path) {
				for _, f := range ownFilters {
					list = append(list, path+"?"+f)
				}
			}
		case strings.HasPrefix(kind, "id}"):
			name := strings.TrimPrefix(strings.TrimPrefix(path, "/api/v1"), "/")
			for _, id := range own[strings.TrimSuffix(name, "/")] {
				list = append(list, strings.Replace("/"+rt.Path, "{id}", id, 1))
			}
		default:
			list = append(list, path)
		}
	}
	return append(list, "/search?q=evt_acme", "/search?q=key_evt_acme", "/search?q=evt_acme.crm",
		"/actions/new?kind=replay&status=failed", "/actions/new?kind=cancel&status=pending", "/actions/new?kind=erase&type=order.*",
		"/actions/new?kind=backfill&subscriber=crm&since=24h", "/deliveries/evt_again.billing?attempt=1.1")
}

// ownFilters are what the address of a list may say. A list answers 400 to one that it does
// not have.
var ownFilters = []string{
	"limit=1", "limit=2", "limit=200", "order=oldest", "status=succeeded", "status=failed", "status=pending", "status=canceled",
	"subscriber=crm", "subscriber=billing", "type=invoice.*", "type=**", "event=evt_acme", "key=key_evt_acme", "error=status", "code=410",
	"code=200", "reason=rejected", "since=1h", "from=2000-01-01T00:00:00Z", "to=2030-01-01T00:00:00Z", "state=failing", "state=working", "state=disabled",
}

// answers returns what acme is answered at every address.
func (c *console) answers() map[string]string {
	c.t.Helper()
	c.access = admin.Access{Level: admin.Secrets, Tenant: "acme", User: "lee"}
	all := c.crawl()
	for _, path := range addresses() {
		s := c.get(path)
		all[path] = fmt.Sprint(s.status, " ", s.html)
	}
	return all
}

// counters are numbers that count the rows of all: the place of a row in the store, by which
// lists go on, and the version of an endpoint.
var counters = regexp.MustCompile(`(cursor=|"next":"|"seq":|name="version" value="|"version":|"cursor":")\d+`)

// A customer who follows every link, and asks every route and filter, finds nothing of
// anybody else: no name, and not even a count, because each answer is the same as if there
// were nobody else.
func TestACustomerFindsNothingOfOthers(t *testing.T) {
	var alone, among map[string]string
	synctest.Test(t, func(t *testing.T) { alone = ownWorld(t, false).answers() })
	synctest.Test(t, func(t *testing.T) { among = ownWorld(t, true).answers() })
	same := func(text string) string {
		return madeAnew.ReplaceAllString(counters.ReplaceAllString(text, "${1}_"), "_")
	}
	plain := make(map[string]string)
	found := 0
	for address, body := range alone {
		plain[same(address)] = same(body)
		if strings.HasPrefix(body, "200 ") {
			found++
		}
	}
	if found < 200 {
		t.Errorf("%d addresses have something; want 200 at least", found)
	}
	for address, body := range among {
		want, ok := plain[same(address)]
		switch {
		case strings.Contains(strings.ToLower(body), strange):
			i := strings.Index(strings.ToLower(body), strange)
			t.Errorf("GET %s shows a customer something of others: …%s…", address, body[max(0, i-80):min(len(body), i+40)])
		case !ok:
			t.Errorf("GET %s is there only if there are others", address)
		case same(body) != want:
			t.Errorf("GET %s = %s; want what it is without others: %s", address, firstDifference(same(body), want), firstDifference(want, same(body)))
		}
	}
}
