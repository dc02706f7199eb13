package signer

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What [Verifier.Verify] reports, to be tested with [errors.Is]; the wrapping
// errors say more, and quote neither headers nor secrets. ErrNoSecret is a
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

	// ErrMismatch reports that no v1 signature was made with any of the
	// secrets for this id, timestamp and body.
	ErrMismatch = errors.New("signer: signature mismatch")
)

const (
	defaultTolerance = 5 * time.Minute

	// maxHeaderLen leaves room for maxSignatures of v1 and as many of v1a.
	maxHeaderLen = 4096
)

// A Verifier checks the signatures of a receiver. It is safe for concurrent use
// as long as nobody changes its fields.
type Verifier struct {
	// Secrets are the secrets to accept, at least one; their order does not
	// matter. During a rotation both the old and the new one are here.
	Secrets []Secret

	// Tolerance is how far a timestamp may be from the receiver's clock, to
	// either side, inclusive. Zero or less means 5 minutes, the value of the
	// Standard Webhooks libraries. A longer one leaves more time to replay a
	// recorded request.
	Tolerance time.Duration
}

// Verify returns nil if the headers h carry at least one v1 signature of body,
// made with one of the secrets, and a timestamp within the tolerance of now.
// The body must be the bytes received: JSON that was parsed and encoded again
// does not verify. Header keys must be canonical, as net/http delivers them.
//
// Signatures of other versions are ignored, so that a sender may offer several.
// The comparison takes a time that tells nothing about the right signature, and
// the work is bounded: one hash of the body per secret, no header over 4 KiB,
// no more than 16 v1 signatures.
//
// The error wraps [ErrNoSecret], [ErrMissingHeader], [ErrMalformed],
// [ErrTimestamp] or [ErrMismatch].
func (v Verifier) Verify(h http.Header, body []byte, now time.Time) error {
	if err := checkSecrets(v.Secrets); err != nil {
		return err
	}
	m, err := readMetadata(h)
	if err != nil {
		return err
	}
	if err := v.checkTime(m.sent, now); err != nil {
		return err
	}

	prefix := signedPrefix(m.id, m.timestamp)
	var buf [signatureLen]byte
	for _, secret := range v.Secrets {
		want := appendV1(buf[:0], secret, prefix, body)
		for _, got := range m.signatures {
			if hmac.Equal([]byte(got), want) {
				return nil
			}
		}
	}
	return mismatch(len(m.signatures))
}

func mismatch(signatures int) error {
	if signatures == 0 {
		return fmt.Errorf("%w: %s holds no v1 signature, ask the sender for one",
			ErrMismatch, HeaderSignature)
	}
	return fmt.Errorf("%w: check that both sides have the same secret, "+
		"and that the body is exactly as received", ErrMismatch)
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
	id         string
	timestamp  string // as received, for that is what was signed
	sent       time.Time
	signatures []string // those of v1, with their version
}

func readMetadata(h http.Header) (m metadata, err error) {
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
	m.signatures, err = parseSignatures(line)
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

// parseSignatures returns the v1 signatures of a header line. Whatever has
// another version before its comma is for another verifier.
func parseSignatures(line string) ([]string, error) {
	signatures := make([]string, 0, 2) // one, or two during a rotation
	for field := range strings.SplitSeq(line, " ") {
		if field == "" {
			continue
		}
		if strings.IndexByte(field, ',') < 1 {
			return nil, malformed(HeaderSignature, "want version,signature pairs between spaces")
		}
		if !strings.HasPrefix(field, versionV1) {
			continue
		}
		if len(signatures) == maxSignatures {
			return nil, malformed(HeaderSignature,
				fmt.Sprintf("more than %d v1 signatures", maxSignatures))
		}
		signatures = append(signatures, field)
	}
	return signatures, nil
}

func malformed(name, fault string) error {
	return fmt.Errorf("%w %s: %s", ErrMalformed, name, fault)
}
