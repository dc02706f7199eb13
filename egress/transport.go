package egress

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// What [Config] falls back on, and what nobody has needed to change yet.
const (
	defaultDialTimeout    = 5 * time.Second
	defaultIdlePerHost    = 4
	defaultMaxHeaderBytes = 64 << 10

	maxIdle         = 256
	idleConnTimeout = 90 * time.Second

	// Of HTTP/2: bytes of a response that are received before somebody reads them,
	// of which net/http would allow 4 MiB; and how long a connection may take no
	// byte of ours.
	maxReceived  = 256 << 10
	writeTimeout = 5 * time.Second
)

// A Config describes a transport. The zero Config is complete and safe. Call
// [Config.Validate] before [NewTransport], which reports nothing.
type Config struct {
	// Policy says where connections may go. The zero Policy permits https to
	// public addresses.
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

	// RootCAs are the authorities whose certificates are accepted, of receivers
	// and of an https proxy. Nil means those of the operating system.
	RootCAs *x509.CertPool

	// Proxy is the URL of a CONNECT proxy, http or https, which every request
	// goes through, plain http ones too; then nothing but the proxy is connected
	// to, at whatever address it has. A user name and password in it are sent to
	// the proxy and told to nobody else; a CONNECT has no User-Agent. Nil means none:
	// the environment's HTTP_PROXY and HTTPS_PROXY are never obeyed.
	//
	// The proxy resolves the receivers' names, so Policy cannot see what they
	// resolve to: the rule about addresses is the proxy's to keep. Each request's
	// URL is still checked by [Policy.CheckURL], literal addresses included, and
	// AllowLoopback does not count, because the loopback would be the proxy's.
	Proxy *url.URL
}

// Validate reports every mistake in c at once, those of its Policy included,
// joined by [errors.Join], or nil. That of an unusable Proxy is an [ErrProxy]
// and quotes no part of the URL, which may hold a password.
//
// A transport made of a config that was never validated errs on the safe side:
// with an unusable proxy it refuses every request, with an [*Error].
func (c Config) Validate() error {
	errs := []error{c.Policy.Validate()}
	for _, n := range []struct {
		field    string
		negative bool
	}{
		{"DialTimeout", c.DialTimeout < 0},
		{"IdlePerHost", c.IdlePerHost < 0},
		{"MaxHeaderBytes", c.MaxHeaderBytes < 0},
	} {
		if n.negative {
			errs = append(errs, fmt.Errorf("egress: %s is negative; leave it zero for the default", n.field))
		}
	}
	if c.Proxy != nil {
		errs = append(errs, checkProxy(c.Proxy))
	}
	return errors.Join(errs...)
}

// NewTransport returns a transport that connects only where c.Policy permits.
// Every address is checked after its name was resolved and before a connection
// is made, so a refused address is never sent a packet. When no address was
// permitted, the error of RoundTrip is an [*Error]. With c.Proxy it connects to
// the proxy only.
//
// The transport obeys no proxy of the environment, which would do the resolving
// in our place unasked; it verifies certificates, speaks TLS 1.2 and later and
// HTTP/2, asks for no compression, and refuses http unless the policy allows it.
// Without c.Proxy it does not check the spelling of URLs: call [Policy.CheckURL]
// before each request.
//
// A host has at most 64 connections open, and two more for each of IdlePerHost; a
// request that needs another one is refused with [ErrCrowded].
//
// What a receiver says behind a response of HTTP/1 ends the connection, and is not
// written to the standard logger, as net/http does with any other transport. That does
// not hold for https through c.Proxy. Of an HTTP/2 connection net/http may write that a
// frame was unexpected, in words of its own.
//
// It begins TLS itself, as its TLSClientConfig says, which may be changed before the
// first request; a Clone goes by that of the original.
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
	d := newDialer(c, check)
	t := &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    d.timeout,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    cmp.Or(c.IdlePerHost, defaultIdlePerHost),
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: cmp.Or(c.MaxHeaderBytes, defaultMaxHeaderBytes),
		ForceAttemptHTTP2:      true, // a dialer of one's own turns it off
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: maxReceived,
			WriteByteTimeout:          writeTimeout,
		},
	}
	t.DialTLSContext = d.dialTLS(func() *tls.Config { return t.TLSClientConfig })
	if c.Proxy != nil {
		p := newProxy(c, d)
		t.Proxy, t.DialContext, t.DialTLSContext = p.route, p.dial, p.dialTLS
		t.OnProxyConnectResponse = checkConnect
		t.ProxyConnectHeader = http.Header{"User-Agent": {""}} // send none: net/http would send its own
	}
	t.DialContext = quiet(t.DialContext, t.MaxResponseHeaderBytes)
	t.DialTLSContext = quiet(t.DialTLSContext, t.MaxResponseHeaderBytes)
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
