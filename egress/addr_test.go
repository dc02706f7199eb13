package egress_test

import (
	"net/netip"
	"testing"

	"example.com/hooks/egress"
)

// specialPurpose is written down apart from the code's own table, so that a slip
// of the pen in either is seen. Both ends of every prefix must be refused.
var specialPurpose = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
	"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
	"::/3", "::/128", "::1/128", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
	"2001::/23", "2001::/32", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32",
	"2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20",
	"4000::/2", "5f00::/16", "8000::/1", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// lastAddr returns the last address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func TestSpecialPurposeBlocksAreRefusedToTheirEnds(t *testing.T) {
	for _, p := range specialPurpose {
		for _, ip := range []netip.Addr{p.Addr(), lastAddr(p)} {
			if err := (egress.Policy{}).CheckAddr(netip.AddrPortFrom(ip, 443)); err == nil {
				t.Errorf("CheckAddr(%v) = nil; want it refused as part of %v", ip, p)
			}
		}
	}
}

func TestNeighboursOfSpecialPurposeBlocksArePermitted(t *testing.T) {
	permitted := func(ip netip.Addr) bool {
		for _, p := range specialPurpose {
			if p.Contains(ip) {
				return false
			}
		}
		return ip.IsValid()
	}
	checked := 0
	for _, p := range specialPurpose {
		for _, ip := range []netip.Addr{p.Addr().Prev(), lastAddr(p).Next()} {
			if !permitted(ip) {
				continue
			}
			checked++
			if err := (egress.Policy{}).CheckAddr(netip.AddrPortFrom(ip, 443)); err != nil {
				t.Errorf("CheckAddr(%v), just outside %v, = %v; want nil", ip, p, err)
			}
		}
	}
	if checked < 40 {
		t.Errorf("checked %d neighbours; want at least 40", checked)
	}
}

func TestISATAPIdentifiersAreRefusedUnderAnyPrefix(t *testing.T) {
	for text, refused := range map[string]bool{
		"2606:4700::5efe:808:808":       true,
		"2606:4700::200:5efe:808:808":   true,
		"2606:4700::5eff:808:808":       false,
		"2606:4700::100:5efe:808:808":   false,
		"2606:4700::1:5efe:808:808":     false,
		"2606:4700:0:5efe::808:808":     false,
		"2606:4700:5efe:200:5efe:1::":   false,
		"2606:4700:0:1:0200:5efe:a00:1": true,
	} {
		err := egress.Policy{}.CheckAddr(netip.AddrPortFrom(netip.MustParseAddr(text), 443))
		if (err != nil) != refused {
			t.Errorf("CheckAddr(%s) = %v; want refused %t", text, err, refused)
		}
	}
}

func TestInvalidAddressIsRefused(t *testing.T) {
	for _, p := range []egress.Policy{{}, {AllowLoopback: true, AllowPrefixes: prefixes("0.0.0.0/0", "::/0")}} {
		if got := ruleOf(t, p.CheckAddr(netip.AddrPort{})); got != "address" {
			t.Errorf("%+v.CheckAddr(zero) refused by %q; want %q", p, got, "address")
		}
	}
}

func FuzzCheckAddr(f *testing.F) {
	for _, p := range specialPurpose {
		b := p.Addr().As16()
		f.Add(b[:], uint16(443))
		if p.Addr().Is4() {
			b = embed(wellKnown.NAT64[0], p.Addr()).As16()
			f.Add(b[:], uint16(443))
		}
	}
	public := netip.MustParsePrefix("2000::/3")
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		addr := netip.AddrPortFrom(ip, port)
		err := egress.Policy{}.CheckAddr(addr)
		mapped := netip.AddrPortFrom(netip.AddrFrom16(ip.As16()), port)
		if other := (egress.Policy{}).CheckAddr(mapped); ruleOf(t, other) != ruleOf(t, err) {
			t.Errorf("CheckAddr(%v) = %v, CheckAddr(%v) = %v; want them to agree", addr, err, mapped, other)
		}
		ip = ip.Unmap()
		same := addr
		if wellKnown.NAT64[0].Contains(ip) {
			b := ip.As16()
			same = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:])), port)
		}
		want := ruleOf(t, egress.Policy{}.CheckAddr(same))
		if got := ruleOf(t, wellKnown.CheckAddr(addr)); got != want {
			t.Errorf("CheckAddr(%v) behind NAT64 refused by %q; want %q, as for %v", addr, got, want, same)
		}
		if err == nil && (!ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Is6() && !public.Contains(ip)) {
			t.Errorf("CheckAddr(%v) = nil; want it refused: not global unicast", addr)
		}
		all := egress.Policy{AllowPrefixes: prefixes("0.0.0.0/0", "::/0"), AllowPorts: []uint16{port}}
		if err := all.CheckAddr(addr); err != nil {
			t.Errorf("CheckAddr(%v) with everything allowed = %v; want nil", addr, err)
		}
		all.DenyPrefixes = []netip.Prefix{netip.PrefixFrom(ip, ip.BitLen())}
		if err := all.CheckAddr(addr); err == nil {
			t.Errorf("CheckAddr(%v) with the address denied = nil; want it refused", addr)
		}
	})
}
