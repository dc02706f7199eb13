package egress_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

func FuzzCheckURL(f *testing.F) {
	for _, row := range destinations(f) {
		f.Add(row.text, false, false, false)
		f.Add(strings.Replace(row.text, "https:", "http:", 1), true, true, true)
	}
	f.Add("https://[64:ff9b::5db8:d822]/", false, true, true)
	f.Add("https://[64:ff9b::127.0.0.1]/", false, true, true)
	f.Fuzz(func(t *testing.T, raw string, allowHTTP, allowLoopback, nat64 bool) {
		p := egress.Policy{AllowHTTP: allowHTTP, AllowLoopback: allowLoopback}
		if nat64 {
			p.NAT64 = wellKnown.NAT64
		}
		u, err := p.CheckURL(raw)
		if err != nil {
			wantExplained(t, raw, u, err)
			return
		}
		if u.Scheme != "https" && !(allowHTTP && u.Scheme == "http") {
			t.Errorf("CheckURL(%q) scheme = %q; want one that is allowed", raw, u.Scheme)
		}
		if u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
			t.Errorf("CheckURL(%q) = %#v; want a host, no userinfo, no fragment", raw, u)
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.User != nil {
			t.Errorf("CheckURL(%q) reads again as %v, %v; want host %q", raw, again, err, u.Host)
		}
		if authority := authorityOf(raw); !strings.EqualFold(authority, u.Host) {
			t.Errorf("CheckURL(%q).Host = %q; want what a plain reader sees, %q", raw, u.Host, authority)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !allowLoopback && ip.Unmap().IsLoopback() {
			t.Errorf("CheckURL(%q) = %v; want loopback refused", raw, u)
		}
		wantEmbeddedPublic(t, raw, u.Hostname(), nat64)
		wantRouted(t, p, raw, u)
	})
}

// wantEmbeddedPublic checks that host, which was permitted, is a translated
// address only behind NAT64 and only of a public IPv4 address.
func wantEmbeddedPublic(t *testing.T, raw, host string, nat64 bool) {
	t.Helper()
	ip, err := netip.ParseAddr(host)
	if err != nil || !wellKnown.NAT64[0].Contains(ip) {
		return
	}
	b := ip.As16()
	v4 := netip.AddrFrom4([4]byte(b[12:]))
	if !nat64 || !v4.IsGlobalUnicast() || v4.IsPrivate() || v4.IsLoopback() {
		t.Errorf("CheckURL(%q) = nil, NAT64 %t; want %v refused", raw, nat64, v4)
	}
}

// wantRouted checks that a request to u, which p permits, goes through a proxy
// unless the loopback is permitted, which is then the proxy's, and nowhere else.
func wantRouted(t *testing.T, p egress.Policy, raw string, u *url.URL) {
	t.Helper()
	proxy := &url.URL{Scheme: "http", Host: "proxy.test:3128"}
	route, err := egress.NewTransport(egress.Config{Policy: p, Proxy: proxy}).Proxy(&http.Request{URL: u, Host: u.Host})
	if err == nil && *route != *proxy {
		t.Errorf("through a proxy, %q goes to %v; want %v", raw, route, proxy)
	}
	p.AllowLoopback = false
	_, refused := p.CheckURL(raw)
	if named := strings.Contains(strings.ToLower(u.Host), "proxy.test"); (err != nil) != (refused != nil) && !named {
		t.Errorf("through a proxy, %q = %v, CheckURL = %v; want them to agree", raw, err, refused)
	}
}

// authorityOf returns what stands between the two slashes and the path, read in
// the simplest way there is.
func authorityOf(raw string) string {
	_, rest, _ := strings.Cut(raw, "//")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return rest[:end]
	}
	return rest
}

// wantExplained checks the error of a URL that was refused.
func wantExplained(t *testing.T, raw string, u *url.URL, err error) {
	t.Helper()
	denied, ok := errors.AsType[*egress.Error](err)
	if !ok || !errors.Is(err, egress.ErrDenied) || u != nil {
		t.Fatalf("CheckURL(%q) = %v, %v; want nil and an *egress.Error", raw, u, err)
	}
	if denied.Rule == "" || denied.Reason == "" {
		t.Errorf("CheckURL(%q) = %#v; want a rule and a reason", raw, denied)
	}
}
