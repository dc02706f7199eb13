package keeper

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	keyLen   = 32
	maxIDLen = 64
	redacted = "***"
)

// ErrInvalidKey reports a key that is refused. The wrapping error says what is
// wrong and never quotes it.
var ErrInvalidKey = errors.New("keeper: invalid key")

var errGob = errors.New("keeper: gob would lose the key: encode Key.Reveal() on purpose")

// A Key is a 256-bit key with an id, which is no secret: ciphertexts carry it,
// and say by it which key decrypts them.
//
// A Key prints as its id and three asterisks, such as "2026-11:***", through
// package fmt with any verb, through log/slog, encoding/json, encoding/xml and
// everything else that honours [encoding.TextMarshaler]; [Key.Reveal] is the
// only way to read it. Decoding takes the real text, so configuration files can
// carry one.
//
// The zero value is no key and prints as "". A Key is immutable, cheap to copy
// and safe for concurrent use; == does not compile.
type Key struct {
	id string

	// bytes is a closure because fmt cannot call the methods of a Key in
	// another struct's unexported field, and because printers and differs that
	// work by reflection follow pointers but cannot look into a function.
	bytes func() []byte
}

// NewKey returns a key of 32 random bytes from [crypto/rand]. The id is 1 to 64
// ASCII letters, digits, '.', '-' and '_'; the month of its making does well.
// For any other the error wraps [ErrInvalidKey].
func NewKey(id string) (Key, error) {
	if !validID(id) {
		return Key{}, invalidID()
	}
	key := make([]byte, keyLen)
	rand.Read(key) // never fails: it ends the program instead
	return newKey(id, key), nil
}

func newKey(id string, key []byte) Key {
	return Key{id: id, bytes: func() []byte { return key }}
}

// ParseKey reads a key of the form "id:base64": an id as [NewKey] takes it, and
// 32 bytes in the standard alphabet, with or without padding. Anything else,
// surrounding white space included, is an error that wraps [ErrInvalidKey].
func ParseKey(text string) (Key, error) {
	id, encoded, found := strings.Cut(text, ":")
	switch {
	case text == "":
		return Key{}, invalidKey("it is empty")
	case !found:
		return Key{}, invalidKey("it has no colon, want id:base64")
	case !validID(id):
		return Key{}, invalidID()
	case encoded == redacted:
		return Key{}, invalidKey("it is the redacted form; give the key itself")
	case strings.ContainsAny(encoded, "\r\n"): // the decoder would skip them
		return Key{}, invalidKey("it has a line break")
	}
	encoding := base64.StdEncoding
	if !strings.Contains(encoded, "=") {
		encoding = base64.RawStdEncoding
	}
	key, err := encoding.Strict().DecodeString(encoded)
	if err != nil {
		return Key{}, invalidKey("what follows the colon is not standard base64")
	}
	if len(key) != keyLen {
		return Key{}, invalidKey("it holds %d bytes, want %d", len(key), keyLen)
	}
	return newKey(id, key), nil
}

func validID(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"
	return id != "" && len(id) <= maxIDLen && strings.Trim(id, alphabet) == ""
}

func invalidID() error {
	return invalidKey("its id is not 1 to %d letters, digits, '.', '-' and '_'", maxIDLen)
}

func invalidKey(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidKey, fmt.Sprintf(format, args...))
}

// ID returns the id of the key, "" for the zero Key.
func (k Key) ID() string { return k.id }

// IsZero reports whether k is the zero Key, which is no key.
func (k Key) IsZero() bool { return k.bytes == nil }

// Reveal returns the key in the form that [ParseKey] reads, with padding. The
// zero Key reveals "".
func (k Key) Reveal() string {
	if k.IsZero() {
		return ""
	}
	return k.id + ":" + base64.StdEncoding.EncodeToString(k.bytes())
}

// String returns the id, a colon and three asterisks, or "" for the zero Key.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return k.id + ":" + redacted
}

// Format writes what [Key.String] returns, whatever the verb and its flags.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns what [Key.String] returns.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns what [Key.String] returns, so what it writes cannot be
// read back.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// GobEncode always returns an error: a redacted key in a binary encoding would
// be lost without anyone seeing it.
func (k Key) GobEncode() ([]byte, error) { return nil, errGob }

// UnmarshalText sets k to the key that [ParseKey] reads from text; an empty
// text sets the zero Key. After an error k is unchanged.
func (k *Key) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = Key{}
		return nil
	}
	parsed, err := ParseKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}
