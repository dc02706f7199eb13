// Package signer signs webhooks and verifies them, as the Standard Webhooks
// specification (https://www.standardwebhooks.com) defines it: scheme v1,
// HMAC-SHA256 with a secret that sender and receiver share.
//
// A sender puts three headers on every request, and signs each attempt anew:
//
//	now := time.Now()
//	signature, err := signer.Signer{Secrets: secrets}.Sign(id, now, body)
//	if err != nil {
//		return err
//	}
//	req.Header.Set(signer.HeaderID, id)
//	req.Header.Set(signer.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
//	req.Header.Set(signer.HeaderSignature, signature)
//
// A receiver reads the whole body, and verifies it before parsing any of it:
//
//	err := signer.Verifier{Secrets: secrets}.Verify(req.Header, body, time.Now())
//
// What is signed is the id, the timestamp and the body, joined by full stops.
// A valid signature can be sent again by whoever saw it, for as long as its
// timestamp is within the [Verifier]'s tolerance: a receiver that must act once
// remembers the ids it has handled.
package signer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
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
	// versionV1 begins every HMAC-SHA256 signature.
	versionV1 = "v1,"

	maxIDLen = 128

	// maxSignatures bounds the secrets of a Signer and the signatures that a
	// Verifier compares, so that it accepts whatever the former sends.
	maxSignatures = 16

	// maxUnix, in November 5138, is the last second with eleven digits:
	// a timestamp in milliseconds has thirteen.
	maxUnix       = 99_999_999_999
	maxUnixDigits = 11
)

// What [Signer.Sign] reports, to be tested with [errors.Is]; the wrapping
// errors say more.
var (
	// ErrNoSecret reports a [Signer] or a [Verifier] without secrets, or with a
	// zero [Secret] among them.
	ErrNoSecret = errors.New("signer: no secret")

	// ErrInvalidID reports an id that is not 1 to 128 letters, digits, '-' or
	// '_' of ASCII.
	ErrInvalidID = errors.New("signer: invalid id")
)

// A Signer makes the signatures of a sender. It is safe for concurrent use as
// long as nobody changes its fields.
type Signer struct {
	// Secrets sign, each of them, newest first: 1 to 16. During a rotation the
	// old secret stays behind the new one until every receiver has changed.
	Secrets []Secret
}

// Sign returns the value of [HeaderSignature] for a request with the given id
// and body that is sent at t: a signature per secret, newest first, separated
// by spaces. Only the whole seconds of t are signed, and [HeaderTimestamp] must
// carry the same ones. The body is signed as it is: send exactly these bytes.
//
// The error wraps [ErrNoSecret], [ErrInvalidID], [ErrInvalidSecret] for more
// than 16 secrets, or [ErrTimestamp] for a t before 1970 or after 5138.
func (s Signer) Sign(id string, t time.Time, body []byte) (string, error) {
	if err := checkSecrets(s.Secrets); err != nil {
		return "", err
	}
	if len(s.Secrets) > maxSignatures {
		return "", invalidSecret("%d are too many to sign with, keep the newest %d",
			len(s.Secrets), maxSignatures)
	}
	if fault := idFault(id); fault != "" {
		return "", fmt.Errorf("%w: %s", ErrInvalidID, fault)
	}
	unix := t.Unix()
	if unix < 0 || unix > maxUnix {
		return "", fmt.Errorf("%w: year %d, want 1970 to 5138", ErrTimestamp, t.Year())
	}

	prefix := signedPrefix(id, strconv.FormatInt(unix, 10))
	line := make([]byte, 0, len(s.Secrets)*(signatureLen+1))
	for i, secret := range s.Secrets {
		if i > 0 {
			line = append(line, ' ')
		}
		line = appendV1(line, secret, prefix, body)
	}
	return string(line), nil
}

// checkSecrets refuses the zero Secret too: anyone can sign with an empty key.
func checkSecrets(secrets []Secret) error {
	if len(secrets) == 0 {
		return fmt.Errorf("%w: set Secrets to at least one", ErrNoSecret)
	}
	for i, secret := range secrets {
		if secret.IsZero() {
			return fmt.Errorf("%w: Secrets[%d] is the zero Secret", ErrNoSecret, i)
		}
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

// signatureLen is the length of what appendV1 appends: the version and the
// padded base64 of a hash.
const signatureLen = len(versionV1) + (sha256.Size+2)/3*4

// appendV1 appends the v1 signature of prefix and body to dst.
func appendV1(dst []byte, secret Secret, prefix, body []byte) []byte {
	mac := hmac.New(sha256.New, secret.key())
	mac.Write(prefix)
	mac.Write(body)
	var sum [sha256.Size]byte
	dst = append(dst, versionV1...)
	return base64.StdEncoding.AppendEncode(dst, mac.Sum(sum[:0]))
}
