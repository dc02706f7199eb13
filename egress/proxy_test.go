package egress_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks/egress"
)

// A connectProxy is an egress proxy on 127.0.0.1. It knows the receivers in
// routes, by host and port, and refuses all others with 403.
type connectProxy struct {
	*receiver
	routes map[string]string

	mu      sync.Mutex // guards what follows
	asked   []string   // method and destination of each request
	auth    []string   // its Proxy-Authorization
	agents  []string   // its User-Agent, if it is a CONNECT
	tunnels []net.Conn
	done    sync.WaitGroup
}

func newConnectProxy(t *testing.T, secure bool, routes map[string]string) *connectProxy {
	t.Helper()
	p := &connectProxy{routes: routes}
	p.receiver = newReceiver(t, secure, p.serve)
	t.Cleanup(func() {
		p.mu.Lock()
		for _, conn := range p.tunnels {
			conn.Close()
		}
		p.mu.Unlock()
		p.done.Wait()
	})
	return p
}

func (p *connectProxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	p.auth = append(p.auth, r.Header.Get("Proxy-Authorization"))
	if r.Method == http.MethodConnect {
		p.agents = append(p.agents, r.Header["User-Agent"]...)
	}
	p.mu.Unlock()
	addr, known := p.routes[r.Host]
	switch {
	case !known:
		w.WriteHeader(http.StatusForbidden)
	case r.Method == http.MethodConnect:
		p.tunnel(w, addr)
	default:
		p.forward(w, r, addr)
	}
}

// tunnel joins the client of w with addr.
func (p *connectProxy) tunnel(w http.ResponseWriter, addr string) {
	there, err := net.Dial("tcp", addr)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		there.Close()
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tunnels = append(p.tunnels, here, there)
	for _, pair := range [][2]net.Conn{{here, there}, {there, here}} {
		p.done.Go(func() {
			io.Copy(pair[0], pair[1])
			pair[0].Close()
		})
	}
}

// forward sends the request to addr and its answer back.
func (p *connectProxy) forward(w http.ResponseWriter, r *http.Request, addr string) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		DisableKeepAlives: true,
	}
	r.Header.Del("Proxy-Authorization")
	resp, err := transport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

// requests returns what the proxy was asked for.
func (p *connectProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// withUser returns the URL of p with a name and the password "hush-hush".
func (p *connectProxy) withUser() *url.URL {
	u := mustParse(p.URL)
	u.User = url.UserPassword("hooks", password)
	return u
}

const password = "hush-hush"

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

func TestProxyCarriesEverything(t *testing.T) {
	server := startNameServer(t, nil) // knows nothing: only the proxy can know
	for _, c := range []struct {
		name           string
		secure         bool // the proxy speaks TLS, and would speak HTTP/2
		url, requested string
	}{
		{"http by http", false, "http://example.com/in", "GET http://example.com/in"},
		{"https by http", false, "https://example.com/in", "CONNECT example.com:443"},
		{"http by https", true, "http://example.com/in", "GET http://example.com/in"},
		{"https by https", true, "https://example.com/in", "CONNECT example.com:443"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain := newReceiver(t, false, wantNoCredentials(t))
			secure := newReceiver(t, true, wantNoCredentials(t))
			p := newConnectProxy(t, c.secure, map[string]string{
				"example.com":     plain.Listener.Addr().String(),
				"example.com:443": secure.Listener.Addr().String(),
			})
			resp, err := get(t, egress.Config{
				Policy:   egress.Policy{AllowHTTP: true},
				Resolver: server.resolver(),
				RootCAs:  secure.roots(), // all test servers have the same certificate
				Proxy:    p.withUser(),
			}, c.url)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("GET %s = %v, %v; want 200", c.url, resp, err)
			}
			if got := p.requests(); !slices.Equal(got, []string{c.requested}) {
				t.Errorf("the proxy was asked for %q; want %q", got, c.requested)
			}
			credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte("hooks:"+password))
			if p.auth[0] != credentials {
				t.Errorf("Proxy-Authorization: %s; want %s", p.auth[0], credentials)
			}
			if len(p.agents) != 0 {
				t.Errorf("CONNECT has the User-Agent %q; want none", p.agents)
			}
		})
	}
}

// wantNoCredentials answers 200 to requests without the proxy's credentials.
func wantNoCredentials(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Proxy-Authorization"); got != "" {
			t.Errorf("the receiver got Proxy-Authorization: %s; want none", got)
		}
	}
}

func TestProxyOfTheConfigWinsOverTheEnvironment(t *testing.T) {
	other := newReceiver(t, false, ok)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, other.URL)
	}
	t.Setenv("NO_PROXY", "*")
	t.Setenv("no_proxy", "*")
	p := newConnectProxy(t, false, nil)
	c := egress.Config{Policy: egress.Policy{AllowHTTP: true}, Proxy: mustParse(p.URL)}
	get(t, c, "http://example.com/")
	get(t, c, "https://example.com/")
	if got, want := p.requests(), []string{"GET http://example.com/", "CONNECT example.com:443"}; !slices.Equal(got, want) {
		t.Errorf("the proxy of the config was asked for %q; want %q", got, want)
	}
	if n := other.connections.Load(); n != 0 {
		t.Errorf("the proxy of the environment saw %d connections; want 0", n)
	}
}

func TestNothingButTheProxyIsDialled(t *testing.T) {
	p := newConnectProxy(t, false, nil)
	second := newReceiver(t, false, ok)
	server := startNameServer(t, nil)
	server.set("inside.test", "A 127.0.0.1")
	c := egress.Config{
		Policy:   egress.Policy{AllowHTTP: true, AllowLoopback: true, AllowPrefixes: prefixes("127.0.0.0/8")},
		Resolver: server.resolver(),
		Proxy:    mustParse(p.URL),
	}
	transport := egress.NewTransport(c)
	transport.Proxy = nil // so that the receivers reach the dialer
	for _, addr := range []string{
		"inside.test:" + mustParse(p.URL).Port(), // resolves to the proxy's own address
		second.Listener.Addr().String(),
		"localhost:" + mustParse(p.URL).Port(),
	} {
		for _, scheme := range []string{"http://", "https://"} {
			resp, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, scheme+addr+"/", nil))
			if err == nil {
				resp.Body.Close()
			}
			if ruleOf(t, err) != "proxy" {
				t.Errorf("GET %s%s without the proxy = %v; want it refused by %q", scheme, addr, err, "proxy")
			}
		}
	}
	if n := p.connections.Load() + second.connections.Load(); n != 0 {
		t.Errorf("%d connections were made; want 0", n)
	}
}

func TestProxyIsNoReceiver(t *testing.T) {
	p := newConnectProxy(t, false, nil)
	port := mustParse(p.URL).Port()
	server := startNameServer(t, nil)
	server.set("proxy.test", "A 127.0.0.1")
	server.set("alias.test", "A 127.0.0.1")
	policy := egress.Policy{AllowHTTP: true}
	if _, err := policy.CheckURL(p.URL); ruleOf(t, err) != "loopback" {
		t.Errorf("CheckURL(%s) = %v; want it refused by %q", p.URL, err, "loopback")
	}
	policy.AllowPrefixes = prefixes("127.0.0.0/8")
	for host, proxies := range map[string]string{
		"127.0.0.1":          "127.0.0.1",
		"[::ffff:127.0.0.1]": "127.0.0.1",
		"proxy.test":         "proxy.test",
		"PROXY.test.":        "proxy.test",
	} {
		c := egress.Config{Policy: policy, Resolver: server.resolver(), Proxy: mustParse("http://" + proxies + ":" + port)}
		for _, scheme := range []string{"http://", "https://"} {
			if _, err := get(t, c, scheme+host+":"+port+"/"); ruleOf(t, err) != "proxy" {
				t.Errorf("GET %s%s:%s = %v; want it refused by %q", scheme, host, port, err, "proxy")
			}
		}
	}
	if n := p.connections.Load(); n != 0 {
		t.Errorf("the proxy saw %d connections; want 0", n)
	}
	// By another name the proxy is asked, and decides; no name of a receiver is resolved here.
	_, err := get(t, egress.Config{Policy: policy, Proxy: mustParse(p.URL)}, "https://alias.test:"+port+"/")
	if got, want := p.requests(), []string{"CONNECT alias.test:" + port}; err == nil || !slices.Equal(got, want) {
		t.Errorf("GET by an alias = %v after %q; want an error after %q", err, got, want)
	}
}

func TestThroughAProxyURLsAreStillChecked(t *testing.T) {
	p := newConnectProxy(t, false, nil)
	transport := egress.NewTransport(egress.Config{
		Policy: egress.Policy{AllowHTTP: true, AllowLoopback: true}, // the loopback would be the proxy's
		Proxy:  mustParse(p.URL),
	})
	for _, c := range []struct {
		url  *url.URL
		host string
		rule string
	}{
		{mustParse("https://169.254.169.254/"), "", "link-local"},
		{mustParse("http://[::ffff:10.0.0.1]/"), "", "private"},
		{mustParse("https://127.0.0.1:8443/"), "", "loopback"},
		{mustParse("http://localhost/"), "", "localhost"},
		{mustParse("https://0x7f.1/"), "", "numeric-host"},
		{mustParse("https://u@example.com/"), "", "userinfo"},
		{mustParse("https://example.com:22/"), "", "port"},
		{mustParse("http://example.com/"), "169.254.169.254", "host"},
		{mustParse("https://example.com/"), "169.254.169.254", "host"},
		{&url.URL{Scheme: "http", Host: "example.com", Opaque: "//169.254.169.254/"}, "", "link-local"},
		{&url.URL{Scheme: "https", Host: "169.254.169.254", Opaque: "//example.com/"}, "", "host"},
		{&url.URL{Scheme: "http", Host: "example.com", Opaque: "//example.com/"}, "", "host"},
	} {
		body := &closeRecorder{Reader: strings.NewReader("{}")}
		resp, err := transport.RoundTrip((&http.Request{
			Method: http.MethodPost, URL: c.url, Host: c.host, Body: body, Header: make(http.Header),
		}).WithContext(t.Context()))
		if err == nil {
			resp.Body.Close()
		}
		if ruleOf(t, err) != c.rule || !body.closed {
			t.Errorf("POST %#v, host %q = %v, body closed %t; want rule %q, true", c.url, c.host, err, body.closed, c.rule)
		}
	}
	if n := p.connections.Load(); n != 0 {
		t.Errorf("the proxy saw %d connections; want 0", n)
	}
}

func TestRefusalOfTheProxyIsReportedByItsStatus(t *testing.T) {
	p := newConnectProxy(t, false, nil)
	_, err := get(t, egress.Config{Proxy: mustParse(p.URL)}, "https://example.com/")
	const want = "the egress proxy refused to connect, with status 403"
	if !errors.Is(err, egress.ErrRefused) || err.Error() != want || errors.Is(err, egress.ErrDenied) {
		t.Errorf("GET through a proxy that refuses = %v; want %q, and not ErrDenied", err, want)
	}
}

func TestSilentTLSProxyEndsByTheTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, in the kernel, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := egress.Config{Proxy: mustParse("https://" + l.Addr().String()), DialTimeout: 50 * time.Millisecond}
	if _, err := get(t, c, "https://example.com/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("GET through a silent TLS proxy = %v; want %v", err, context.DeadlineExceeded)
	}
}
