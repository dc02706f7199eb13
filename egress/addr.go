package egress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// An addrRule refuses addresses for a reason other than their block.
type addrRule struct {
	name    string
	reason  string
	refuses func(p *Policy, addr netip.AddrPort) bool
}

// addrRules are asked before anything may permit an address, in order.
var addrRules = []addrRule{
	{
		"address", "This is not an IP address with a port; only TCP over IP can be dialled.",
		func(_ *Policy, a netip.AddrPort) bool { return !a.Addr().IsValid() },
	},
	{
		"zone", "An address with a zone belongs to one link; use a publicly routable address.",
		func(_ *Policy, a netip.AddrPort) bool { return a.Addr().Zone() != "" },
	},
	{
		"port", portReason,
		func(p *Policy, a netip.AddrPort) bool { return !p.allowsPort(a.Port()) },
	},
	{
		"denied-prefix", "DenyPrefixes contains this address, or is invalid; use another address.",
		func(p *Policy, a netip.AddrPort) bool {
			v4s, _ := p.translations(a.Addr())
			return slices.ContainsFunc(append(v4s, a.Addr()), p.denies)
		},
	},
}

// CheckAddr reports whether a connection to addr is permitted: nil, or an
// [*Error] that carries the address.
//
// An IPv4-mapped address is judged as the IPv4 address it stands for, and so is
// an address inside a prefix of NAT64, except that AllowLoopback does not count
// for it: the loopback would be the gateway's. Inside several such prefixes, each
// must permit it.
//
// The port must be allowed and DenyPrefixes must not contain the address; then
// AllowPrefixes and AllowLoopback may permit it; for all others the built-in rule
// speaks. That rule permits an IPv4 address that is in no special-purpose block,
// and an IPv6 address that is in 2000::/3, in no special-purpose block, and
// carries no IPv4 address that a router on the way might unpack.
func (p Policy) CheckAddr(addr netip.AddrPort) error {
	if addr.Addr().Zone() == "" { // Unmap would drop the zone
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
	for _, rule := range addrRules {
		if rule.refuses(&p, addr) {
			return &Error{Rule: rule.name, Reason: rule.reason, Addr: addr}
		}
	}
	if b, found := p.block(addr.Addr()); found {
		return &Error{Rule: b.rule, Reason: b.reason(), Addr: addr}
	}
	return nil
}

// block returns the block that ip, or the IPv4 address that it stands for, is in
// and that the operator did not permit, if there is one.
func (p *Policy) block(ip netip.Addr) (block, bool) {
	v4s, ok := p.translations(ip)
	switch {
	case !ok:
		return untranslatable, true
	case len(v4s) == 0 && p.allows(ip):
		return block{}, false
	case len(v4s) == 0:
		return specialBlock(ip)
	}
	for _, v4 := range v4s {
		if b, found := specialBlock(v4); found && !p.allowsPrefix(v4) {
			return b, true
		}
	}
	return block{}, false
}

// specialBlock returns the block that keeps ip from being publicly routable, if
// there is one. It is the whole built-in rule.
func specialBlock(ip netip.Addr) (block, bool) {
	for _, b := range blocks {
		if b.prefix.Contains(ip) {
			return b, true
		}
	}
	switch {
	case ip.Is4():
		return block{}, false
	case !globalUnicast.prefix.Contains(ip):
		return outsideGlobalUnicast, true
	case isISATAP(ip):
		return isatap, true
	}
	return block{}, false
}

// isISATAP reports whether the interface identifier of ip is that of RFC 5214,
// section 6.1: 00-00-5E-FE, with or without the universal bit, and then an IPv4
// address, to which an ISATAP router forwards. It can follow any prefix.
func isISATAP(ip netip.Addr) bool {
	const universal = 0x0200_0000
	b := ip.As16()
	return binary.BigEndian.Uint32(b[8:12])&^universal == 0x0000_5efe
}

// reason says what the block is, where that is written, and what to do.
func (b block) reason() string {
	return fmt.Sprintf("%v is %s (%s); use a publicly routable address, "+
		"or have the operator add it to AllowPrefixes.", b.prefix, b.name, b.source)
}
