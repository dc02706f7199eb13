// Package signer signs webhooks and verifies them, as the Standard Webhooks
// specification (https://www.standardwebhooks.com) defines it: scheme v1,
// HMAC-SHA256 with a [Secret] that sender and receiver share, and scheme v1a,
// Ed25519 with the sender's [KeyPair], of which receivers have the [PublicKey].
//
// A sender signs each attempt anew. That sets three headers of the request:
//
//	err := signer.Signer{Secrets: secrets}.SignTo(req.Header, id, time.Now(), body)
//
// A receiver reads the whole body, and verifies it before parsing any of it:
//
//	err := signer.Verifier{Secrets: secrets}.Verify(req.Header, body, time.Now())
//
// Whoever has a secret can also sign with it. With key pairs only the sender can:
// it sets [Signer]'s KeyPairs, its receivers set [Verifier]'s PublicKeys, and one
// pair may serve them all. That costs a copy of the body and many times the
// computing, most of all to verify. A sender that has both sends both kinds of
// signatures, and its receivers choose.
//
// What is signed is the id, the timestamp and the body, joined by full stops.
// A valid signature can be sent again by whoever saw it, for as long as its
// timestamp is within the [Verifier]'s tolerance: a receiver that must act once
// remembers the ids it has handled.
package signer

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// The headers of a Standard Webhook, in the lower case of the specification.
// The methods of [net/http.Header] find them in any case.
const (
	// HeaderID carries the id of the event: the same for every attempt, so
	// that receivers can recognize a repetition.
	HeaderID = "webhook-id"

	// HeaderTimestamp carries the time of this attempt, in seconds since 1970.
	HeaderTimestamp = "webhook-timestamp"

	// HeaderSignature carries one or more signatures, separated by spaces.
	HeaderSignature = "webhook-signature"
)

const (
	// The versions stand before the comma of a signature: v1 is HMAC-SHA256,
	// v1a is Ed25519.
	versionV1  = "v1"
	versionV1a = "v1a"

	maxIDLen = 128

	// maxSignatures bounds what a Signer signs with and the signatures of each
	// version that a Verifier tries, so that it accepts whatever the former
	// sends.
	maxSignatures = 16

	// maxUnix, in November 5138, is the last second with eleven digits:
	// a timestamp in milliseconds has thirteen.
	maxUnix       = 99_999_999_999
	maxUnixDigits = 11
)

// The same as [http.Header] has them, so that setting them costs no conversion.
var (
	canonicalID        = http.CanonicalHeaderKey(HeaderID)
	canonicalTimestamp = http.CanonicalHeaderKey(HeaderTimestamp)
	canonicalSignature = http.CanonicalHeaderKey(HeaderSignature)
)

// What [Signer.Sign] reports, to be tested with [errors.Is]; the wrapping
// errors say more.
var (
	// ErrNoKey reports a [Signer] or a [Verifier] without secrets and keys,
	// or with a zero value among them.
	ErrNoKey = errors.New("signer: no secret")

	// ErrInvalidID reports an id that is not 1 to 128 letters, digits, '-' or
	// '_' of ASCII.
	ErrInvalidID = errors.New("signer: invalid id")
)

// A Signer makes the signatures of a sender. It is safe for concurrent use as
// long as nobody changes its fields.
type Signer struct {
	// Secrets make v1 signatures, each of them, newest first. During a rotation
	// the old secret stays behind the new one until every receiver has changed.
	// Together with KeyPairs they are 1 to 16.
	Secrets []Secret

	// KeyPairs make v1a signatures in the same way.
	KeyPairs []KeyPair
}

// SignTo signs a request with the given id and body that is sent at a time, and sets
// [HeaderID], [HeaderTimestamp] and [HeaderSignature] in its header, which must not be
// nil. It replaces what they were. The body is signed as it is: send exactly these bytes.
//
// The errors are those of [Signer.Sign]. After one, the header is as it was.
func (s Signer) SignTo(header http.Header, id string, at time.Time, body []byte) error {
	timestamp, signature, err := s.sign(id, at, body)
	if err != nil {
		return err
	}
	header.Set(canonicalID, id)
	header.Set(canonicalTimestamp, timestamp)
	header.Set(canonicalSignature, signature)
	return nil
}

// Sign returns the value of [HeaderSignature] for a request with the given id
// and body that is sent at t: a signature per secret, then one per key pair, each
// newest first, separated by spaces. Only the whole seconds of t are signed, and
// [HeaderTimestamp] must carry the same ones. The body is signed as it is: send
// exactly these bytes. [Signer.SignTo] sets all three headers.
//
// The error wraps [ErrNoKey], [ErrInvalidID], [ErrInvalidSecret] for more
// than 16 secrets and key pairs, or [ErrTimestamp] for a t before 1970 or after
// 5138.
func (s Signer) Sign(id string, t time.Time, body []byte) (string, error) {
	_, signature, err := s.sign(id, t, body)
	return signature, err
}

// sign returns the values of [HeaderTimestamp] and [HeaderSignature].
func (s Signer) sign(id string, t time.Time, body []byte) (timestamp, signature string, err error) {
	if err := checkKeys(s.Secrets, s.KeyPairs, "KeyPairs"); err != nil {
		return "", "", err
	}
	if n := len(s.Secrets) + len(s.KeyPairs); n > maxSignatures {
		return "", "", secretForm.refuse("%d are too many to sign with, keep the newest %d",
			n, maxSignatures)
	}
	if fault := idFault(id); fault != "" {
		return "", "", fmt.Errorf("%w: %s", ErrInvalidID, fault)
	}
	unix := t.Unix()
	if unix < 0 || unix > maxUnix {
		return "", "", fmt.Errorf("%w: year %d, want 1970 to 5138", ErrTimestamp, t.Year())
	}
	timestamp = strconv.FormatInt(unix, 10)
	return timestamp, s.line(signedPrefix(id, timestamp), body), nil
}

// line returns the signatures of prefix and body.
func (s Signer) line(prefix, body []byte) string {
	line := make([]byte, 0, len(s.Secrets)*v1FieldLen+len(s.KeyPairs)*v1aFieldLen)
	var sum [sha256.Size]byte
	for _, secret := range s.Secrets {
		line = appendField(line, versionV1, appendV1(sum[:0], secret, prefix, body))
	}
	if len(s.KeyPairs) > 0 {
		message := slices.Concat(prefix, body)
		for _, pair := range s.KeyPairs {
			line = appendField(line, versionV1a, ed25519.Sign(pair.key(), message))
		}
	}
	return string(line[:len(line)-1])
}

const (
	v1FieldLen  = len(versionV1+", ") + v1TextLen
	v1aFieldLen = len(versionV1a+", ") + v1aTextLen

	// Both lengths are those of padded base64.
	v1TextLen  = (sha256.Size + 2) / 3 * 4
	v1aTextLen = (ed25519.SignatureSize + 2) / 3 * 4
)

// appendField appends a signature as the header has it, and a space.
func appendField(line []byte, version string, signature []byte) []byte {
	line = append(line, version...)
	line = append(line, ',')
	line = base64.StdEncoding.AppendEncode(line, signature)
	return append(line, ' ')
}

// checkKeys wants at least one key, and no zero value: anyone can sign with an
// empty secret. The others are what the field of that name holds.
func checkKeys[K interface{ IsZero() bool }](secrets []Secret, others []K, field string) error {
	if len(secrets)+len(others) == 0 {
		return fmt.Errorf("%w: set Secrets or %s to at least one", ErrNoKey, field)
	}
	if i := slices.IndexFunc(secrets, Secret.IsZero); i >= 0 {
		return fmt.Errorf("%w: Secrets[%d] is the zero value", ErrNoKey, i)
	}
	if i := slices.IndexFunc(others, K.IsZero); i >= 0 {
		return fmt.Errorf("%w: %s[%d] is the zero value", ErrNoKey, field, i)
	}
	return nil
}

// idFault says what is wrong with id, or returns "". A full stop is what it
// must not let through: id a, time 1, body 2.b and id a.1, time 2, body b are
// both signed as a.1.2.b.
func idFault(id string) string {
	if id == "" || len(id) > maxIDLen {
		return fmt.Sprintf("%d bytes long, want 1 to %d", len(id), maxIDLen)
	}
	for i := range len(id) {
		if !isIDByte(id[i]) {
			return fmt.Sprintf("byte %d is %q, want letters, digits, - and _ only", i, id[i])
		}
	}
	return ""
}

func isIDByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_'
}

// signedPrefix returns what is signed before the body.
func signedPrefix(id, timestamp string) []byte {
	prefix := make([]byte, 0, len(id)+len(timestamp)+2)
	prefix = append(prefix, id...)
	prefix = append(prefix, '.')
	prefix = append(prefix, timestamp...)
	return append(prefix, '.')
}

// appendV1 appends the v1 signature of prefix and body to dst, as bytes.
func appendV1(dst []byte, secret Secret, prefix, body []byte) []byte {
	mac := hmac.New(sha256.New, secret.key())
	mac.Write(prefix)
	mac.Write(body)
	return mac.Sum(dst)
}
