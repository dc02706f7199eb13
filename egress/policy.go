// Package egress decides which addresses a webhook may be sent to, and builds
// the HTTP transport that keeps to the decision.
//
// The URL of an endpoint is typed in by a stranger, and the sender usually
// stands inside a network where cloud metadata, databases and admin pages
// answer anyone who can reach them. A [Policy] therefore speaks in two layers:
//
//   - [Policy.CheckURL] is the syntax layer. It is cheap, needs no network, and
//     explains itself to the person who typed the URL. Call it when an endpoint
//     is registered and again before every attempt.
//   - [Policy.CheckAddr] is the address layer. The transport of [NewTransport]
//     asks it for every address that a host name resolved to, between making the
//     socket and connecting it, so that no answer of a name server can slip in
//     between the check and the connection (DNS rebinding).
//
// A complete use:
//
//	policy := egress.Policy{DenyPrefixes: ourOwnPublicRanges}
//	if err := policy.Validate(); err != nil {
//		return err
//	}
//	transport := egress.NewTransport(egress.Config{Policy: policy})
//
//	u, err := policy.CheckURL(endpoint.URL)
//	if err != nil {
//		return err
//	}
//	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), body)
//	if err != nil {
//		return err
//	}
//	resp, err := transport.RoundTrip(req) // RoundTrip: redirects are not followed
//
// What the package cannot know must be told to it:
//
//   - Public addresses that belong to the sender's own network: name them in
//     DenyPrefixes.
//   - A NAT64 gateway, behind which an IPv6 address is an IPv4 address in
//     disguise: name its prefix in NAT64, and such an address is judged as what
//     it embeds. Unnamed, 64:ff9b::/96 and 64:ff9b:1::/48 are refused; a prefix
//     of the operator's own looks like any other public address.
//   - A proxy that all webhooks have to leave through: [Config].Proxy. The proxy
//     then does the resolving, so the address layer for names is the proxy's to
//     keep; it must be one that does, such as smokescreen. The environment's
//     HTTP_PROXY and HTTPS_PROXY are never obeyed.
package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// A Policy says where webhooks may go. The zero Policy allows https to publicly
// routable addresses, on any port that does not belong to another protocol.
//
// A Policy is a plain value: fill it in, call [Policy.Validate] once, and treat
// it and its slices as read-only from then on. Its methods are then safe for
// concurrent use.
type Policy struct {
	// AllowHTTP permits http beside https. False means https only.
	AllowHTTP bool

	// AllowLoopback permits 127.0.0.0/8, ::1 and the name localhost with its
	// subdomains, for development and tests. Plain http still needs AllowHTTP.
	// False means that a webhook cannot reach the machine it is sent from.
	AllowLoopback bool

	// AllowPrefixes are permitted although the built-in rule would refuse them:
	// a private network with receivers of one's own, say. Nil adds nothing.
	AllowPrefixes []netip.Prefix

	// DenyPrefixes are refused whatever else is permitted; they win over
	// AllowPrefixes and AllowLoopback. Nil refuses nothing more.
	DenyPrefixes []netip.Prefix

	// NAT64 are the translation prefixes of the network that this process stands
	// in (RFC 6052): 64:ff9b::/96, or prefixes of the operator's own with a
	// length of 32, 40, 48, 56, 64 or 96. An address inside one is judged as the
	// IPv4 address that it embeds, and never by AllowLoopback; an AllowPrefixes
	// entry has to name the IPv4 address, one of DenyPrefixes may name either.
	// Nil permits no well-known translated address.
	NAT64 []netip.Prefix

	// AllowPorts are the only ports permitted, even those that the default
	// would refuse. Empty means every port but the WHATWG Fetch standard's bad
	// ports, which belong to other protocols such as SMTP and SSH.
	AllowPorts []uint16
}

// Validate reports every mistake in p at once, joined by [errors.Join], or nil.
// A prefix must be valid, masked (10.0.0.0/8, not 10.1.2.3/8) and not an
// IPv4-mapped one, which would match nothing; NAT64 must hold translation
// prefixes as RFC 6052 describes them; port 0 cannot be allowed.
//
// A policy that was never validated errs on the safe side: an invalid or mapped
// prefix allows nothing in AllowPrefixes, refuses everything in DenyPrefixes and
// all of IPv6 in NAT64, where a wrong length refuses what the prefix contains.
func (p Policy) Validate() error {
	errs := slices.Concat(
		prefixErrors("AllowPrefixes", p.AllowPrefixes),
		prefixErrors("DenyPrefixes", p.DenyPrefixes),
		prefixErrors("NAT64", p.NAT64),
		nat64Errors(p.NAT64),
	)
	for i, port := range p.AllowPorts {
		if port == 0 {
			errs = append(errs, fmt.Errorf("egress: AllowPorts[%d]: port 0 cannot be dialled", i))
		}
	}
	return errors.Join(errs...)
}

// prefixErrors returns what is wrong with the prefixes of the field.
func prefixErrors(field string, prefixes []netip.Prefix) []error {
	var errs []error
	for i, prefix := range prefixes {
		var wrong string
		switch {
		case !prefix.IsValid():
			wrong = "prefix is zero or invalid, use netip.ParsePrefix"
		case prefix.Addr().Is4In6():
			wrong = fmt.Sprintf("%v is IPv4-mapped, write it as an IPv4 prefix", prefix)
		case prefix != prefix.Masked():
			wrong = fmt.Sprintf("%v has host bits set, write %v", prefix, prefix.Masked())
		default:
			continue
		}
		errs = append(errs, fmt.Errorf("egress: %s[%d]: %s", field, i, wrong))
	}
	return errs
}

// allows reports whether the operator permits ip by name, so that the built-in
// rule has no say.
func (p *Policy) allows(ip netip.Addr) bool {
	return p.allowsPrefix(ip) || p.AllowLoopback && ip.IsLoopback()
}

// allowsPrefix reports whether ip is in AllowPrefixes.
func (p *Policy) allowsPrefix(ip netip.Addr) bool {
	for _, prefix := range p.AllowPrefixes {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// denies reports whether ip is in DenyPrefixes. A prefix that could never match
// is a mistake, and a mistake must not open a door: it denies everything.
func (p *Policy) denies(ip netip.Addr) bool {
	for _, prefix := range p.DenyPrefixes {
		if !prefix.IsValid() || prefix.Addr().Is4In6() || prefix.Contains(ip) {
			return true
		}
	}
	return false
}
