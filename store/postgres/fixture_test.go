package postgres_test

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/keeper"
)

// fixtureKeys are those that the endpoints in the files of testdata are encrypted with.
const fixtureKeys = "2026-11:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// psqlCommand is a line of a dump that is for psql, and not for the server.
var psqlCommand = regexp.MustCompile(`(?m)^\\.*$`)

// TestDatabasesOfFormerVersionsAreRead migrates what the versions before migrations 2 and 3
// have written, as pg_dump --inserts has saved it. v1.txt is what version 1 read of it. This
// version reads the same, delivers what was due, and reads it once more.
func TestDatabasesOfFormerVersionsAreRead(t *testing.T) {
	if written := time.Date(2026, 11, 30, 20, 2, 15, 0, time.UTC); time.Now().Before(written) {
		t.Skip("by this machine's clock, what was due then is not due yet")
	}
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) { testFixture(t, "testdata/"+version) })
	}
}

func testFixture(t *testing.T, fixture string) {
	pool, config := blank(t)
	loadFixture(t, config, fixture+".sql")
	if err := storeOn(t, pool).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(fixture + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	h, received := onFixture(t, config)
	compareLines(t, kit.Describe(t, h), string(want))
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	delivered := kit.Describe(t, h)
	for subscriber, want := range map[string][]string{
		"other":   {"evt_line_2"}, // the two before it are leased until 2076
		"auditor": {"evt_nobody"},
		"mailer":  nil, // the first of its line is leased until then, too
	} {
		if got := received[subscriber]; !slices.Equal(got, want) {
			t.Errorf("%s received %v; want %v", subscriber, got, want)
		}
	}
	lines := strings.Split(delivered, "\n")
	for line := range strings.SplitSeq(string(want), "\n") {
		changes := strings.Contains(line, " evt_line_2.other ") || strings.Contains(line, " evt_nobody.auditor ")
		if !changes && !slices.Contains(lines, line) {
			t.Errorf("after a delivery of others, this line is gone:\n%s", line)
		}
	}

	before := value[string](t, pool, catalogSQL)
	if err := storeOn(t, pool).Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate again = %v; want nil", err)
	}
	if after := value[string](t, pool, catalogSQL); after != before {
		t.Errorf("Migrate again changed the schema from\n%s\nto\n%s", before, after)
	}
	again, _ := onFixture(t, config)
	compareLines(t, kit.Describe(t, again), delivered)
}

// An idempotency key of that version is still taken, and names its event.
func TestTheKeysOfVersion1AreFound(t *testing.T) {
	pool, config := blank(t)
	loadFixture(t, config, "testdata/v1.sql")
	s := storeOn(t, pool)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]int{"acme": 1, "": 0} {
		page, _, err := s.Events(t.Context(), hooks.Query{Key: "key-1", Tenant: tenant})
		if err != nil || len(page) != want || want > 0 && page[0].ID != "evt_1" {
			t.Errorf("Events(key-1, tenant %q) = %v, %v; want evt_1 of acme alone", tenant, page, err)
		}
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	e := keyed(entry("evt_again"), "key-1", now.AddDate(1, 0, 0))
	e.Event.Tenant = "acme"
	if r, err := s.Enqueue(t.Context(), now, []hooks.Entry{e}); err != nil || r[0] != (hooks.Receipt{EventID: "evt_1", Duplicate: true}) {
		t.Errorf("Enqueue of another event with that key = %+v, %v; want a duplicate of evt_1", r, err)
	}
}

func loadFixture(t *testing.T, config *pgx.ConnConfig, file string) {
	t.Helper()
	dump, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script(t, config, psqlCommand.ReplaceAllString(string(dump), ""))
}

// What version 2 has and version 1 has not: counters, what was erased, a disabled endpoint.
func TestADatabaseOfVersion2HasItsOwn(t *testing.T) {
	pool, config := blank(t)
	loadFixture(t, config, "testdata/v2.sql")
	s := storeOn(t, pool)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := s.Minutes(t.Context(), hooks.Query{Subscriber: "plain"})
	if err != nil || len(list) != 1 || list[0].Succeeded != 2 || list[0].Took[0] != 2 {
		t.Errorf("Minutes(plain) = %+v, %v; want one of two that succeeded", list, err)
	}
	h, _ := onFixture(t, config)
	if ev, err := h.Event(t.Context(), "evt_2"); err != nil || ev.Erased.IsZero() {
		t.Errorf("Event(evt_2) = %+v, %v; want it erased", ev, err)
	}
	if is, err := h.EndpointHealth(t.Context(), "busy"); err != nil || is.State != hooks.StateDisabled || is.Reason != "answers 503" {
		t.Errorf("EndpointHealth(busy) = %+v, %v; want it disabled", is, err)
	}
}

// onFixture returns a Hooks that reads the fixture and delivers it to nobody else than the
// test: received has the events by handler, and by the endpoint other.
func onFixture(t *testing.T, config *pgx.ConnConfig) (h *hooks.Hooks, received map[string][]string) {
	t.Helper()
	keys, err := keeper.Parse(fixtureKeys)
	if err != nil {
		t.Fatal(err)
	}
	received = make(map[string][]string)
	const years = 100 * 365 * 24 * time.Hour
	h = kit.New(t, hooks.Config{
		Store: storeOn(t, poolOn(t, config)), Keeper: keys, Logger: kit.Silent, Retention: years, FailedRetention: years,
		Concurrency: 1, // so that received needs no lock
		Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			received["other"] = append(received["other"], r.Header.Get("webhook-id"))
			return kit.Answer(200, nil, ""), nil
		}),
	})
	if err := h.Register(kit.OrderPlaced); err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]string{"mailer": "invoice.paid", "auditor": "order.placed"} {
		if err := h.Subscribe(hooks.Handler{
			Name: name, Events: []string{pattern}, Ordered: name == "mailer",
			Func: func(_ context.Context, ev hooks.Event) error {
				received[name] = append(received[name], ev.ID)
				return nil
			},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return h, received
}

// compareLines fails the test at the first line that differs.
func compareLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d is read as\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("%d lines are read; want %d", len(g), len(w))
	}
}
