package egress

import "net/netip"

// A block is a range of addresses that are not publicly routable.
type block struct {
	prefix netip.Prefix
	rule   string // of the Error
	name   string // what the registry calls it
	source string // where that is defined
}

// blocks are the IANA IPv4 and IPv6 special-purpose address registries, and the
// few ranges that other sources set aside. Blocks that the registries call
// globally reachable (AS112, AMT, ORCHIDv2, drone ids, NAT64, the anycast
// addresses) are here too: what answers there is infrastructure, never a
// receiver of webhooks, or a translator that NAT64 has to name.
// Where blocks nest, the narrower comes first, so that it names the error.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var blocks = []block{
	{cidr("0.0.0.0/8"), "unspecified", `"this network"`, "RFC 791"},
	{cidr("10.0.0.0/8"), "private", "private-use", "RFC 1918"},
	{cidr("100.64.0.0/10"), "shared", "shared address space of carriers and clouds", "RFC 6598"},
	{cidr("127.0.0.0/8"), "loopback", "loopback", "RFC 1122"},
	{cidr("168.63.129.16/32"), "platform", "the Azure host's own service address", "Microsoft"},
	{cidr("169.254.0.0/16"), "link-local", "link-local, where clouds serve instance metadata", "RFC 3927"},
	{cidr("172.16.0.0/12"), "private", "private-use", "RFC 1918"},
	{cidr("192.0.0.0/24"), "protocol", "IETF protocol assignments", "RFC 6890"},
	{cidr("192.0.2.0/24"), "documentation", "documentation (TEST-NET-1)", "RFC 5737"},
	{cidr("192.31.196.0/24"), "as112", "AS112-v4", "RFC 7535"},
	{cidr("192.52.193.0/24"), "amt", "AMT", "RFC 7450"},
	{cidr("192.88.99.0/24"), "6to4", "deprecated 6to4 relay anycast", "RFC 7526"},
	{cidr("192.168.0.0/16"), "private", "private-use", "RFC 1918"},
	{cidr("192.175.48.0/24"), "as112", "direct delegation AS112 service", "RFC 7534"},
	{cidr("198.18.0.0/15"), "benchmarking", "benchmarking", "RFC 2544"},
	{cidr("198.51.100.0/24"), "documentation", "documentation (TEST-NET-2)", "RFC 5737"},
	{cidr("203.0.113.0/24"), "documentation", "documentation (TEST-NET-3)", "RFC 5737"},
	{cidr("224.0.0.0/4"), "multicast", "multicast", "RFC 5771"},
	{cidr("255.255.255.255/32"), "broadcast", "limited broadcast", "RFC 919"},
	{cidr("240.0.0.0/4"), "reserved", "reserved", "RFC 1112"},

	// Outside 2000::/3. None of these rows refuses more than globalUnicast
	// does; they tell the operator what was met.
	{cidr("::/128"), "unspecified", "the unspecified address", "RFC 4291"},
	{cidr("::1/128"), "loopback", "loopback", "RFC 4291"},
	{cidr("::/96"), "embedded-ipv4", "IPv4-compatible", "RFC 4291"},
	{cidr("::ffff:0:0:0/96"), "embedded-ipv4", "IPv4-translated", "RFC 2765"},
	{cidr("64:ff9b::/96"), "nat64", "IPv4-IPv6 translation", "RFC 6052"},
	{cidr("64:ff9b:1::/48"), "nat64", "local-use IPv4-IPv6 translation", "RFC 8215"},
	{cidr("100::/64"), "discard", "discard-only", "RFC 6666"},
	{cidr("100:0:0:1::/64"), "discard", "the dummy prefix", "RFC 9780"},
	{cidr("5f00::/16"), "srv6", "segment routing (SRv6) SIDs", "RFC 9602"},
	{cidr("fc00::/7"), "private", "unique-local", "RFC 4193"},
	{cidr("fe80::/10"), "link-local", "link-local unicast", "RFC 4291"},
	{cidr("fec0::/10"), "private", "deprecated site-local", "RFC 3879"},
	{cidr("ff00::/8"), "multicast", "multicast", "RFC 4291"},

	// Inside 2000::/3.
	{cidr("2001::/32"), "teredo", "Teredo", "RFC 4380"},
	{cidr("2001:2::/48"), "benchmarking", "benchmarking", "RFC 5180"},
	{cidr("2001:3::/32"), "amt", "AMT", "RFC 7450"},
	{cidr("2001:4:112::/48"), "as112", "AS112-v6", "RFC 7535"},
	{cidr("2001:10::/28"), "orchid", "deprecated ORCHID", "RFC 4843"},
	{cidr("2001:20::/28"), "orchid", "ORCHIDv2", "RFC 7343"},
	{cidr("2001:30::/28"), "drone-id", "drone remote ID (DET)", "RFC 9374"},
	{cidr("2001::/23"), "protocol", "IETF protocol assignments", "RFC 2928"},
	{cidr("2001:db8::/32"), "documentation", "documentation", "RFC 3849"},
	{cidr("2002::/16"), "6to4", "6to4", "RFC 3056"},
	{cidr("2620:4f:8000::/48"), "as112", "direct delegation AS112 service", "RFC 7534"},
	{cidr("3ffe::/16"), "6bone", "the returned 6bone test network", "RFC 3701"},
	{cidr("3fff::/20"), "documentation", "documentation", "RFC 9637"},
}

// globalUnicast is all that IANA has handed out of IPv6 for the public Internet.
// Its complement and the ISATAP identifiers are not prefixes, so they are blocks
// that [specialBlock] knows by name, as [Policy.block] knows the last one.
var (
	globalUnicast        = block{prefix: cidr("2000::/3")}
	outsideGlobalUnicast = block{cidr("::/0"), "not-global", "outside 2000::/3, the public IPv6 Internet", "RFC 4291"}
	isatap               = block{cidr("::/0"), "isatap", "an ISATAP address, which carries an IPv4 address", "RFC 5214"}
	untranslatable       = block{cidr("::/0"), "nat64", "in a NAT64 prefix without embedding an IPv4 address", "RFC 6052"}
)

func cidr(s string) netip.Prefix { return netip.MustParsePrefix(s) }
