package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// An apiClient sends requests to the API of an admin handler, and checks them and the
// answers against the document that the API itself serves.
type apiClient struct {
	ui   http.Handler
	doc  *openapi3.T
	done map[string]bool // the operations that succeeded
}

func newAPIClient(t *testing.T, ui http.Handler) *apiClient {
	t.Helper()
	c := &apiClient{ui: ui, done: make(map[string]bool)}
	w := httptest.NewRecorder()
	ui.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/openapi.json", nil))
	var err error
	c.doc, err = openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	check(t, err)
	check(t, c.doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()))
	return c
}

// An exchange is a request and what must become of it.
type exchange struct {
	operation string // method and path as the document has them, such as "GET /events/{id}"
	id        string // what {id} stands for
	query     string
	body      string
	ifMatch   string
	wrong     bool // the document does not allow the request
	status    int
}

// send sends a request and checks it, its answer, and the answer's status.
func (c *apiClient) send(t *testing.T, x exchange) (header http.Header, body []byte) {
	t.Helper()
	method, path, _ := strings.Cut(x.operation, " ")
	item := c.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		t.Fatalf("the document has no %s", x.operation)
	}
	r := c.request(t, method, strings.Replace(path, "{id}", x.id, 1), x)
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: map[string]string{"id": x.id},
		Route: &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), input); (err != nil) != x.wrong {
		t.Errorf("%s %s %s: %v; want the document not to allow it: %t", x.operation, x.query, x.body, err, x.wrong)
	}
	w := httptest.NewRecorder()
	c.ui.ServeHTTP(w, c.request(t, method, strings.Replace(path, "{id}", x.id, 1), x))
	if w.Code != x.status {
		t.Fatalf("%s %s %s = %d %s; want %d", x.operation, x.query, x.body, w.Code, w.Body, x.status)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: w.Code, Header: w.Header(),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), answer.SetBodyBytes(w.Body.Bytes())); err != nil {
		t.Errorf("%s %s = %d %s, which the document does not allow: %v", x.operation, x.body, w.Code, w.Body, err)
	}
	if w.Code < 300 {
		c.done[x.operation] = true
	}
	return w.Header(), w.Body.Bytes()
}

func (c *apiClient) request(t *testing.T, method, path string, x exchange) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/api/v1"+path+x.query, strings.NewReader(x.body))
	if x.body != "" {
		r.Header.Set("Content-Type", "application/json")
	} else {
		r.Body = http.NoBody
	}
	if x.ifMatch != "" {
		r.Header.Set("If-Match", x.ifMatch)
	}
	return r
}

// all fails the test unless each operation of the document has succeeded.
func (c *apiClient) all(t *testing.T) {
	t.Helper()
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			if what := method + " " + path; !c.done[what] {
				t.Errorf("%s was not tried with success", what)
			}
		}
	}
}

// newAPI returns the handler of a Hooks with endpoints ok and fail of the tenant acme, and
// the events evt_1 and evt_later, which is due tomorrow.
func newAPI(t *testing.T) (*hooks.Hooks, http.Handler) {
	t.Helper()
	store := memory.New()
	former, err := hooks.New(hooks.Config{Store: store, Logger: kit.Silent})
	check(t, err)
	check(t, former.Register(invoicePaid))
	check(t, former.Subscribe(hooks.Handler{Name: "former", Events: []string{"**"}, Func: kit.Ignore}))
	check(t, former.Flush(t.Context()))
	h, err := hooks.New(hooks.Config{Store: store, Logger: kit.Silent, Transport: roundTripper(answer)})
	check(t, err)
	check(t, h.Register(invoicePaid, orderSent, fraudSeen))
	for id, e := range map[string]hooks.Endpoint{
		"ok":   {Header: hooks.Header{"X-Key": "k"}, Timeout: 2500 * time.Microsecond, Retry: []time.Duration{time.Second}, Ordered: true},
		"fail": {Scheme: hooks.SchemeEd25519, Description: "It fails.", Hold: time.Hour, Concurrency: 1, Raw: true},
	} {
		e.ID, e.Tenant, e.URL, e.Events = id, "acme", "https://"+id+".example.com/"+id, []string{"**"}
		_, err := h.PutEndpoint(t.Context(), e)
		check(t, err)
	}
	for _, ev := range []hooks.Event{
		{ID: "evt_1", OrderingKey: "k", IdempotencyKey: "i", Metadata: map[string]string{"m": "1"}, ExpiresAt: time.Now().Add(72 * time.Hour)},
		{ID: "evt_later", DeliverAt: time.Now().Add(24 * time.Hour)},
	} {
		ev.Tenant, ev.Type, ev.Data = "acme", invoicePaid.Name, json.RawMessage(`{"number":"R-1"}`)
		_, err := h.Publish(t.Context(), ev)
		check(t, err)
	}
	check(t, h.Flush(t.Context()))
	ui, err := admin.New(h, admin.Config{Authorize: operator, Logger: kit.Silent})
	check(t, err)
	return h, ui
}

// Each operation is tried, and each request and answer is what openapi.json says.
func TestTheAPIIsAsItsDocumentSays(t *testing.T) {
	h, ui := newAPI(t)
	c := newAPIClient(t, ui)
	for _, x := range []exchange{
		{operation: "GET /openapi.json", status: 200},
		{operation: "GET /types", status: 200},
		{operation: "GET /events", query: "?limit=1&type=invoice.*&tenant=acme&order=oldest&since=1h", status: 200},
		{operation: "GET /events", query: "?key=i&tenant=acme", status: 200},
		{operation: "GET /events/{id}", id: "evt_1", status: 200},
		{operation: "GET /events/{id}", id: "none", status: 404},
		{operation: "POST /events", body: `{"id":"evt_2","type":"invoice.paid","tenant":"acme","data":[1,null]}`, status: 201},
		{operation: "POST /events", body: `{"id":"evt_2","type":"invoice.paid","tenant":"acme","data":[1,null]}`, status: 200},
		{operation: "POST /events", body: `{"type":"none","data":1}`, status: 400},
		{operation: "POST /events", body: `{"type":"invoice.paid","data":1,"x":1}`, wrong: true, status: 400},
		{operation: "POST /events/explain", body: `{"type":"invoice.paid","tenant":"acme","data":1}`, status: 200},
		{operation: "GET /deliveries", query: "?status=retrying&status=pending&subscriber=fail&error=status&from=2020-01-01T00:00:00Z", status: 200},
		{operation: "GET /deliveries", query: "?event=evt_1", status: 200},
		{operation: "GET /deliveries", query: "?limit=0", wrong: true, status: 400},
		{operation: "GET /deliveries", query: "?status=none", wrong: true, status: 400},
		{operation: "GET /deliveries/{id}", id: "evt_1.ok", status: 200},
		{operation: "GET /deliveries/{id}", id: "evt_1.fail", status: 200},
		{operation: "GET /deliveries/{id}", id: "nonsense", status: 404},
		{operation: "GET /deliveries/{id}/attempts", id: "evt_1.fail", status: 200},
		{operation: "GET /deliveries/{id}/explanation", id: "evt_1.fail", status: 200},
		{operation: "GET /deliveries/{id}/explanation", id: "evt_later.ok", status: 200},
		{operation: "GET /deliveries/{id}/request", id: "evt_1.ok", status: 200},
		{operation: "POST /deliveries/{id}/replay", id: "evt_1.ok", status: 200},
		{operation: "POST /deliveries/{id}/cancel", id: "evt_later.ok", status: 200},
		{operation: "POST /deliveries/{id}/cancel", id: "evt_later.ok", status: 409},
		{operation: "POST /actions/count", body: `{"kind":"erase","query":{"event":"evt_1"}}`, status: 200},
		{operation: "POST /actions", body: `{"id":"act_1","kind":"cancel","query":{"subscriber":"fail","types":["invoice.*"],"statuses":["retrying"]},"rate":{"n":1,"per_ms":500}}`, status: 201},
		{operation: "POST /actions", body: `{"kind":"backfill","query":{"subscriber":"fail","from":"2026-01-01T00:00:00Z"}}`, status: 201},
		{operation: "POST /actions", body: `{"kind":"none","query":{}}`, wrong: true, status: 400},
		{operation: "GET /actions", query: "?limit=1", status: 200},
		{operation: "GET /actions/{id}", id: "act_1", status: 200},
		{operation: "POST /actions/{id}/stop", id: "act_1", status: 200},
		{operation: "GET /backlog", query: "?tenant=acme", status: 200},
		{operation: "GET /activity", query: "?subscriber=ok", status: 200},
		{operation: "GET /failures", query: "?code=410&error=none&error=status", status: 200},
		{operation: "GET /failures", status: 200},
		{operation: "GET /handlers", status: 200},
		{operation: "GET /health", status: 200},
		{operation: "DELETE /handlers/{id}", id: "former", status: 204},
		{operation: "POST /check-url", body: `{"url":"https://x.example.com"}`, status: 200},
		{operation: "POST /check-url", body: `{"url":"http://127.0.0.1"}`, status: 200},
		{operation: "GET /endpoints", query: "?limit=1", status: 200},
		{operation: "GET /endpoints/{id}", id: "fail", status: 200},
		{operation: "GET /endpoints", query: "?state=working&tenant=acme", status: 200},
		{operation: "GET /endpoints", query: "?state=none", wrong: true, status: 400},
		{operation: "GET /failures", query: "?tenant=acme", status: 200},
		{operation: "GET /endpoint-healths", query: "?limit=1", status: 200},
		{operation: "POST /endpoints/{id}/verify", id: "fail", status: 200},
		{operation: "GET /endpoints/{id}/health", id: "fail", status: 200},
		{operation: "POST /endpoints/{id}/test", id: "fail", body: `{"type":"invoice.paid"}`, status: 200},
		{operation: "POST /endpoints/{id}/disable", id: "ok", body: `{"reason":"r","until":"2030-01-01T00:00:00Z"}`, status: 204},
		{operation: "GET /endpoints/{id}/health", id: "ok", status: 200},
		{operation: "GET /health", status: 200},
		{operation: "POST /endpoints/{id}/enable", id: "ok", status: 204},
		{operation: "POST /endpoints", body: `{"url":"https://x.example.com","events":["invoice.*"],"header":{"X-A":"b"},"retry_ms":null}`, status: 201},
		{operation: "POST /endpoints", body: `{"url":"https://x.example.com","events":["none"]}`, status: 400},
		{operation: "POST /endpoints", body: `{"url":"https://x.example.com"}`, wrong: true, status: 400},
	} {
		c.send(t, x)
	}
	header, read := c.send(t, exchange{operation: "GET /endpoints/{id}", id: "ok", status: 200})
	tag := header.Get("ETag")
	c.send(t, exchange{operation: "PUT /endpoints/{id}", id: "ok", body: string(read), ifMatch: tag, status: 200})
	c.send(t, exchange{operation: "POST /endpoints/{id}/rotate", id: "ok", body: `{"overlap_ms":60000}`, ifMatch: tag, status: 200})
	c.send(t, exchange{operation: "PUT /endpoints/{id}", id: "ok", body: string(read), ifMatch: tag, status: 412})
	c.send(t, exchange{operation: "DELETE /endpoints/{id}", id: "ok", status: 204})
	c.all(t)
	if _, err := h.Endpoint(t.Context(), "ok"); err == nil {
		t.Error("the endpoint was not deleted")
	}
}

// The check of answers can fail.
func TestAnAnswerThatTheDocumentDoesNotAllowIsFound(t *testing.T) {
	_, ui := newAPI(t)
	c := newAPIClient(t, ui)
	item := c.doc.Paths.Value("/events/{id}")
	for body, allowed := range map[string]bool{
		`{"id":"e","type":"t","time":"2026-11-30T00:00:00Z","data":1}`:         true,
		`{"id":"e","type":"t","time":"2026-11-30T00:00:00Z","data":1,"new":1}`: false,
		`{"id":"e","type":"t","time":"yesterday","data":1}`:                    false,
		`{"id":"e","type":"t"}`: false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/events/e", nil)
		answer := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{
				Request: r, Route: &routers.Route{Spec: c.doc, Path: "/events/{id}", PathItem: item, Method: http.MethodGet, Operation: item.Get},
			},
			Status: 200, Header: http.Header{"Content-Type": {"application/json"}},
		}
		err := openapi3filter.ValidateResponse(t.Context(), answer.SetBodyBytes([]byte(body)))
		if (err == nil) != allowed {
			t.Errorf("%s: %s; want it allowed: %t", body, fmt.Sprint(err), allowed)
		}
	}
}
