package egress_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

// unusable are URLs that no proxy can have.
var unusable = []*url.URL{
	{},
	{Scheme: "http"},
	{Scheme: "http", Host: "a b"},
	{Scheme: "http", Host: "proxy.test:http"},
	mustParse("proxy.test"),
	mustParse("hooks:" + password + "@proxy.test:3128"), // read as the scheme hooks
	mustParse(password + ":hooks@proxy.test:3128"),
	mustParse("socks5://hooks:" + password + "@proxy.test"),
	mustParse("http:proxy.test:3128"),
	mustParse("http://hooks:" + password + "@/"),
	mustParse("http://hooks:" + password + "@:3128"),
	mustParse("http://hooks:" + password + "@proxy.test:0"),
	mustParse("http://hooks:" + password + "@proxy.test:65536"),
	mustParse("http://hooks:" + password + "@proxy.test:"),
	mustParse("http://0x7f.1:3128"),
	mustParse("http://127.1:3128"),
	mustParse("http://pröxy.test"),
	mustParse("http://proxy.test/" + password),
	mustParse("http://proxy.test?" + password),
	mustParse("http://proxy.test#" + password),
}

func TestUnusableProxiesAreReported(t *testing.T) {
	for _, u := range unusable {
		err := egress.Config{Proxy: u}.Validate()
		if !errors.Is(err, egress.ErrProxy) {
			t.Errorf("Validate() with the proxy %#v = %v; want ErrProxy", u, err)
			continue
		}
		wantNoPassword(t, err)
	}
}

func TestUnusableProxiesRefuseEverything(t *testing.T) {
	r := newReceiver(t, false, ok)
	for _, u := range unusable {
		transport := egress.NewTransport(egress.Config{Policy: developer, Proxy: u})
		for _, target := range []string{r.URL, "https://example.com/"} {
			body := &closeRecorder{Reader: strings.NewReader("{}")}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = transport.RoundTrip(req)
			if ruleOf(t, err) != "proxy" || !errors.Is(err, egress.ErrDenied) || !body.closed {
				t.Fatalf("proxy %#v: POST %s = %v, body closed %t; want rule proxy, true", u, target, err, body.closed)
			}
			wantNoPassword(t, err)
		}
		transport.Proxy = nil
		_, err := transport.RoundTrip(&http.Request{Method: http.MethodGet, URL: mustParse(r.URL), Header: http.Header{}})
		if ruleOf(t, err) != "proxy" {
			t.Errorf("proxy %#v taken away: GET %s = %v; want rule proxy", u, r.URL, err)
		}
	}
	if n := r.connections.Load(); n != 0 {
		t.Errorf("the receiver saw %d connections; want 0", n)
	}
}

func TestUsableProxiesAreAccepted(t *testing.T) {
	for _, raw := range []string{
		"http://proxy.test", "https://proxy.test/", "HTTP://Proxy.test.:3128",
		"http://hooks:" + password + "@10.0.0.1:3128", "http://[fd00::1]:3128", "http://localhost:3128",
	} {
		if err := (egress.Config{Proxy: mustParse(raw)}).Validate(); err != nil {
			t.Errorf("Validate() with the proxy %s = %v; want nil", raw, err)
		}
	}
}

func TestConfigValidateReportsEverything(t *testing.T) {
	err := egress.Config{
		Policy:         egress.Policy{AllowPorts: []uint16{0}, NAT64: prefixes("10.0.0.0/8")},
		DialTimeout:    -1,
		IdlePerHost:    -1,
		MaxHeaderBytes: -1,
		Proxy:          &url.URL{},
	}.Validate()
	for _, want := range []string{"AllowPorts[0]", "NAT64[0]", "DialTimeout", "IdlePerHost", "MaxHeaderBytes", "Proxy"} {
		if err == nil || !strings.Contains(err.Error(), "egress: "+want) {
			t.Errorf("Validate() = %v; want it to speak of %s", err, want)
		}
	}
	if err := (egress.Config{}).Validate(); err != nil {
		t.Errorf("Validate() of the zero Config = %v; want nil", err)
	}
}

func TestProxyCanBeChangedByTheCallerWithoutEffect(t *testing.T) {
	p := newConnectProxy(t, false, nil)
	u := mustParse(p.URL)
	transport := egress.NewTransport(egress.Config{Policy: egress.Policy{AllowHTTP: true}, Proxy: u})
	defer transport.CloseIdleConnections()
	u.Host = "10.0.0.1:3128"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("GET through the proxy = %v; want nil", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("GET through the proxy = %s; want the proxy's 403", resp.Status)
	}
}

// wantNoPassword checks that err does not tell the proxy's password, in plain
// text or as it is sent.
func wantNoPassword(t *testing.T, err error) {
	t.Helper()
	sent := base64.StdEncoding.EncodeToString([]byte("hooks:" + password))
	if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, sent) {
		t.Errorf("error %q; want no word about the proxy's password", text)
	}
}

func TestErrorsDoNotTellThePassword(t *testing.T) {
	server := startNameServer(t, nil)
	server.set("denies.test", "A 10.0.0.1")
	down := newReceiver(t, false, ok)
	down.Close()
	refuses := newConnectProxy(t, false, nil)
	babbles := newReceiver(t, false, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write([]byte("HTTP/1.1 407 " + password + " " + r.Header.Get("Proxy-Authorization") + "\r\n\r\n"))
	})
	stranger := newReceiver(t, true, ok)
	for name, raw := range map[string]string{
		"no such name":        "http://nowhere.test:3128",
		"connection refused":  down.URL,
		"refused CONNECT":     refuses.URL,
		"repeats what it got": babbles.URL,
		"unknown certificate": stranger.URL,
		"TLS to plain HTTP":   strings.Replace(refuses.URL, "http:", "https:", 1),
	} {
		u := mustParse(raw)
		u.User = url.UserPassword("hooks", password)
		transport := egress.NewTransport(egress.Config{Resolver: server.resolver(), Proxy: u})
		_, err := (&http.Client{Transport: transport}).Get("https://example.com/")
		if err == nil {
			t.Errorf("%s: GET = nil; want an error", name)
			continue
		}
		wantNoPassword(t, err)
	}
}

func FuzzProxyURL(f *testing.F) {
	for _, u := range unusable {
		f.Add(u.String())
	}
	f.Add("http://hooks:" + password + "@10.0.0.1:3128")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		c := egress.Config{Policy: developer, Proxy: u}
		invalid := c.Validate()
		route, refusal := egress.NewTransport(c).Proxy(&http.Request{URL: mustParse("https://example.com/")})
		if named := strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), "example.com"); (invalid != nil) != (refusal != nil) && !named {
			t.Errorf("proxy %q: Validate() = %v, but a request %v; want them to agree", raw, invalid, refusal)
		}
		if refusal == nil && (route.Host != u.Host || route.Scheme != "http" && route.Scheme != "https") {
			t.Errorf("proxy %q: a request goes to %v; want %s", raw, route, u.Host)
		}
		if invalid == nil {
			return
		}
		bare := *u
		bare.User = nil
		if other := (egress.Config{Proxy: &bare}).Validate(); other == nil || other.Error() != invalid.Error() {
			t.Errorf("proxy %q: Validate() = %v, and %v without the password; want the same", raw, invalid, other)
		}
	})
}
