package hostile_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// A body is a response's body that counts what is read of it.
type body struct {
	io.Reader
	read   int
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestResponseBodyIsBounded(t *testing.T) {
	const most, kept = 64 << 10, 4 << 10
	for _, c := range []struct {
		name string
		body io.Reader
		size int // -1: endless
	}{
		{"none", strings.NewReader(""), 0},
		{"short", strings.NewReader("thanks"), 6},
		{"just kept", strings.NewReader(strings.Repeat("x", kept)), kept},
		{"cut", strings.NewReader(strings.Repeat("x", kept+1)), kept + 1},
		{"all that is read", strings.NewReader(strings.Repeat("x", most)), most},
		{"more than is read", strings.NewReader(strings.Repeat("x", most+1)), most + 1},
		{"endless", endless{}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &body{Reader: c.body}
			o := kit.AttemptOnce(t, hooks.Config{Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
				resp := kit.Answer(200, nil, "")
				resp.Body = b
				return resp, nil
			})}, hooks.Endpoint{URL: kit.AnyURL})
			want := c.size
			if c.size < 0 {
				want = most
			}
			if o.Status != hooks.Succeeded || !b.closed || b.read < min(want, kept) || b.read > most {
				t.Errorf("delivery = %v, body closed %v, %d bytes read; want succeeded, closed, at most %d", o.Status, b.closed, b.read, most)
			}
			a := o.Attempt
			if len(a.Body) != min(want, kept) || cap(a.Body) > most || a.BodyCut != (want > kept) {
				t.Errorf("kept %d bytes, BodyCut %v; want %d, %v", len(a.Body), a.BodyCut, min(want, kept), want > kept)
			}
		})
	}
}

// A receiver that never stops is left, and the attempt counts.
func TestEndlessResponseOverTheNetwork(t *testing.T) {
	left := make(chan struct{})
	url, _ := kit.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		chunk := bytes.Repeat([]byte("x"), 8<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: url})
	if o.Status != hooks.Succeeded || len(o.Attempt.Body) != 4<<10 || !o.Attempt.BodyCut {
		t.Errorf("delivery = %v with %d bytes kept; want succeeded with 4096", o.Status, len(o.Attempt.Body))
	}
	kit.Soon(t, left)
}

// A compressed body is not unpacked: 1 MiB of zeros is 1 KiB on the wire.
func TestCompressionIsNotAskedFor(t *testing.T) {
	url, got := kit.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write([]byte("\x1f\x8b not unpacked"))
	})
	o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: url})
	if r := kit.Soon(t, got); r.Header.Get("Accept-Encoding") != "" {
		t.Errorf("Accept-Encoding = %q; want none", r.Header.Get("Accept-Encoding"))
	}
	if o.Status != hooks.Succeeded || string(o.Attempt.Body) != "\x1f\x8b not unpacked" {
		t.Errorf("delivery = %v with body %q; want it as it came", o.Status, o.Attempt.Body)
	}
}

func TestResponseHeaderIsBounded(t *testing.T) {
	url, _ := kit.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 500 {
			w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("v", 100))
		}
	})
	o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: url})
	size := 0
	for name, values := range o.Attempt.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if o.Status != hooks.Succeeded || size > 8<<10 || size < 7<<10 {
		t.Errorf("delivery = %v with %d bytes of header kept; want succeeded with about 8192", o.Status, size)
	}
}

// One huge field does not push out the others.
func TestSmallHeadersAreKeptBesideAHugeOne(t *testing.T) {
	o := kit.AttemptOnce(t, hooks.Config{Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
		header := http.Header{"X-Huge": {strings.Repeat("v", 60<<10)}}
		for i := range 20 {
			header.Set("X-"+strconv.Itoa(i), "v")
		}
		return kit.Answer(200, header, ""), nil
	})}, hooks.Endpoint{URL: kit.AnyURL})
	if len(o.Attempt.Header) != 20 || o.Attempt.Header["X-Huge"] != nil {
		t.Errorf("%d fields kept; want the 20 small ones", len(o.Attempt.Header))
	}
}

func TestHugeResponseHeaderIsAFailure(t *testing.T) {
	url, _ := kit.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("v", 70<<10))
	})
	if o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: url}); o.Status != hooks.Failed || o.Error != "protocol" || o.Code != 0 {
		t.Errorf("delivery = %v (%d %s); want failed (0 protocol)", o.Status, o.Code, o.Error)
	}
}

// hang returns when the sender goes.
func hang(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // only then does the server look
	<-r.Context().Done()
}

func TestAttemptEndsByTheTimeout(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   int
		answer http.HandlerFunc
	}{
		{"no response", 0, hang},
		{"no body", 200, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			hang(w, r)
		}},
		{"a byte a second", 200, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				io.WriteString(w, "x")
				http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		}},
		{"a failure that does not end", 503, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(503)
			http.NewResponseController(w).Flush()
			hang(w, r)
		}},
	} {
		for _, limit := range []struct {
			name             string
			config, endpoint time.Duration
			want             time.Duration
		}{
			{"default", 0, 0, 15 * time.Second},
			{"config", 3 * time.Second, 0, 3 * time.Second},
			{"endpoint", 3 * time.Second, 7 * time.Second, 7 * time.Second},
		} {
			t.Run(c.name+", "+limit.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := hooks.Config{Timeout: limit.config, Transport: kit.Pipes(t, c.answer)}
					began := time.Now()
					o := kit.AttemptOnce(t, cfg, hooks.Endpoint{URL: "http://127.0.0.1/", Timeout: limit.endpoint})
					if o.Status != hooks.Failed || o.Error != "timeout" || o.Code != c.code {
						t.Errorf("delivery = %v (%d %s); want failed (%d timeout)", o.Status, o.Code, o.Error, c.code)
					}
					if took := time.Since(began); took != limit.want || o.Attempt.Took != limit.want {
						t.Errorf("it took %v, and says %v; want %v", took, o.Attempt.Took, limit.want)
					}
				})
			})
		}
	}
}

// A receiver that switches protocols has the connection to itself, and the
// attempt's context has no power over it.
func TestSwitchingProtocolsIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := kit.AttemptOnce(t, hooks.Config{Transport: kit.Pipes(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: forever\r\n\r\n")
			rw.Flush()
			rw.ReadByte() // until the other side goes
		}))}, hooks.Endpoint{URL: "http://127.0.0.1/"})
		if o.Status != hooks.Failed || o.Code != 101 || o.Error != "status" {
			t.Errorf("delivery = %v (%d %s); want failed (101 status)", o.Status, o.Code, o.Error)
		}
	})
}

// Bodies within the limit are read to the end, so that connections are used
// again.
func TestConnectionsAreReused(t *testing.T) {
	var conns atomic.Int64
	cfg := hooks.Config{Egress: kit.Loopback}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 32<<10))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: s.URL})
	kit.Start(t, h)
	for range 10 {
		kit.Send(t, h)
		if o := kit.Soon(t, finished); o.Status != hooks.Succeeded {
			t.Fatalf("delivery = %v (%s); want succeeded", o.Status, o.Error)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("10 requests took %d connections; want 1", n)
	}
}

// Attempts under way when Run's context ends are waited for.
func TestAttemptMayOutlastRunsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := hooks.Config{Egress: kit.Loopback, Transport: kit.Pipes(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(10 * time.Second)
		}))}
		finished := kit.Traced(&cfg)
		h := kit.New(t, cfg)
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "http://127.0.0.1/"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		synctest.Wait()
		kit.Send(t, h)
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		if o := <-finished; o.Status != hooks.Succeeded {
			t.Errorf("delivery = %v; want succeeded", o.Status)
		}
	})
}
