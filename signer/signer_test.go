package signer_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/hooks/signer"
)

// A vector is a signature that this package did not make. The first is the
// published example of Standard Webhooks; the others were computed with
// Python's hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256") and,
// each of them, again with
//
//	openssl dgst -sha256 -mac HMAC -macopt hexkey:<key> -binary | base64
//
// Those of v1a come from Ed25519PrivateKey.sign of Python's cryptography, and
// again from
//
//	openssl pkeyutl -sign -rawin -inkey <key> -in <file> | base64
type vector struct {
	Name      string
	Secret    string // or none
	KeyPair   string // or none
	PublicKey string // of KeyPair
	ID        string
	Timestamp int64
	Body      []byte // base64 in the file
	Signature string
}

func vectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("testdata/vectors.json holds no vectors")
	}
	return all
}

func mustParse(t testing.TB, text string) signer.Secret {
	t.Helper()
	s, err := signer.ParseSecret(text)
	if err != nil {
		t.Fatalf("ParseSecret(%q) = %v", text, err)
	}
	return s
}

func headers(id string, unix int64, signature string) http.Header {
	h := http.Header{}
	h.Set(signer.HeaderID, id)
	h.Set(signer.HeaderTimestamp, strconv.FormatInt(unix, 10))
	h.Set(signer.HeaderSignature, signature)
	return h
}

func TestKnownAnswer(t *testing.T) {
	s := mustParse(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	got, err := signer.Signer{Secrets: []signer.Secret{s}}.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got != want || err != nil {
		t.Errorf("Sign(the published example) = %q, %v; want %q", got, err, want)
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			var sender signer.Signer
			var receivers []signer.Verifier
			if v.Secret != "" {
				sender.Secrets = list(mustParse(t, v.Secret))
				receivers = append(receivers, signer.Verifier{Secrets: sender.Secrets})
			}
			if v.KeyPair != "" {
				sender.KeyPairs = pairs(mustParsePair(t, v.KeyPair))
				receivers = append(receivers, accepting(mustParsePublic(t, v.PublicKey)))
			}
			at := time.Unix(v.Timestamp, 0)

			got, err := sender.Sign(v.ID, at, v.Body)
			if got != v.Signature || err != nil {
				t.Errorf("Sign(%q) = %q, %v; want %q", v.ID, got, err, v.Signature)
			}
			h := headers(v.ID, v.Timestamp, v.Signature)
			for _, receiver := range receivers {
				if err := receiver.Verify(h, v.Body, at); err != nil {
					t.Errorf("Verify(%q) = %v; want nil", v.ID, err)
				}
			}
		})
	}
}

// SignTo signs as Sign does, in whatever case its headers were there.
func TestSignToSetsTheHeaders(t *testing.T) {
	s := signer.Signer{Secrets: list(signer.NewSecret()), KeyPairs: pairs(signer.NewKeyPair())}
	h := headers("evt_0", 1, "v1,x")
	h.Set("X-Other", "stays")
	if err := s.SignTo(h, "evt_1", sent.Add(time.Second-1), []byte(body)); err != nil {
		t.Fatalf("SignTo = %v", err)
	}
	line, err := s.Sign("evt_1", sent, []byte(body))
	if err != nil {
		t.Fatalf("Sign = %v", err)
	}
	want := headers("evt_1", sentUnix, line)
	want.Set("X-Other", "stays")
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("the header after SignTo = %q; want %q", h, want)
	}
}

func TestSignToLeavesTheHeaderAloneOnAnError(t *testing.T) {
	one := list(signer.NewSecret())
	for _, c := range []struct {
		name   string
		signer signer.Signer
		id     string
		at     time.Time
		want   error
	}{
		{"no keys", signer.Signer{}, "evt_1", sent, signer.ErrNoKey},
		{"17 secrets", signer.Signer{Secrets: slices.Repeat(one, 17)}, "evt_1", sent, signer.ErrInvalidSecret},
		{"a dot", signer.Signer{Secrets: one}, "evt.1", sent, signer.ErrInvalidID},
		{"the zero time", signer.Signer{Secrets: one}, "evt_1", time.Time{}, signer.ErrTimestamp},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{"Webhook-Id": {"evt_0"}}
			if err := c.signer.SignTo(h, c.id, c.at, nil); !errors.Is(err, c.want) {
				t.Errorf("SignTo = %v; want %v", err, c.want)
			}
			if want := (http.Header{"Webhook-Id": {"evt_0"}}); !maps.EqualFunc(h, want, slices.Equal) {
				t.Errorf("the header after an error = %q; want %q", h, want)
			}
		})
	}
}

func TestSignsWithEveryKeyNewestFirst(t *testing.T) {
	newest, oldest := signer.NewSecret(), signer.NewSecret()
	newestPair, oldestPair := signer.NewKeyPair(), signer.NewKeyPair()
	sign := func(secrets []signer.Secret, keyPairs []signer.KeyPair) string {
		line, err := signer.Signer{Secrets: secrets, KeyPairs: keyPairs}.Sign("evt_1", sent, []byte("{}"))
		if err != nil {
			t.Fatalf("Sign = %v", err)
		}
		return line
	}
	got := sign(list(newest, oldest), pairs(newestPair, oldestPair))
	want := strings.Join([]string{
		sign(list(newest), nil), sign(list(oldest), nil),
		sign(nil, pairs(newestPair)), sign(nil, pairs(oldestPair)),
	}, " ")
	if got != want {
		t.Errorf("Sign(newest, oldest) = %q; want %q", got, want)
	}
}

func TestSignsWholeSeconds(t *testing.T) {
	s := signer.Signer{Secrets: []signer.Secret{signer.NewSecret()}}
	base := time.Unix(1700000000, 0)
	want, _ := s.Sign("evt_1", base, nil)
	last := base.Add(time.Second - 1).In(time.FixedZone("", 3600))
	if got, _ := s.Sign("evt_1", last, nil); got != want {
		t.Errorf("Sign(the same second) = %q; want %q", got, want)
	}
	if got, _ := s.Sign("evt_1", base.Add(time.Second), nil); got == want {
		t.Errorf("Sign(the next second) = %q; want another", got)
	}
}

func TestSignRefuses(t *testing.T) {
	now := time.Unix(1700000000, 0)
	good := signer.NewSecret()
	one := []signer.Secret{good}
	cases := []struct {
		name    string
		secrets []signer.Secret
		id      string
		at      time.Time
		want    error
		text    string
	}{
		{"no secrets", nil, "a", now, signer.ErrNoKey, "at least one"},
		{"a zero secret", []signer.Secret{good, {}}, "a", now, signer.ErrNoKey, "Secrets[1]"},
		{"17 secrets", slices.Repeat(one, 17), "a", now, signer.ErrInvalidSecret, "newest 16"},
		{"an empty id", one, "", now, signer.ErrInvalidID, "0 bytes"},
		{"an id of 129 bytes", one, strings.Repeat("a", 129), now, signer.ErrInvalidID, "129 bytes"},
		{"a dot", one, "msg.1", now, signer.ErrInvalidID, "byte 3 is '.'"},
		{"a space", one, "msg 1", now, signer.ErrInvalidID, "byte 3 is ' '"},
		{"a line break", one, "msg_1\n", now, signer.ErrInvalidID, "byte 5 is '\\n'"},
		{"a letter beyond ASCII", one, "é", now, signer.ErrInvalidID, "byte 0"},
		{"the zero time", one, "a", time.Time{}, signer.ErrTimestamp, "year 1,"},
		{"1969", one, "a", time.Unix(-1, 0), signer.ErrTimestamp, "want 1970"},
		{"12 digits", one, "a", time.Unix(100_000_000_000, 0), signer.ErrTimestamp, "5138"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := signer.Signer{Secrets: c.secrets}.Sign(c.id, c.at, nil)
			if got != "" || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Sign(%q, %v) = %q, %v; want %v with %q", c.id, c.at, got, err, c.want, c.text)
			}
		})
	}
}

func TestSignRefusesKeyPairs(t *testing.T) {
	secret, pair := signer.NewSecret(), signer.NewKeyPair()
	cases := []struct {
		name   string
		signer signer.Signer
		want   error
		text   string
	}{
		{"none", signer.Signer{KeyPairs: pairs()}, signer.ErrNoKey, "Secrets or KeyPairs"},
		{"a zero pair", signer.Signer{KeyPairs: pairs(pair, signer.KeyPair{})}, signer.ErrNoKey, "KeyPairs[1]"},
		{
			"a zero pair beside a secret",
			signer.Signer{Secrets: list(secret), KeyPairs: make([]signer.KeyPair, 1)},
			signer.ErrNoKey, "KeyPairs[0]",
		},
		{
			"a zero secret beside a pair",
			signer.Signer{Secrets: make([]signer.Secret, 1), KeyPairs: pairs(pair)},
			signer.ErrNoKey, "Secrets[0]",
		},
		{
			"17 pairs",
			signer.Signer{KeyPairs: slices.Repeat(pairs(pair), 17)},
			signer.ErrInvalidSecret, "newest 16",
		},
		{
			"17 of both",
			signer.Signer{Secrets: slices.Repeat(list(secret), 9), KeyPairs: slices.Repeat(pairs(pair), 8)},
			signer.ErrInvalidSecret, "17 are too many",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.signer.Sign("evt_1", sent, nil)
			if got != "" || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Sign = %q, %v; want %v with %q", got, err, c.want, c.text)
			}
		})
	}
}

func TestSignAcceptsEveryIDByte(t *testing.T) {
	s := signer.Signer{Secrets: []signer.Secret{signer.NewSecret()}}
	const valid = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	for c := range 256 {
		id := string([]byte{byte(c)})
		_, err := s.Sign(id, time.Unix(0, 0), nil)
		if got, want := err == nil, strings.Contains(valid, id); got != want {
			t.Errorf("Sign(%q) = %v; want accepted = %t", id, err, want)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := signer.Signer{Secrets: []signer.Secret{signer.NewSecret()}}
	body := make([]byte, 1024)
	at := time.Unix(1700000000, 0)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign("evt_0198c2f0-6b1e-7c3a-9d54-3f2a1b0c9e8d", at, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignTo(b *testing.B) {
	s := signer.Signer{Secrets: []signer.Secret{signer.NewSecret()}}
	body := make([]byte, 1024)
	at := time.Unix(1700000000, 0)
	h := http.Header{}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.SignTo(h, "evt_0198c2f0-6b1e-7c3a-9d54-3f2a1b0c9e8d", at, body); err != nil {
			b.Fatal(err)
		}
	}
}
