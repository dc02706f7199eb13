package signer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
)

// ErrInvalidKey reports a text that [ParseKeyPair] or [ParsePublicKey] refuses.
// The wrapping error says what is wrong and where, and never quotes the text.
var ErrInvalidKey = errors.New("signer: invalid key")

var keyPairForm = form{prefix: "whsk_", invalid: ErrInvalidKey}

// A KeyPair is the Ed25519 key pair of a sender. Its receivers verify with the
// [PublicKey] of it, and cannot sign.
//
// It prints as "whsk_***" wherever a [Secret] prints as "whsec_***", and
// [KeyPair.Reveal] is the only way to read it. Decoding takes the real text.
//
// The zero value is no key pair: it prints as "" and does not sign. A KeyPair is
// immutable, cheap to copy and safe for concurrent use. Compare two with
// [KeyPair.Equal]; == does not compile and reflect.DeepEqual is true for zero
// values only.
type KeyPair struct{ opaque }

// NewKeyPair returns a key pair made from 32 random bytes of [crypto/rand].
func NewKeyPair() KeyPair {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails: it ends the program instead
	return newKeyPair(seed)
}

func newKeyPair(seed []byte) KeyPair {
	return KeyPair{conceal(keyPairForm.prefix, ed25519.NewKeyFromSeed(seed))}
}

// ParseKeyPair reads a key pair as Standard Webhooks serializes it: "whsk_"
// followed by the base64, in the standard alphabet, with or without padding, of
// 64 bytes, which are the seed and its public key, or of the 32 bytes of the
// seed alone. Anything else, surrounding white space included, is an error that
// wraps [ErrInvalidKey]; so is a public key that belongs to another seed, for
// signatures made with the two would betray the private key.
func ParseKeyPair(text string) (KeyPair, error) {
	key, err := keyPairForm.decode(text)
	if err != nil {
		return KeyPair{}, err
	}
	if len(key) != ed25519.SeedSize && len(key) != ed25519.PrivateKeySize {
		return KeyPair{}, keyPairForm.refuse("it holds %d bytes, want %d or %d",
			len(key), ed25519.PrivateKeySize, ed25519.SeedSize)
	}
	pair := newKeyPair(key[:ed25519.SeedSize])
	if len(key) == ed25519.PrivateKeySize && !bytes.Equal(key, pair.key()) {
		return KeyPair{}, keyPairForm.refuse("its public key is not that of its seed")
	}
	return pair, nil
}

// Public returns what receivers verify with. The zero KeyPair has the zero
// PublicKey.
func (k KeyPair) Public() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	return PublicKey{[ed25519.PublicKeySize]byte(k.key()[ed25519.SeedSize:])}
}

// Equal reports whether both are the same key pair, in a time that tells
// nothing about their bytes. Two zero key pairs are equal.
func (k KeyPair) Equal(other KeyPair) bool { return k.equal(other.opaque) }

// UnmarshalText sets k to the key pair that [ParseKeyPair] reads from text; an
// empty text sets the zero KeyPair. After an error k is unchanged.
func (k *KeyPair) UnmarshalText(text []byte) error { return unmarshalText(k, text, ParseKeyPair) }

// UnmarshalJSON does with a JSON string what [KeyPair.UnmarshalText] does with
// its text; null leaves k as it is.
func (k *KeyPair) UnmarshalJSON(data []byte) error {
	return keyPairForm.unmarshalJSON(data, k.UnmarshalText)
}
