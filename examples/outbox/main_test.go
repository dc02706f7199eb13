package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
	"example.com/hooks/internal/pgserver"
)

func TestOrderAndEventBothOrNeither(t *testing.T) {
	s, err := openShop(t.Context(), newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, c := range []struct {
		name  string
		place func(context.Context, Order) error
		item  string
		err   error
		want  outcome
	}{
		{"pgx, committed", s.placeOrder, "Assam", nil, outcome{true, true, 1}},
		{"pgx, rolled back", s.placeOrder, "Da Hong Pao", errSoldOut, outcome{}},
		{"sql, committed", s.placeOrderSQL, "Assam", nil, outcome{true, true, 1}},
		{"sql, rolled back", s.placeOrderSQL, "Da Hong Pao", errSoldOut, outcome{}},
	} {
		o := Order{ID: rand.Text()[:8], Item: c.item}
		if err := c.place(t.Context(), o); !errors.Is(err, c.err) {
			t.Errorf("%s: place = %v; want %v", c.name, err, c.err)
		}
		if got, err := s.look(t.Context(), o); got != c.want || err != nil {
			t.Errorf("%s: found %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	succeeded, _, err := s.hooks.Deliveries(t.Context(), hooks.Query{Statuses: []hooks.Status{hooks.Succeeded}})
	all, _, allErr := s.hooks.Deliveries(t.Context(), hooks.Query{})
	if len(succeeded) != 2 || len(all) != 2 || errors.Join(err, allErr) != nil {
		t.Errorf("the store has %d deliveries, %d of them succeeded; want 2, 2", len(all), len(succeeded))
	}
}

func TestShowsIt(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), newDatabase(t), &out); err != nil {
		t.Errorf("run = %v; want nil", err)
	}
	got := regexp.MustCompile(`[A-Z0-9]{8} `).ReplaceAllString(out.String(), "ORDER    ")
	want := `
driver        order      transaction            its row  its event  delivered
pgx           ORDER      committed              yes      yes        yes
pgx           ORDER      rolled back: sold out  -        -          -
database/sql  ORDER      committed              yes      yes        yes
database/sql  ORDER      rolled back: sold out  -        -          -

An order and its event are there both, or neither.
It stays in the database: see the schemas outbox_shop and outbox_hooks.
`
	if got != want[1:] {
		t.Errorf("run printed\n%s\nwant\n%s", got, want[1:])
	}
}

func TestStopsWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	database := newDatabase(t)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, database, w)
		w.Close()
		ended <- err
	}()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		interrupt() // at the first line; no order has been placed
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("run, interrupted = %v; want %v", err, context.Canceled)
	}
}

func TestHalfAnOrderIsAnError(t *testing.T) {
	for _, c := range []struct {
		name      string
		found     outcome
		committed bool
		ok        bool
	}{
		{"all of it", outcome{true, true, 1}, true, true},
		{"nothing of it", outcome{}, false, true},
		{"no event", outcome{true, false, 0}, true, false},
		{"not delivered", outcome{true, true, 0}, true, false},
		{"delivered twice", outcome{true, true, 2}, true, false},
		{"an event without an order", outcome{false, true, 1}, false, false},
		{"nothing, though committed", outcome{}, true, false},
		{"all of it, though rolled back", outcome{true, true, 1}, false, false},
	} {
		if err := c.found.check(c.committed); (err == nil) != c.ok {
			t.Errorf("%s: check(%v) of %+v = %v; want ok %v", c.name, c.committed, c.found, err, c.ok)
		}
	}
}

// shared is the server of all tests: the one that HOOKS_TEST_POSTGRES names, or
// one of their own.
var shared struct {
	sync.Once
	url  string
	stop func() error
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

// newDatabase returns the URL of a database that lives as long as the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	shared.Do(func() {
		shared.url, shared.stop, shared.err = pgserver.Use(context.Background(), os.Getenv("HOOKS_TEST_POSTGRES"))
	})
	if errors.Is(shared.err, pgserver.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	u, err := url.Parse(shared.url)
	if err != nil {
		t.Fatal(err)
	}
	name := "outbox_test_" + strings.ToLower(rand.Text()[:8])
	administer(t, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING UTF8")
	t.Cleanup(func() { administer(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

func administer(t *testing.T, statement string) {
	t.Helper()
	ctx := context.Background() // the test's has ended when it cleans up
	conn, err := pgx.Connect(ctx, shared.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}
