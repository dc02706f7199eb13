package egress

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// What [Config] falls back on, and what nobody has needed to change yet.
const (
	defaultDialTimeout    = 5 * time.Second
	defaultIdlePerHost    = 4
	defaultMaxHeaderBytes = 64 << 10

	maxIdle         = 256
	idleConnTimeout = 90 * time.Second
)

// A Config describes a transport. The zero Config is complete and safe.
type Config struct {
	// Policy says where connections may go. The zero Policy permits https to
	// public addresses. Validate it first: NewTransport does not.
	Policy Policy

	// DialTimeout bounds looking up the name and connecting, all addresses
	// together, and then once more the TLS handshake. Zero means 5 seconds.
	DialTimeout time.Duration

	// IdlePerHost is the number of idle connections kept for each host; set it
	// to the number of requests that one endpoint gets at a time. Zero means 4.
	// At most 256 are kept in all, each for at most 90 seconds.
	IdlePerHost int

	// MaxHeaderBytes is the size at which a response header is given up as an
	// error, in bytes. Zero means 65,536.
	MaxHeaderBytes int64

	// Resolver looks up host names. Nil means [net.DefaultResolver].
	Resolver *net.Resolver

	// RootCAs are the authorities whose certificates are accepted. Nil means
	// those of the operating system.
	RootCAs *x509.CertPool

	// Refused, when not nil, is told about names that resolved to an address
	// which the policy refused: at most once per connection attempt, with the
	// first such address, even if another address of the name was permitted.
	// It is meant for the operator's log. It is called from the goroutine that
	// dials, from several at a time, and delays the attempt while it runs.
	Refused func(host string, err *Error)
}

// NewTransport returns a transport that connects only where c.Policy permits.
// Every address is checked after its name was resolved and before a connection
// is made, so a refused address is never sent a packet. When no address was
// permitted, the error of RoundTrip is an [*Error].
//
// The transport obeys no proxy of the environment, which would do the resolving
// in our place; it verifies certificates, speaks TLS 1.2 and later and HTTP/2,
// asks for no compression, and refuses http unless the policy allows it. It does
// not check the spelling of URLs: call [Policy.CheckURL] before each request.
//
// Call its RoundTrip method directly. An [http.Client] follows redirects, which
// would hand the body and its signature to whomever the receiver names, unless
// its CheckRedirect returns [http.ErrUseLastResponse].
//
// A connection that is open when a policy changes stays open. To apply another
// policy, make another transport and call CloseIdleConnections on this one.
func NewTransport(c Config) *http.Transport {
	return newTransport(c, c.Policy.CheckAddr)
}

// newTransport is NewTransport with the address layer as an argument.
func newTransport(c Config, check func(netip.AddrPort) error) *http.Transport {
	timeout := cmp.Or(c.DialTimeout, defaultDialTimeout)
	d := &dialer{
		net:     net.Dialer{Resolver: c.Resolver},
		timeout: timeout,
		check:   check,
		refused: c.Refused,
	}
	t := &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    timeout,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    cmp.Or(c.IdlePerHost, defaultIdlePerHost),
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: cmp.Or(c.MaxHeaderBytes, defaultMaxHeaderBytes),
		ForceAttemptHTTP2:      true, // a dialer of one's own turns it off
	}
	if !c.Policy.AllowHTTP {
		t.RegisterProtocol("http", noPlaintext{})
	}
	return t
}

// noPlaintext answers for http when the policy asks for https, so that a caller
// who forgot CheckURL sends nothing in the clear.
type noPlaintext struct{}

func (noPlaintext) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, &Error{Rule: "scheme", Reason: schemeReason}
}
