package signer

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

var errGob = errors.New("signer: gob would lose the key: encode what Reveal returns, on purpose")

// opaque holds a key that nothing may show, and the prefix of its text. It is
// embedded in the types for such keys, and its methods are theirs; nil is their
// zero value.
//
// It is a closure because fmt cannot call the methods of a value in another
// struct's unexported field, and because printers and differs that work by
// reflection follow pointers but cannot look into a function.
type opaque func() (prefix string, key []byte)

func conceal(prefix string, key []byte) opaque {
	return func() (string, []byte) { return prefix, key }
}

// key returns the bytes themselves, not a copy.
func (o opaque) key() []byte {
	_, key := o()
	return key
}

func (o opaque) equal(other opaque) bool {
	if o.IsZero() || other.IsZero() {
		return o.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(o.key(), other.key()) == 1
}

// IsZero reports whether it is the zero value, which holds no key.
func (o opaque) IsZero() bool { return o == nil }

// Reveal returns the key in the form that is parsed: its prefix and base64 with
// padding. Show a key once, to whoever must configure it. The zero value
// reveals "".
func (o opaque) Reveal() string {
	if o.IsZero() {
		return ""
	}
	prefix, key := o()
	return prefix + base64.StdEncoding.EncodeToString(key)
}

// String returns the redacted form: "whsec_***" of a Secret, "whsk_***" of a
// KeyPair, "" of a zero value.
func (o opaque) String() string {
	if o.IsZero() {
		return ""
	}
	prefix, _ := o()
	return redacted(prefix)
}

func redacted(prefix string) string { return prefix + "***" }

// Format writes the redacted form, as String returns it, whatever the verb and
// its flags.
func (o opaque) Format(f fmt.State, _ rune) {
	// fmt gives a Formatter no way to return an error; the State keeps it.
	_, _ = io.WriteString(f, o.String())
}

// LogValue returns the redacted form, as String does.
func (o opaque) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText returns the redacted form, as String does, so what it writes
// cannot be read back.
func (o opaque) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// MarshalJSON returns the redacted form, as String does, as a JSON string.
func (o opaque) MarshalJSON() ([]byte, error) { return json.Marshal(o.String()) }

// GobEncode always returns an error: a redacted key in a binary encoding would
// be lost without anyone seeing it.
func (o opaque) GobEncode() ([]byte, error) { return nil, errGob }

// A form is how Standard Webhooks writes keys of one kind: a prefix, and the
// base64 of the bytes.
type form struct {
	prefix  string
	invalid error // what the refusal of a text wraps
}

// decode returns the bytes of a key that is written in the standard alphabet,
// with or without padding.
func (f form) decode(text string) ([]byte, error) {
	encoded, found := strings.CutPrefix(text, f.prefix)
	switch {
	case text == "":
		return nil, f.refuse("it is empty")
	case !found:
		return nil, f.refuse("it does not begin with %s", f.prefix)
	case text == redacted(f.prefix):
		return nil, f.refuse("it is the redacted form; give the key itself")
	}
	// The decoder skips line breaks; a key has none.
	if i := strings.IndexAny(encoded, "\r\n"); i >= 0 {
		return nil, f.refuse("line break at byte %d", len(f.prefix)+i)
	}
	encoding := base64.StdEncoding
	if !strings.Contains(encoded, "=") {
		encoding = base64.RawStdEncoding
	}
	key, err := encoding.Strict().DecodeString(encoded)
	if corrupt, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return nil, f.refuse("not standard base64 at byte %d", len(f.prefix)+int(corrupt))
	}
	return key, err
}

// refuse returns an error that says why a text is not of this form. It never
// quotes the text.
func (f form) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", f.invalid, fmt.Sprintf(format, args...))
}

// unmarshalText sets key to what parse reads from text, or to its zero value if
// text is empty. After an error key is unchanged.
func unmarshalText[K any](key *K, text []byte, parse func(string) (K, error)) error {
	var parsed K
	if len(text) > 0 {
		var err error
		if parsed, err = parse(string(text)); err != nil {
			return err
		}
	}
	*key = parsed
	return nil
}

// unmarshalJSON calls unmarshal with the text of a JSON string; it does nothing
// for null. The errors of package json might quote what they refuse.
func (f form) unmarshalJSON(data []byte, unmarshal func(text []byte) error) error {
	var text *string
	if json.Unmarshal(data, &text) != nil {
		return f.refuse("want a JSON string")
	}
	if text == nil {
		return nil
	}
	return unmarshal([]byte(*text))
}
