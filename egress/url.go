package egress

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURLBytes is the longest URL accepted. Longer ones break proxies, logs and
// database indexes long before they serve anyone.
const maxURLBytes = 2048

// A target is a URL taken apart for the rules.
type target struct {
	raw     string
	url     *url.URL   // never nil; zero when raw does not parse
	parsed  bool       // raw parses
	literal netip.Addr // the host when it is an IP address, else invalid
	name    string     // the host when it is a name: lower case, no final dot
}

// A urlRule refuses URLs by their spelling.
type urlRule struct {
	name    string
	reason  string
	refuses func(p *Policy, t *target) bool
}

const schemeReason = "Start the URL with https://."

// urlRules are asked in order, and the first that refuses names the error: a
// rule may rely on the ones above it. They are stricter than RFC 3986, because
// every spelling that two parsers read differently is a way around a check.
var urlRules = []urlRule{
	{
		"length", "Use a URL of 1 to 2,048 bytes.",
		func(_ *Policy, t *target) bool { return t.raw == "" || len(t.raw) > maxURLBytes },
	},
	{
		"ascii", "Use printable ASCII only: write an international host name as punycode (xn--…) " +
			"and percent-encode everything else.",
		func(_ *Policy, t *target) bool { return !isPrintable(t.raw) },
	},
	{
		"backslash", "Remove the backslash, or write it as %5C.",
		func(_ *Policy, t *target) bool { return strings.Contains(t.raw, `\`) },
	},
	{
		"syntax", "Write a complete URL such as https://example.com/webhooks.",
		func(_ *Policy, t *target) bool { return !t.parsed },
	},
	{
		"scheme", schemeReason,
		func(p *Policy, t *target) bool {
			return t.url.Scheme != "https" && !(p.AllowHTTP && t.url.Scheme == "http")
		},
	},
	{
		"userinfo", "Remove the user name and password before the @; " +
			"webhooks are authenticated by their signature.",
		func(_ *Policy, t *target) bool { return t.url.User != nil },
	},
	{
		"fragment", "Remove the # and what follows it; it is never sent.",
		func(_ *Policy, t *target) bool { return strings.Contains(t.raw, "#") },
	},
	{
		"zone", "Remove the zone after the % from the IPv6 address.",
		func(_ *Policy, t *target) bool { return strings.Contains(t.url.Host, "%") },
	},
	{
		"numeric-host", "Write an IPv4 address as four decimal numbers without leading zeros, " +
			"or use a host name whose last part is not a number.",
		func(_ *Policy, t *target) bool { return !t.literal.IsValid() && endsInNumber(t.name) },
	},
	{
		"host", "Use a host name of letters, digits, hyphens and dots, such as example.com.",
		func(_ *Policy, t *target) bool { return !t.literal.IsValid() && !isHostName(t.name) },
	},
	{
		"localhost", "Use a host name that other machines can reach; localhost is the sender itself.",
		func(p *Policy, t *target) bool { return !p.AllowLoopback && isLocalhost(t.name) },
	},
	{
		"port-syntax", "Write the port as a plain number from 1 to 65535, or leave out the colon.",
		func(_ *Policy, t *target) bool { _, ok := t.port(); return !ok },
	},
	{
		"port", portReason,
		func(p *Policy, t *target) bool { port, _ := t.port(); return !p.allowsPort(port) },
	},
}

// CheckURL parses raw and asks every rule that needs no name server. The URL it
// returns has a host, no userinfo and no fragment. A host that is a literal IP
// address has also passed [Policy.CheckAddr]; a host name has not, because only
// what it resolves to at the moment of the call counts. Every error is an
// [*Error].
func (p Policy) CheckURL(raw string) (*url.URL, error) {
	t := parseTarget(raw)
	for _, rule := range urlRules {
		if rule.refuses(&p, t) {
			return nil, &Error{Rule: rule.name, Reason: rule.reason}
		}
	}
	if t.literal.IsValid() {
		port, _ := t.port()
		if err := p.CheckAddr(netip.AddrPortFrom(t.literal, port)); err != nil {
			return nil, err
		}
	}
	return t.url, nil
}

// parseTarget takes raw apart. It judges nothing.
func parseTarget(raw string) *target {
	u, err := url.Parse(raw)
	if err != nil {
		return &target{raw: raw, url: &url.URL{}}
	}
	t := targetOf(u)
	t.raw, t.parsed = raw, true
	return t
}

// targetOf returns what is known of u without its text.
func targetOf(u *url.URL) *target {
	t := &target{url: u}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.Is6() == strings.HasPrefix(u.Host, "[") {
		t.literal = ip
		return t
	}
	t.name = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return t
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// port returns the port that t names or its scheme implies, or false if it is
// spelled in any way but the plain one.
func (t *target) port() (uint16, bool) {
	text := t.url.Port()
	if text == "" {
		if strings.HasSuffix(t.url.Host, ":") {
			return 0, false
		}
		text = defaultPorts[t.url.Scheme]
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0 && text[0] != '0'
}

// isPrintable reports whether s is printable ASCII without spaces.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isHostName reports whether name is dot-separated labels of letters, digits,
// hyphens and underscores, within the lengths of RFC 1035. Underscores are not
// legal in host names, but name servers serve them and receivers use them.
func isHostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, lowerAlnum+"-_") != "" {
			return false
		}
	}
	return true
}

const (
	digits     = "0123456789"
	lowerAlnum = digits + "abcdefghijklmnopqrstuvwxyz"
)

// endsInNumber is the WHATWG URL standard's "ends in a number" check: such a
// name is an IPv4 address to inet_aton, to browsers and to some resolvers, in
// octal, in hexadecimal or with parts left out.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, digits+"abcdef") == ""
	}
	return last != "" && strings.Trim(last, digits) == ""
}

// isLocalhost reports whether name is special by RFC 6761, section 6.3.
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
