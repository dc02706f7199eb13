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
	"strings"
	"time"
)

// What [Verifier.Verify] reports, to be tested with [errors.Is]; the wrapping
// errors say more, and quote neither headers nor secrets. ErrNoKey is a
// mistake of the receiver, everything else a fault of the request: answer it
// with a 4xx status.
var (
	// ErrMissingHeader reports a request that lacks one of the three headers,
	// or has it empty.
	ErrMissingHeader = errors.New("signer: missing header")

	// ErrMalformed reports a header that cannot be read, is too long, or
	// stands there more than once.
	ErrMalformed = errors.New("signer: malformed header")

	// ErrTimestamp reports a time too far from the receiver's, in the past
	// or in the future.
	ErrTimestamp = errors.New("signer: timestamp out of range")

	// ErrMismatch reports that no v1 signature was made with any of the secrets
	// for this id, timestamp and body, and no v1a signature with the private
	// key of any of the public keys.
	ErrMismatch = errors.New("signer: signature mismatch")
)

const (
	defaultTolerance = 5 * time.Minute

	// maxHeaderLen leaves room for maxSignatures of v1 (48 bytes each, with the
	// space) and as many of v1a (93 bytes).
	maxHeaderLen = 4096
)

// A Verifier checks the signatures of a receiver. It is safe for concurrent use
// as long as nobody changes its fields.
type Verifier struct {
	// Secrets are the secrets to accept in v1 signatures; their order does not
	// matter. During a rotation both the old and the new one are here. There
	// must be at least one secret or one public key.
	Secrets []Secret

	// PublicKeys are the keys to accept in v1a signatures, in the same way. With
	// secrets beside them either kind of signature suffices: who wants no more v1
	// signatures leaves Secrets empty.
	PublicKeys []PublicKey

	// Tolerance is how far a timestamp may be from the receiver's clock, to
	// either side, inclusive. Zero or less means 5 minutes, the value of the
	// Standard Webhooks libraries. A longer one leaves more time to replay a
	// recorded request.
	Tolerance time.Duration
}

// Verify returns nil if the headers h carry at least one signature of body that
// was made with one of the secrets, if it is v1, or with the private key of one of
// the public keys, if it is v1a, and a timestamp within the tolerance of now.
// The body must be the bytes received: JSON that was parsed and encoded again
// does not verify. Header keys must be canonical, as net/http delivers them.
//
// Signatures of other versions are ignored, so that a sender may offer several;
// so are those of v1 without Secrets, and those of v1a without PublicKeys.
// The comparison takes a time that tells nothing about the right signature, and
// the work is bounded: one hash of the body per secret, one per v1a signature and
// public key, no header over 4 KiB, no more than 16 signatures of a version.
//
// The error wraps [ErrNoKey], [ErrMissingHeader], [ErrMalformed],
// [ErrTimestamp] or [ErrMismatch].
func (v Verifier) Verify(h http.Header, body []byte, now time.Time) error {
	if err := checkKeys(v.Secrets, v.PublicKeys, "PublicKeys"); err != nil {
		return err
	}
	m, err := v.readMetadata(h)
	if err != nil {
		return err
	}
	if err := v.checkTime(m.sent, now); err != nil {
		return err
	}
	prefix := signedPrefix(m.id, m.timestamp)
	if v.matchesV1(m.v1, prefix, body) || v.matchesV1a(m.v1a, prefix, body) {
		return nil
	}
	return v.mismatch(len(m.v1) + len(m.v1a))
}

func (v Verifier) matchesV1(signatures []string, prefix, body []byte) bool {
	var sum [sha256.Size]byte
	var text [v1TextLen]byte
	for _, secret := range v.Secrets {
		want := base64.StdEncoding.AppendEncode(text[:0], appendV1(sum[:0], secret, prefix, body))
		for _, got := range signatures {
			if hmac.Equal([]byte(got), want) {
				return true
			}
		}
	}
	return false
}

func (v Verifier) matchesV1a(signatures []string, prefix, body []byte) bool {
	if len(signatures) == 0 {
		return false
	}
	message := slices.Concat(prefix, body)
	for _, text := range signatures {
		signature, ok := decodeV1a(text)
		for i := 0; ok && i < len(v.PublicKeys); i++ {
			if ed25519.Verify(v.PublicKeys[i].key[:], message, signature) {
				return true
			}
		}
	}
	return false
}

// decodeV1a accepts one text for each signature. The decoder alone would skip
// line breaks.
func decodeV1a(text string) (signature []byte, ok bool) {
	if len(text) != v1aTextLen {
		return nil, false
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(text)
	return signature, err == nil && len(signature) == ed25519.SignatureSize
}

// mismatch says what to do when none of the signatures found is right.
func (v Verifier) mismatch(found int) error {
	if found > 0 {
		return fmt.Errorf("%w: check that both sides have the same secret, or keys that belong "+
			"together, and that the body is exactly as received", ErrMismatch)
	}
	wanted := versionV1 + " or " + versionV1a
	switch {
	case len(v.PublicKeys) == 0:
		wanted = versionV1
	case len(v.Secrets) == 0:
		wanted = versionV1a
	}
	return fmt.Errorf("%w: %s holds no %s signature, ask the sender for one",
		ErrMismatch, HeaderSignature, wanted)
}

func (v Verifier) checkTime(sent, now time.Time) error {
	tolerance := v.Tolerance
	if tolerance <= 0 {
		tolerance = defaultTolerance
	}
	age, ahead := now.Sub(sent), sent.Sub(now)
	switch {
	case age > tolerance:
		return fmt.Errorf("%w: too old by %v (%v ago, tolerance %v): "+
			"a replay, a late delivery, or a wrong clock", ErrTimestamp, age-tolerance, age, tolerance)
	case ahead > tolerance:
		return fmt.Errorf("%w: too new by %v (%v ahead, tolerance %v): "+
			"check the clocks of both sides", ErrTimestamp, ahead-tolerance, ahead, tolerance)
	}
	return nil
}

// metadata is what the three headers say.
type metadata struct {
	id        string
	timestamp string // as received, for that is what was signed
	sent      time.Time
	v1, v1a   []string // the signatures that may count, without their version
}

func (v Verifier) readMetadata(h http.Header) (m metadata, err error) {
	if m.id, err = single(h, HeaderID); err != nil {
		return m, err
	}
	if m.timestamp, err = single(h, HeaderTimestamp); err != nil {
		return m, err
	}
	line, err := single(h, HeaderSignature)
	if err != nil {
		return m, err
	}
	if fault := idFault(m.id); fault != "" {
		return m, malformed(HeaderID, fault)
	}
	if m.sent, err = parseTimestamp(m.timestamp); err != nil {
		return m, err
	}
	m.v1, m.v1a, err = v.parseSignatures(line)
	return m, err
}

// single returns the only value of a header. Of two values, two programs on
// the way might each believe another one.
func single(h http.Header, name string) (string, error) {
	values := h.Values(name)
	switch {
	case len(values) > 1:
		return "", malformed(name, fmt.Sprintf("given %d times, want once", len(values)))
	case len(values) == 0 || values[0] == "":
		return "", fmt.Errorf("%w: %s is absent or empty", ErrMissingHeader, name)
	case len(values[0]) > maxHeaderLen:
		return "", malformed(name, fmt.Sprintf("%d bytes, want at most %d",
			len(values[0]), maxHeaderLen))
	}
	return values[0], nil
}

// parseTimestamp refuses more than eleven digits: they are milliseconds.
func parseTimestamp(text string) (time.Time, error) {
	unix, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > maxUnixDigits {
		return time.Time{}, malformed(HeaderTimestamp, "want whole seconds since 1970")
	}
	return time.Unix(int64(unix), 0), nil
}

// parseSignatures returns the signatures of a header line for which there is a
// key. Whatever has another version before its comma is for another verifier.
func (v Verifier) parseSignatures(line string) (v1, v1a []string, err error) {
	for field := range strings.SplitSeq(line, " ") {
		if field == "" {
			continue
		}
		version, signature, found := strings.Cut(field, ",")
		switch {
		case !found || version == "":
			return nil, nil, malformed(HeaderSignature, "want version,signature pairs between spaces")
		case version == versionV1 && len(v.Secrets) > 0:
			v1 = append(v1, signature)
		case version == versionV1a && len(v.PublicKeys) > 0:
			v1a = append(v1a, signature)
		}
		if max(len(v1), len(v1a)) > maxSignatures {
			return nil, nil, malformed(HeaderSignature,
				fmt.Sprintf("more than %d %s signatures", maxSignatures, version))
		}
	}
	return v1, v1a, nil
}

func malformed(name, fault string) error {
	return fmt.Errorf("%w %s: %s", ErrMalformed, name, fault)
}
