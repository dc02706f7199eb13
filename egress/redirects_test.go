package egress_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/hooks/egress"
)

// A redirector answers its first request with a redirect and counts the rest.
type redirector struct {
	*receiver
	requests atomic.Int32
}

func newRedirector(t *testing.T, secure bool, status int, location func(own string) string) *redirector {
	t.Helper()
	d := new(redirector)
	d.receiver = newReceiver(t, secure, func(w http.ResponseWriter, _ *http.Request) {
		d.requests.Add(1)
		w.Header().Set("Location", location(d.Listener.Addr().String()))
		w.WriteHeader(status)
	})
	return d
}

// redirects are the ways to send a webhook elsewhere. The target is reachable
// and permitted in all of them: nothing but the transport holds it back.
var redirects = []struct {
	name     string
	secure   bool // the first receiver, which the webhook is for
	location func(own, target string) string
	broken   bool // no response comes back
}{
	{"to the loopback", false, func(_, target string) string { return "http://" + target + "/in" }, false},
	{"to another host", false, func(_, target string) string { return "http://other.test" + port(target) + "/in" }, false},
	{"https to http", true, func(_, target string) string { return "http://" + target + "/in" }, false},
	{"https to another host", true, func(_, target string) string { return "http://other.test" + port(target) + "/in" }, false},
	{"loop", false, func(own, _ string) string { return "http://" + own + "/" }, false},
	{"relative host", false, func(_, target string) string { return "//" + target + "/in" }, false},
	{"relative path", false, func(_, _ string) string { return "/elsewhere" }, false},
	{"path beside", false, func(_, _ string) string { return "elsewhere?again=1" }, false},
	{"1 MiB", false, func(_, target string) string { return "http://" + target + "/" + strings.Repeat("a", 1<<20) }, true},
	{"1 MiB over HTTP/2", true, func(_, target string) string { return "http://" + target + "/" + strings.Repeat("a", 1<<20) }, true},
}

// port returns the end of a host and port, from the colon on.
func port(addr string) string { return addr[strings.LastIndexByte(addr, ':'):] }

func TestRedirectsAreReturnedNotFollowed(t *testing.T) {
	server := startNameServer(t, nil)
	server.set("other.test", "A 127.0.0.1")
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, c := range redirects {
			t.Run(http.StatusText(status)+" "+c.name, func(t *testing.T) {
				target := newReceiver(t, false, wantNothing(t))
				first := newRedirector(t, c.secure, status, func(own string) string {
					return c.location(own, target.Listener.Addr().String())
				})
				cfg := egress.Config{Policy: developer, Resolver: server.resolver()}
				if c.secure {
					cfg.RootCAs = first.roots()
				}
				resp, err := send(t, cfg, first.URL)
				switch {
				case c.broken && err == nil:
					t.Errorf("POST = %s; want an error", resp.Status)
				case !c.broken && (err != nil || resp.StatusCode != status):
					t.Errorf("POST = %v, %v; want status %d", resp, err, status)
				}
				if n := target.connections.Load(); n != 0 {
					t.Errorf("the target saw %d connections; want 0", n)
				}
				if n := first.requests.Load(); n != 1 {
					t.Errorf("the receiver saw %d requests; want 1", n)
				}
			})
		}
	}
}

// wantNothing is the handler of a target that must not be reached.
func wantNothing(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the target got %s %s, signature %q", r.Method, r.URL, r.Header.Get("Webhook-Signature"))
	}
}

// send posts a signed webhook as hooks does, through RoundTrip.
func send(t *testing.T, c egress.Config, url string) (*http.Response, error) {
	t.Helper()
	transport := egress.NewTransport(c)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"type":"invoice.paid"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Webhook-Signature", "v1,c2lnbmF0dXJl")
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

// A client that follows redirects is not how the transport is meant to be used;
// even so it reaches no address that the policy refuses.
func TestFollowedRedirectsMeetThePolicy(t *testing.T) {
	first := newReceiver(t, false, http.RedirectHandler("http://127.0.0.2:8080/", http.StatusFound).ServeHTTP)
	transport := egress.NewTransport(egress.Config{
		Policy: egress.Policy{AllowHTTP: true, AllowPrefixes: prefixes("127.0.0.1/32")},
	})
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(first.URL)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("GET = %s; want the redirect refused", resp.Status)
	}
	if denied, found := errors.AsType[*egress.Error](err); !found || denied.Rule != "loopback" {
		t.Errorf("GET = %v; want it refused by %q", err, "loopback")
	}
}
