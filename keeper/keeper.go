// Package keeper encrypts the secrets and header values of endpoints before a
// store sees them, with keys that the application keeps elsewhere:
//
//	keys, err := keeper.Parse(os.Getenv("HOOKS_KEYS"))
//	if err != nil {
//		return err
//	}
//	h, err := hooks.New(hooks.Config{Store: store, Keeper: keys})
//
// A key is an id of your choice and 32 random bytes: [NewKey] makes one, and so
// does a shell, with HOOKS_KEYS="2026-11:$(openssl rand -base64 32)".
//
// # What it protects
//
// Who reads the database or one of its backups, and has no key, learns no
// secret and no header value. A ciphertext that was altered, or that stands
// where another associated data is expected than it was made with, is refused.
//
// Payloads, URLs and everything else are stored as they are. Who can write to
// the database can put an older ciphertext back, or change the URL to which
// header values are sent. Nothing is protected from someone who reads the memory
// or the environment of a process that has the keys.
//
// # Changing the key
//
// The first key encrypts, all of them decrypt. To replace old by new without a
// moment in which a process meets a key that it does not have:
//
//  1. Deploy "old new", so that every process can read what new encrypts.
//  2. Deploy "new old", so that every process encrypts with new.
//  3. Call Hooks.Reseal, which encrypts again what old encrypted.
//  4. Deploy "new".
//
// Keep old for as long as the backups that were made before step 3. If old may
// be known to somebody, rotate the endpoints' secrets and change their header
// values too: encrypting them again does not make them unknown. Never give an
// id to a second key.
//
// A key that is lost takes with it what it encrypted. No other key and no
// setting brings that back: call Hooks.RotateSecret with a negative Overlap, which
// gives it up, and put the headers again.
//
// # Format
//
// A ciphertext is the byte 1 (the version), the length of the id in a byte, the
// id, a nonce of 12 random bytes, and what AES-256-GCM makes of the plaintext,
// its tag of 16 bytes last: 30 bytes and the id more than the plaintext. Version,
// length and id are authenticated, followed by the associated data. The length
// says where the id ends, so no two pairs of id and associated data are
// authenticated as the same bytes.
//
// Nonces are random, so a key may encrypt 2^32 times at most (NIST SP 800-38D,
// section 8.3); at ten new secrets a second that takes thirteen years. Nothing
// counts them.
package keeper

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"unicode"
)

const (
	version  = 1
	nonceLen = 12
	tagLen   = 16
)

// Reasons why [New] and [Parse] refuse keys, beside [ErrInvalidKey].
var (
	ErrNoKey       = errors.New("keeper: no key: want one or more of the form id:base64")
	ErrDuplicateID = errors.New("keeper: two keys have the same id")
)

// Reasons why [Keys.Decrypt] gives no plaintext.
var (
	// ErrUnknownKey reports a ciphertext of a key that these Keys lack. The
	// wrapping error names it.
	ErrUnknownKey = errors.New("keeper: unknown key")

	// ErrCorrupt reports what is no ciphertext, or was damaged, truncated or
	// forged, or was encrypted by another key of the same id or with other
	// associated data. AES-GCM cannot tell these apart.
	ErrCorrupt = errors.New("keeper: corrupt ciphertext")
)

// Keys encrypt with the first of them and decrypt with each. They print as
// their ids, such as "keeper(2026-11, 2025-12)".
//
// Keys are immutable and safe for concurrent use. The zero value and a nil
// pointer have no key: they encrypt and decrypt nothing.
type Keys struct {
	// sealers is a closure for the reason that [Key] has one.
	sealers func() []sealer
}

// A sealer is one key, ready for use.
type sealer struct {
	id     string
	header []byte // what its ciphertexts begin with
	aead   cipher.AEAD
}

// New returns Keys that encrypt with the first key. It refuses none at all with
// [ErrNoKey], a zero [Key] with an error that wraps [ErrInvalidKey], and an id
// that occurs twice with one that wraps [ErrDuplicateID].
func New(keys ...Key) (*Keys, error) {
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	sealers := make([]sealer, 0, len(keys))
	for i, key := range keys {
		if key.IsZero() {
			return nil, invalidKey("number %d of %d is the zero Key", i+1, len(keys))
		}
		if slices.ContainsFunc(sealers, func(s sealer) bool { return s.id == key.id }) {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateID, key.id)
		}
		s, err := newSealer(key)
		if err != nil {
			return nil, fmt.Errorf("keeper: AES-256-GCM: %w", err)
		}
		sealers = append(sealers, s)
	}
	return &Keys{func() []sealer { return sealers }}, nil
}

// Parse reads keys as [ParseKey] does, separated by commas, white space or
// both, and returns what [New] makes of them. It is meant for the text of an
// environment variable. Its errors never quote the text, but may name an id.
func Parse(text string) (*Keys, error) {
	texts := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	keys := make([]Key, len(texts))
	for i, text := range texts {
		key, err := ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%w (key %d of %d)", err, i+1, len(texts))
		}
		keys[i] = key
	}
	return New(keys...)
}

// newSealer fails where AES-GCM with a nonce of the caller's is forbidden: in
// Go's FIPS 140-only mode.
func newSealer(key Key) (sealer, error) {
	block, err := aes.NewCipher(key.bytes())
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealer{}, err
	}
	header := append([]byte{version, byte(len(key.id))}, key.id...)
	return sealer{id: key.id, header: header, aead: aead}, nil
}

// authenticated returns what the tag covers beside the plaintext.
func (s sealer) authenticated(associated []byte) []byte {
	return slices.Concat(s.header, associated)
}

func (k *Keys) all() []sealer {
	if k == nil || k.sealers == nil {
		return nil
	}
	return k.sealers()
}

// Encrypt encrypts plaintext, which may be empty, with the first key.
// [Keys.Decrypt] wants the same associated data again, which is authenticated
// and not part of the ciphertext. The same plaintext never gives the same
// ciphertext twice. The error is nil unless there is no key.
func (k *Keys) Encrypt(plaintext, associated []byte) (ciphertext []byte, err error) {
	sealers := k.all()
	if len(sealers) == 0 {
		return nil, ErrNoKey
	}
	s := sealers[0]
	n := len(s.header) + nonceLen
	out := make([]byte, n, n+len(plaintext)+tagLen)
	nonce := out[copy(out, s.header):]
	rand.Read(nonce) // never fails: it ends the program instead
	return s.aead.Seal(out, nonce, plaintext, s.authenticated(associated)), nil
}

// Decrypt returns what [Keys.Encrypt] was given, of these or other Keys with
// the same key. Its errors wrap [ErrUnknownKey] or [ErrCorrupt], and come with
// no plaintext. A ciphertext whose id was damaged into another id is one of an
// unknown key.
func (k *Keys) Decrypt(ciphertext, associated []byte) (plaintext []byte, err error) {
	header, sealed, err := split(ciphertext)
	if err != nil {
		return nil, err
	}
	sealers := k.all()
	i := slices.IndexFunc(sealers, func(s sealer) bool { return bytes.Equal(s.header, header) })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s encrypted this, and is not in %v", ErrUnknownKey, header[2:], k)
	}
	s := sealers[i]
	nonce, sealed := sealed[:nonceLen], sealed[nonceLen:]
	plaintext, err = s.aead.Open(nil, nonce, sealed, s.authenticated(associated))
	if err != nil {
		return nil, corrupt("altered, of another key named %s, or of other associated data", s.id)
	}
	return plaintext, nil
}

// Current reports whether ciphertext is of the first key, so that encrypting it
// again would gain nothing. It looks at the header only: a ciphertext that is
// current may be corrupt.
func (k *Keys) Current(ciphertext []byte) bool {
	header, _, err := split(ciphertext)
	sealers := k.all()
	return err == nil && len(sealers) > 0 && bytes.Equal(sealers[0].header, header)
}

// split returns the two parts of a ciphertext: a header with a valid id, and
// room for a nonce and a tag at least.
func split(ciphertext []byte) (header, sealed []byte, err error) {
	if len(ciphertext) < 2 {
		return nil, nil, corrupt("truncated")
	}
	if ciphertext[0] != version {
		return nil, nil, corrupt("version %d, want %d", ciphertext[0], version)
	}
	n := 2 + int(ciphertext[1])
	if len(ciphertext) < n+nonceLen+tagLen {
		return nil, nil, corrupt("truncated")
	}
	if !validID(string(ciphertext[2:n])) {
		return nil, nil, corrupt("the id of its key is none")
	}
	return ciphertext[:n], ciphertext[n:], nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// String returns the ids in order, such as "keeper(2026-11, 2025-12)".
func (k Keys) String() string {
	var ids []string
	for _, s := range k.all() {
		ids = append(ids, s.id)
	}
	return "keeper(" + strings.Join(ids, ", ") + ")"
}

// Format writes what [Keys.String] returns, whatever the verb and its flags.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns what [Keys.String] returns.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns what [Keys.String] returns.
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
