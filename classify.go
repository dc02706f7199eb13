package hooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"
	"unicode/utf8"

	"example.com/hooks/egress"
)

// classes names what can go wrong with a request, by the type of its error;
// the first that fits counts.
var classes = []struct {
	name string
	is   func(error) bool
}{
	{"destination not allowed", is(egress.ErrDenied)},
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

// logRefused tells the operator which address was refused, for the subscriber
// is not to learn what the internal network looks like.
func (h *Hooks) logRefused(j job, err error) {
	if e, ok := errors.AsType[*egress.Error](err); ok {
		h.log.Warn("hooks: destination not allowed", "delivery", j.DeliveryID.String(), "rule", e.Rule, "address", e.Addr.String())
	}
}

const (
	maxHeaders     = 20
	maxHeaderBytes = 4 << 10
)

var (
	// RFC 9110, section 5.6.2: what a field's name is made of.
	token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$")
	// What hooks sends itself, what belongs to the connection, and what would
	// give a receiver the sender's authority.
	reserved = regexp.MustCompile(`(?i)^(webhook-.*|content-.*|proxy-.*|sec-.*|host|user-agent|cookie|connection|` +
		`keep-alive|te|trailer|transfer-encoding|upgrade|expect|accept-encoding|date)$`)
)

// checkHeader refuses custom headers that are malformed or not theirs to set.
func checkHeader(header map[string]string) error {
	if len(header) > maxHeaders {
		return invalid("Endpoint.Header", "%d fields; at most %d", len(header), maxHeaders)
	}
	size, seen := 0, make(map[string]bool)
	for name, value := range header {
		lower := strings.ToLower(name)
		size += len(name) + len(value)
		switch {
		case !token.MatchString(name):
			return invalid("Endpoint.Header", "%q is no header name", name)
		case reserved.MatchString(name):
			return invalid("Endpoint.Header", "%q is not yours to set; choose a name of your own, such as X-%s", name, name)
		case seen[lower]:
			return invalid("Endpoint.Header", "%q is there twice in different case", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return invalid("Endpoint.Header", "the value of %q has a control character", name)
		case !utf8.ValidString(value):
			return invalid("Endpoint.Header", "the value of %q is not UTF-8", name)
		}
		seen[lower] = true
	}
	if size > maxHeaderBytes {
		return invalid("Endpoint.Header", "%d bytes; at most %d", size, maxHeaderBytes)
	}
	return nil
}
