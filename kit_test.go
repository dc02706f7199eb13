package hooks_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/store/memory"
)

// What the tests of this package share:
//
//	invoice, invoicePaid      an event type; newHooks registers it
//	newHooks                  a Hooks with it, on memory if no store is given
//	start                     Run in the background, until the test ends
//	traced                    a channel of all that Trace.Finished is told
//	loopback                  the egress policy that lets a receiver be reached
//	receiver                  a real HTTP server that keeps what it was sent
//	exchange, answer          a transport that is a function, and a response for it
//	pipes                     a Transport to an http.Handler without sockets, for bubbles
//	put, send, mustPublish    one endpoint, one event, one event as given
//	soon                      the next value of a channel, or a failure
//	storedEvents, storedDeliveries  all that a Hooks' store holds
//	wantInvalid               that an error is an InvalidError for a field
//	endIfStuck                of a test that may wait for a mutex for ever

type invoice struct {
	Number int `json:"number"`
}

var invoicePaid = hooks.NewEventType[invoice]("invoice.paid")

var loopback = egress.Policy{AllowHTTP: true, AllowLoopback: true}

func newHooks(t *testing.T, cfg hooks.Config) *hooks.Hooks {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	h, err := hooks.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(invoicePaid); err != nil {
		t.Fatal(err)
	}
	return h
}

// start runs h until stop is called or the test ends, and fails the test if
// Run does.
func start(t *testing.T, h *hooks.Hooks) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// An outcome is what Trace.Finished was told.
type outcome struct {
	hooks.Delivery
	Attempt hooks.Attempt
}

// traced makes cfg report finished attempts to the channel, which has room
// for 64.
func traced(cfg *hooks.Config) <-chan outcome {
	finished := make(chan outcome, 64)
	cfg.Trace.Finished = func(d hooks.Delivery, a hooks.Attempt) { finished <- outcome{d, a} }
	return finished
}

// A received is a request as it came in.
type received struct {
	Method, Target string // Target is the path with the query
	Host           string
	Header         http.Header
	Body           string
}

// receiver starts a server on 127.0.0.1 that keeps every request and answers
// it as answer does; nil answers 200. The channel has room for 64.
func receiver(t *testing.T, answer http.HandlerFunc) (url string, got <-chan received) {
	t.Helper()
	kept := make(chan received, 64)
	s := httptest.NewServer(keeping(kept, answer))
	t.Cleanup(s.Close)
	return s.URL, kept
}

func keeping(kept chan<- received, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has gone
		}
		kept <- received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)}
		if answer != nil {
			answer(w, r)
		}
	}
}

// An exchange is a transport that is a function.
type exchange func(*http.Request) (*http.Response, error)

func (f exchange) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(code int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// pipes returns a transport whose connections all lead to answer, through
// net.Pipe, so that it works in a synctest bubble.
func pipes(t *testing.T, answer http.Handler) *http.Transport {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: answer}
	go server.Serve(l)
	transport := &http.Transport{DialContext: l.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Shutdown(context.Background()) // waits for handlers, unlike Close
	})
	return transport
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// put stores an endpoint of invoicePaid, unless e names other events.
func put(t *testing.T, h *hooks.Hooks, e hooks.Endpoint) hooks.Endpoint {
	t.Helper()
	if e.Events == nil {
		e.Events = []string{"invoice.paid"}
	}
	made, err := h.PutEndpoint(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// send publishes an invoicePaid.
func send(t *testing.T, h *hooks.Hooks) hooks.Receipt {
	t.Helper()
	return mustPublish(t, h, invoicePaid.New(invoice{7}))
}

func mustPublish(t *testing.T, h *hooks.Hooks, ev hooks.Event) hooks.Receipt {
	t.Helper()
	r, err := h.Publish(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// soon takes the next value of a channel, and fails the test if none comes.
func soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came within a minute")
		panic("unreachable")
	}
}

func storedEvents(t *testing.T, h *hooks.Hooks) []hooks.Event {
	t.Helper()
	return allPages(t, h.Events)
}

func storedDeliveries(t *testing.T, h *hooks.Hooks) []hooks.Delivery {
	t.Helper()
	return allPages(t, h.Deliveries)
}

// allPages lists everything, page by page.
func allPages[T any](t *testing.T, list func(context.Context, hooks.Query) ([]T, string, error)) (all []T) {
	t.Helper()
	var q hooks.Query
	for {
		page, next, err := list(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

// wantInvalid checks that err refuses field, for the sentinel if there is one,
// and says what to do in words that contain advice.
func wantInvalid(t *testing.T, err error, field string, sentinel error, advice string) {
	t.Helper()
	inv, ok := errors.AsType[*hooks.InvalidError](err)
	if !ok {
		t.Fatalf("error = %v; want an InvalidError for %s", err, field)
	}
	if inv.Field != field {
		t.Errorf("Field of %q = %q; want %q", err, inv.Field, field)
	}
	if sentinel != nil && !errors.Is(err, sentinel) {
		t.Errorf("error %q is not %q; want it to be", err, sentinel)
	}
	if !strings.Contains(err.Error(), advice) {
		t.Errorf("error = %q; want it to say %q", err, advice)
	}
	if !strings.HasPrefix(err.Error(), "hooks: ") {
		t.Errorf("error = %q; want it to begin with hooks:", err)
	}
}

// endIfStuck ends the program, with the stacks of all goroutines, if the test is not
// over in a minute. For what waits for a mutex stops the clock of a bubble. Call it
// outside of one.
func endIfStuck(t *testing.T) {
	timer := time.AfterFunc(time.Minute, func() { panic(t.Name() + " waits for a lock that nobody frees") })
	t.Cleanup(func() { timer.Stop() })
}
