package kit

import (
	"context"
	"fmt"
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
)

// AnyURL is for tests that send nothing, or have a transport of their own.
const AnyURL = "https://example.com/hooks"

// Kept returns all that is kept of an attempt and its delivery, as text.
func Kept(o Outcome) string { return fmt.Sprintf("%+v %s", o, o.Attempt.Body) }

// AttemptOnce delivers one event to the endpoint by a single attempt and returns what came
// of it. It uses real sockets if cfg has no Transport.
func AttemptOnce(t *testing.T, cfg hooks.Config, e hooks.Endpoint) Outcome {
	t.Helper()
	cfg.Egress = Loopback
	finished := Traced(&cfg)
	h := New(t, cfg)
	e.ID, e.Retry = "crm", []time.Duration{}
	Put(t, h, e)
	stop := Start(t, h)
	defer stop()
	Send(t, h)
	return Soon(t, finished)
}

// Loopback lets hooks call servers on 127.0.0.1 without TLS.
var Loopback = egress.Policy{AllowHTTP: true, AllowLoopback: true}

// An Outcome is what Trace.Finished was told.
type Outcome struct {
	hooks.Delivery
	Attempt hooks.Attempt
}

// Traced makes cfg report finished attempts to the channel, which has room for 64.
func Traced(cfg *hooks.Config) <-chan Outcome {
	finished := make(chan Outcome, 64)
	cfg.Trace.Finished = func(_ context.Context, d hooks.Delivery, a hooks.Attempt) { finished <- Outcome{d, a} }
	return finished
}

// A Received is a request as it came in.
type Received struct {
	Method, Target string // Target is the path with the query
	Host           string
	Header         http.Header
	Body           string
}

// Receiver starts a server on 127.0.0.1. It sends every request to the channel, which has
// room for 64, and answers as answer does; nil answers 200.
func Receiver(t *testing.T, answer http.HandlerFunc) (url string, got <-chan Received) {
	t.Helper()
	kept := make(chan Received, 64)
	s := httptest.NewServer(Keeping(kept, answer))
	t.Cleanup(s.Close)
	return s.URL, kept
}

// Keeping returns a handler that sends every request to kept and answers as answer does;
// nil answers 200.
func Keeping(kept chan<- Received, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has gone
		}
		kept <- Received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)}
		if answer != nil {
			answer(w, r)
		}
	}
}

// An Exchange is a transport that is a function.
type Exchange func(*http.Request) (*http.Response, error)

func (f Exchange) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Answer returns a response. A nil header is an empty one.
func Answer(code int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// Pipes returns a transport whose connections all lead to answer. They are made by
// net.Pipe, so that the transport works in a bubble of testing/synctest.
func Pipes(t *testing.T, answer http.Handler) *http.Transport {
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
