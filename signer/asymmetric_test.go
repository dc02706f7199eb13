package signer_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/hooks/signer"
)

// accepting returns a receiver that has public keys only.
func accepting(keys ...signer.PublicKey) signer.Verifier { return signer.Verifier{PublicKeys: keys} }

// signedWith returns the headers of a request with body, sent at sent.
func signedWith(t testing.TB, s signer.Signer) http.Header {
	t.Helper()
	line, err := s.Sign("evt_1", sent, []byte(body))
	if err != nil {
		t.Fatalf("Sign = %v", err)
	}
	return headers("evt_1", sentUnix, line)
}

func TestVerifyDuringRotationOfKeyPairs(t *testing.T) {
	old, fresh, stranger := signer.NewKeyPair(), signer.NewKeyPair(), signer.NewKeyPair()
	cases := []struct {
		name   string
		sender []signer.KeyPair
		accept signer.Verifier
		want   error
	}{
		{"the sender has rotated, the receiver has the old key", pairs(fresh, old), accepting(old.Public()), nil},
		{"the sender has rotated, the receiver has the new key", pairs(fresh, old), accepting(fresh.Public()), nil},
		{"the receiver accepts both, the sender has the old", pairs(old), accepting(fresh.Public(), old.Public()), nil},
		{"the receiver accepts both, the sender has the new", pairs(fresh), accepting(fresh.Public(), old.Public()), nil},
		{"one in common, last on both sides", pairs(fresh, old), accepting(stranger.Public(), old.Public()), nil},
		{"the old pair has been dropped", pairs(fresh), accepting(old.Public()), signer.ErrMismatch},
		{"nothing in common", pairs(fresh, old), accepting(stranger.Public()), signer.ErrMismatch},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.accept.Verify(signedWith(t, signer.Signer{KeyPairs: c.sender}), []byte(body), sent)
			if !errors.Is(err, c.want) {
				t.Errorf("Verify = %v; want %v", err, c.want)
			}
		})
	}
}

func TestVerifyMixed(t *testing.T) {
	secret, pair := signer.NewSecret(), signer.NewKeyPair()
	v1, v1a := signer.Signer{Secrets: list(secret)}, signer.Signer{KeyPairs: pairs(pair)}
	both := signer.Signer{Secrets: v1.Secrets, KeyPairs: v1a.KeyPairs}
	foreign := signer.NewKeyPair().Public()
	cases := []struct {
		name     string
		sender   signer.Signer
		receiver signer.Verifier
		want     string // in the error, or "" for none
	}{
		{"both, for the secret", both, signer.Verifier{Secrets: list(secret)}, ""},
		{"both, for the public key", both, accepting(pair.Public()), ""},
		{"v1, for either", v1, signer.Verifier{Secrets: list(secret), PublicKeys: accepting(foreign).PublicKeys}, ""},
		{
			"v1a, for either", v1a,
			signer.Verifier{Secrets: list(signer.NewSecret()), PublicKeys: accepting(pair.Public()).PublicKeys},
			"",
		},
		{"v1, for the public key", v1, accepting(pair.Public()), "holds no v1a signature"},
		{"v1a, for the secret", v1a, signer.Verifier{Secrets: list(secret)}, "holds no v1 signature"},
		{"both, for another key", both, accepting(foreign), "check that"},
		{
			"both, for others", both,
			signer.Verifier{Secrets: list(signer.NewSecret()), PublicKeys: accepting(foreign).PublicKeys},
			"check that",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.receiver.Verify(signedWith(t, c.sender), []byte(body), sent)
			switch {
			case c.want == "":
				if err != nil {
					t.Errorf("Verify = %v; want nil", err)
				}
			case !errors.Is(err, signer.ErrMismatch) || !strings.Contains(err.Error(), c.want):
				t.Errorf("Verify = %v; want %v with %q", err, signer.ErrMismatch, c.want)
			}
		})
	}
}

// A public key is known to everybody: as the key of an HMAC it would let
// everybody sign.
func TestVerifyConfusesNoVersions(t *testing.T) {
	pair := signer.NewKeyPair()
	public := strings.TrimPrefix(pair.Public().String(), "whpk_")
	asSecret := mustParse(t, "whsec_"+public)
	hmac := signed(t, asSecret).Get(signer.HeaderSignature)
	right := signedWith(t, signer.Signer{KeyPairs: pairs(pair)}).Get(signer.HeaderSignature)
	raw := strings.TrimPrefix(hmac, "v1,")
	sum, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		t.Fatal(err)
	}
	receivers := map[string]signer.Verifier{
		"public key":            accepting(pair.Public()),
		"public key and secret": {Secrets: list(signer.NewSecret()), PublicKeys: accepting(pair.Public()).PublicKeys},
	}
	for name, line := range map[string]string{
		"an HMAC with the public key":             hmac,
		"an HMAC with the public key as v1a":      "v1a," + raw,
		"two HMACs with the public key as v1a":    "v1a," + base64.StdEncoding.EncodeToString(slices.Repeat(sum, 2)),
		"the v1a signature as v1":                 "v1," + strings.TrimPrefix(right, "v1a,"),
		"the v1a signature in capitals":           "V1A," + strings.TrimPrefix(right, "v1a,"),
		"the v1a signature as v1ab":               "v1ab," + strings.TrimPrefix(right, "v1a,"),
		"the v1a signature with a second version": "v1," + right,
	} {
		for kind, receiver := range receivers {
			h := headers("evt_1", sentUnix, line)
			if err := receiver.Verify(h, []byte(body), sent); !errors.Is(err, signer.ErrMismatch) {
				t.Errorf("Verify(%s) with a %s = %v; want %v", name, kind, err, signer.ErrMismatch)
			}
		}
	}
	h := headers("evt_1", sentUnix, "v1,"+strings.TrimPrefix(right, "v1a,"))
	err = signer.Verifier{Secrets: list(asSecret)}.Verify(h, []byte(body), sent)
	if !errors.Is(err, signer.ErrMismatch) {
		t.Errorf("Verify(v1a as v1) with a secret = %v; want %v", err, signer.ErrMismatch)
	}
}

func TestVerifyNoticesTamperingOfV1a(t *testing.T) {
	pair := signer.NewKeyPair()
	right := signedWith(t, signer.Signer{KeyPairs: pairs(pair)}).Get(signer.HeaderSignature)
	flip := func(i int) string {
		signature, err := base64.StdEncoding.DecodeString(right[len("v1a,"):])
		if err != nil {
			t.Fatal(err)
		}
		signature[i] ^= 1
		return "v1a," + base64.StdEncoding.EncodeToString(signature)
	}
	cases := []struct {
		name, id string
		unix     int64
		line     string
		body     string
	}{
		{"a byte of the body", "evt_1", sentUnix, right, strings.ToUpper(body)},
		{"a longer body", "evt_1", sentUnix, right, body + " "},
		{"no body", "evt_1", sentUnix, right, ""},
		{"another id", "evt_2", sentUnix, right, body},
		{"another timestamp", "evt_1", sentUnix + 1, right, body},
		{"a bit of R", "evt_1", sentUnix, flip(0), body},
		{"a bit of S", "evt_1", sentUnix, flip(32), body},
		{"half a signature", "evt_1", sentUnix, right[:48], body},
		{"only the version", "evt_1", sentUnix, "v1a,", body},
		{"no padding", "evt_1", sentUnix, strings.TrimRight(right, "="), body},
		{"bits after the end", "evt_1", sentUnix, right[:89] + string(right[89]+1) + "==", body},
		{"a line break", "evt_1", sentUnix, right + "\n", body},
		{"a line break for padding", "evt_1", sentUnix, right[:91] + "\n", body},
	}
	verifier := accepting(pair.Public())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := verifier.Verify(headers(c.id, c.unix, c.line), []byte(c.body), sent)
			if !errors.Is(err, signer.ErrMismatch) {
				t.Errorf("Verify = %v; want %v", err, signer.ErrMismatch)
			}
		})
	}
}

func TestVerifyFindsItsV1aSignature(t *testing.T) {
	pair := signer.NewKeyPair()
	right := signedWith(t, signer.Signer{KeyPairs: pairs(pair)}).Get(signer.HeaderSignature)
	for line, want := range map[string]error{
		"v1a,x " + right:                     nil,
		right + " v1a,x":                     nil,
		"v1,symmetric v2,future " + right:    nil,
		strings.Repeat("v1a,x ", 15) + right: nil,
		strings.Repeat("v1,x ", 40) + right:  nil,
		strings.Repeat("v1a,x ", 16) + right: signer.ErrMalformed,
		"v1a " + right:                       signer.ErrMalformed,
	} {
		err := accepting(pair.Public()).Verify(headers("evt_1", sentUnix, line), []byte(body), sent)
		if !errors.Is(err, want) {
			t.Errorf("Verify(%q) = %v; want %v", line, err, want)
		}
	}
}

func TestVerifyAcceptsTheMostPairsThatSignSends(t *testing.T) {
	keyPairs := make([]signer.KeyPair, 16)
	for i := range keyPairs {
		keyPairs[i] = signer.NewKeyPair()
	}
	h := signedWith(t, signer.Signer{KeyPairs: keyPairs})
	if got, want := len(h.Get(signer.HeaderSignature)), 16*92+15; got != want {
		t.Errorf("Sign with 16 key pairs returns %d bytes; want %d", got, want)
	}
	if err := accepting(keyPairs[15].Public()).Verify(h, []byte(body), sent); err != nil {
		t.Errorf("Verify(16 signatures) = %v; want nil", err)
	}
}

func TestVerifyNeedsPublicKeys(t *testing.T) {
	pair := signer.NewKeyPair()
	h := signedWith(t, signer.Signer{KeyPairs: pairs(pair)})
	for name, verifier := range map[string]signer.Verifier{
		"no keys":              accepting(),
		"a zero key":           accepting(signer.PublicKey{}),
		"a zero among others":  accepting(pair.Public(), signer.PublicKey{}),
		"a zero and a secret":  {Secrets: list(signer.NewSecret()), PublicKeys: make([]signer.PublicKey, 1)},
		"a key, a zero secret": {Secrets: make([]signer.Secret, 1), PublicKeys: accepting(pair.Public()).PublicKeys},
	} {
		if err := verifier.Verify(h, []byte(body), sent); !errors.Is(err, signer.ErrNoKey) {
			t.Errorf("Verify with %s = %v; want %v", name, err, signer.ErrNoKey)
		}
	}
}

// Half of all 32 bytes are the y of no point.
func TestVerifyWithNoPoint(t *testing.T) {
	key := make([]byte, 32)
	key[0] = 2
	noPoint := mustParsePublic(t, "whpk_"+base64.StdEncoding.EncodeToString(key))
	h := signedWith(t, signer.Signer{KeyPairs: pairs(signer.NewKeyPair())})
	if err := accepting(noPoint).Verify(h, []byte(body), sent); !errors.Is(err, signer.ErrMismatch) {
		t.Errorf("Verify with no point of the curve = %v; want %v", err, signer.ErrMismatch)
	}
}

func BenchmarkVerifyV1a(b *testing.B) {
	pair := signer.NewKeyPair()
	h := signedWith(b, signer.Signer{KeyPairs: pairs(pair)})
	verifier := accepting(pair.Public())
	b.ReportAllocs()
	for b.Loop() {
		if err := verifier.Verify(h, []byte(body), sent); err != nil {
			b.Fatal(err)
		}
	}
}
