package egress

import (
	"errors"
	"net/netip"
)

// ErrDenied is what errors.Is finds in every [*Error], however deeply a client
// wrapped it.
var ErrDenied = errors.New("destination not allowed")

// An Error says that a policy refused a destination, by which rule and why. Its
// text may be shown to the person who typed the URL; its fields are for the
// operator's log.
type Error struct {
	// Rule is the short, stable name of the rule: "scheme", "userinfo",
	// "numeric-host", "port", "loopback", "private" and so on.
	Rule string

	// Reason is a sentence or two that says what is wrong and what to do.
	Reason string

	// Addr is the address that was refused, with IPv4-mapped forms unmapped. It
	// is zero when a rule about the URL refused, before any address was known.
	Addr netip.AddrPort
}

// Error returns "destination not allowed", followed by the reason when a rule
// about the URL refused. About a refused address it says nothing more: what a
// name resolves to inside the sender's network is not the subscriber's business.
func (e *Error) Error() string {
	if e.Addr.Addr().IsValid() {
		return ErrDenied.Error()
	}
	return ErrDenied.Error() + ": " + e.Reason
}

// Unwrap returns [ErrDenied].
func (e *Error) Unwrap() error { return ErrDenied }
