package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/pgserver"
)

const story = `ann@acme.example makes an endpoint in the portal and sees its secret once.
sam@staff.example sends acme an invoice and marks it as paid.
`

func TestTourOnSQLite(t *testing.T) { checkTour(t, "") }

func TestTourOnPostgreSQL(t *testing.T) {
	address, stop, err := pgserver.Use(t.Context(), "") // a server of its own
	if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	checkTour(t, address)
}

func checkTour(t *testing.T, address string) {
	t.Helper()
	var out strings.Builder
	if err := tour(t.Context(), address, &out); err != nil {
		t.Errorf("tour = %v; want nil", err)
	}
	text := out.String()
	if !strings.HasPrefix(text, story) || strings.Count(text, "signature verifies") != 2 || !strings.HasSuffix(text, "is refused.\n") {
		t.Errorf("it says:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 161 {
			t.Errorf("%q is longer than two lines of a terminal", line)
		}
	}
}

// What a user may do: routes by who sends the request, and what they answer.
func TestWhoMayDoWhat(t *testing.T) {
	a, err := open(t.Context(), filepath.Join(t.TempDir(), "webapp.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	server := httptest.NewServer(a.routes())
	defer server.Close()
	if err := a.send(t.Context(), Invoice{ID: "R-1", Company: "acme", Cents: 4205}); err != nil {
		t.Fatal(err)
	}
	users := map[string]*browser{"nobody": {root: server.URL}}
	for _, u := range people {
		if users[u.email], err = signIn(t.Context(), server.URL, u.email); err != nil {
			t.Fatal(err)
		}
	}
	staff, ann, gus := people[0].email, people[1].email, people[2].email
	for _, c := range []struct {
		who, method, path string
		want              string // "" is an error
	}{
		{"nobody", "GET", "/", "Sign in"},
		{"nobody", "GET", "/webhooks/", "Sign in"},
		{"nobody", "GET", "/staff/webhooks/", "Sign in"},
		{"nobody", "POST", "/invoices/R-1/pay", "Sign in"},
		{ann, "GET", "/", "42.05"},
		{gus, "GET", "/", "There are no invoices yet."},
		{staff, "GET", "/", "acme"},
		{ann, "GET", "/staff/webhooks/", ""},
		{staff, "GET", "/webhooks/", ""},
		{ann, "POST", "/invoices/R-1/pay", ""},
		{staff, "POST", "/invoices/R-2/pay", ""},
		{staff, "POST", "/invoices/R-1/pay", "paid"},
		{staff, "POST", "/invoices/R-1/pay", ""},
	} {
		text, err := users[c.who].do(t.Context(), c.method, c.path, nil)
		if (err == nil) != (c.want != "") || !strings.Contains(text, c.want) {
			t.Errorf("%s %s by %s = %v; want %q", c.method, c.path, c.who, err, c.want)
		}
	}
	events, _, err := a.hooks.Events(t.Context(), hooks.Query{})
	if err != nil || len(events) != 2 {
		t.Errorf("%d events were published, %v; want 2: what was refused announces nothing", len(events), err)
	}
}

func TestSignInAndOut(t *testing.T) {
	a, err := open(t.Context(), filepath.Join(t.TempDir(), "webapp.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	server := httptest.NewServer(a.routes())
	defer server.Close()
	for _, form := range []url.Values{
		{"email": {people[0].email}, "password": {"wrong"}}, {"email": {"who@else.example"}, "password": {demoPassword}}, {},
	} {
		b := &browser{root: server.URL}
		if text, err := b.post(t.Context(), "/login", form); err == nil || !strings.Contains(text, "is wrong") {
			t.Errorf("login with %v = %v; want it refused", form, err)
		}
	}
	b, err := signIn(t.Context(), server.URL, people[1].email)
	if err != nil {
		t.Fatal(err)
	}
	kept := b.Jar.Cookies(mustParse(t, server.URL))
	if _, err := b.post(t.Context(), "/logout", nil); err != nil {
		t.Fatal(err)
	}
	b.Jar.SetCookies(mustParse(t, server.URL), kept) // as a thief would
	if text, err := b.get(t.Context(), "/"); err != nil || !strings.Contains(text, "Sign in") {
		t.Errorf("after signing out the session is still good: %v", err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+"/login", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site = %v, %v; want 403", resp, err)
	}
	resp.Body.Close()
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
