package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// ErrRefused reports that Config.Proxy does not let a request pass: it does not allow
// the destination, or cannot reach it.
var ErrRefused = errors.New("the egress proxy refused to connect")

// ErrProxy is what errors.Is finds in the error of [Config.Validate] when the
// proxy cannot be used.
var ErrProxy = errors.New("unusable egress proxy")

// A proxyRule refuses the URL of a proxy. None of its words come from the URL:
// what was meant for a password may have been read as another part of it.
type proxyRule struct {
	wrong   string
	refuses func(*target) bool
}

// proxyRules are asked in order; a rule may rely on the ones above it.
var proxyRules = []proxyRule{
	{
		"start the URL with http:// or https://",
		func(t *target) bool { return defaultPorts[t.url.Scheme] == "" || t.url.Opaque != "" },
	},
	{
		"name the host as an IP address or a host name",
		func(t *target) bool { return !t.literal.IsValid() && (endsInNumber(t.name) || !isHostName(t.name)) },
	},
	{
		"write the port as a plain number from 1 to 65535, or leave out the colon",
		func(t *target) bool { _, ok := t.port(); return !ok },
	},
	{
		"write nothing after the host and port",
		func(t *target) bool {
			return strings.Trim(t.url.Path, "/") != "" || t.url.RawQuery != "" || t.url.ForceQuery || t.url.Fragment != ""
		},
	},
}

// checkProxy returns nil, or an error that wraps ErrProxy and quotes nothing.
func checkProxy(u *url.URL) error {
	t := targetOf(u)
	for _, rule := range proxyRules {
		if rule.refuses(t) {
			return fmt.Errorf("egress: Proxy: %w: %s", ErrProxy, rule.wrong)
		}
	}
	return nil
}

const (
	unusableReason = "The sender's egress proxy is set up wrongly; only its operator can mend that."
	otherReason    = "This sender connects to nothing but its egress proxy."
	selfReason     = "Use another host: this one is the sender's egress proxy, not a receiver."
	hostReason     = "Through a proxy, the host of a request is the one that its URL names, and nothing else."
)

// A proxy is the only host that a transport with Config.Proxy connects to.
type proxy struct {
	policy Policy
	url    *url.URL // nil if it is unusable: then every request is refused
	addr   string   // what net/http dials for url
	dialer *dialer
	tls    *tls.Config
}

// newProxy returns the proxy that c names. The dialer becomes its own: the
// operator named the host, so each address it resolves to is permitted.
func newProxy(c Config, d *dialer) *proxy {
	p := &proxy{policy: c.Policy, dialer: d}
	// Through a proxy the loopback would be the proxy's, not ours.
	p.policy.AllowLoopback = false
	d.check = func(netip.AddrPort) error { return nil }
	if checkProxy(c.Proxy) != nil {
		return p
	}
	u := *c.Proxy // the caller may change his
	port := u.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	p.url, p.addr = &u, net.JoinHostPort(u.Hostname(), port)
	p.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    c.RootCAs,
		ServerName: u.Hostname(),
		NextProtos: []string{"http/1.1"}, // net/http speaks no other to a proxy, but would offer HTTP/2
	}
	return p
}

// route is the transport's Proxy. Nobody here sees what a name resolves to, so
// it holds back what the URL alone gives away, even if CheckURL was forgotten.
func (p *proxy) route(req *http.Request) (*url.URL, error) {
	if p.url == nil {
		return nil, &Error{Rule: "proxy", Reason: unusableReason}
	}
	u, err := p.policy.CheckURL(req.URL.String())
	if err != nil {
		return nil, err
	}
	// A plain http request names its Host or Opaque to the proxy, not the URL's host.
	if req.URL.Opaque != "" || req.URL.Host != u.Host || req.Host != "" && req.Host != u.Host {
		return nil, &Error{Rule: "host", Reason: hostReason}
	}
	if p.isNamedBy(u) {
		return nil, &Error{Rule: "proxy", Reason: selfReason}
	}
	return p.url, nil
}

// isNamedBy reports whether u leads to the proxy itself.
func (p *proxy) isNamedBy(u *url.URL) bool {
	t, own := targetOf(u), targetOf(p.url)
	port, _ := t.port()
	ownPort, _ := own.port()
	return port == ownPort && t.name == own.name && t.literal.Unmap() == own.literal.Unmap()
}

// dial connects to the proxy. Another address can only come from a transport
// whose Proxy was taken away.
func (p *proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.url == nil || address != p.addr {
		return nil, &Error{Rule: "proxy", Reason: otherReason}
	}
	return p.dialer.DialContext(ctx, network, address)
}

// dialTLS connects to a proxy that speaks TLS.
func (p *proxy) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return p.dialer.secure(ctx, conn, p.tls)
}

// checkConnect is the transport's OnProxyConnectResponse. Its error has none of
// the proxy's own words, which may speak of the network behind it.
func checkConnect(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w, with status %d", ErrRefused, resp.StatusCode)
	}
	return nil
}
