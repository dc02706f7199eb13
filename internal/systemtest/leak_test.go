package systemtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// A wiretap is a receiver that keeps every byte it was sent.
type wiretap struct {
	mu   sync.Mutex // guards what follows
	data []byte
}

func (w *wiretap) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, b...)
	return len(b), nil
}

func (w *wiretap) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.data)
}

// A tapped connection keeps what is read from it.
type tapped struct {
	net.Conn
	tap *wiretap
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.Write(b[:n])
	return n, err
}

type tappedListener struct {
	net.Listener
	tap *wiretap
}

func (l tappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return tapped{c, l.tap}, err
}

// tappedReceiver answers 200, or what the path says, and keeps every byte.
func tappedReceiver(t *testing.T) (url string, tap *wiretap) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap = new(wiretap)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/500":
			w.WriteHeader(500)
		case "/redirect":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		case "/hijack":
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		}
	})}
	go server.Serve(tappedListener{l, tap})
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String(), tap
}

// Besides [kit.LeakySecret], these must not leak.
const (
	laterSecret = "whsec_bGF0ZXItc2VjcmV0LWtleS0wMTIzNDU2Nzg5YWI="
	leakyHeader = "Bearer leaky-header-5f1e"
	leakyToken  = "leaky-url-token-77aa"
)

// Secrets, header values and tokens leave as signatures and requests only: a scan of
// all else that a program writes, prints or stores finds none of them.
func TestNothingLeaks(t *testing.T) {
	url, tap := tappedReceiver(t)
	file := filepath.Join(t.TempDir(), "hooks.db")
	store, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	log, printed := new(bytes.Buffer), new(bytes.Buffer)
	cfg := hooks.Config{
		Store: store, Egress: kit.Loopback, Timeout: 5 * time.Second, Keeper: kit.NewKeeper(t, "2026"),
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	cfg.Trace = printingTrace(printed)
	h := kit.New(t, cfg)
	if err := h.Subscribe(kit.InvoicePaid.Handler("panics", func(context.Context, hooks.Event, kit.Invoice) error { panic("at the handler") })); err != nil {
		t.Fatal(err)
	}
	secret := kit.Secret(t, kit.LeakySecret)
	var all []any
	for _, path := range []string{"/ok", "/500", "/redirect", "/hijack"} {
		e := kit.Put(t, h, hooks.Endpoint{
			ID: path[1:], URL: url + path + "?token=" + leakyToken, Retry: []time.Duration{},
			Secret: secret, Header: hooks.Header{"Authorization": leakyHeader},
		})
		e.URL = "" // with its token, as an endpoint's owner sees it
		all = append(all, e)
	}
	all = append(all, mustFail(t, h, hooks.Endpoint{ID: "bad", URL: "https://example.com/?token=" + leakyToken + "#", Events: []string{"**"}}))
	all = append(all, mustFail(t, h, hooks.Endpoint{
		ID: "bad", URL: "https://example.com/", Events: []string{"**"}, Header: hooks.Header{"X-A": leakyHeader + "\n"},
	}))
	pair := kit.Put(t, h, hooks.Endpoint{ID: "pair", URL: url + "/ok", Scheme: hooks.SchemeEd25519})
	rotated, err := h.RotateSecret(t.Context(), "ok", hooks.Rotation{Secret: kit.Secret(t, laterSecret)})
	if err != nil {
		t.Fatal(err)
	}
	rotated.URL = ""
	if !kit.RaceDetector { // it reads what others may be writing
		printAll(printed, []any{cfg, h})
	}
	r := kit.Send(t, h)
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	all = append(all, pair, rotated, everythingStored(t, h))
	printAll(printed, all)
	printHistory(t, printed, h, r.EventID)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wire := tap.bytes()
	requests := make(map[string]bool) // net/http repeats some, on connections that were kept
	for _, part := range strings.Split(string(wire), "POST ")[1:] {
		line, _, _ := strings.Cut(part, "\r\n")
		requests[line] = true
	}
	if len(requests) != 5 || !bytes.Contains(wire, []byte(leakyHeader)) || bytes.Count(wire, []byte(" v1,")) == 0 {
		t.Errorf("the receiver was sent %q; want five signed requests with the header, one of them signed twice", wire)
	}
	hay := append(files(t, filepath.Dir(file)), kit.Haystack{Name: "the log", Data: log.Bytes()}, kit.Haystack{Name: "what was printed", Data: printed.Bytes()})
	for _, h := range append(hay, kit.Haystack{Name: "the wire", Data: wire}) {
		h.Search(t, "the secret", kit.LeakySecret)
		h.Search(t, "the later secret", laterSecret)
	}
	for _, h := range hay {
		h.Search(t, "the header's value", leakyHeader)
	}
	for _, h := range hay[len(hay)-2:] {
		h.Search(t, "the URL's token", leakyToken)
	}
	if len(hay[0].Data) == 0 || !bytes.Contains(log.Bytes(), []byte("panic")) && !bytes.Contains(printed.Bytes(), []byte("at the handler")) {
		t.Error("nothing was searched")
	}
}

// printingTrace prints all that a trace is told.
func printingTrace(w io.Writer) hooks.Trace {
	var mu sync.Mutex
	say := func(args ...any) {
		mu.Lock()
		defer mu.Unlock()
		printAll(w, args)
	}
	return hooks.Trace{
		Started:  func(ctx context.Context, d hooks.Delivery) context.Context { say(d); return ctx },
		Finished: func(_ context.Context, d hooks.Delivery, a hooks.Attempt) { say(d, a) },
		Ended:    func(_ context.Context, d hooks.Delivery) { say(d) },
	}
}

// printAll prints each value in every way that a program might.
func printAll(w io.Writer, values []any) {
	log := slog.New(slog.NewJSONHandler(w, nil))
	for _, v := range values {
		fmt.Fprintf(w, "%v %+v %#v %s %q\n", v, v, v, v, v)
		if j, err := json.Marshal(v); err == nil {
			w.Write(append(j, '\n'))
		}
		log.Info("value", "v", v)
		func() {
			defer func() { fmt.Fprintln(w, recover()) }()
			panic(fmt.Sprintf("%+v", v))
		}()
	}
}

// mustFail returns the error of an endpoint that is refused.
func mustFail(t *testing.T, h *hooks.Hooks, e hooks.Endpoint) error {
	t.Helper()
	_, err := h.PutEndpoint(t.Context(), e)
	if _, ok := errors.AsType[*hooks.InvalidError](err); !ok {
		t.Fatalf("PutEndpoint = %v; want an InvalidError", err)
	}
	return err
}

// everythingStored returns what a program can read back of endpoints, without their
// URLs, which carry the token on purpose.
func everythingStored(t *testing.T, h *hooks.Hooks) (all []any) {
	t.Helper()
	page, _, err := h.Endpoints(t.Context(), hooks.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		if e.ID != "pair" && e.Header["Authorization"] != leakyHeader {
			t.Errorf("Header of %s = %v; want it readable", e.ID, map[string]string(e.Header))
		}
		e.URL = ""
		all = append(all, e)
	}
	return all
}

// printHistory prints all that is stored of an event's deliveries.
func printHistory(t *testing.T, w io.Writer, h *hooks.Hooks, event string) {
	t.Helper()
	page, _, err := h.Deliveries(t.Context(), hooks.Query{Event: event})
	if err != nil || len(page) != 6 {
		t.Fatalf("%d deliveries, %v; want 6", len(page), err)
	}
	for _, d := range page {
		attempts, err := h.Attempts(t.Context(), d.DeliveryID)
		if err != nil || len(attempts) != 1 {
			t.Fatalf("attempts of %v: %d, %v; want 1", d.DeliveryID, len(attempts), err)
		}
		printAll(w, []any{d, attempts[0]})
	}
}

// files returns what is in a folder.
func files(t *testing.T, dir string) (hay []kit.Haystack) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		hay = append(hay, kit.Haystack{Name: e.Name(), Data: data})
	}
	return hay
}
