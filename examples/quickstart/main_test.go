package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		{"crm", tally{attempts: 3, succeeded: 3}, true, 3, 0},
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
		"published: 4 deliveries to make": 3,
		"503 closed for stocktaking":      6,
		"next attempt in ":                6,
		"200 verified":                    9,
		"forgery  401 refused":            1,
	} {
		if n := strings.Count(out.String(), text); n != times {
			t.Errorf("run(3 orders) printed %q %d times; want %d", text, n, times)
		}
	}
	if t.Failed() {
		t.Log(out.String())
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
		{"given up", row{"crm", tally{attempts: 9, succeeded: 1, retried: 7, failed: 1}, true, 1, 0}, false},
	} {
		if err := (totals{rows: []row{c.row}}).check(); (err == nil) != c.ok {
			t.Errorf("%s: check(%+v) = %v; want ok %v", c.name, c.row, err, c.ok)
		}
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
	routes := shop{h}.routes()
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
