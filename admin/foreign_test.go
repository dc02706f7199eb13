package admin_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

// nobodys are ids that nothing has.
var nobodys = map[string]string{
	"events": "evt_none", "deliveries": "evt_none.nobody7", "endpoints": "nobody7", "handlers": "nobody7", "actions": "act_none",
	"types": "no.such", "tenants": "nowhere",
}

// foreignKinds are the ids of what the tenant acme must not see on a [site] that is furnished
// by addForeign. Where one has no id of a kind, there is none.
var foreignKinds = map[string]map[string]string{
	"another tenant's": {
		"events": "evt_globex", "deliveries": "evt_globex.erp", "endpoints": "erp", "actions": "act_globex", "tenants": "globex",
	},
	"a handler's":         {"deliveries": "evt_order.mailer", "endpoints": "mailer", "handlers": "mailer"},
	"a former handler's":  {"deliveries": "evt_order.old-mailer", "endpoints": "old-mailer", "handlers": "old-mailer"},
	"of a private type":   {"events": "evt_fraud", "deliveries": "evt_fraud.watch", "endpoints": "watch", "types": "fraud.flagged"},
	"the operator's":      {"actions": "act_operator"},
	"a mix of two owners": {"deliveries": "evt_paid.erp"},
	"its own, misspelt":   {"deliveries": "evt_globex.crm"},
}

// addForeign adds what foreignKinds names and newSite has not: deliveries to handlers, an event
// of a private type, and an action of the operator.
func (s *site) addForeign(t *testing.T) {
	t.Helper()
	watch := hooks.Handler{Name: "watch", Events: []string{"fraud.*"}, Func: kit.Ignore}
	for _, former := range [][]hooks.Handler{
		{{Name: "old-mailer", Events: []string{"order.*"}, Func: kit.Ignore}},
		{{Name: "mailer", Events: []string{"order.*"}, Func: kit.Ignore}, watch},
	} {
		h := newHooks(t, s.store, former...)
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.h = h
	}
	for id, typ := range map[string]string{"evt_order": "order.placed", "evt_fraud": "fraud.flagged"} {
		kit.Publish(t, s.h, hooks.Event{ID: id, Tenant: "acme", Type: typ, Data: []byte("{}")})
	}
	a := hooks.Action{ID: "act_operator", Kind: hooks.ActionReplay, Query: hooks.Query{Tenant: "acme", Statuses: []hooks.Status{hooks.Failed}}, By: "kim"}
	if _, err := s.h.StartAction(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	s.mount(t, s.h, nil)
}

// nameless returns what an answer says without the ids that were asked for, and without what
// every page makes anew.
func nameless(text string, ids map[string]string) string {
	for _, id := range slices.SortedFunc(maps.Values(ids), func(a, b string) int { return len(b) - len(a) }) {
		text = regexp.MustCompile(`\b`+regexp.QuoteMeta(id)+`\b`).ReplaceAllString(text, "_")
	}
	return madeAnew.ReplaceAllString(text, "_")
}

var madeAnew = regexp.MustCompile(`\b(act|ep)_[0-9a-z-]{20,}`)

// askedBoth compares the answers about a foreign id and about one that nothing has. address
// and body may name ids in braces, such as {endpoints}.
func askedBoth(t *testing.T, s *site, what, method, address, body string, ids map[string]string) (status int) {
	t.Helper()
	fill := func(text string, ids map[string]string) string {
		for kind, id := range ids {
			text = strings.ReplaceAll(text, "{"+kind+"}", id)
		}
		return text
	}
	known := make(map[string]string)
	for kind := range ids {
		known[kind] = nobodys[kind]
	}
	before := s.store.writes.Load()
	theirs := s.do(t, method, fill(address, ids), fill(body, ids))
	none := s.do(t, method, fill(address, known), fill(body, known))
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("%s %s about %s wrote %d times; want none", method, fill(address, ids), what, n)
	}
	got, want := nameless(theirs.Body.String(), ids), nameless(none.Body.String(), known)
	location, none2 := nameless(theirs.Header().Get("Location"), ids), nameless(none.Header().Get("Location"), known)
	if theirs.Code != none.Code || got != want || location != none2 {
		t.Errorf("%s %s about %s = %d %q %s; want what an id that nothing has gets, %d %q %s",
			method, fill(address, ids), what, theirs.Code, location, firstDifference(got, want), none.Code, none2, said(none))
	}
	return theirs.Code
}

// firstDifference returns the part of got that is not in want.
func firstDifference(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return "…" + got[max(0, i-60):min(len(got), i+120)] + "…"
}

// Every route, of pages and of the API, answers about what is not the customer's with 404, in
// the same words as about what does not exist. It changes nothing.
func TestNoRouteKnowsAForeignID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.addForeign(t)
		s.as(customer)
		asked := 0
		for _, rt := range admin.Routes() {
			kind, _, _ := strings.Cut(strings.TrimPrefix(rt.Path, "api/v1/"), "/")
			for what, ids := range foreignKinds {
				if _, has := ids[kind]; !has || !strings.Contains(rt.Path, "{id}") {
					continue
				}
				asked++
				address := "/" + strings.Replace(rt.Path, "{id}", "{"+kind+"}", 1)
				status := askedBoth(t, s, what, rt.Method, address, bodies[name(rt)], ids)
				back := rt.Method == http.MethodGet && !isAPI(rt) && status == http.StatusSeeOther // to a page that is 404
				if status != http.StatusNotFound && !back {
					t.Errorf("%s about %s = %d; want 404", name(rt), what, status)
				}
			}
		}
		if asked < 100 {
			t.Errorf("%d requests were made; want 100 at least", asked)
		}
	})
}

// filters are addresses that look for something by its name, and forms and bodies that name
// something. An id that is taken by somebody else can be told when an endpoint is made: the
// ids of endpoints are shared.
var filters = []struct{ method, address, body string }{
	{"GET", "/deliveries?subscriber={endpoints}", ""},
	{"GET", "/deliveries?event={events}", ""},
	{"GET", "/deliveries?tenant={tenants}", ""},
	{"GET", "/deliveries?type={types}", ""},
	{"GET", "/failures?subscriber={endpoints}", ""},
	{"GET", "/failures?type={types}", ""},
	{"GET", "/failures?tenant={tenants}", ""},
	{"GET", "/events?type={types}", ""},
	{"GET", "/events?tenant={tenants}", ""},
	{"GET", "/endpoints?tenant={tenants}", ""},
	{"GET", "/search?q={events}", ""},
	{"GET", "/search?q={deliveries}", ""},
	{"GET", "/search?q={endpoints}", ""},
	{"GET", "/search?q={actions}", ""},
	{"GET", "/actions/new?kind=replay&status=failed&subscriber={endpoints}", ""},
	{"GET", "/actions/new?kind=cancel&event={events}", ""},
	{"GET", "/actions/new?kind=erase&event={events}", ""},
	{"GET", "/actions/new?kind=backfill&subscriber={endpoints}&from=2000-01-01T00:00:00Z", ""},
	{"GET", "/actions/new?kind=erase&type={types}", ""},
	{"GET", "/actions/new?kind=erase&tenant={tenants}", ""},
	{"GET", "/new-endpoint?tenant={tenants}", ""},
	{"POST", "/selected/replay", "id={deliveries}"},
	{"POST", "/selected/cancel", "id={deliveries}"},
	{"POST", "/actions", "kind=replay&status=failed&subscriber={endpoints}&rate=1&per=s&id=act_x"},
	{"POST", "/actions", "kind=erase&tenant={tenants}&rate=1&per=s&id=act_x"},
	{"POST", "/endpoints/crm/test", "type={types}&data={}"},
	{"POST", "/endpoints/crm/example", "type={types}"},
	{"GET", "/api/v1/deliveries?subscriber={endpoints}", ""},
	{"GET", "/api/v1/deliveries?event={events}", ""},
	{"GET", "/api/v1/deliveries?tenant={tenants}", ""},
	{"GET", "/api/v1/deliveries?type={types}", ""},
	{"GET", "/api/v1/failures?subscriber={endpoints}", ""},
	{"GET", "/api/v1/failures?tenant={tenants}", ""},
	{"GET", "/api/v1/events?type={types}", ""},
	{"GET", "/api/v1/events?tenant={tenants}", ""},
	{"GET", "/api/v1/endpoints?tenant={tenants}", ""},
	{"GET", "/api/v1/endpoint-healths?tenant={tenants}", ""},
	{"GET", "/api/v1/backlog?subscriber={endpoints}", ""},
	{"GET", "/api/v1/backlog?tenant={tenants}", ""},
	{"GET", "/api/v1/activity?subscriber={endpoints}", ""},
	{"GET", "/api/v1/activity?tenant={tenants}", ""},
	{"GET", "/api/v1/actions?tenant={tenants}", ""},
	{"POST", "/api/v1/events", `{"type":"{types}","data":{}}`},
	{"POST", "/api/v1/events", `{"type":"invoice.paid","tenant":"{tenants}","data":{}}`},
	{"POST", "/api/v1/events/explain", `{"type":"{types}","data":{}}`},
	{"POST", "/api/v1/events/explain", `{"type":"invoice.paid","tenant":"{tenants}","data":{}}`},
	{"POST", "/api/v1/endpoints", `{"id":"new","url":"https://new.example","events":["**"],"tenant":"{tenants}"}`},
	{"POST", "/api/v1/endpoints", `{"id":"new","url":"https://new.example","events":["{types}"]}`},
	{"PUT", "/api/v1/endpoints/crm", `{"url":"https://crm.example.com/hooks","events":["**"],"tenant":"{tenants}"}`},
	{"POST", "/api/v1/endpoints/crm/test", `{"type":"{types}","data":{}}`},
	{"POST", "/api/v1/endpoints/crm/test", `{"type":"invoice.paid","tenant":"{tenants}","data":{}}`},
	{"POST", "/api/v1/actions", `{"id":"act_x","kind":"replay","query":{"subscriber":"{endpoints}","statuses":["failed"]}}`},
	{"POST", "/api/v1/actions", `{"id":"act_x","kind":"erase","query":{"tenant":"{tenants}"}}`},
	{"POST", "/api/v1/actions", `{"id":"act_x","kind":"backfill","query":{"subscriber":"{endpoints}","from":"2000-01-01T00:00:00Z"}}`},
	{"POST", "/api/v1/actions/count", `{"kind":"cancel","query":{"event":"{events}"}}`},
	{"POST", "/api/v1/actions/count", `{"kind":"erase","query":{"event":"{events}"}}`},
	{"POST", "/api/v1/actions/count", `{"kind":"erase","query":{"types":["{types}"]}}`},
}

var named = regexp.MustCompile(`\{([a-z]+)\}`)

// A filter, a form or a body that names what is not the customer's finds what one finds that
// names nothing: as much, and in the same words.
func TestNoFilterFindsForeignIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.addForeign(t)
		s.as(customer)
		for _, f := range filters {
			kind := named.FindStringSubmatch(f.address + f.body)[1]
			for what, ids := range foreignKinds {
				if id, has := ids[kind]; has {
					askedBoth(t, s, what, f.method, f.address, f.body, map[string]string{kind: id})
				}
			}
		}
	})
}
