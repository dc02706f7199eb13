package egress_test

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

func FuzzCheckURL(f *testing.F) {
	for _, row := range destinations(f) {
		f.Add(row.text, false, false)
		f.Add(strings.Replace(row.text, "https:", "http:", 1), true, true)
	}
	f.Fuzz(func(t *testing.T, raw string, allowHTTP, allowLoopback bool) {
		p := egress.Policy{AllowHTTP: allowHTTP, AllowLoopback: allowLoopback}
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
	})
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
