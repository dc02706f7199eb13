package admin_test

import (
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

type bill struct {
	Number string `json:"number"`
	Amount int64  `json:"amount"`
}

var (
	typePaid    = hooks.EventType[bill]{Name: "invoice.paid", Description: "An invoice was paid.", Example: bill{"R-1", 9007199254740993}}
	typeShipped = hooks.EventType[bill]{Name: "order.shipped"}
	typeFraud   = hooks.EventType[bill]{Name: "fraud.flagged", Private: true}
)

// A console is the pages as somebody sees them, over a memory store.
type console struct {
	t      *testing.T
	h      *hooks.Hooks
	ui     http.Handler
	access admin.Access
	audit  []admin.AuditEntry
	answer func(*http.Request) (status int, body string)

	sending sync.Mutex      // guards sent while attempts are made
	sent    []*http.Request // what endpoints received
}

// RoundTrip is the network: it answers as c.answer says.
func (c *console) RoundTrip(r *http.Request) (*http.Response, error) {
	c.sending.Lock()
	c.sent = append(c.sent, r)
	c.sending.Unlock()
	status, body := http.StatusOK, ""
	if c.answer != nil {
		status, body = c.answer(r)
	}
	return &http.Response{
		StatusCode: status, Header: make(http.Header), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// newConsole returns the pages of a new Hooks, as an operator sees them who may do everything.
func newConsole(t *testing.T) *console {
	return openConsole(t, hooks.Config{Store: memory.New()}, admin.Config{})
}

func openConsole(t *testing.T, hc hooks.Config, ac admin.Config) *console {
	t.Helper()
	c := &console{t: t, access: admin.Access{Level: admin.Secrets, AllTenants: true, User: "kim"}}
	hc.Transport, hc.Logger = c, slog.New(slog.DiscardHandler)
	var err error
	if c.h, err = hooks.New(hc); err != nil {
		t.Fatal(err)
	}
	if err := c.h.Register(typePaid, typeShipped, typeFraud); err != nil {
		t.Fatal(err)
	}
	ac.Authorize = func(*http.Request) (admin.Access, error) { return c.access, nil }
	ac.Audit = func(_ context.Context, e admin.AuditEntry) { c.audit = append(c.audit, e) }
	ac.Logger = hc.Logger
	if c.ui, err = admin.New(c.h, ac); err != nil {
		t.Fatal(err)
	}
	return c
}

// put stores an endpoint of the tenant acme.
func (c *console) put(e hooks.Endpoint) hooks.Endpoint {
	c.t.Helper()
	if e.URL == "" {
		e.URL = "https://" + e.ID + ".example/hooks"
	}
	if e.Events == nil {
		e.Events = []string{"**"}
	}
	if e.Tenant == "" {
		e.Tenant = "acme"
	}
	made, err := c.h.PutEndpoint(c.t.Context(), e)
	if err != nil {
		c.t.Fatal(err)
	}
	return made
}

// publish publishes n events of the tenant acme, and makes the attempts that are due.
func (c *console) publish(n int) {
	c.t.Helper()
	for range n {
		if _, err := c.h.Publish(c.t.Context(), hooks.Event{Type: "invoice.paid", Tenant: "acme", Data: []byte("{}")}); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.h.Flush(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// A shown is an answer of the handler.
type shown struct {
	t      *testing.T
	at     string
	status int
	header http.Header
	html   string
	text   string // what a person reads: the HTML without tags
}

var (
	tags   = regexp.MustCompile(`(?s)<(script|style|svg)\b.*?</\w+>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

func (c *console) do(r *http.Request) shown {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.ui.ServeHTTP(w, r)
	body := w.Body.String()
	text := spaces.ReplaceAllString(html.UnescapeString(tags.ReplaceAllString(body, " ")), " ")
	return shown{c.t, r.Method + " " + r.URL.String(), w.Code, w.Header(), body, text}
}

func (c *console) get(path string) shown {
	c.t.Helper()
	return c.do(httptest.NewRequest(http.MethodGet, path, nil))
}

// post sends a form with names and values in turn.
func (c *console) post(path string, pairs ...string) shown {
	c.t.Helper()
	values := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

// is fails the test unless the answer has the status and says the words.
func (s shown) is(status int, words ...string) shown {
	s.t.Helper()
	if s.status != status {
		s.t.Fatalf("%s = %d; want %d; it says: %s", s.at, s.status, status, s.text)
	}
	for _, w := range words {
		if !strings.Contains(s.text, w) {
			s.t.Errorf("%s does not say %q; it says: %s", s.at, w, s.text)
		}
	}
	return s
}

// lacks fails the test if the answer has one of the words, in its text or its HTML. Of words
// with tags only the HTML counts, because escaped ones are text.
func (s shown) lacks(words ...string) shown {
	s.t.Helper()
	for _, w := range words {
		if strings.Contains(s.html, w) || !strings.Contains(w, "<") && strings.Contains(s.text, w) {
			s.t.Errorf("%s has %q; want it without", s.at, w)
		}
	}
	return s
}

// has fails the test unless the HTML has the pieces.
func (s shown) has(pieces ...string) shown {
	s.t.Helper()
	for _, p := range pieces {
		if !strings.Contains(s.html, p) {
			s.t.Errorf("%s has no %q in its HTML: %s", s.at, p, s.html)
		}
	}
	return s
}

// goesTo fails the test unless the answer leads the browser to a path, and returns it as
// the handler's own.
func (s shown) goesTo(path string) string {
	s.t.Helper()
	to, err := url.Parse(s.header.Get("Location"))
	if err != nil || s.status != http.StatusSeeOther {
		s.t.Fatalf("%s = %d to %q, %v; want 303; it says: %s", s.at, s.status, s.header.Get("Location"), err, s.text)
	}
	_, from, _ := strings.Cut(s.at, " ")
	base, err := url.Parse(from)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := base.ResolveReference(to).String(); got != path {
		s.t.Fatalf("%s leads to %q; want %q", s.at, got, path)
	}
	return path
}

// field returns the value of an input, and whether there is one.
func (s shown) field(name string) (string, bool) {
	for _, tag := range regexp.MustCompile(`<input[^>]*>`).FindAllString(s.html, -1) {
		if !strings.Contains(tag, ` name="`+name+`"`) {
			continue
		}
		if m := regexp.MustCompile(`\svalue="([^"]*)"`).FindStringSubmatch(tag); m != nil {
			return html.UnescapeString(m[1]), true
		}
		return "", true
	}
	m := regexp.MustCompile(`(?s)<textarea[^>]* name="` + name + `"[^>]*>\n?(.*?)</textarea>`).FindStringSubmatch(s.html)
	if m == nil {
		return "", false
	}
	return html.UnescapeString(m[1]), true
}

// value returns the value of a field that must be there.
func (s shown) value(name string) string {
	s.t.Helper()
	v, ok := s.field(name)
	if !ok {
		s.t.Fatalf("%s has no field %q: %s", s.at, name, s.html)
	}
	return v
}

// lastAudit returns what the audit was told last.
func (c *console) lastAudit() admin.AuditEntry {
	c.t.Helper()
	if len(c.audit) == 0 {
		c.t.Fatal("the audit was told nothing")
	}
	return c.audit[len(c.audit)-1]
}
