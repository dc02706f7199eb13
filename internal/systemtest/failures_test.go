package systemtest_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

// connecting starts a listener whose connections are handled by serve when a
// whole request has come, and closed afterwards.
func connecting(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 64<<10)) // requests here are short
			serve(c)
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func quietly(s *httptest.Server) *httptest.Server {
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	return s
}

// With the network as it is, and classes told apart by the types of errors.
func TestFailureClasses(t *testing.T) {
	closed := connecting(t, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	plain, _ := kit.Receiver(t, nil)
	selfSigned := quietly(httptest.NewTLSServer(http.NotFoundHandler()))
	t.Cleanup(selfSigned.Close)
	ancient := quietly(httptest.NewUnstartedServer(http.NotFoundHandler()))
	ancient.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	ancient.StartTLS()
	t.Cleanup(ancient.Close)
	for _, c := range []struct{ name, url, class string }{
		{"nobody listens", "http://" + l.Addr().String(), "connection refused"},
		{"closes at once", closed, "connection closed"},
		{"resets", connecting(t, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }), "connection reset"},
		{"body breaks off", connecting(t, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
		}), "connection closed"},
		{"speaks no HTTP", connecting(t, func(c net.Conn) { io.WriteString(c, "220 smtp.example.com ESMTP\r\n") }), "protocol"},
		{"speaks no TLS", "https" + strings.TrimPrefix(plain, "http"), "tls"},
		{"closes during the handshake", "https" + strings.TrimPrefix(closed, "http"), "connection closed"},
		{"certificate of nobody", selfSigned.URL, "certificate"},
		{"TLS 1.1", ancient.URL, "tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			cfg := hooks.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			e := hooks.Endpoint{
				URL:    c.url + "/hooks?token=tok-7f3a9c",
				Secret: signer.NewSecret(),
				Header: map[string]string{"Authorization": "Bearer bear-51d2e8"},
			}
			o := kit.AttemptOnce(t, cfg, e)
			if o.Status != hooks.Failed || o.Reason != hooks.ReasonExhausted || o.Error != c.class || o.Attempt.Error != c.class {
				t.Errorf("delivery = %v %s (%d %q); want failed exhausted (%q)", o.Status, o.Reason, o.Code, o.Error, c.class)
			}
			wantNowhere(t, e, "outcome", kit.Kept(o), "log", log.String())
		})
	}
}

// A proxy that does not let a request pass is not the receiver's fault, and its
// words are kept from him.
func TestTheEgressProxyRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "10.1.2.3 is denied", http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := hooks.Config{Transport: egress.NewTransport(egress.Config{Proxy: u})}
	o := kit.AttemptOnce(t, cfg, hooks.Endpoint{URL: "https://example.com/"})
	if o.Error != "proxy" || strings.Contains(kit.Kept(o), "10.1.2.3") {
		t.Errorf("outcome = %s; want class proxy, without the proxy's words", kit.Kept(o))
	}
}

// wantNowhere checks that what is secret of the endpoint is in none of the
// texts, which come in pairs with their names.
func wantNowhere(t *testing.T, e hooks.Endpoint, texts ...string) {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{u.RawQuery, strings.TrimPrefix(e.Secret.Reveal(), "whsec_")}
	for _, v := range e.Header {
		secrets = append(secrets, v, v[strings.LastIndex(v, " ")+1:])
	}
	for i := 0; i < len(texts); i += 2 {
		for _, s := range secrets {
			if s != "" && strings.Contains(texts[i+1], s) {
				t.Errorf("%s has %q in it: %s", texts[i], s, texts[i+1])
			}
		}
	}
}

// What cannot be had of a real network without one.
func TestFailureClassesOfOtherErrors(t *testing.T) {
	denied := &egress.Error{Rule: "private", Reason: "no", Addr: netip.MustParseAddrPort("10.11.12.13:443")}
	for _, c := range []struct {
		err   error
		class string
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "tok-7f3a9c.example"}}, "dns"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "timeout", IsTimeout: true}}, "dns"},
		{denied, "destination not allowed"},
		{&url.Error{Op: "Post", URL: "https://example.com/?token=tok-7f3a9c", Err: denied}, "destination not allowed"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, "unreachable"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, "unreachable"},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, "connection reset"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "timeout"},
		{&tls.CertificateVerificationError{Err: errors.New("expired")}, "certificate"},
		{errors.New("connection refused"), "protocol"}, // the text says nothing
	} {
		var log bytes.Buffer
		e := hooks.Endpoint{URL: "https://example.com/hooks?token=tok-7f3a9c", Secret: signer.NewSecret()}
		o := kit.AttemptOnce(t, hooks.Config{
			Logger:    slog.New(slog.NewTextHandler(&log, nil)),
			Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("wrapped: %w", c.err) }),
		}, e)
		if o.Error != c.class {
			t.Errorf("class of %v = %q; want %q", c.err, o.Error, c.class)
		}
		wantNowhere(t, e, "outcome", kit.Kept(o), "log", log.String())
		if strings.Contains(kit.Kept(o), "10.11.12.13") {
			t.Errorf("outcome has the internal address in it: %s", kit.Kept(o))
		}
		if errors.Is(c.err, egress.ErrDenied) && !strings.Contains(log.String(), "10.11.12.13") {
			t.Errorf("log = %s; want the refused address, for the operator", log.String())
		}
	}
}

// A name that leads to the inside does not tell the subscriber where.
func TestAddressOfANameIsNotKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: fmt.Sprintf("http://localhost:%d/", port)})
	text := kit.Kept(o)
	if o.Error != "connection refused" || strings.Contains(text, "127.0.0.1") || strings.Contains(text, "::1") {
		t.Errorf("outcome = %s; want connection refused and no address", text)
	}
}

// What is printed, encoded or logged of an endpoint shows no secret, and what
// goes to the receiver is the signature alone.
func TestSecretsLeaveOnlyAsSignatures(t *testing.T) {
	store := memory.New()
	var log bytes.Buffer
	cfg := hooks.Config{
		Store: store, Egress: kit.Loopback,
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	url, got := kit.Receiver(t, nil)
	e := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: url})
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	kit.Start(t, h)
	kit.Send(t, h)
	o, r := kit.Soon(t, finished), kit.Soon(t, got)
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "endpoint", e)
	wantNowhere(t, e,
		"JSON", string(text), "%+v", fmt.Sprintf("%+v", e), "%#v", fmt.Sprintf("%#v", e),
		"request", fmt.Sprintf("%+v", r), "outcome", kit.Kept(o), "log", log.String())
}

// The policy is asked before every attempt, so what was allowed once is not
// for ever.
func TestPolicyCountsWhenTheAttemptStarts(t *testing.T) {
	url, got := kit.Receiver(t, nil)
	for name, policy := range map[string]egress.Policy{
		"http":     {AllowLoopback: true},
		"loopback": {AllowHTTP: true},
		"denied":   {AllowHTTP: true, AllowLoopback: true, DenyPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		"port":     {AllowHTTP: true, AllowLoopback: true, AllowPorts: []uint16{443}},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New()
			lenient := kit.New(t, hooks.Config{Store: store, Egress: kit.Loopback})
			kit.Put(t, lenient, hooks.Endpoint{ID: "crm", URL: url, Retry: []time.Duration{}})
			kit.Send(t, lenient)
			cfg := hooks.Config{Store: store, Egress: policy, Logger: slog.New(slog.DiscardHandler)}
			finished := kit.Traced(&cfg)
			kit.Start(t, kit.New(t, cfg))
			o := kit.Soon(t, finished)
			if o.Status != hooks.Failed || o.Error != "destination not allowed" || o.Code != 0 || len(got) != 0 {
				t.Errorf("delivery = %v (%d %s), %d requests; want failed (destination not allowed) and none", o.Status, o.Code, o.Error, len(got))
			}
		})
	}
}

// A transport that is not ours does not know the policy, so the URL at least
// is checked before it is asked.
func TestPolicyCountsForEveryTransport(t *testing.T) {
	store := memory.New()
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Egress: kit.Loopback}), hooks.Endpoint{ID: "crm", URL: "http://127.0.0.1/"})
	cfg := hooks.Config{
		Store:  store,
		Logger: slog.New(slog.DiscardHandler),
		Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
			t.Error("the transport was asked; want the URL to be refused before")
			return kit.Answer(200, nil, ""), nil
		}),
	}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	kit.Start(t, h)
	kit.Send(t, h)
	if o := kit.Soon(t, finished); o.Error != "destination not allowed" {
		t.Errorf("delivery = %v (%s); want destination not allowed", o.Status, o.Error)
	}
}

const proxiedURL = "HOOKS_TEST_PROXIED_URL"

// The environment's proxy would resolve names in our place. It is read once a
// process, and loopback addresses are exempt from it: so this is another
// process, and the receiver is called by an address that leads to it but is
// not loopback.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	if target := os.Getenv(proxiedURL); target != "" {
		deliverProxied(t, target)
		return
	}
	proxy, proxied := kit.Receiver(t, nil)
	target, got := kit.Receiver(t, nil)
	child := exec.Command(os.Args[0], "-test.run=^TestProxyOfTheEnvironmentIsIgnored$", "-test.count=1")
	child.Env = append(os.Environ(), "HTTP_PROXY="+proxy, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "ALL_PROXY="+proxy, "NO_PROXY=",
		"no_proxy=", "REQUEST_METHOD=", proxiedURL+"="+strings.Replace(target, "127.0.0.1", "0.0.0.0", 1))
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(proxied) != 0 || len(got) != 1 {
		t.Errorf("%d requests to the proxy, %d to the receiver; want none and 1", len(proxied), len(got))
	}
}

func deliverProxied(t *testing.T, target string) {
	r, err := http.NewRequest(http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := http.ProxyFromEnvironment(r); err != nil || u == nil {
		t.Fatalf("ProxyFromEnvironment(%s) = %v, %v; want the proxy, or this test says nothing", target, u, err)
	}
	cfg := hooks.Config{Egress: egress.Policy{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")}}}
	finished := kit.Traced(&cfg)
	h := kit.New(t, cfg)
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: target})
	kit.Start(t, h)
	kit.Send(t, h)
	if o := kit.Soon(t, finished); o.Status != hooks.Succeeded {
		t.Errorf("delivery = %v (%s); want succeeded", o.Status, o.Error)
	}
}
