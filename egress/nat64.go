package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// nat64Lengths are the lengths that RFC 6052, section 2.2, knows, in bits.
var nat64Lengths = []int{32, 40, 48, 56, 64, 96}

// uOctet is the index of bits 64 to 71, which an IPv4 address steps over and
// which are zero in every address that embeds one.
const uOctet = 8

// translations returns the IPv4 addresses that ip stands for: one for each
// prefix of NAT64 that contains it, and none if it is an address like any
// other. It returns false if ip lies in such a prefix and yet embeds nothing.
//
// A prefix that could never match is a mistake, and a mistake must not open a
// door: it takes all of IPv6 and translates nothing.
func (p *Policy) translations(ip netip.Addr) (v4s []netip.Addr, ok bool) {
	if !ip.Is6() {
		return nil, true
	}
	for _, prefix := range p.NAT64 {
		if !prefix.Addr().Is6() || prefix.Addr().Is4In6() {
			return nil, false
		}
		if !prefix.Contains(ip) {
			continue
		}
		v4, found := embedded(ip, prefix.Bits())
		if !found {
			return nil, false
		}
		v4s = append(v4s, v4)
	}
	return v4s, true
}

// embedded returns the IPv4 address that ip carries after a prefix of the given
// length: RFC 6052, section 2.2. What follows the address is ignored, as
// translators do.
func embedded(ip netip.Addr, bits int) (netip.Addr, bool) {
	from := ip.As16()
	if from[uOctet] != 0 || !slices.Contains(nat64Lengths, bits) {
		return netip.Addr{}, false
	}
	var v4 [4]byte
	next := bits / 8
	for i := range v4 {
		if next == uOctet {
			next++
		}
		v4[i] = from[next]
		next++
	}
	return netip.AddrFrom4(v4), true
}

// nat64Errors returns what is wrong with prefixes as translation prefixes,
// where [prefixErrors] found nothing wrong with them as prefixes.
func nat64Errors(prefixes []netip.Prefix) []error {
	var errs []error
	for i, prefix := range prefixes {
		var wrong string
		switch {
		case !prefix.IsValid() || prefix.Addr().Is4In6():
			continue
		case prefix.Addr().Is4():
			wrong = fmt.Sprintf("%v is an IPv4 prefix, write the IPv6 prefix that the gateway translates", prefix)
		case !slices.Contains(nat64Lengths, prefix.Bits()):
			wrong = fmt.Sprintf("%v has a length that RFC 6052 does not know, use 32, 40, 48, 56, 64 or 96", prefix)
		case prefix.Masked().Addr().As16()[uOctet] != 0:
			wrong = fmt.Sprintf("%v has bits set from 64 to 71, which RFC 6052 keeps zero", prefix)
		default:
			continue
		}
		errs = append(errs, fmt.Errorf("egress: NAT64[%d]: %s", i, wrong))
	}
	return errs
}
