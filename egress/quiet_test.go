package egress_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

// A receiver's bytes behind a response end the connection, and reach neither the next
// response nor the standard logger.
func TestBytesBehindAResponse(t *testing.T) {
	var logged bytes.Buffer
	before := log.Writer()
	log.SetOutput(&logged)
	for name, response := range map[string]string{
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"no body":     "HTTP/1.1 204 No Content\r\n\r\n",
		"empty body":  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
		"trailer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: b\r\n\r\n",
		"early hints": "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"lines of LF": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"no keeping":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
	} {
		for _, secure := range []bool{false, true} {
			for _, piece := range []int{1, 2, 7, 1 << 20} {
				t.Run(fmt.Sprintf("%s, TLS %v, by %d", name, secure, piece), func(t *testing.T) {
					wantQuiet(t, secure, response, piece)
				})
			}
		}
	}
	log.SetOutput(before)
	if logged.Len() > 0 {
		t.Errorf("the standard logger got %q; want nothing", &logged)
	}
}

// wantQuiet checks responses that come a piece at a time with something behind: at once,
// and when the connection is idle.
func wantQuiet(t *testing.T, secure bool, response string, piece int) {
	t.Helper()
	const extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	idle, closed := make(chan struct{}), make(chan struct{})
	r := newReceiver(t, secure, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		text := []byte(response)
		if r.URL.Path == "/at-once" {
			text = append(text, extra...)
		}
		for p := range slices.Chunk(text, piece) {
			conn.Write(p)
		}
		if r.URL.Path == "/idle" {
			<-idle
			io.WriteString(conn, extra)
		}
		io.Copy(io.Discard, conn)
		closed <- struct{}{}
	}, func(s *httptest.Server) { s.EnableHTTP2 = false })
	c := egress.Config{Policy: developer}
	if secure {
		c.RootCAs = r.roots()
	}
	transport := egress.NewTransport(c)
	defer transport.CloseIdleConnections()
	for _, path := range []string{"/at-once", "/idle", "/at-once"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatalf("POST %s = %v; want nil", path, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || len(body) != 0 && string(body) != "ok" {
			t.Errorf("POST %s: body %q, %v; want its own", path, body, err)
		}
		if path == "/idle" {
			idle <- struct{}{}
		}
		<-closed // by net/http, which would have written to the logger before
	}
}

// Whatever a response looks like, its connection is used for the next request.
func TestConnectionsAreKept(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newReceiver(t, secure, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/no-body":
				w.WriteHeader(http.StatusNoContent)
			case "/not-modified":
				w.WriteHeader(http.StatusNotModified)
			case "/hints":
				w.WriteHeader(http.StatusEarlyHints)
				io.WriteString(w, "ok")
			case "/chunks":
				for range 100 {
					io.WriteString(w, strings.Repeat("x", 999))
					w.(http.Flusher).Flush()
				}
			default:
				io.WriteString(w, "ok")
			}
		}, func(s *httptest.Server) { s.EnableHTTP2 = false })
		c := egress.Config{Policy: developer}
		if secure {
			c.RootCAs = r.roots()
		}
		transport := egress.NewTransport(c)
		defer transport.CloseIdleConnections()
		for _, request := range []string{
			"POST /", "HEAD /", "HEAD /chunks", "GET /no-body", "GET /not-modified", "POST /hints", "POST /chunks",
			"own-method /", "GET /?" + strings.Repeat("long", 5000), "GET /",
		} {
			method, target, _ := strings.Cut(request, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, r.URL+target, strings.NewReader(strings.Repeat("tail of a body ", 1000)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%.20s = %v; want nil", request, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("body of %.20s: %v; want its end", request, err)
			}
			resp.Body.Close()
		}
		if n := r.connections.Load(); n != 1 {
			t.Errorf("TLS %v: the requests took %d connections; want 1", secure, n)
		}
	}
}
