package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAddrs is the number of addresses of one name that are considered for one
// connection. A name server may answer with hundreds, to turn each attempt into
// a scan of somebody's network.
const maxAddrs = 16

// errNoAnswer stands in for the errors of permitted addresses when the dialer
// reports that of a refused one, which it happened to try first.
var errNoAnswer = errors.New("no permitted address answered")

// A dialer connects to hosts by name, asking check about each address.
type dialer struct {
	net     net.Dialer // the template: each dial has a copy with its own control
	timeout time.Duration
	check   func(netip.AddrPort) error
	conns   *conns
}

// newDialer returns the dialer of a transport, with an address layer.
func newDialer(c Config, check func(netip.AddrPort) error) *dialer {
	most := 2*cmp.Or(c.IdlePerHost, defaultIdlePerHost) + spareConns
	if c.Proxy != nil { // it stands for all hosts
		most += maxIdle
	}
	return &dialer{
		net:     net.Dialer{Resolver: c.Resolver},
		timeout: cmp.Or(c.DialTimeout, defaultDialTimeout),
		check:   check,
		conns:   newConns(most),
	}
}

// DialContext connects to a host, if that has not too many connections already.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !d.conns.enter(address) {
		return nil, ErrCrowded
	}
	leave := sync.OnceFunc(func() { d.conns.leave(address) })
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		leave()
		return nil, err
	}
	return countedConn{conn, leave}, nil
}

// dial resolves and connects as [net.Dialer] does, trying one permitted address
// after the other. If the policy refused all that the name resolved to, the error is
// the [*Error] itself, without net's wrapping, whose text would show the address.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	r := &ruling{check: d.check}
	dialer := d.net
	dialer.ControlContext = r.control
	conn, err := dialer.DialContext(ctx, network, address)

	refusal, permitted := r.result()
	switch {
	case refusal != nil && !permitted:
		return nil, refusal
	case errors.Is(err, ErrDenied):
		return nil, &net.OpError{Op: "dial", Net: network, Err: cmp.Or(ctx.Err(), errNoAnswer)}
	}
	return conn, err
}

// dialTLS returns the function that connects to hosts which speak TLS, as config then
// says. It does what net/http does without it, the calls of a trace included.
func (d *dialer) dialTLS(config func() *tls.Config) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := cmp.Or(config().Clone(), new(tls.Config))
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(address)
		}
		trace := httptrace.ContextClientTrace(ctx)
		if trace != nil && trace.TLSHandshakeStart != nil {
			trace.TLSHandshakeStart()
		}
		client, err := d.secure(ctx, conn, c)
		if trace != nil && trace.TLSHandshakeDone != nil {
			trace.TLSHandshakeDone(client.ConnectionState(), err)
		}
		if err != nil {
			return nil, err
		}
		return client, nil
	}
}

// secure speaks TLS on conn from now on, or closes it. The connection that it returns is
// never nil.
func (d *dialer) secure(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		conn.Close()
		return client, err
	}
	return client, nil
}

// A ruling is what was decided about the addresses of one dial. The dialer races
// IPv4 against IPv6, so two goroutines may ask at a time.
type ruling struct {
	check func(netip.AddrPort) error
	asked atomic.Int32

	mu        sync.Mutex // guards what follows
	permitted bool
	refusal   *Error // the first
}

// control is the dialer's ControlContext: it runs between making the socket and
// connecting it, with the very address that will be connected to.
func (r *ruling) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	if r.asked.Add(1) > maxAddrs {
		return ErrDenied
	}
	addr, _ := netip.ParseAddrPort(address) // a zero addr is refused by the policy
	err := r.check(addr)
	refusal, refused := errors.AsType[*Error](err)

	r.mu.Lock()
	defer r.mu.Unlock()
	if refused {
		r.refusal = cmp.Or(r.refusal, refusal)
	} else {
		r.permitted = true
	}
	return err
}

// result returns the first refusal, if any, and whether any address was
// permitted.
func (r *ruling) result() (refusal *Error, permitted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refusal, r.permitted
}
