package egress_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks/egress"
)

// A receiver counts the connections that reach it.
type receiver struct {
	*httptest.Server
	connections atomic.Int32
}

// newReceiver serves handler on 127.0.0.1, over TLS and HTTP/2 if secure, until
// the test ends. The tune functions change the server before it starts.
func newReceiver(t *testing.T, secure bool, handler http.HandlerFunc, tune ...func(*httptest.Server)) *receiver {
	t.Helper()
	r := &receiver{Server: httptest.NewUnstartedServer(handler)}
	r.EnableHTTP2 = secure
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.connections.Add(1)
		}
	}
	for _, f := range tune {
		f(r.Server)
	}
	if secure {
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

// roots returns a pool that trusts r.
func (r *receiver) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.Certificate())
	return pool
}

var developer = egress.Policy{AllowHTTP: true, AllowLoopback: true}

func ok(http.ResponseWriter, *http.Request) {}

// get sends one request through a transport made from c, and closes the
// response, of which only the head is returned.
func get(t *testing.T, c egress.Config, url string) (*http.Response, error) {
	t.Helper()
	transport := egress.NewTransport(c)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

func TestLoopbackIsRefusedThroughAClient(t *testing.T) {
	r := newReceiver(t, true, ok)
	transport := egress.NewTransport(egress.Config{RootCAs: r.roots()})
	client := &http.Client{Transport: transport}
	_, err := client.Get(r.URL)
	if _, wrapped := errors.AsType[*url.Error](err); !wrapped || !errors.Is(err, egress.ErrDenied) {
		t.Fatalf("Get(%s) = %v; want a *url.Error around ErrDenied", r.URL, err)
	}
	if denied, found := errors.AsType[*egress.Error](err); !found || denied.Rule != "loopback" {
		t.Errorf("Get(%s) = %v; want an *egress.Error of the rule loopback", r.URL, err)
	}
	if n := r.connections.Load(); n != 0 {
		t.Errorf("the receiver saw %d connections; want 0", n)
	}
}

func TestLoopbackIsReachedWhenAllowed(t *testing.T) {
	r := newReceiver(t, false, ok)
	resp, err := get(t, egress.Config{Policy: developer}, r.URL)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("GET %s = %v, %v; want 200", r.URL, resp, err)
	}
}

func TestPlainHTTPIsRefusedWithoutAllowHTTP(t *testing.T) {
	r := newReceiver(t, false, ok)
	transport := egress.NewTransport(egress.Config{Policy: egress.Policy{AllowLoopback: true}})
	body := &closeRecorder{Reader: strings.NewReader("{}")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.RoundTrip(req)
	if got := ruleOf(t, err); got != "scheme" {
		t.Errorf("RoundTrip(%s) refused by %q; want %q", r.URL, got, "scheme")
	}
	if !body.closed || r.connections.Load() != 0 {
		t.Errorf("body closed %t, connections %d; want true, 0", body.closed, r.connections.Load())
	}
}

// A closeRecorder is a body that remembers being closed.
type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error {
	c.closed = true
	return nil
}

func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	proxy := newReceiver(t, false, ok)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	server := startNameServer(t, nil)
	server.set("hook.test", "A 10.0.0.1")
	c := egress.Config{Policy: developer, Resolver: server.resolver()}
	for _, target := range []string{"https://hook.test/", "http://hook.test/"} {
		if _, err := get(t, c, target); !errors.Is(err, egress.ErrDenied) {
			t.Errorf("GET %s = %v; want ErrDenied, for the address of hook.test", target, err)
		}
	}
	if n := proxy.connections.Load(); n != 0 {
		t.Errorf("the proxy saw %d connections; want 0", n)
	}
	if egress.NewTransport(c).Proxy != nil { // net/http reads the environment only once
		t.Error("Proxy is set; want nil")
	}
}

func TestSpeaksHTTP2AndAsksForNoCompression(t *testing.T) {
	r := newReceiver(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got-Encoding", r.Header.Get("Accept-Encoding"))
	})
	resp, err := get(t, egress.Config{Policy: developer, RootCAs: r.roots()}, r.URL)
	if err != nil {
		t.Fatalf("GET %s = %v; want nil", r.URL, err)
	}
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s; want HTTP/2", resp.Proto)
	}
	if got := resp.Header.Get("Got-Encoding"); got != "" {
		t.Errorf("Accept-Encoding: %s; want none", got)
	}
}

func TestCertificatesAndVersionsAreVerified(t *testing.T) {
	trusted := newReceiver(t, true, ok)
	old := newReceiver(t, true, ok, func(s *httptest.Server) {
		s.EnableHTTP2 = false // it would refuse old versions by itself
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	})
	c := egress.Config{Policy: developer}
	_, err := get(t, c, trusted.URL)
	if _, found := errors.AsType[*tls.CertificateVerificationError](err); !found {
		t.Errorf("GET from a receiver with an unknown certificate = %v; want a verification error", err)
	}
	c.RootCAs = old.roots()
	if _, err := get(t, c, old.URL); err == nil {
		t.Error("GET over TLS 1.1 = nil; want an error")
	}
}

func TestHeadersAreLimited(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newReceiver(t, secure, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Big", strings.Repeat("a", 70<<10))
		})
		c := egress.Config{Policy: developer, RootCAs: x509.NewCertPool()}
		if secure {
			c.RootCAs = r.roots()
		}
		if _, err := get(t, c, r.URL); err == nil {
			t.Errorf("TLS %t: 70 KiB of headers accepted by default; want an error", secure)
		}
		c.MaxHeaderBytes = 100 << 10
		if _, err := get(t, c, r.URL); err != nil {
			t.Errorf("TLS %t: 70 KiB of headers = %v with a limit of 100 KiB; want nil", secure, err)
		}
	}
}

func TestSilentTLSEndsByTheTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, in the kernel, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := egress.Config{Policy: developer, DialTimeout: 50 * time.Millisecond}
	if _, err := get(t, c, "https://"+l.Addr().String()); err == nil {
		t.Error("GET from a receiver that never speaks TLS = nil; want an error")
	}
}

func TestDefaults(t *testing.T) {
	got := egress.NewTransport(egress.Config{})
	if got.MaxIdleConnsPerHost != 4 || got.MaxResponseHeaderBytes != 64<<10 || got.TLSHandshakeTimeout != 5*time.Second {
		t.Errorf("NewTransport(zero) keeps %d idle, %d header bytes, handshake %v; want 4, 65536, 5s",
			got.MaxIdleConnsPerHost, got.MaxResponseHeaderBytes, got.TLSHandshakeTimeout)
	}
	got = egress.NewTransport(egress.Config{IdlePerHost: 9, DialTimeout: time.Second})
	if got.MaxIdleConnsPerHost != 9 || got.TLSHandshakeTimeout != time.Second {
		t.Errorf("NewTransport keeps %d idle, handshake %v; want 9, 1s",
			got.MaxIdleConnsPerHost, got.TLSHandshakeTimeout)
	}
}
