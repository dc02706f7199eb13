package signer

import (
	"crypto/rand"
	"errors"
)

const (
	minSecretLen = 24
	maxSecretLen = 64
	newSecretLen = 32
)

// ErrInvalidSecret reports a text that [ParseSecret] refuses. The wrapping
// error says what is wrong and where, and never quotes the text.
var ErrInvalidSecret = errors.New("signer: invalid secret")

var secretForm = form{prefix: "whsec_", invalid: ErrInvalidSecret}

// A Secret is the symmetric key that a sender and a receiver share.
//
// It prints as "whsec_***" through package fmt with any verb, through log/slog,
// encoding/json, encoding/xml and everything else that honours
// [encoding.TextMarshaler]; [Secret.Reveal] is the only way to read it.
// Decoding takes the real text, so configuration files and API requests can
// carry one.
//
// The zero value is no secret: it prints as "" and neither signs nor verifies.
// A Secret is immutable, cheap to copy and safe for concurrent use. Compare
// two with [Secret.Equal]; == does not compile and reflect.DeepEqual is true
// for zero values only.
type Secret struct{ opaque }

// NewSecret returns a secret of 32 random bytes from [crypto/rand].
func NewSecret() Secret {
	key := make([]byte, newSecretLen)
	rand.Read(key) // never fails: it ends the program instead
	return newSecret(key)
}

func newSecret(key []byte) Secret { return Secret{conceal(secretForm.prefix, key)} }

// ParseSecret reads a secret as Standard Webhooks serializes it: "whsec_"
// followed by the base64 of 24 to 64 bytes, in the standard alphabet, with or
// without padding. Anything else, surrounding white space included, is an
// error that wraps [ErrInvalidSecret].
func ParseSecret(text string) (Secret, error) {
	key, err := secretForm.decode(text)
	if err != nil {
		return Secret{}, err
	}
	if len(key) < minSecretLen || len(key) > maxSecretLen {
		return Secret{}, secretForm.refuse("it holds %d bytes, want %d to %d",
			len(key), minSecretLen, maxSecretLen)
	}
	return newSecret(key), nil
}

// Equal reports whether both are the same secret, in a time that tells nothing
// about their bytes. Two zero secrets are equal.
func (s Secret) Equal(other Secret) bool { return s.equal(other.opaque) }

// UnmarshalText sets s to the secret that [ParseSecret] reads from text; an
// empty text sets the zero Secret. After an error s is unchanged.
func (s *Secret) UnmarshalText(text []byte) error { return unmarshalText(s, text, ParseSecret) }

// UnmarshalJSON does with a JSON string what [Secret.UnmarshalText] does with
// its text; null leaves s as it is.
func (s *Secret) UnmarshalJSON(data []byte) error {
	return secretForm.unmarshalJSON(data, s.UnmarshalText)
}
