package egress_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

func prefixes(text ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(text))
	for i, s := range text {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func TestValidateReportsEveryMistakeAtOnce(t *testing.T) {
	p := egress.Policy{
		AllowPrefixes: append(prefixes("10.0.0.0/8", "10.1.2.3/8"), netip.Prefix{}),
		DenyPrefixes:  prefixes("2001:db8::/32", "::ffff:10.0.0.0/104", "2001:db8::1/32"),
		AllowPorts:    []uint16{443, 0},
	}
	err := p.Validate()
	if err == nil {
		t.Fatal("Validate() = nil; want five mistakes")
	}
	for _, want := range []string{
		"AllowPrefixes[1]: 10.1.2.3/8 has host bits set, write 10.0.0.0/8",
		"AllowPrefixes[2]: prefix is zero",
		"DenyPrefixes[1]: ::ffff:10.0.0.0/104 is IPv4-mapped",
		"DenyPrefixes[2]: 2001:db8::1/32 has host bits set, write 2001:db8::/32",
		"AllowPorts[1]: port 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v; want it to say %q", err, want)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 5 {
		t.Errorf("Validate() reports %d mistakes; want 5:\n%v", got, err)
	}
}

func TestValidateAcceptsGoodPolicies(t *testing.T) {
	for _, p := range []egress.Policy{
		{},
		{AllowHTTP: true, AllowLoopback: true},
		{AllowPrefixes: prefixes("10.0.0.0/8", "fd00::/8"), DenyPrefixes: prefixes("0.0.0.0/0"), AllowPorts: []uint16{443}},
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v.Validate() = %v; want nil", p, err)
		}
	}
}

func TestPolicyAddresses(t *testing.T) {
	var (
		private  = egress.Policy{AllowPrefixes: prefixes("10.0.0.0/8", "fd00:1::/32")}
		loopback = egress.Policy{AllowLoopback: true}
		denied   = egress.Policy{
			AllowLoopback: true,
			AllowPrefixes: prefixes("10.0.0.0/8"),
			DenyPrefixes:  prefixes("10.9.0.0/16", "127.0.0.2/32", "93.184.216.0/24", "2606:4700::/32"),
		}
		ports  = egress.Policy{AllowPorts: []uint16{22, 443}}
		broken = egress.Policy{DenyPrefixes: []netip.Prefix{{}}}
		mapped = egress.Policy{DenyPrefixes: prefixes("::ffff:10.0.0.0/104")}
	)
	for _, c := range []struct {
		name   string
		policy egress.Policy
		addr   string
		rule   string // empty: permitted
	}{
		{"allowed prefix", private, "10.1.2.3:443", ""},
		{"allowed prefix, mapped", private, "[::ffff:10.1.2.3]:443", ""},
		{"allowed IPv6 prefix", private, "[fd00:1::1]:443", ""},
		{"beside the allowed prefix", private, "192.168.0.1:443", "private"},
		{"beside the allowed IPv6 prefix", private, "[fd00:2::1]:443", "private"},
		{"allowed prefix, bad port", private, "10.1.2.3:22", "port"},
		{"loopback", loopback, "127.0.0.1:8080", ""},
		{"end of loopback", loopback, "127.255.255.255:8080", ""},
		{"IPv6 loopback", loopback, "[::1]:8080", ""},
		{"loopback is not the private networks", loopback, "10.0.0.1:443", "private"},
		{"loopback is not the unspecified address", loopback, "0.0.0.0:443", "unspecified"},
		{"loopback, bad port", loopback, "127.0.0.1:25", "port"},
		{"deny wins over allow", denied, "10.9.1.1:443", "denied-prefix"},
		{"deny wins over allow, mapped", denied, "[::ffff:10.9.1.1]:443", "denied-prefix"},
		{"deny wins over loopback", denied, "127.0.0.2:443", "denied-prefix"},
		{"deny wins over public", denied, "93.184.216.34:443", "denied-prefix"},
		{"deny wins over public IPv6", denied, "[2606:4700::1]:443", "denied-prefix"},
		{"beside the denied prefix", denied, "10.8.1.1:443", ""},
		{"listed port", ports, "93.184.216.34:443", ""},
		{"listed bad port", ports, "93.184.216.34:22", ""},
		{"unlisted port", ports, "93.184.216.34:8443", "port"},
		{"an invalid deny prefix denies all", broken, "93.184.216.34:443", "denied-prefix"},
		{"a mapped deny prefix denies all", mapped, "10.0.0.1:443", "denied-prefix"},
		{"zone", egress.Policy{}, "[2606:4700::1%eth0]:443", "zone"},
		{"zone on a mapped address", egress.Policy{}, "[::ffff:93.184.216.34%eth0]:443", "zone"},
		{"zone on allowed loopback", loopback, "[::1%lo]:443", "zone"},
		{"port 0", egress.Policy{}, "93.184.216.34:0", "port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := netip.MustParseAddrPort(c.addr)
			if got := ruleOf(t, c.policy.CheckAddr(addr)); got != c.rule {
				t.Errorf("CheckAddr(%v) refused by %q; want %q", addr, got, c.rule)
			}
		})
	}
}

// ruleOf returns the rule that err names, or "" if err is nil.
func ruleOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	denied, ok := errors.AsType[*egress.Error](err)
	if !ok {
		t.Fatalf("error %v is a %T; want an *egress.Error", err, err)
	}
	return denied.Rule
}

func TestPolicyURLs(t *testing.T) {
	var (
		plain     = egress.Policy{AllowHTTP: true}
		loopback  = egress.Policy{AllowLoopback: true}
		developer = egress.Policy{AllowHTTP: true, AllowLoopback: true}
		ports     = egress.Policy{AllowHTTP: true, AllowPorts: []uint16{443}}
	)
	for _, c := range []struct {
		policy egress.Policy
		url    string
		rule   string // empty: permitted
	}{
		{plain, "http://example.com/", ""},
		{plain, "http://127.0.0.1:8080/", "loopback"},
		{plain, "http://localhost:8080/", "localhost"},
		{plain, "ftp://example.com/", "scheme"},
		{loopback, "https://localhost:8080/", ""},
		{loopback, "https://[::1]/", ""},
		{loopback, "http://127.0.0.1:8080/", "scheme"},
		{developer, "http://127.0.0.1:8080/hook", ""},
		{developer, "http://localhost:8080/hook", ""},
		{developer, "http://app.localhost./hook", ""},
		{developer, "http://0x7f.1:8080/", "numeric-host"},
		{developer, "http://10.0.0.1/", "private"},
		{developer, "http://u@127.0.0.1/", "userinfo"},
		{ports, "https://example.com/", ""},
		{ports, "https://example.com:8443/", "port"},
		{ports, "http://example.com/", "port"},
		{egress.Policy{AllowPrefixes: prefixes("10.0.0.0/8")}, "https://10.0.0.1/", ""},
		{egress.Policy{DenyPrefixes: prefixes("8.8.8.0/24")}, "https://8.8.8.8/", "denied-prefix"},
	} {
		_, err := c.policy.CheckURL(c.url)
		if got := ruleOf(t, err); got != c.rule {
			t.Errorf("%+v.CheckURL(%q) refused by %q; want %q", c.policy, c.url, got, c.rule)
		}
	}
}

func TestErrorTextNamesNoAddress(t *testing.T) {
	_, err := egress.Policy{}.CheckURL("https://10.1.2.3/")
	if got, want := err.Error(), "destination not allowed"; got != want {
		t.Errorf("Error() about an address = %q; want %q", got, want)
	}
	denied, _ := errors.AsType[*egress.Error](err)
	if want := netip.MustParseAddrPort("10.1.2.3:443"); denied.Addr != want {
		t.Errorf("Addr = %v; want %v", denied.Addr, want)
	}
	if want := "10.0.0.0/8 is private-use (RFC 1918)"; !strings.HasPrefix(denied.Reason, want) {
		t.Errorf("Reason = %q; want it to start with %q", denied.Reason, want)
	}
}

func TestErrorTextExplainsSpelling(t *testing.T) {
	for raw, want := range map[string]string{
		"http://example.com/":        "destination not allowed: Start the URL with https://.",
		"https://[fe80::1%25eth0]/":  "destination not allowed: Remove the zone after the % from the IPv6 address.",
		"https://example.com/#there": "destination not allowed: Remove the # and what follows it; it is never sent.",
	} {
		if _, err := (egress.Policy{}).CheckURL(raw); err == nil || err.Error() != want {
			t.Errorf("CheckURL(%q) = %v; want %q", raw, err, want)
		}
	}
}
