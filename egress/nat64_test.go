package egress_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

// wellKnown is a policy for a network behind a gateway with the usual prefix.
var wellKnown = egress.Policy{NAT64: prefixes("64:ff9b::/96")}

// translated are the known answers of RFC 6052, section 2.4: how each prefix
// embeds 192.0.2.33.
var translated = []struct{ prefix, addr string }{
	{"2001:db8::/32", "2001:db8:c000:221::"},
	{"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
	{"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
	{"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
	{"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
	{"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"},
	{"64:ff9b::/96", "64:ff9b::192.0.2.33"},
}

func TestTranslatedAddressesAreReadAsTheStandardSays(t *testing.T) {
	for _, c := range translated {
		addr := netip.AddrPortFrom(netip.MustParseAddr(c.addr), 443)
		for _, p := range []struct {
			allow, deny string
			rule        string
		}{
			{"192.0.2.33/32", "192.0.2.32/32", ""},
			{"192.0.2.32/32", "192.0.2.32/32", "documentation"},
			{"192.0.2.33/32", "192.0.2.33/32", "denied-prefix"},
			{"192.0.2.33/32", c.addr + "/128", "denied-prefix"},
			{c.prefix, "192.0.2.32/32", "documentation"},
		} {
			policy := egress.Policy{
				NAT64:         prefixes(c.prefix),
				AllowPrefixes: prefixes(p.allow),
				DenyPrefixes:  prefixes(p.deny),
			}
			if got := ruleOf(t, policy.CheckAddr(addr)); got != p.rule {
				t.Errorf("%+v.CheckAddr(%v) refused by %q; want %q", policy, addr, got, p.rule)
			}
		}
	}
}

// octets says, for each length, which octets of an address hold the IPv4
// address: figure 1 of RFC 6052, written down apart from the code.
var octets = map[int][4]int{
	32: {4, 5, 6, 7},
	40: {5, 6, 7, 9},
	48: {6, 7, 9, 10},
	56: {7, 9, 10, 11},
	64: {9, 10, 11, 12},
	96: {12, 13, 14, 15},
}

// embed returns prefix, all of it but the u octet, with v4 in it.
func embed(prefix netip.Prefix, v4 netip.Addr) netip.Addr {
	b := prefix.Addr().As16()
	b[8] = 0
	for i, octet := range v4.As4() {
		b[octets[prefix.Bits()][i]] = octet
	}
	return netip.AddrFrom16(b)
}

func TestEmbeddedAddressesAreJudgedAsIPv4(t *testing.T) {
	own := egress.Policy{
		NAT64: prefixes("2a00:1:2:300::/32", "2a01:1:2:300::/40", "2a02:1:2:300::/48",
			"2a03:1:2:300::/56", "2a04:1:2:3::/64", "fd00:64::/96", "64:ff9b::/96"),
		AllowLoopback: true, // the gateway's is not ours
	}
	for text, rule := range map[string]string{
		"93.184.216.34":   "",
		"10.0.0.1":        "private",
		"192.168.255.255": "private",
		"169.254.169.254": "link-local",
		"127.0.0.1":       "loopback",
		"0.0.0.0":         "unspecified",
		"100.100.100.200": "shared",
		"168.63.129.16":   "platform",
		"192.0.2.33":      "documentation",
		"255.255.255.255": "broadcast",
	} {
		for _, prefix := range own.NAT64 {
			addr := netip.AddrPortFrom(embed(prefix, netip.MustParseAddr(text)), 443)
			if got := ruleOf(t, own.CheckAddr(addr)); got != rule {
				t.Errorf("CheckAddr(%v), %s in %v, refused by %q; want %q", addr, text, prefix, got, rule)
			}
		}
	}
}

func TestTranslationLeavesOtherAddressesAlone(t *testing.T) {
	broad := egress.Policy{
		NAT64:         prefixes("64:ff9b::/96", "64:ff9b:1:200::/56"),
		AllowLoopback: true,
	}
	for text, rule := range map[string]string{
		"64:ff9b::1:808:808":      "not-global", // beside the prefix
		"64:ff9b:1:300::":         "nat64",
		"64:ff9b:1:208:8:808::":   "",
		"64:ff9b:1:208:8:808:1:1": "", // translators ignore the suffix
		"2606:4700::1111":         "",
		"::1":                     "",
		"127.0.0.1":               "",
		"fd00::1":                 "private",
		"::ffff:10.0.0.1":         "private",
	} {
		addr := netip.AddrPortFrom(netip.MustParseAddr(text), 443)
		if got := ruleOf(t, broad.CheckAddr(addr)); got != rule {
			t.Errorf("CheckAddr(%v) refused by %q; want %q", addr, got, rule)
		}
	}
}

func TestOctetOfZeroesIsRequired(t *testing.T) {
	for _, c := range translated[:5] { // the octet is behind these prefixes
		b := netip.MustParseAddr(c.addr).As16()
		b[8] = 1
		addr := netip.AddrPortFrom(netip.AddrFrom16(b), 443)
		p := egress.Policy{NAT64: prefixes(c.prefix), AllowPrefixes: prefixes("0.0.0.0/0", "::/0")}
		if got := ruleOf(t, p.CheckAddr(addr)); got != "nat64" {
			t.Errorf("CheckAddr(%v) in %s refused by %q; want %q", addr, c.prefix, got, "nat64")
		}
	}
}

func TestNestedTranslationPrefixesMustAgree(t *testing.T) {
	p := egress.Policy{NAT64: prefixes("2a00:a00::/32", "2a00:a00:100::/48", "2a00:a00:a00::/48")}
	for text, rule := range map[string]string{
		"2a00:a00:808:808::":        "",        // 8.8.8.8, in the first only
		"2a00:a00:a00:1::":          "private", // 10.0.0.1, in the first only
		"2a00:a00:100:808:8:800::":  "",        // 1.0.8.8 and 8.8.8.8
		"2a00:a00:100:a00:0:100::1": "private", // 1.0.10.0 and 10.0.0.1
		"2a00:a00:a00:808:8:800::":  "private", // 10.0.8.8 and 8.8.8.8
	} {
		addr := netip.AddrPortFrom(netip.MustParseAddr(text), 443)
		if got := ruleOf(t, p.CheckAddr(addr)); got != rule {
			t.Errorf("CheckAddr(%v) refused by %q; want %q", addr, got, rule)
		}
	}
}

// brokenNAT64 are prefixes that Validate refuses, and what it says.
var brokenNAT64 = []struct {
	prefix  netip.Prefix
	mistake string
	refuses string // in spite of the mistake
}{
	{netip.Prefix{}, "prefix is zero or invalid", "[2606:4700::1]:443"},
	{netip.MustParsePrefix("10.0.0.0/32"), "10.0.0.0/32 is an IPv4 prefix", "[2606:4700::1]:443"},
	{netip.MustParsePrefix("::ffff:0.0.0.0/96"), "is IPv4-mapped", "[2606:4700::1]:443"},
	{netip.MustParsePrefix("2a00::/36"), "2a00::/36 has a length that RFC 6052 does not know", "[2a00::808:808]:443"},
	{netip.MustParsePrefix("2a00::/128"), "2a00::/128 has a length", "[2a00::]:443"},
	{netip.MustParsePrefix("2a00::/0"), "::/0 has a length", "[2606:4700::1]:443"},
	{netip.MustParsePrefix("2a00::1/96"), "2a00::1/96 has host bits set, write 2a00::/96", "[2a00::a00:1]:443"},
	{netip.MustParsePrefix("2a00:0:0:0:100::/96"), "has bits set from 64 to 71", "[2a00::100:0:808:808]:443"},
}

func TestValidateReportsTranslationPrefixes(t *testing.T) {
	for _, c := range brokenNAT64 {
		err := egress.Policy{NAT64: []netip.Prefix{c.prefix}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "NAT64[0]: ") || !strings.Contains(err.Error(), c.mistake) {
			t.Errorf("NAT64 %v: Validate() = %v; want NAT64[0]: … %s", c.prefix, err, c.mistake)
		}
	}
	for _, c := range translated {
		if err := (egress.Policy{NAT64: prefixes(c.prefix)}).Validate(); err != nil {
			t.Errorf("NAT64 %s: Validate() = %v; want nil", c.prefix, err)
		}
	}
}

func TestBrokenTranslationPrefixesOpenNothing(t *testing.T) {
	for _, c := range brokenNAT64 {
		p := egress.Policy{NAT64: []netip.Prefix{c.prefix}}
		if err := p.CheckAddr(netip.MustParseAddrPort(c.refuses)); err == nil {
			t.Errorf("NAT64 %v: CheckAddr(%s) = nil; want it refused", c.prefix, c.refuses)
		}
		if err := p.CheckAddr(netip.MustParseAddrPort("93.184.216.34:443")); err != nil {
			t.Errorf("NAT64 %v: CheckAddr of an IPv4 address = %v; want nil", c.prefix, err)
		}
	}
}

func TestTranslatedLiteralsAndNames(t *testing.T) {
	for url, rule := range map[string]string{
		"https://[64:ff9b::93.184.216.34]/": "",
		"https://[64:ff9b::a9fe:a9fe]/":     "link-local",
		"https://[64:ff9b::7f00:1]/":        "loopback",
	} {
		if _, err := wellKnown.CheckURL(url); ruleOf(t, err) != rule {
			t.Errorf("CheckURL(%q) = %v; want it refused by %q", url, err, rule)
		}
	}
	if !hasIPv6() {
		t.Skip("without IPv6 there is no socket, so the policy is never asked")
	}
	server := startNameServer(t, nil)
	server.set("nat64.test", "AAAA 64:ff9b::a9fe:a9fe, AAAA 64:ff9b::5db8:d822")
	g := &gate{policy: wellKnown}
	post(t, egress.Config{Resolver: server.resolver()}, g, "nat64.test")
	if want := []netip.AddrPort{netip.MustParseAddrPort("[64:ff9b::5db8:d822]:443")}; !slices.Equal(g.permitted, want) {
		t.Errorf("permitted %v; want %v", g.permitted, want)
	}
}

func FuzzTranslations(f *testing.F) {
	for _, c := range translated {
		prefix := netip.MustParsePrefix(c.prefix)
		b := prefix.Addr().As16()
		f.Add(b[:], byte(slices.Index([]int{32, 40, 48, 56, 64, 96}, prefix.Bits())), uint32(0xc0000221), uint16(443))
	}
	f.Fuzz(func(t *testing.T, b []byte, length byte, number uint32, port uint16) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok || !ip.Is6() || ip.Is4In6() {
			return
		}
		bits := []int{32, 40, 48, 56, 64, 96}[length%6]
		v4 := netip.AddrFrom4([4]byte{byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number)})
		prefix := netip.PrefixFrom(ip, bits) // not masked: the bits behind it become the suffix
		addr := netip.AddrPortFrom(embed(prefix, v4), port)
		if prefix = prefix.Masked(); !prefix.Contains(addr.Addr()) {
			return // its own u octet is not zero
		}
		plain := egress.Policy{}.CheckAddr(netip.AddrPortFrom(v4, port))
		for _, p := range []egress.Policy{
			{NAT64: []netip.Prefix{prefix}},
			{NAT64: []netip.Prefix{prefix}, AllowLoopback: true, AllowPrefixes: prefixes("::/0")},
		} {
			if got, want := ruleOf(t, p.CheckAddr(addr)), ruleOf(t, plain); got != want {
				t.Errorf("%v in %v: CheckAddr(%v) refused by %q; want %q", v4, prefix, addr, got, want)
			}
			p.DenyPrefixes = []netip.Prefix{netip.PrefixFrom(v4, 32)}
			if err := p.CheckAddr(addr); err == nil {
				t.Errorf("%v denied: CheckAddr(%v) = nil; want it refused", v4, addr)
			}
		}
	})
}
