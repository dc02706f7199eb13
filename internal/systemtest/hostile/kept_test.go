package hostile_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A shortLived is a receiver whose connections take one request each, and come to an end
// when the next one arrives.
type shortLived struct {
	wire    chan string  // the requests that were answered, as they came
	arrived atomic.Int64 // all requests of which a byte came
}

func newShortLived() *shortLived { return &shortLived{wire: make(chan string, 64)} }

// serve answers the first request of a connection and gives the second one to end.
func (m *shortLived) serve(end func(c net.Conn, r *bufio.Reader)) func(net.Conn) {
	return func(c net.Conn) {
		var wire bytes.Buffer
		r := bufio.NewReader(io.TeeReader(c, &wire))
		if readRequest(r) != nil {
			return
		}
		m.arrived.Add(1)
		m.wire <- wire.String()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if _, err := r.Peek(1); err == nil {
			m.arrived.Add(1)
			end(c, r)
		}
	}
}

// serveHTTP2 is serve for HTTP/2: end answers on every second stream.
func (m *shortLived) serveHTTP2(end says) func(net.Conn) {
	return http2Receiver(setting(settingWindow, 1<<20), func(stream uint32) []byte {
		m.arrived.Add(1)
		if stream%4 == 3 {
			return end(stream)
		}
		m.wire <- ""
		return frame(frameHeaders, flagEndHeaders|flagEndStream, stream, block200)
	}, nothing)
}

func readRequest(r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err
}

// atReceiver is an endpoint without retries at a receiver, with all that it needs.
func atReceiver(t *testing.T, r hostile, e hooks.Endpoint) (h *hooks.Hooks, finished <-chan kit.Outcome) {
	t.Helper()
	ca := newAuthority(t)
	cfg := hooks.Config{Egress: kit.Loopback, Timeout: 10 * time.Second}
	if r.speak != "" {
		transport := ca.transport()
		t.Cleanup(transport.CloseIdleConnections)
		cfg.Transport = transport
	}
	finished = kit.Traced(&cfg)
	h = kit.New(t, cfg)
	e.ID, e.URL, e.Retry = "crm", r.listen(t, ca, nil).url, []time.Duration{}
	kit.Put(t, h, e)
	kit.Start(t, h)
	return h, finished
}

// That a receiver ends a connection which was kept, just when the next request
// arrives, is nobody's failure: the request is sent once more, on another one.
func TestConnectionThatEndsAsTheNextRequestArrives(t *testing.T) {
	const deliveries = 20
	at := func(speak string, serve func(*shortLived) func(net.Conn)) func(*shortLived) hostile {
		return func(m *shortLived) hostile { return hostile{speak: speak, serve: serve(m)} }
	}
	closes := func(m *shortLived) func(net.Conn) {
		return m.serve(func(_ net.Conn, r *bufio.Reader) { readRequest(r) })
	}
	resets := func(m *shortLived) func(net.Conn) {
		return m.serve(func(c net.Conn, _ *bufio.Reader) { reset(c) })
	}
	own := hooks.Endpoint{Header: map[string]string{"idempotency-key": "theirs"}}
	for name, c := range map[string]struct {
		receiver func(*shortLived) hostile
		endpoint hooks.Endpoint
	}{
		"HTTP, closed":          {at("", closes), hooks.Endpoint{}},
		"HTTP, closed, own key": {at("", closes), own},
		"HTTP, reset":           {at("", resets), hooks.Endpoint{}},
		"HTTPS, closed":         {at("good", closes), hooks.Endpoint{}},
		"HTTP/2, GOAWAY": {at("h2", func(m *shortLived) func(net.Conn) {
			return m.serveHTTP2(onConnection(goAway(1, 0)))
		}), hooks.Endpoint{}},
		"HTTP/2, REFUSED_STREAM": {at("h2", func(m *shortLived) func(net.Conn) {
			return m.serveHTTP2(answers(frameReset, 0, code(7)))
		}), hooks.Endpoint{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newShortLived()
			r := c.receiver(m)
			h, finished := atReceiver(t, r, c.endpoint)
			for i := range deliveries {
				kit.Send(t, h)
				o := kit.Soon(t, finished)
				if o.Status != hooks.Succeeded || o.Attempts != 1 {
					t.Errorf("delivery %d is %v (%s) after %d attempts; want succeeded after 1", i, o.Status, o.Error, o.Attempts)
				}
				a := o.Attempt
				if a.Wait <= 0 {
					t.Errorf("attempt %d waited %v; want a time", i, a.Wait)
				}
				if r.speak == "h2" { // the connection may be one that another attempt began to dial
					continue
				}
				if secure := r.speak != ""; a.Connect > 0 && (a.TLS > 0) != secure {
					t.Errorf("attempt %d shook hands for %v; want a time with TLS only", i, a.TLS)
				}
				if parts := a.DNS + a.Connect + a.TLS + a.Wait; parts > a.Took {
					t.Errorf("attempt %d: its parts took %v; want them within %v", i, parts, a.Took)
				}
			}
			if n := len(m.wire); n != deliveries {
				t.Errorf("the receiver answered %d requests; want %d", n, deliveries)
			}
			if n := m.arrived.Load(); n <= deliveries {
				t.Errorf("the receiver saw %d requests; want more than %d, or it has ended no connection", n, deliveries)
			}
		})
	}
}

// The mark that lets net/http send a request once more is not sent; an endpoint's own
// field of that name is.
func TestIdempotencyKeyOnTheWire(t *testing.T) {
	for _, own := range []string{"", "theirs"} {
		m := newShortLived()
		e := hooks.Endpoint{}
		if own != "" {
			e.Header = map[string]string{"idempotency-key": own}
		}
		h, finished := atReceiver(t, hostile{serve: m.serve(func(net.Conn, *bufio.Reader) {})}, e)
		kit.Send(t, h)
		kit.Soon(t, finished)
		wire := kit.Soon(t, m.wire)
		switch n := strings.Count(strings.ToLower(wire), "idempotency"); {
		case own == "" && n != 0:
			t.Errorf("request = %q; want no field for idempotency", wire)
		case own != "" && (n != 1 || !strings.Contains(wire, "\r\nIdempotency-Key: theirs\r\n")):
			t.Errorf("request = %q; want the endpoint's own Idempotency-Key once", wire)
		}
	}
}

// Where a response has begun, or the connection was new, the receiver may have acted
// on the request: then the attempt has failed, and the schedule says when to try again.
func TestOnlyUnansweredRequestsOnKeptConnectionsAreRepeated(t *testing.T) {
	says := func(text string) func(*shortLived) func(net.Conn) {
		return func(m *shortLived) func(net.Conn) {
			return m.serve(func(c net.Conn, r *bufio.Reader) {
				readRequest(r)
				io.WriteString(c, text)
			})
		}
	}
	for name, c := range map[string]struct {
		serve   func(*shortLived) func(net.Conn)
		good    int // deliveries before the one that fails
		arrived int64
		class   string
	}{
		"a byte":       {says("H"), 1, 2, "protocol"},
		"early hints":  {says("HTTP/1.1 103 Early Hints\r\n\r\n"), 1, 2, "connection closed"},
		"a whole head": {says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), 1, 2, "connection closed"},
		"a new connection": {func(m *shortLived) func(net.Conn) {
			return func(c net.Conn) {
				readRequest(bufio.NewReader(c))
				m.arrived.Add(1)
			}
		}, 0, 1, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newShortLived()
			h, finished := atReceiver(t, hostile{serve: c.serve(m)}, hooks.Endpoint{})
			for range c.good {
				kit.Send(t, h)
				kit.Soon(t, finished)
			}
			kit.Send(t, h)
			if o := kit.Soon(t, finished); o.Status != hooks.Failed || o.Error != c.class {
				t.Errorf("delivery is %v (%s); want failed (%s)", o.Status, o.Error, c.class)
			}
			if n := m.arrived.Load(); n != c.arrived {
				t.Errorf("the receiver saw %d requests; want %d", n, c.arrived)
			}
		})
	}
}

// reset ends a connection without a goodbye.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}

// idler is a transport that counts how often its idle connections are closed.
type idler struct {
	kit.Exchange
	closed *atomic.Int64
}

func (i idler) CloseIdleConnections() { i.closed.Add(1) }

// A transport of the application's may serve others as well.
func TestRunLeavesTheApplicationsTransportAlone(t *testing.T) {
	var closed atomic.Int64
	h := kit.New(t, hooks.Config{Transport: idler{kit.Exchange(func(*http.Request) (*http.Response, error) {
		return kit.Answer(200, nil, ""), nil
	}), &closed}})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	stop := kit.Start(t, h)
	kit.Send(t, h)
	stop()
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := closed.Load(); n != 0 {
		t.Errorf("Run and Flush closed the idle connections of a Transport that was given %d times; want never", n)
	}
}

// That of Hooks itself leaves no connection open when Run has ended.
func TestRunClosesItsOwnIdleConnections(t *testing.T) {
	ended := make(chan struct{}, 64)
	r := hostile{serve: func(c net.Conn) {
		r := bufio.NewReader(c)
		for readRequest(r) == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
		ended <- struct{}{}
	}}
	cfg := hooks.Config{Store: memory.New(), Egress: kit.Loopback}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: r.listen(t, newAuthority(t), nil).url})
	stop := kit.Start(t, h)
	kit.Send(t, h)
	kit.Soon(t, finished)
	stop()
	kit.Soon(t, ended)
}

// Data that looks like the beginning of a request, wherever it is cut when it is written,
// does not decide how the response is read.
func TestDataThatLooksLikeARequest(t *testing.T) {
	url, got := kit.Receiver(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thank you") })
	cfg := hooks.Config{Egress: kit.Loopback, UserAgent: "x", Retry: retry.Schedule{}}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	kit.Put(t, h, hooks.Endpoint{ID: "a", URL: url, Raw: true})
	kit.Start(t, h)
	for pad := 3750; pad < 3850; pad++ { // net/http writes 4,096 bytes at a time
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		ev.Data = []byte(`"` + strings.Repeat("x", pad) + "HEAD over heels" + strings.Repeat("y", 2000) + `"`)
		kit.Publish(t, h, ev)
		<-got
		if o := kit.Soon(t, finished); o.Status != hooks.Succeeded {
			t.Fatalf("with %d bytes before it is %v (%s, %d); want succeeded", pad, o.Status, o.Attempt.Error, o.Attempt.Code)
		}
	}
}

// What a receiver repeats of the URL in its answer is kept without the tokens.
func TestTokensThatAreEchoedAreNotKept(t *testing.T) {
	const token, key = "T0k3n/T0k3nT0k3nT0k3nT0k3n", "key=querysecret"
	url, _ := kit.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Location", r.URL.String())
		w.Header().Set("Link", "<"+r.URL.String()+">; rel=self")
		http.Error(w, "Cannot POST "+r.URL.String(), http.StatusNotFound)
	})
	cfg := hooks.Config{Egress: kit.Loopback, Logger: kit.Silent}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	kit.Put(t, h, hooks.Endpoint{ID: "a", URL: url + "/" + token + "?" + key})
	kit.Start(t, h)
	kit.Send(t, h)
	a := kit.Soon(t, finished).Attempt
	text := fmt.Sprintf("%+v %s", a, a.Body)
	for _, secret := range []string{token, "nT0k3n", "querysecret"} {
		if strings.Contains(text, secret) {
			t.Errorf("the attempt has %s: %s", secret, text)
		}
	}
	if !strings.Contains(string(a.Body), "Cannot POST /T0k3n/***?***") {
		t.Errorf("the body is %q; want the rest of it as it was", a.Body)
	}
}
