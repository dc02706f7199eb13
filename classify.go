package hooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"

	"example.com/hooks/egress"
	"example.com/hooks/internal/lanes"
)

// classes names what can go wrong with a request, by the type of its error;
// the first that fits counts.
var classes = []struct {
	name string
	is   func(error) bool
}{
	{"destination not allowed", is(egress.ErrDenied)},
	{"proxy", is(egress.ErrRefused)},
	{"too many connections", is(egress.ErrCrowded)},
	{"dns", as[*net.DNSError]},
	{"certificate", as[*tls.CertificateVerificationError]},
	{"certificate", as[x509.UnknownAuthorityError]},
	{"tls", as[tls.RecordHeaderError]},
	{"tls", isAlert},
	{"connection refused", is(syscall.ECONNREFUSED)},
	{"unreachable", is(syscall.EHOSTUNREACH)},
	{"unreachable", is(syscall.ENETUNREACH)},
	{"connection reset", is(syscall.ECONNRESET)},
	{"connection reset", is(syscall.EPIPE)},
	{"connection closed", is(io.EOF)},
	{"connection closed", is(io.ErrUnexpectedEOF)},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isAlert reports whether err is an alert of TLS, received or sent: crypto/tls
// gives those of TCP connections no type but this Op.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

// classify names the failure of a request that was made under ctx.
func classify(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return classTimeout
	}
	for _, c := range classes {
		if c.is(err) {
			return c.name
		}
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return classTimeout
	}
	return "protocol"
}

// blame returns what an attempt that failed says about its receiver.
func blame(a *Attempt) lanes.Result {
	switch a.Code {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return lanes.Overloaded
	}
	if a.Error == classTimeout {
		return lanes.Overloaded
	}
	return lanes.Failed
}

// refused tells the operator which address was refused, if err says so. The subscriber
// is not told, because it must not learn what the internal network looks like.
func (l attemptLog) refused(id DeliveryID, err error) {
	if e, ok := errors.AsType[*egress.Error](err); ok {
		args := []any{"rule", e.Rule, "reason", e.Reason}
		if e.Addr.IsValid() { // a host name was refused before it was resolved
			args = append(args, "address", e.Addr.String())
		}
		l.write(slog.LevelWarn, "hooks: destination not allowed", id, args...)
	}
}
