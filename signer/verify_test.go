package signer_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/hooks/signer"
)

const sentUnix = 1700000000

var sent = time.Unix(sentUnix, 0)

const body = `{"type":"invoice.paid"}`

// signed returns the headers of a request with body, sent at sent.
func signed(t testing.TB, secrets ...signer.Secret) http.Header {
	t.Helper()
	line, err := signer.Signer{Secrets: secrets}.Sign("evt_1", sent, []byte(body))
	if err != nil {
		t.Fatalf("Sign = %v", err)
	}
	return headers("evt_1", sentUnix, line)
}

func TestVerifyDuringRotation(t *testing.T) {
	older, old, fresh := signer.NewSecret(), signer.NewSecret(), signer.NewSecret()
	stranger := signer.NewSecret()
	cases := []struct {
		name           string
		sender, accept []signer.Secret
		want           error
	}{
		{"the sender has rotated, the receiver has the old secret", list(fresh, old), list(old), nil},
		{"the sender has rotated, the receiver has the new secret", list(fresh, old), list(fresh), nil},
		{"the receiver accepts both, the sender signs with the old", list(old), list(fresh, old), nil},
		{"the receiver accepts both, the sender signs with the new", list(fresh), list(fresh, old), nil},
		{"one in common, last on both sides", list(fresh, older, old), list(stranger, old), nil},
		{"the old secret has been dropped", list(fresh), list(old), signer.ErrMismatch},
		{"nothing in common", list(fresh, old), list(older, stranger), signer.ErrMismatch},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := signer.Verifier{Secrets: c.accept}.Verify(signed(t, c.sender...), []byte(body), sent)
			if !errors.Is(err, c.want) {
				t.Errorf("Verify = %v; want %v", err, c.want)
			}
		})
	}
}

func list(secrets ...signer.Secret) []signer.Secret { return secrets }

func TestVerifyNoticesTampering(t *testing.T) {
	secret := signer.NewSecret()
	verifier := signer.Verifier{Secrets: list(secret)}
	cases := []struct {
		name   string
		tamper func(h http.Header, body []byte) []byte
	}{
		{"a bit of the body", func(_ http.Header, b []byte) []byte { b[0] ^= 1; return b }},
		{"a longer body", func(_ http.Header, b []byte) []byte { return append(b, ' ') }},
		{"a shorter body", func(_ http.Header, b []byte) []byte { return b[:len(b)-1] }},
		{"no body", func(http.Header, []byte) []byte { return nil }},
		{"another id", func(h http.Header, b []byte) []byte {
			h.Set(signer.HeaderID, "evt_2")
			return b
		}},
		{"another timestamp", func(h http.Header, b []byte) []byte {
			h.Set(signer.HeaderTimestamp, "1700000001")
			return b
		}},
		{"a zero before the timestamp", func(h http.Header, b []byte) []byte {
			h.Set(signer.HeaderTimestamp, "01700000000")
			return b
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := signed(t, secret)
			changed := c.tamper(h, []byte(body))
			if err := verifier.Verify(h, changed, sent); !errors.Is(err, signer.ErrMismatch) {
				t.Errorf("Verify = %v; want %v", err, signer.ErrMismatch)
			}
		})
	}
}

// An attacker who moves the full stops of what was signed must not obtain a
// second message from it.
func TestVerifyRefusesDotsMoved(t *testing.T) {
	secret := signer.NewSecret()
	inner := "1700000000.{}"
	line, err := signer.Signer{Secrets: list(secret)}.Sign("evt_1", sent, []byte(inner))
	if err != nil {
		t.Fatal(err)
	}
	h := headers("evt_1.1700000000", sentUnix, line)
	err = signer.Verifier{Secrets: list(secret)}.Verify(h, []byte("{}"), sent)
	if !errors.Is(err, signer.ErrMalformed) {
		t.Errorf("Verify(id with a dot) = %v; want %v", err, signer.ErrMalformed)
	}
}

func TestVerifyTolerance(t *testing.T) {
	secret := signer.NewSecret()
	h := signed(t, secret)
	const century = 100 * 365 * 24 * time.Hour
	cases := []struct {
		name      string
		tolerance time.Duration
		age       time.Duration // of the request when it arrives
		want      string        // in the error, or "" for none
	}{
		{"just now", 0, 0, ""},
		{"5m old, default", 0, 5 * time.Minute, ""},
		{"over 5m old, default", 0, 5*time.Minute + 1, "too old by 1ns"},
		{"5m ahead, default", 0, -5 * time.Minute, ""},
		{"over 5m ahead, default", 0, -5*time.Minute - 1, "too new by 1ns"},
		{"negative means default", -time.Hour, 5 * time.Minute, ""},
		{"over negative means over default", -time.Hour, 5*time.Minute + 1, "too old by 1ns"},
		{"1s old", time.Second, time.Second, ""},
		{"over 1s old", time.Second, 3 * time.Second, "too old by 2s (3s ago, tolerance 1s)"},
		{"1s ahead", time.Second, -time.Second, ""},
		{"over 1s ahead", time.Second, -3 * time.Second, "too new by 2s (3s ahead, tolerance 1s)"},
		{"a century old", time.Hour, century, "too old by 875999h"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := signer.Verifier{Secrets: list(secret), Tolerance: c.tolerance}
			err := v.Verify(h, []byte(body), sent.Add(c.age))
			if c.want == "" {
				if err != nil {
					t.Errorf("Verify = %v; want nil", err)
				}
				return
			}
			if !errors.Is(err, signer.ErrTimestamp) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Verify = %v; want %v with %q", err, signer.ErrTimestamp, c.want)
			}
		})
	}
}

func TestVerifyRefusesTimesBeyondADuration(t *testing.T) {
	h := headers("evt_1", 99_999_999_999, "v1,x")
	err := signer.Verifier{Secrets: list(signer.NewSecret())}.Verify(h, nil, sent)
	if !errors.Is(err, signer.ErrTimestamp) || strings.Contains(err.Error(), "-") {
		t.Errorf("Verify(year 5138) = %v; want %v, with positive durations", err, signer.ErrTimestamp)
	}
}

func TestVerifyRefusesHeaders(t *testing.T) {
	secret := signer.NewSecret()
	verifier := signer.Verifier{Secrets: list(secret)}
	right := signed(t, secret).Get(signer.HeaderSignature)
	const id, timestamp, signature = signer.HeaderID, signer.HeaderTimestamp, signer.HeaderSignature
	cases := []struct {
		name   string
		header string
		values []string
		want   error
	}{
		{"no id", id, nil, signer.ErrMissingHeader},
		{"an empty id", id, []string{""}, signer.ErrMissingHeader},
		{"two ids, equal", id, []string{"evt_1", "evt_1"}, signer.ErrMalformed},
		{"two ids, the first empty", id, []string{"", "evt_1"}, signer.ErrMalformed},
		{"two ids joined", id, []string{"evt_1, evt_1"}, signer.ErrMalformed},
		{"a long id", id, []string{strings.Repeat("a", 129)}, signer.ErrMalformed},
		{"no timestamp", timestamp, nil, signer.ErrMissingHeader},
		{"two timestamps", timestamp, []string{"1700000000", "1700000000"}, signer.ErrMalformed},
		{"a signed timestamp", timestamp, []string{"+1700000000"}, signer.ErrMalformed},
		{"a negative timestamp", timestamp, []string{"-1"}, signer.ErrMalformed},
		{"a fraction", timestamp, []string{"1700000000.0"}, signer.ErrMalformed},
		{"milliseconds", timestamp, []string{"1700000000000"}, signer.ErrMalformed},
		{"a date", timestamp, []string{"2023-11-14T22:13:20Z"}, signer.ErrMalformed},
		{"digits beyond ASCII", timestamp, []string{"١٧"}, signer.ErrMalformed},
		{"no signature", signature, nil, signer.ErrMissingHeader},
		{"two signatures", signature, []string{right, right}, signer.ErrMalformed},
		{"a bare signature", signature, []string{right[len("v1,"):]}, signer.ErrMalformed},
		{"a signature without version", signature, []string{right[len("v1"):]}, signer.ErrMalformed},
		{"17 signatures", signature, []string{right + strings.Repeat(" v1,x", 16)}, signer.ErrMalformed},
		{"a long line", signature, []string{right + strings.Repeat(" ", 4096)}, signer.ErrMalformed},
		{"a line of spaces", signature, []string{"  "}, signer.ErrMismatch},
		{"no v1 at all", signature, []string{"v1a,x v2,y"}, signer.ErrMismatch},
		{"v1 as v1a", signature, []string{"v1a," + right[len("v1,"):]}, signer.ErrMismatch},
		{"half a signature", signature, []string{right[:len(right)/2]}, signer.ErrMismatch},
		{"only the version", signature, []string{"v1,"}, signer.ErrMismatch},
		{"no padding", signature, []string{strings.TrimRight(right, "=")}, signer.ErrMismatch},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := signed(t, secret)
			h[http.CanonicalHeaderKey(c.header)] = c.values
			err := verifier.Verify(h, []byte(body), sent)
			if !errors.Is(err, c.want) {
				t.Fatalf("Verify(%s: %q) = %v; want %v", c.header, c.values, err, c.want)
			}
			if c.want != signer.ErrMismatch && !strings.Contains(err.Error(), c.header) {
				t.Errorf("Verify(%s: %q) = %v; want the header named", c.header, c.values, err)
			}
		})
	}
}

func TestVerifyFindsItsSignature(t *testing.T) {
	secret := signer.NewSecret()
	right := signed(t, secret).Get(signer.HeaderSignature)
	for _, line := range []string{
		right,
		"v1,x " + right,
		right + " v1,x",
		"  " + right + "  ",
		"v1a,asymmetric v2,future " + right,
		strings.Repeat("v1,x ", 15) + right,
		strings.Repeat("v1a,x ", 40) + right,
	} {
		h := signed(t, secret)
		h.Set(signer.HeaderSignature, line)
		err := signer.Verifier{Secrets: list(secret)}.Verify(h, []byte(body), sent)
		if err != nil {
			t.Errorf("Verify(%q) = %v; want nil", line, err)
		}
	}
}

func TestVerifyAcceptsTheMostThatSignSends(t *testing.T) {
	secrets := make([]signer.Secret, 16)
	for i := range secrets {
		secrets[i] = signer.NewSecret()
	}
	err := signer.Verifier{Secrets: secrets[15:]}.Verify(signed(t, secrets...), []byte(body), sent)
	if err != nil {
		t.Errorf("Verify(16 signatures) = %v; want nil", err)
	}
}

// With an empty key everybody could sign.
func TestVerifyNeedsSecrets(t *testing.T) {
	secret := signer.NewSecret()
	for name, secrets := range map[string][]signer.Secret{
		"none": nil, "zero": {{}}, "zero among others": {secret, {}},
	} {
		err := signer.Verifier{Secrets: secrets}.Verify(signed(t, secret), []byte(body), sent)
		if !errors.Is(err, signer.ErrNoKey) {
			t.Errorf("Verify with secrets %s = %v; want %v", name, err, signer.ErrNoKey)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("evt_1", int64(sentUnix), "1700000000", "v1,x", []byte(body))
	f.Add("", int64(-1), "-1", " v1, ,v1 v1a,x", []byte{})
	f.Add("a.b", int64(99_999_999_999), "99999999999", "v1", []byte("\x00"))
	f.Add("evt_1", int64(sentUnix), "1700000000", "v1a,"+strings.Repeat("A", 86)+"==", []byte(body))
	secret, pair := signer.NewSecret(), signer.NewKeyPair()
	secrets := list(signer.NewSecret(), secret)
	publics := []signer.PublicKey{signer.NewKeyPair().Public(), pair.Public()}
	either := signer.Verifier{Secrets: secrets, PublicKeys: publics}
	f.Fuzz(func(t *testing.T, id string, unix int64, timestamp, line string, body []byte) {
		h := http.Header{}
		h.Set(signer.HeaderID, id)
		h.Set(signer.HeaderTimestamp, timestamp)
		h.Set(signer.HeaderSignature, line)
		at := time.Unix(unix, 0)
		if either.Verify(h, body, at) == nil {
			t.Fatalf("Verify(%q, %q, %q) = nil; want an error", id, timestamp, line)
		}

		made, err := signer.Signer{Secrets: list(secret), KeyPairs: pairs(pair)}.Sign(id, at, body)
		if err != nil {
			return
		}
		for _, verifier := range []signer.Verifier{either, {Secrets: secrets}, {PublicKeys: publics}} {
			if err := verifier.Verify(headers(id, unix, made), body, at); err != nil {
				t.Fatalf("Verify(Sign(%q, %d)) = %v; want nil", id, unix, err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	secret := signer.NewSecret()
	payload := make([]byte, 1024)
	line, err := signer.Signer{Secrets: list(secret)}.Sign("evt_1", sent, payload)
	if err != nil {
		b.Fatal(err)
	}
	h := headers("evt_1", sentUnix, line)
	verifier := signer.Verifier{Secrets: list(secret)}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := verifier.Verify(h, payload, sent); err != nil {
			b.Fatal(err)
		}
	}
}
