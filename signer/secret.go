package signer

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	secretPrefix = "whsec_"
	redacted     = secretPrefix + "***"

	minKeyLen = 24
	maxKeyLen = 64
	newKeyLen = 32
)

// ErrInvalidSecret reports a text that [ParseSecret] refuses. The wrapping
// error says what is wrong and where, and never quotes the text.
var ErrInvalidSecret = errors.New("signer: invalid secret")

var errGob = errors.New("signer: gob would lose the secret: encode Secret.Reveal() on purpose")

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
type Secret struct {
	// key is a closure because fmt cannot call the methods of a Secret in
	// another struct's unexported field, and because printers and differs that
	// work by reflection follow pointers but cannot look into a function.
	key func() []byte
}

// NewSecret returns a secret of 32 random bytes from [crypto/rand].
func NewSecret() Secret {
	key := make([]byte, newKeyLen)
	rand.Read(key) // never fails: it ends the program instead
	return newSecret(key)
}

func newSecret(key []byte) Secret {
	return Secret{key: func() []byte { return key }}
}

// ParseSecret reads a secret as Standard Webhooks serializes it: "whsec_"
// followed by the base64 of 24 to 64 bytes, in the standard alphabet, with or
// without padding. Anything else, surrounding white space included, is an
// error that wraps [ErrInvalidSecret].
func ParseSecret(text string) (Secret, error) {
	encoded, found := strings.CutPrefix(text, secretPrefix)
	switch {
	case text == "":
		return Secret{}, invalidSecret("it is empty")
	case !found:
		return Secret{}, invalidSecret("it does not begin with whsec_")
	case text == redacted:
		return Secret{}, invalidSecret("it is the redacted form; give the secret itself")
	}
	key, err := decodeKey(encoded)
	if err != nil {
		return Secret{}, err
	}
	if len(key) < minKeyLen || len(key) > maxKeyLen {
		return Secret{}, invalidSecret("it holds %d bytes, want %d to %d",
			len(key), minKeyLen, maxKeyLen)
	}
	return newSecret(key), nil
}

func decodeKey(encoded string) ([]byte, error) {
	// The decoder skips line breaks; a secret has none.
	if i := strings.IndexAny(encoded, "\r\n"); i >= 0 {
		return nil, invalidSecret("line break at byte %d", len(secretPrefix)+i)
	}
	encoding := base64.StdEncoding
	if !strings.Contains(encoded, "=") {
		encoding = base64.RawStdEncoding
	}
	key, err := encoding.Strict().DecodeString(encoded)
	if corrupt, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return nil, invalidSecret("not standard base64 at byte %d",
			len(secretPrefix)+int(corrupt))
	}
	return key, err
}

func invalidSecret(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidSecret, fmt.Sprintf(format, args...))
}

// Reveal returns the secret in the form that [ParseSecret] reads, with padding.
// Show it once, to whoever must configure the other side. The zero Secret
// reveals "".
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.key())
}

// IsZero reports whether s is the zero Secret, which is no secret.
func (s Secret) IsZero() bool { return s.key == nil }

// Equal reports whether both are the same secret, in a time that tells nothing
// about their bytes. Two zero secrets are equal.
func (s Secret) Equal(other Secret) bool {
	if s.IsZero() || other.IsZero() {
		return s.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(s.key(), other.key()) == 1
}

// String returns "whsec_***", or "" for the zero Secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString returns what [Secret.String] returns.
func (s Secret) GoString() string { return s.String() }

// Format writes what [Secret.String] returns, whatever the verb and its flags.
func (s Secret) Format(f fmt.State, _ rune) {
	// fmt gives a Formatter no way to return an error; the State keeps it.
	_, _ = io.WriteString(f, s.String())
}

// LogValue returns what [Secret.String] returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what [Secret.String] returns, so what it writes cannot be
// read back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns what [Secret.String] returns, as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// GobEncode always returns an error: a redacted secret in a binary encoding
// would be lost without anyone seeing it.
func (s Secret) GobEncode() ([]byte, error) { return nil, errGob }

// UnmarshalText sets s to the secret that [ParseSecret] reads from text; an
// empty text sets the zero Secret. After an error s is unchanged.
func (s *Secret) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Secret{}
		return nil
	}
	parsed, err := ParseSecret(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// UnmarshalJSON does with a JSON string what [Secret.UnmarshalText] does with
// its text; null leaves s as it is.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text *string
	if json.Unmarshal(data, &text) != nil {
		return invalidSecret("want a JSON string")
	}
	if text == nil {
		return nil
	}
	return s.UnmarshalText([]byte(*text))
}
