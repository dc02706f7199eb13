package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// Secrets of the endpoint crm, which no answer may have.
const (
	crmSecret = kit.LeakySecret
	crmHeader = "header-value-that-nobody-may-see"
)

var (
	invoicePaid  = hooks.EventType[kit.Invoice]{Name: "invoice.paid", Description: "An invoice was paid.", Example: kit.Invoice{Number: 7}}
	orderPlaced  = hooks.EventType[json.RawMessage]{Name: "order.placed"}
	fraudFlagged = hooks.EventType[kit.Invoice]{Name: "fraud.flagged", Private: true}
)

// A site is an admin handler over a store that has something of everything:
//
//   - endpoints crm of the tenant acme, and erp of globex,
//   - a handler mailer, and one old-mailer that no program has any more,
//   - of acme, evt_paid that crm has taken, evt_failed that it has refused for good, and
//     evt_waiting that is due tomorrow,
//   - of globex, evt_globex that erp has taken,
//   - the actions act_1 of acme and act_globex of globex, which nobody carries out, because
//     Run does not run.
type site struct {
	h     *hooks.Hooks
	ui    http.Handler
	store *writeCounter

	mu      sync.Mutex // guards what follows
	access  admin.Access
	refusal error // of Authorize
	audit   []admin.AuditEntry
}

var (
	operator = admin.Access{Level: admin.Secrets, AllTenants: true, User: "kim"}
	customer = admin.Access{Level: admin.Secrets, Tenant: "acme", User: "robin"}
)

// newSite returns a site that is asked by the operator. change, which may be nil, changes
// its Config.
func newSite(t *testing.T, change func(*admin.Config)) *site {
	t.Helper()
	s := &site{store: &writeCounter{Store: memory.New()}, access: operator}
	former := newHooks(t, s.store, hooks.Handler{Name: "old-mailer", Events: []string{"order.*"}, Func: kit.Ignore})
	if err := former.Flush(t.Context()); err != nil { // records the handler
		t.Fatal(err)
	}
	s.h = newHooks(t, s.store, hooks.Handler{Name: "mailer", Events: []string{"order.*"}, Func: kit.Ignore})
	kit.Put(t, s.h, hooks.Endpoint{
		ID: "crm", Tenant: "acme", URL: "https://crm.example.com/hooks", Events: []string{"**"},
		Secret: kit.Secret(t, crmSecret), Header: hooks.Header{"X-Key": crmHeader},
	})
	kit.Put(t, s.h, hooks.Endpoint{ID: "erp", Tenant: "globex", URL: "https://erp.example.com/hooks", Events: []string{"**"}})
	for _, ev := range []hooks.Event{
		{ID: "evt_paid", Tenant: "acme"},
		{ID: "evt_failed", Tenant: "acme"},
		{ID: "evt_waiting", Tenant: "acme", DeliverAt: time.Now().Add(24 * time.Hour)},
		{ID: "evt_globex", Tenant: "globex"},
	} {
		ev.Type, ev.Data = invoicePaid.Name, json.RawMessage(`{"number":9007199254740993}`)
		kit.Publish(t, s.h, ev)
	}
	if err := s.h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, tenant := range map[string]string{"act_1": "acme", "act_globex": "globex"} {
		a := hooks.Action{ID: id, Kind: hooks.ActionReplay, Query: hooks.Query{Statuses: []hooks.Status{hooks.Failed}}, By: tenant}
		if _, err := s.h.Tenant(tenant).StartAction(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	s.mount(t, s.h, change)
	return s
}

// mount makes the site's handler.
func (s *site) mount(t *testing.T, h *hooks.Hooks, change func(*admin.Config)) {
	t.Helper()
	c := admin.Config{Authorize: s.authorize, Audit: s.tell, Logger: kit.Silent}
	if change != nil {
		change(&c)
	}
	ui, err := admin.New(h, c)
	if err != nil {
		t.Fatal(err)
	}
	s.ui = ui
}

func newHooks(t *testing.T, store hooks.Store, handlers ...hooks.Handler) *hooks.Hooks {
	t.Helper()
	h, err := hooks.New(hooks.Config{Store: store, Transport: kit.Exchange(receive), Logger: kit.Silent})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(invoicePaid, orderPlaced, fraudFlagged); err != nil {
		t.Fatal(err)
	}
	for _, s := range handlers {
		if err := h.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// receive answers webhooks: 410 for the event evt_failed and at gone.example.com, and 200 for others.
func receive(r *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if r.Header.Get("webhook-id") == "evt_failed" || r.URL.Host == "gone.example.com" {
		return kit.Answer(http.StatusGone, header, `{"error":"no such customer"}`), nil
	}
	return kit.Answer(http.StatusOK, header, `{"ok":true}`), nil
}

func (s *site) authorize(*http.Request) (admin.Access, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access, s.refusal
}

func (s *site) tell(_ context.Context, e admin.AuditEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audit = append(s.audit, e)
}

// as makes the following requests those of somebody else.
func (s *site) as(a admin.Access) *site {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access = a
	return s
}

// audited returns what the audit was told since the last call.
func (s *site) audited() []admin.AuditEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.audit
	s.audit = nil
	return told
}

// do sends a request to the handler. A body that begins with "{" is JSON, and any other one
// a form. header has names and values in turn.
func (s *site) do(t *testing.T, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	switch {
	case strings.HasPrefix(body, "{"):
		r.Header.Set("Content-Type", "application/json")
	case body != "":
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	w := httptest.NewRecorder()
	s.ui.ServeHTTP(w, r)
	return w
}

// api sends a request to the API, fails the test unless it is answered by a status, and
// decodes the answer into v unless that is nil.
func (s *site) api(t *testing.T, method, path, body string, status int, v any, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := s.do(t, method, "/api/v1/"+path, body, header...)
	if w.Code != status {
		t.Fatalf("%s %s %s = %d %s; want %d", method, path, body, w.Code, w.Body, status)
	}
	if v != nil {
		if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
			t.Fatalf("%s %s %s = %s: %v", method, path, body, w.Body, err)
		}
	}
	return w
}

// A problem is an error of the API.
type problem struct {
	Title, Detail, Field string
	Status               int
}

// refused sends a request to the API that must be answered by a problem.
func (s *site) refused(t *testing.T, method, path, body string, status int, header ...string) (p problem) {
	t.Helper()
	w := s.api(t, method, path, body, status, &p, header...)
	if is := w.Header().Get("Content-Type"); is != "application/problem+json" || p.Status != status || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("%s %s %s = %s %s; want a problem", method, path, body, is, w.Body)
	}
	return p
}

// A writeCounter is a store that counts the calls that write, and fails those that read if
// told to.
type writeCounter struct {
	hooks.Store
	writes  atomic.Int64
	failing atomic.Bool
}

var errStore = errors.New("the disk 7 at 10.0.0.9 is broken")

func (s *writeCounter) Unwrap() hooks.Store { return s.Store }

func (s *writeCounter) Enqueue(ctx context.Context, now time.Time, e []hooks.Entry) ([]hooks.Receipt, error) {
	s.writes.Add(1)
	return s.Store.Enqueue(ctx, now, e)
}

func (s *writeCounter) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	s.writes.Add(1)
	return s.Store.Update(ctx, now, c)
}

func (s *writeCounter) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	s.writes.Add(1)
	return s.Store.Put(ctx, now, r, emit)
}

func (s *writeCounter) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	if s.failing.Load() {
		return nil, "", errStore
	}
	return s.Store.Deliveries(ctx, q)
}
