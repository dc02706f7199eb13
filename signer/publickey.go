package signer

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
)

var publicKeyForm = form{prefix: "whpk_", invalid: ErrInvalidKey}

// A PublicKey verifies what the [KeyPair] it belongs to has signed. It is no
// secret: it prints in full.
//
// The zero value is no key: it prints as "" and verifies nothing. A PublicKey is
// immutable and safe for concurrent use. Two can be compared with == and be the
// keys of a map.
type PublicKey struct {
	key [ed25519.PublicKeySize]byte
}

// ParsePublicKey reads a public key as Standard Webhooks serializes it: "whpk_"
// followed by the base64 of 32 bytes, in the standard alphabet, with or without
// padding. Anything else, surrounding white space included, is an error that
// wraps [ErrInvalidKey].
//
// So are the points of small order, for which anyone can make signatures, and
// encodings that RFC 8032 forbids. Bytes that are no point at all are accepted, and
// verify nothing.
func ParsePublicKey(text string) (PublicKey, error) {
	key, err := publicKeyForm.decode(text)
	if err != nil {
		return PublicKey{}, err
	}
	if len(key) != ed25519.PublicKeySize {
		return PublicKey{}, publicKeyForm.refuse("it holds %d bytes, want %d",
			len(key), ed25519.PublicKeySize)
	}
	p := PublicKey{[ed25519.PublicKeySize]byte(key)}
	switch y := p.y(); {
	case !isReduced(y):
		return PublicKey{}, publicKeyForm.refuse("its point is not encoded canonically")
	case isSmallOrder(y):
		return PublicKey{}, publicKeyForm.refuse("its point has a small order, with which anyone can sign")
	}
	return p, nil
}

// IsZero reports whether p is the zero PublicKey, which is no key.
func (p PublicKey) IsZero() bool { return p == PublicKey{} }

// Equal reports whether both are the same key, as == does.
func (p PublicKey) Equal(other PublicKey) bool { return p == other }

// String returns the key in the form that [ParsePublicKey] reads, with padding.
// The zero PublicKey is "".
func (p PublicKey) String() string {
	if p.IsZero() {
		return ""
	}
	return publicKeyForm.prefix + base64.StdEncoding.EncodeToString(p.key[:])
}

// MarshalText returns what [PublicKey.String] returns.
func (p PublicKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText sets p to the key that [ParsePublicKey] reads from text; an
// empty text sets the zero PublicKey. After an error p is unchanged.
func (p *PublicKey) UnmarshalText(text []byte) error {
	return unmarshalText(p, text, ParsePublicKey)
}

// A coordinate is the y of a point, the lowest byte first. With the sign of x in
// its highest bit, which is 0 here, it is how RFC 8032 encodes the point.
type coordinate [ed25519.PublicKeySize]byte

func (p PublicKey) y() coordinate {
	y := coordinate(p.key)
	y[len(y)-1] &^= 0x80
	return y
}

// isReduced reports whether y is less than 2²⁵⁵ - 19, as section 5.1.3 of RFC
// 8032 demands. crypto/ed25519 would reduce the nineteen that are not.
func isReduced(y coordinate) bool {
	const last = len(y) - 1
	for _, b := range y[1:last] {
		if b != 0xff {
			return true
		}
	}
	return y[last] != 0x7f || y[0] < 0xed
}

// isSmallOrder reports whether y is that of one of the points whose order
// divides 8. There are five such y: x and -x share theirs.
func isSmallOrder(y coordinate) bool {
	switch hex.EncodeToString(y[:]) {
	case "0100000000000000000000000000000000000000000000000000000000000000", // order 1
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": // order 8
		return true
	}
	return false
}
