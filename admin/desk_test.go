package admin_test

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A parcel is the data of the desk's events.
type parcel struct {
	Number int64 `json:"number"`
}

var (
	parcelSent  = hooks.EventType[parcel]{Name: "parcel.sent"}
	parcelLost  = hooks.EventType[parcel]{Name: "parcel.lost"}
	secretStock = hooks.EventType[parcel]{Name: "stock.secret", Private: true}
)

// A desk is the pages of deliveries and events as somebody sees them. Receivers answer with
// the status that their path names.
type desk struct {
	t      *testing.T
	h      *hooks.Hooks
	ui     http.Handler
	access admin.Access
	told   []admin.AuditEntry

	mu     sync.Mutex  // guards what follows while Run runs
	header http.Header // of each response
	body   string      // of each response
}

// newDesk returns the pages of a new Hooks, for an operator who may do everything.
func newDesk(t *testing.T, hc hooks.Config, ac admin.Config) *desk {
	t.Helper()
	d := &desk{t: t, access: admin.Access{Level: admin.Secrets, AllTenants: true, User: "kim"}, header: make(http.Header), body: "try later"}
	if hc.Store == nil {
		hc.Store = memory.New()
	}
	hc.Transport, hc.Logger = d, kit.Silent
	var err error
	if d.h, err = hooks.New(hc); err == nil {
		err = d.h.Register(parcelSent, parcelLost, secretStock)
	}
	if err != nil {
		t.Fatal(err)
	}
	ac.Authorize = func(*http.Request) (admin.Access, error) { return d.access, nil }
	ac.Audit = func(_ context.Context, e admin.AuditEntry) { d.told = append(d.told, e) }
	ac.Logger = kit.Silent
	if d.ui, err = admin.New(d.h, ac); err != nil {
		t.Fatal(err)
	}
	return d
}

// RoundTrip is the network.
func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/refused") {
		return nil, errors.New("no such thing as a network")
	}
	status := 200
	for code, path := range map[int]string{410: "/410", 422: "/422", 503: "/503"} {
		if r.URL.Path == path {
			status = code
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return &http.Response{
		StatusCode: status, Header: d.header.Clone(), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(d.body)), ContentLength: int64(len(d.body)),
	}, nil
}

// put stores an endpoint of the tenant acme that answers with the status in path.
func (d *desk) put(id, path string, change ...func(*hooks.Endpoint)) {
	d.t.Helper()
	e := hooks.Endpoint{ID: id, Tenant: "acme", URL: "https://" + strings.ToLower(id) + ".example" + path, Events: []string{"parcel.*"}}
	for _, f := range change {
		f(&e)
	}
	if _, err := d.h.PutEndpoint(d.t.Context(), e); err != nil {
		d.t.Fatal(err)
	}
}

// subscribe adds a handler that returns err.
func (d *desk) subscribe(name string, err error) {
	d.t.Helper()
	h := parcelSent.Handler(name, func(context.Context, hooks.Event, parcel) error { return err })
	if err := d.h.Subscribe(h); err != nil {
		d.t.Fatal(err)
	}
}

// publish publishes an event of the tenant acme with an id, and makes the attempts that are due.
func (d *desk) publish(id string, change ...func(*hooks.Event)) {
	d.t.Helper()
	ev := parcelSent.New(parcel{9007199254740993})
	ev.ID, ev.Tenant = id, "acme"
	for _, f := range change {
		f(&ev)
	}
	if _, err := d.h.Publish(d.t.Context(), ev); err != nil {
		d.t.Fatal(err)
	}
	d.flush()
}

func (d *desk) flush() {
	d.t.Helper()
	if err := d.h.Flush(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// as changes what the user of the desk may do.
func (d *desk) as(level admin.Level, tenant string) {
	d.access = admin.Access{Level: level, Tenant: tenant, AllTenants: tenant == "", User: "kim"}
}

// A sight is an answer as a person sees it.
type sight struct {
	t      *testing.T
	from   *url.URL
	status int
	header http.Header
	html   string
	text   string // the HTML without tags
}

var (
	anyTag   = regexp.MustCompile(`(?s)<head>.*?</head>|<svg.*?</svg>|<[^>]*>`)
	anySpace = regexp.MustCompile(`\s+`)
)

func (d *desk) ask(r *http.Request) sight {
	d.t.Helper()
	w := httptest.NewRecorder()
	d.ui.ServeHTTP(w, r)
	body := w.Body.String()
	text := strings.TrimSpace(anySpace.ReplaceAllString(html.UnescapeString(anyTag.ReplaceAllString(body, " ")), " "))
	return sight{d.t, r.URL, w.Code, w.Header(), body, text}
}

func (d *desk) get(path string) sight {
	d.t.Helper()
	return d.ask(httptest.NewRequest(http.MethodGet, path, nil))
}

// post sends a form with names and values in turn.
func (d *desk) post(path string, pairs ...string) sight {
	d.t.Helper()
	values := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return d.ask(r)
}

// follow returns the page to which an answer leads.
func (d *desk) follow(s sight) sight {
	d.t.Helper()
	to, err := url.Parse(s.header.Get("Location"))
	if err != nil || s.status != http.StatusSeeOther {
		d.t.Fatalf("%v = %d to %q, %v; want 303; it says: %s", s.from, s.status, s.header.Get("Location"), err, s.text)
	}
	return d.get(s.from.ResolveReference(to).String())
}

// says fails the test unless the page says all of the words.
func (s sight) says(words ...string) sight {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(s.text, w) {
			s.t.Errorf("%v (%d) does not say %q; it says: %s", s.from, s.status, w, s.text)
		}
	}
	return s
}

// hides fails the test if one of the words is anywhere in the page.
func (s sight) hides(words ...string) sight {
	s.t.Helper()
	for _, w := range words {
		if strings.Contains(s.html, w) || strings.Contains(s.text, w) {
			s.t.Errorf("%v has %q; want it without; it says: %s", s.from, w, s.text)
		}
	}
	return s
}

// has fails the test unless the HTML has all of the pieces.
func (s sight) has(pieces ...string) sight {
	s.t.Helper()
	for _, p := range pieces {
		if !strings.Contains(s.html, p) {
			s.t.Errorf("%v has no %q in its HTML: %s", s.from, p, s.html)
		}
	}
	return s
}

// is fails the test unless the answer has a status.
func (s sight) is(status int) sight {
	s.t.Helper()
	if s.status != status {
		s.t.Errorf("%v = %d; want %d; it says: %s", s.from, s.status, status, s.text)
	}
	return s
}
