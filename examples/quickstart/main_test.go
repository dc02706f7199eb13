package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

// TestMain lets a test start this very program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const asProgram = "QUICKSTART_TEST_AS_PROGRAM"

func TestDeliversEveryOrder(t *testing.T) {
	var out strings.Builder
	got, err := run(t.Context(), options{
		orders:  3,
		once:    true,
		timeout: time.Minute,
		db:      filepath.Join(t.TempDir(), "shop.db"),
	}, &out)
	if err != nil {
		t.Errorf("run(3 orders) = %v; want nil", err)
	}
	want := []row{
		{"mailer", tally{attempts: 3, succeeded: 3}, false, 0, 0},
		{"crm", tally{attempts: 4, succeeded: 3, failed: 1, replayed: 1}, true, 3, 0},
		{"warehouse", tally{attempts: 9, succeeded: 3, retried: 6}, true, 3, 0},
		{"bank", tally{attempts: 3, succeeded: 3}, true, 3, 0},
	}
	for i, r := range got.rows {
		if r != want[i] {
			t.Errorf("run(3 orders): row %+v; want %+v", r, want[i])
		}
	}
	if got.published != 3 || got.left != 0 || len(got.rows) != len(want) {
		t.Errorf("run(3 orders) = %+v; want 3 published, 0 left, %d rows", got, len(want))
	}
	for text, times := range map[string]int{
		"4 to deliver":           3,
		"503 stocktaking":        6,
		"next try in ":           6,
		"200 verified":           9,
		"410 no account":         1,
		"failed: rejected":       1,
		"401 refused":            1,
		"POST /hooks HTTP/1.1":   1,
		"Webhook-Signature: v1":  1,
		"User-Agent: hooks/":     1,
		`{"type":"order.placed"`: 1,
		"whsec_":                 0,
	} {
		if n := strings.Count(out.String(), text); n != times {
			t.Errorf("run(3 orders) printed %q %d times; want %d", text, n, times)
		}
	}
	wantNarrow(t, out.String())
	if t.Failed() {
		t.Log(out.String())
	}
}

// The output is read in terminals and in documents.
func wantNarrow(t *testing.T, out string) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("a line has %d columns; want at most 80: %s", n, line)
		}
	}
}

func TestFold(t *testing.T) {
	long := strings.Repeat("ä", 100)
	for _, c := range []struct{ text, indent, want string }{
		{"", "", ""},
		{"\na\n\nb", "  ", "\n  a\n\n  b"},
		{long[:160], "", long[:160]},
		{long, "", long[:160] + "\n  " + long[160:]},
		{long, "  ", "  " + long[:156] + "\n    " + long[156:]},
		{strings.Repeat("word ", 17), "", strings.TrimSuffix(strings.Repeat("word ", 16), " ") + "\n  word "},
		{strings.Repeat("x", 200), "", strings.Repeat("x", 80) + "\n  " + strings.Repeat("x", 78) + "\n  " + strings.Repeat("x", 42)},
	} {
		if got := fold(c.text, c.indent); got != c.want {
			t.Errorf("fold(%q, %q) = %q; want %q", c.text, c.indent, got, c.want)
		}
		wantNarrow(t, fold(c.text, c.indent))
	}
}

// A second run shows requests that are signed with the former secrets as well, and
// replays what another one left failed.
func TestRunsAgain(t *testing.T) {
	db := filepath.Join(t.TempDir(), strings.Repeat("a-long-name-", 8)+".db")
	for range 3 {
		var out strings.Builder
		if _, err := run(t.Context(), options{orders: 1, once: true, timeout: time.Minute, db: db}, &out); err != nil {
			t.Errorf("run = %v; want nil\n%s", err, &out)
		}
		wantNarrow(t, out.String())
	}
}

func TestRefusesBadArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-n -3":          "quickstart: -n -3 is negative",
		"tea":            `quickstart: "tea" is not a flag`,
		"-once 5":        `quickstart: "5" is not a flag`,
		"-timeout -1s":   "quickstart: -timeout -1s is no time",
		"-timeout 0":     "quickstart: -timeout 0s is no time",
		"-n many":        "invalid value",
		"-n 1 -once=tea": "invalid boolean value",
	} {
		cmd := program(t, strings.Fields(args)...)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		first, usage, _ := strings.Cut(string(out), "\n")
		if !ok || exit.ExitCode() != 2 || !strings.Contains(first, want) || !strings.Contains(usage, "Usage") {
			t.Errorf("quickstart %s: %v; want exit status 2, %q in the first line and the usage\n%s", args, err, want, out)
		}
	}
}

func TestEndsWhenTimeIsOver(t *testing.T) {
	_, err := run(t.Context(), options{
		orders:  1,
		once:    true,
		timeout: time.Millisecond,
		db:      filepath.Join(t.TempDir(), "shop.db"),
	}, io.Discard)
	if !errors.Is(err, errTooSlow) {
		t.Errorf("run(-timeout 1ms) = %v; want %v", err, errTooSlow)
	}
}

func TestStopsWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, options{db: filepath.Join(t.TempDir(), "shop.db")}, w)
		w.Close()
		ended <- err
	}()
	said := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.Contains(lines.Text(), "curl") {
			interrupt()
		}
		said = said || strings.HasPrefix(lines.Text(), "Stopping")
	}
	if err := <-ended; err != nil || !said {
		t.Errorf("run, interrupted = %v, said so: %v; want nil, true", err, said)
	}
}

func TestTotalsMustMatch(t *testing.T) {
	for _, c := range []struct {
		name string
		row  row
		ok   bool
	}{
		{"as promised", row{"crm", tally{attempts: 4, succeeded: 2, retried: 2}, true, 2, 0}, true},
		{"a function verifies nothing", row{"mailer", tally{attempts: 2, succeeded: 2}, false, 0, 0}, true},
		{"lost", row{"crm", tally{attempts: 2, succeeded: 2}, true, 1, 0}, false},
		{"not noticed", row{"crm", tally{attempts: 2, succeeded: 1}, true, 2, 0}, false},
	} {
		if err := (totals{rows: []row{c.row}}).check(); (err == nil) != c.ok {
			t.Errorf("%s: check(%+v) = %v; want ok %v", c.name, c.row, err, c.ok)
		}
	}
	if err := (totals{failed: 1}).check(); err == nil {
		t.Error("given up: check of a delivery that failed for good = nil; want an error")
	}
}

func TestShopAnswers(t *testing.T) {
	h, err := hooks.New(hooks.Config{Store: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(OrderPlaced); err != nil {
		t.Fatal(err)
	}
	routes, err := shop{h}.routes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, body string
		code       int
		answer     string
	}{
		{"an order", order(0), http.StatusAccepted, `"duplicate":false`},
		{"the same again", order(0), http.StatusAccepted, `"duplicate":true`},
		{"no JSON", "tea, please", http.StatusBadRequest, "an order looks like"},
		{"nothing ordered", "{}", http.StatusBadRequest, "an order looks like"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(c.body))
		r.Header.Set("Idempotency-Key", "7")
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("POST /orders(%s) = %d %s; want %d %s", c.name, w.Code, w.Body, c.code, c.answer)
		}
	}
}
