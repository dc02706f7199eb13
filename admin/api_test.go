package admin_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"example.com/hooks"
	"example.com/hooks/admin"
)

func TestBodiesOfTheAPI(t *testing.T) {
	s := newSite(t, nil)
	before := s.store.writes.Load()
	for _, c := range []struct {
		method, path, body, contentType string
		status                          int
		field, detail                   string
	}{
		{"POST", "events", ``, "application/json", 400, "", "The body is empty; send a JSON object."},
		{"POST", "events", `{"type":`, "application/json", 400, "", "no whole JSON object"},
		{"POST", "events", `nonsense`, "application/json", 400, "", "no JSON, from byte"},
		{"POST", "events", `[]`, "application/json", 400, "", "The body is a JSON array; send an object."},
		{"POST", "events", `{"type":"invoice.paid","data":{}} {}`, "application/json", 400, "", "Something follows"},
		{"POST", "events", `{"type":"invoice.paid","data":{}}x`, "application/json", 400, "", "Something follows"},
		{"POST", "events", `{"type":"invoice.paid","dta":{}}`, "application/json", 400, "dta", "There is no field of this name."},
		{"POST", "events", `{"type":5}`, "application/json", 400, "type", "It cannot be a JSON number."},
		{"POST", "events", `{"type":"invoice.paid","deliver_at":"soon"}`, "application/json", 400, "", "cannot be read"},
		{"POST", "events", `{"type":"no.such"}`, "application/json", 400, "Event.Type", "no.such"},
		{"POST", "events", `{"type":"invoice.paid","data":{}}`, "text/plain", 415, "", "Content-Type: application/json"},
		{"POST", "events", `{"type":"invoice.paid","data":{}}`, "", 415, "", "Content-Type: application/json"},
		{"POST", "events", `{"type":"invoice.paid","data":{}}`, "application/x-www-form-urlencoded", 415, "", "Content-Type: application/json"},
		{"POST", "endpoints", `{"url":"https://x.example.com","events":["**"],"timeout_ms":"5s"}`, "application/json", 400, "", "number of milliseconds"},
		{"POST", "endpoints", `{"url":"https://x.example.com","events":["**"],"timeout_ms":1e300}`, "application/json", 400, "", "number of milliseconds"},
		{"POST", "endpoints", `{"url":"https://x.example.com","events":["**"],"concurrency":1.5}`, "application/json", 400, "concurrency", "JSON number."},
		{"POST", "endpoints", `{"url":"ftp://x.example.com","events":["**"]}`, "application/json", 400, "Endpoint.URL", ""},
		{"POST", "deliveries/evt_waiting.crm/cancel", `{"all":true}`, "application/json", 400, "all", "There is no field of this name."},
		{"DELETE", "endpoints/crm", `{"force":true}`, "application/json", 400, "force", "There is no field of this name."},
		{"POST", "endpoints/crm/enable", `x=1`, "application/x-www-form-urlencoded", 415, "", "Content-Type"},
	} {
		p := s.refused(t, c.method, c.path, c.body, c.status, "Content-Type", c.contentType)
		if p.Field != c.field || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s %s %s = field %q, %q; want %q, %q", c.method, c.path, c.body, p.Field, p.Detail, c.field, c.detail)
		}
	}
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("the store was written %d times; want none", n)
	}
	s.api(t, "POST", "events", `{"type":"invoice.paid","data":{}}`, 201, nil, "Content-Type", "Application/JSON; charset=utf-8")
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	s := newSite(t, nil)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/events", iotest.ErrReader(http.ErrBodyReadAfterClose))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ui.ServeHTTP(w, r)
	if w.Code != 400 {
		t.Errorf("a body that breaks off = %d %s; want 400", w.Code, w.Body)
	}
}

func TestParametersOfTheAPI(t *testing.T) {
	s := newSite(t, nil)
	for path, field := range map[string]string{
		"deliveries?stauts=failed": "stauts", "deliveries?status=done": "status", "deliveries?limit=0": "limit", "deliveries?limit=201": "limit",
		"deliveries?order=random": "order", "deliveries?since=1y": "since", "deliveries?from=yesterday": "", "deliveries?key=k": "Query.Key",
		"deliveries?cursor=x": "Query.Cursor", "events?subscriber=crm": "Query.Subscriber", "endpoints?type=**": "Query.Types",
		"types?tenant=acme": "tenant", "handlers?limit=1": "limit", "health?all=1": "all", "backlog?status=failed": "Query.Statuses",
	} {
		if p := s.refused(t, "GET", path, "", 400); p.Field != field {
			t.Errorf("GET %s = field %q, %s; want %q", path, p.Field, p.Detail, field)
		}
	}
	s.as(customer).refused(t, "GET", "deliveries?tenant=globex", "", 400)
}

func TestListsArePages(t *testing.T) {
	s := newSite(t, nil)
	var ids []string
	for cursor, pages := "", 0; ; pages++ {
		var page struct {
			Deliveries []hooks.Delivery
			Next       string
		}
		s.api(t, "GET", "deliveries?limit=1&order=oldest&subscriber=crm&cursor="+cursor, "", 200, &page)
		for _, d := range page.Deliveries {
			ids = append(ids, d.Event)
		}
		if cursor = page.Next; cursor == "" || pages > 9 {
			break
		}
	}
	if want := []string{"evt_paid", "evt_failed", "evt_waiting"}; !slices.Equal(ids, want) {
		t.Errorf("the pages have %v; want %v", ids, want)
	}
	for path, want := range map[string]string{
		"deliveries?event=none":  `{"deliveries":[]}`,
		"events?event=none":      `{"events":[]}`,
		"endpoints?tenant=none":  `{"endpoints":[]}`,
		"backlog?subscriber=erp": `{"backlog":[]}`,
	} {
		if got := strings.TrimSpace(s.api(t, "GET", path, "", 200, nil).Body.String()); got != want {
			t.Errorf("GET %s = %s; want %s", path, got, want)
		}
	}
}

func TestFiltersOfDeliveries(t *testing.T) {
	s := newSite(t, nil)
	for query, want := range map[string]int{
		"": 4, "status=failed": 1, "status=failed&status=pending": 2, "tenant=globex": 1, "subscriber=crm": 3, "event=evt_paid": 1,
		"type=invoice.*": 4, "type=order.placed": 0, "error=status": 1, "reason=rejected": 1, "since=1h": 4, "to=2020-01-01T00:00:00Z": 0,
		"from=2020-01-01T00:00:00Z": 4, "status=": 4,
	} {
		var page struct{ Deliveries []hooks.Delivery }
		s.api(t, "GET", "deliveries?"+query, "", 200, &page)
		if len(page.Deliveries) != want {
			t.Errorf("%q selects %d deliveries; want %d", query, len(page.Deliveries), want)
		}
	}
}

func TestPublishByAPI(t *testing.T) {
	s := newSite(t, nil)
	const body = `{"type":"invoice.paid","tenant":"acme","idempotency_key":"k","data":{"n":9007199254740993,"s":"<&>"}}`
	var r hooks.Receipt
	w := s.api(t, "POST", "events", body, 201, &r)
	if r.Deliveries != 1 || w.Header().Get("Location") != "events/"+r.EventID {
		t.Errorf("the receipt is %+v at %q; want one delivery and where the event is", r, w.Header().Get("Location"))
	}
	if told := s.audited(); len(told) != 1 || told[0].Target != r.EventID || told[0].Action != "event.publish" {
		t.Errorf("the audit was told %+v; want the event's id", told)
	}
	var again hooks.Receipt
	if s.api(t, "POST", "events", body, 200, &again); !again.Duplicate || again.EventID != r.EventID {
		t.Errorf("the same again = %+v; want a duplicate of %s", again, r.EventID)
	}
	var ev hooks.Event
	text := s.api(t, "GET", "events/"+r.EventID, "", 200, &ev).Body.String()
	if string(ev.Data) != `{"n":9007199254740993,"s":"\u003c\u0026\u003e"}` || ev.IdempotencyKey != "k" {
		t.Errorf("the event is %s; want its data with the large number", text)
	}
	var found struct{ Events []hooks.Event }
	if s.api(t, "GET", "events?key=k&tenant=acme", "", 200, &found); len(found.Events) != 1 {
		t.Errorf("the key finds %d events; want 1", len(found.Events))
	}
}

func TestATenantPublishesItsOwnByAPI(t *testing.T) {
	s := newSite(t, nil).as(customer)
	var r hooks.Receipt
	s.api(t, "POST", "events", `{"type":"invoice.paid","data":{}}`, 201, &r)
	if ev, err := s.h.Event(t.Context(), r.EventID); err != nil || ev.Tenant != "acme" {
		t.Errorf("the event is %+v, %v; want it acme's", ev, err)
	}
	s.refused(t, "POST", "events", `{"type":"invoice.paid","tenant":"globex","data":{}}`, 400)
	s.refused(t, "POST", "events", `{"type":"fraud.flagged","data":{}}`, 400)
	w := s.api(t, "POST", "events", `{"id":"evt_globex","type":"invoice.paid","data":{}}`, 200, &r)
	if strings.Contains(w.Body.String(), "globex\"") && strings.Contains(w.Body.String(), "tenant") {
		t.Errorf("a duplicate of another tenant's event = %s", w.Body)
	}
}

func TestExplainByAPI(t *testing.T) {
	s := newSite(t, nil)
	var answer struct{ Routes []hooks.Route }
	s.api(t, "POST", "events/explain", `{"type":"invoice.paid","tenant":"acme","data":{}}`, 200, &answer)
	receives := make(map[string]bool)
	for _, r := range answer.Routes {
		receives[r.Subscriber] = r.Receives
	}
	if !receives["crm"] || receives["erp"] {
		t.Errorf("the routes are %+v; want crm and not erp", answer.Routes)
	}
	var e hooks.Explanation
	if s.api(t, "GET", "deliveries/evt_waiting.crm/explanation", "", 200, &e); e.Code != "scheduled" || e.Text == "" {
		t.Errorf("the explanation is %+v; want scheduled", e)
	}
}

// The process that made an attempt has the name of the operator's host.
func TestATenantIsNotToldTheProcess(t *testing.T) {
	s := newSite(t, nil)
	var read struct{ Attempts []struct{ Instance string } }
	s.api(t, "GET", "deliveries/evt_failed.crm/attempts", "", 200, &read)
	if len(read.Attempts) != 1 || read.Attempts[0].Instance == "" {
		t.Fatalf("the operator reads %+v; want an attempt with its Instance", read.Attempts)
	}
	instance := read.Attempts[0].Instance
	for who, want := range map[*admin.Access]bool{&operator: true, &customer: false} {
		s.as(*who)
		for _, rt := range admin.Routes() {
			if !isAPI(rt) || rt.Operator || rt.Method != http.MethodGet && !strings.HasSuffix(rt.Path, "/test") {
				continue
			}
			told := strings.Contains(s.do(t, rt.Method, address(t, rt, ids), bodies[name(rt)]).Body.String(), instance)
			if told && !want || !told && want && strings.HasSuffix(rt.Path, "/attempts") {
				t.Errorf("%s tells %s the process: %t; want %t", name(rt), who.User, told, want)
			}
		}
	}
}

func TestDeliveriesByAPI(t *testing.T) {
	s := newSite(t, nil)
	var d hooks.Delivery
	if s.api(t, "GET", "deliveries/evt_failed.crm", "", 200, &d); d.Status != hooks.Failed || d.Reason != hooks.ReasonRejected {
		t.Errorf("the delivery is %+v; want it rejected", d)
	}
	var attempts struct {
		Attempts []struct {
			Code int
			Body string
		}
	}
	s.api(t, "GET", "deliveries/evt_failed.crm/attempts", "", 200, &attempts)
	if a := attempts.Attempts; len(a) != 1 || a[0].Code != 410 || a[0].Body != `{"error":"no such customer"}` {
		t.Errorf("the attempts are %+v; want one with the answer", a)
	}
	if s.api(t, "POST", "deliveries/evt_failed.crm/replay", "", 200, &d); d.Status != hooks.Pending || d.Run != 2 {
		t.Errorf("replayed, it is %+v; want it pending in run 2", d)
	}
	if s.api(t, "POST", "deliveries/evt_waiting.crm/cancel", "{}", 200, &d); d.Status != hooks.Canceled {
		t.Errorf("canceled, it is %+v", d)
	}
	p := s.refused(t, "POST", "deliveries/evt_waiting.crm/cancel", "", 409)
	if !strings.Contains(p.Detail, "already") {
		t.Errorf("canceled again: %q; want that it is already", p.Detail)
	}
	s.refused(t, "POST", "deliveries/none.none/replay", "", 404)
	if p := s.refused(t, "GET", "deliveries/nonsense", "", 404); !strings.Contains(p.Detail, "evt_1.crm") {
		t.Errorf("an id that is none: %q; want what one looks like", p.Detail)
	}
}

func TestTheRequestByAPI(t *testing.T) {
	s := newSite(t, nil)
	var r struct {
		Method, URL, Body string
		Header            http.Header
	}
	s.api(t, "GET", "deliveries/evt_waiting.crm/request", "", 200, &r)
	if _, sent := r.Header["Idempotency-Key"]; sent {
		t.Errorf("the request has the header %v; want no field without a value", r.Header)
	}
	if r.Method != "POST" || r.URL != "https://crm.example.com/hooks" || !strings.Contains(r.Body, "9007199254740993") {
		t.Errorf("the request is %+v", r)
	}
	if r.Header.Get("X-Key") != crmHeader || !strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") {
		t.Errorf("the request has the header %v; want it signed, with the endpoint's own", r.Header)
	}
	if err := s.h.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	s.refused(t, "GET", "deliveries/evt_waiting.crm/request", "", 404)
}

func TestTypesBacklogHandlersAndHealthByAPI(t *testing.T) {
	s := newSite(t, nil)
	for path, want := range map[string]string{
		"handlers": `{"handlers":[{"name":"mailer","events":["order.*"],"local":true},{"name":"old-mailer","events":["order.*"],"local":false}]}`,
		"health":   `{"warnings":[]}`,
	} {
		if got := strings.TrimSpace(s.api(t, "GET", path, "", 200, nil).Body.String()); got != want {
			t.Errorf("GET %s = %s; want %s", path, got, want)
		}
	}
	var types struct{ Types []hooks.TypeInfo }
	s.api(t, "GET", "types", "", 200, &types)
	own := func(i hooks.TypeInfo) bool { return strings.HasPrefix(i.Name, "hooks.") }
	if got := slices.DeleteFunc(types.Types, own); len(got) != 3 || got[1].Name != "invoice.paid" ||
		got[1].Description != "An invoice was paid." || string(got[1].Example) != `{"number":7}` || !got[0].Private {
		t.Errorf("the types are %+v; want fraud.flagged, which is private, and invoice.paid with its example", got)
	}
	var answer struct{ Backlog []hooks.Backlog }
	s.api(t, "GET", "backlog?subscriber=crm", "", 200, &answer)
	if b := answer.Backlog; len(b) != 1 || b[0].Pending.N != 1 {
		t.Errorf("the backlog is %+v; want one pending for crm", b)
	}
	s.api(t, "DELETE", "handlers/old-mailer", "", 204, nil)
	s.refused(t, "DELETE", "handlers/old-mailer", "", 404)
	s.refused(t, "DELETE", "handlers/mailer", "", 400)
	s.api(t, "POST", "endpoints/crm/disable", `{"reason":"they asked"}`, 204, nil)
	var health struct {
		Warnings []struct{ Code, Subscriber, Text string }
	}
	s.api(t, "GET", "health", "", 200, &health)
	if len(health.Warnings) != 1 || health.Warnings[0].Code != "disabled" || health.Warnings[0].Subscriber != "crm" || health.Warnings[0].Text == "" {
		t.Errorf("the warnings are %+v; want that crm is disabled", health.Warnings)
	}
}

func TestActivityByAPI(t *testing.T) {
	s := newSite(t, nil)
	for query, want := range map[string][2]int{"": {2, 1}, "?subscriber=crm": {1, 1}, "?since=1h": {2, 1}, "?to=2020-01-01T00:00:00Z": {}} {
		var answer struct{ Activity []hooks.Minute }
		s.api(t, "GET", "activity"+query, "", 200, &answer)
		var got [2]int
		for _, m := range answer.Activity {
			got[0], got[1] = got[0]+m.Succeeded, got[1]+m.Failed
		}
		if got != want {
			t.Errorf("activity%s = %v succeeded and failed; want %v", query, got, want)
		}
	}
	s.refused(t, "GET", "activity?tenant=acme", "", 400)
}

func TestRedactMasksWhatTheAPIShows(t *testing.T) {
	s := newSite(t, nil)
	s.mount(t, s.h, func(c *admin.Config) {
		c.Redact = func(typ string, body []byte) []byte {
			if typ != "invoice.paid" {
				t.Errorf("Redact is given the type %q; want invoice.paid", typ)
			}
			for i := range body {
				if body[i] == '9' {
					body[i] = '#' // it may not change body; but if it does, the store is safe
				}
			}
			return bytes.ReplaceAll(body, []byte("no such customer"), []byte("masked"))
		}
	})
	for path, want := range map[string]string{
		"events/evt_paid":                    `"data":"{\"number\":#0071##254740##3}"`,
		"events":                             `"data":"{\"number\":#0071##254740##3}"`,
		"deliveries/evt_failed.crm/attempts": `{\"error\":\"masked\"}`,
		"deliveries/evt_waiting.crm/request": `\"data\":{\"number\":#0071##254740##3}`,
	} {
		if got := s.api(t, "GET", path, "", 200, nil).Body.String(); !strings.Contains(got, want) {
			t.Errorf("GET %s = %s; want %s", path, got, want)
		}
	}
	if ev, err := s.h.Event(t.Context(), "evt_paid"); err != nil || string(ev.Data) != `{"number":9007199254740993}` {
		t.Errorf("the stored event is now %s, %v; want it unchanged", ev.Data, err)
	}
	s.mount(t, s.h, func(c *admin.Config) { c.Redact = func(string, []byte) []byte { return nil } })
	if got := s.api(t, "GET", "events/evt_paid", "", 200, nil).Body.String(); !strings.Contains(got, `"data":null`) {
		t.Errorf("with nothing left = %s; want null", got)
	}
	if got := s.api(t, "POST", "endpoints/crm/test", `{"type":"invoice.paid"}`, 200, nil).Body.String(); strings.Contains(got, `ok\":true`) {
		t.Errorf("a test's answer is shown: %s", got)
	}
}

func TestAnswersAreUTF8(t *testing.T) {
	s := newSite(t, nil)
	s.mount(t, s.h, func(c *admin.Config) {
		c.Redact = func(string, []byte) []byte { return []byte("\"caf\xe9\u2028</script>\"") }
	})
	got := s.api(t, "GET", "events/evt_paid", "", 200, nil).Body.String()
	if !strings.Contains(got, `"caf`+"\uFFFD"+`\u2028\u003c/script\u003e"`) {
		t.Errorf("data that is not UTF-8 = %q; want U+FFFD", got)
	}
}

func TestErrorsOfTheStoreAreForTheOperator(t *testing.T) {
	s := newSite(t, nil)
	s.store.failing.Store(true)
	if p := s.refused(t, "GET", "deliveries", "", 500); !strings.Contains(p.Detail, errStore.Error()) {
		t.Errorf("the operator is told %q; want the store's error", p.Detail)
	}
	if p := s.as(customer).refused(t, "GET", "deliveries", "", 500); strings.Contains(p.Detail, "disk") {
		t.Errorf("a tenant is told %q; want nothing of the store", p.Detail)
	}
}

func TestOtherMethodsAreNamed(t *testing.T) {
	s := newSite(t, nil)
	for path, want := range map[string]string{
		"endpoints/crm": "GET, PUT, DELETE", "endpoints": "GET, POST", "events/explain": "GET, POST", "check-url": "POST", "types": "GET",
	} {
		w := s.api(t, "PATCH", path, "", 405, nil)
		if got := w.Header().Get("Allow"); got != want {
			t.Errorf("PATCH %s allows %q; want %q", path, got, want)
		}
	}
	s.refused(t, "GET", "nothing", "", 404)
	if w := s.do(t, "HEAD", "/api/v1/types", ""); w.Code != 200 {
		t.Errorf("HEAD = %d; want 200", w.Code)
	}
}
