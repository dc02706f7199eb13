package sqlite_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/keeper"
	"example.com/hooks/store/sqlite"
)

// fixtureKeys are those that the endpoints of the files in testdata are encrypted with.
const fixtureKeys = "2026-11:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// TestFilesOfFormerVersionsAreRead opens files that the versions before migrations 2 and 3
// have written. v1.txt is what version 1 read from its file. This version reads the same,
// delivers what was due, and reads it once more.
func TestFilesOfFormerVersionsAreRead(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) { testFixture(t, "testdata/"+version) })
	}
}

func testFixture(t *testing.T, fixture string) {
	synctest.Test(t, func(t *testing.T) {
		path := copied(t, fixture+".db")
		want, err := os.ReadFile(fixture + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))) // a month after it was written
		first := openFixture(t, path)
		compareLines(t, kit.Describe(t, first.h), string(want))
		if err := first.h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		due := []string{"evt_line_0", "evt_line_1", "evt_line_2"}
		if got := first.received["mailer"]; !slices.Equal(got, due) {
			t.Errorf("mailer received %v; want %v, in order", got, due)
		}
		slices.Sort(first.received["other"])
		if got := first.received["other"]; !slices.Equal(got, due) {
			t.Errorf("endpoint other received %v; want %v", got, due)
		}
		if got := first.received["auditor"]; !slices.Equal(got, []string{"evt_nobody"}) {
			t.Errorf("auditor received %v; want evt_nobody", got)
		}
		delivered := kit.Describe(t, first.h)
		untouched(t, delivered, string(want))
		if err := first.store.Close(); err != nil {
			t.Fatal(err)
		}
		compareLines(t, kit.Describe(t, openFixture(t, path).h), delivered)
	})
}

func TestTheKeysOfVersion1AreFound(t *testing.T) {
	s := open(t, copied(t, "testdata/v1.db"))
	for tenant, want := range map[string]int{"acme": 1, "": 0} {
		page, _, err := s.Events(t.Context(), hooks.Query{Key: "key-1", Tenant: tenant})
		if err != nil || len(page) != want || want > 0 && page[0].ID != "evt_1" {
			t.Errorf("Events(key-1, tenant %q) = %v, %v; want evt_1 of acme alone", tenant, page, err)
		}
	}
}

// What version 2 has and version 1 has not: counters, what was erased, a disabled endpoint.
func TestAFileOfVersion2HasItsOwn(t *testing.T) {
	o := openFixture(t, copied(t, "testdata/v2.db"))
	list, err := o.store.Minutes(t.Context(), hooks.Query{Subscriber: "plain"})
	if err != nil || len(list) != 1 || list[0].Succeeded != 2 || list[0].Took[0] != 2 {
		t.Errorf("Minutes(plain) = %+v, %v; want one of two that succeeded", list, err)
	}
	if ev, err := o.h.Event(t.Context(), "evt_2"); err != nil || ev.Erased.IsZero() {
		t.Errorf("Event(evt_2) = %+v, %v; want it erased", ev, err)
	}
	if is, err := o.h.EndpointHealth(t.Context(), "busy"); err != nil || is.State != hooks.StateDisabled || is.Reason != "answers 503" {
		t.Errorf("EndpointHealth(busy) = %+v, %v; want it disabled", is, err)
	}
}

// An opened is a fixture that is open: its store, a Hooks on it, and the events that each subscriber has
// received: handlers by name, and the endpoint "other".
type opened struct {
	store    *sqlite.Store
	h        *hooks.Hooks
	received map[string][]string
}

func openFixture(t *testing.T, path string) *opened {
	t.Helper()
	keys, err := keeper.Parse(fixtureKeys)
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{store: open(t, path), received: make(map[string][]string)}
	const years = 100 * 365 * 24 * time.Hour
	o.h = kit.New(t, hooks.Config{
		Store: o.store, Keeper: keys, Logger: kit.Silent, Retention: years, FailedRetention: years,
		Concurrency: 1, // so that received needs no lock
		Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			o.received["other"] = append(o.received["other"], r.Header.Get("webhook-id"))
			return kit.Answer(200, nil, ""), nil
		}),
	})
	if err := o.h.Register(kit.OrderPlaced); err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]string{"mailer": "invoice.paid", "auditor": "order.placed"} {
		if err := o.h.Subscribe(hooks.Handler{
			Name: name, Events: []string{pattern}, Ordered: name == "mailer",
			Func: func(_ context.Context, ev hooks.Event) error {
				o.received[name] = append(o.received[name], ev.ID)
				return nil
			},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// copied returns the path of a copy of a file.
func copied(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hooks.db")
	write(t, path, content)
	return path
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

// untouched fails the test unless got has each line of before, but for those of deliveries
// that were due.
func untouched(t *testing.T, got, before string) {
	t.Helper()
	lines := strings.Split(got, "\n")
	for line := range strings.SplitSeq(before, "\n") {
		if strings.HasPrefix(line, "delivery") && (strings.Contains(line, " evt_line_") || strings.Contains(line, " evt_nobody.")) {
			continue
		}
		if !slices.Contains(lines, line) {
			t.Errorf("after a delivery of others, this line is gone:\n%s", line)
		}
	}
}
