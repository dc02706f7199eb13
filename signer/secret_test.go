package signer_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"example.com/hooks/signer"
)

func plainSecret(t testing.TB) signer.Secret {
	t.Helper()
	return mustParse(t, "whsec_"+base64.StdEncoding.EncodeToString([]byte(plainKey)))
}

func TestParseSecret(t *testing.T) {
	valid := map[string]string{} // input to what it reveals
	for n := 24; n <= 64; n++ {
		key := bytes.Repeat([]byte{0xfb}, n)
		padded := "whsec_" + base64.StdEncoding.EncodeToString(key)
		valid[padded] = padded
		valid[strings.TrimRight(padded, "=")] = padded
	}
	for text, want := range valid {
		s, err := signer.ParseSecret(text)
		if got := s.Reveal(); got != want || s.IsZero() || err != nil {
			t.Errorf("ParseSecret(%q).Reveal() = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestParseSecretRefuses(t *testing.T) {
	const good = "c3VwZXJzZWNyZXRzdXBlcnNlY3JldCEh" // plainKey
	long := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("super", 13)))
	cases := []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"only the prefix", "whsec_", "0 bytes, want 24 to 64"},
		{"no prefix", good, "begin with whsec_"},
		{"a private key", "whsk_" + good, "begin with whsec_"},
		{"the prefix in capitals", "WHSEC_" + good, "begin with whsec_"},
		{"redacted", "whsec_***", "redacted form"},
		{"23 bytes", "whsec_" + good[:len(good)-1] + "=", "holds 23 bytes"},
		{"65 bytes", "whsec_" + long, "holds 65 bytes"},
		{"space before", " whsec_" + good, "begin with whsec_"},
		{"space after", "whsec_" + good + " ", "byte 38"},
		{"a line break after", "whsec_" + good + "\n", "line break at byte 38"},
		{"a line break within", "whsec_" + good[:4] + "\r\n" + good[4:], "line break at byte 10"},
		{"base64url", "whsec_" + good[:4] + "-_-_" + good[4:], "not standard base64 at byte 10"},
		{"hex digits and dashes", "whsec_6ba7b810-9dad-11d1-80b4-00c04fd430c8", "byte 14"},
		{"too much padding", "whsec_" + good + "==", "not standard base64"},
		{"half the padding", "whsec_" + good + "ZA=", "not standard base64"},
		{"a single last character", "whsec_" + good + "Z", "not standard base64"},
		{"bits after the end", "whsec_" + good + "ZB==", "not standard base64"},
		{"bits after the end, unpadded", "whsec_" + good + "ZB", "not standard base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := signer.ParseSecret(c.text)
			if !errors.Is(err, signer.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("ParseSecret(%q) = %v, %v; want zero, %v", c.text, s, err, signer.ErrInvalidSecret)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseSecret(%q) = %v; want %q in it", c.text, err, c.want)
			}
			checkNoLeak(t, "the error", err.Error())
		})
	}
}

func TestNewSecret(t *testing.T) {
	a, b := signer.NewSecret(), signer.NewSecret()
	if a.Equal(b) {
		t.Error("two new secrets are equal")
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.Reveal(), "whsec_"))
	if len(key) != 32 || err != nil {
		t.Errorf("NewSecret() has %d bytes, %v; want 32", len(key), err)
	}
}

func TestEqual(t *testing.T) {
	s := plainSecret(t)
	shorter := mustParse(t, s.Reveal()+"AA==")
	for _, c := range []struct {
		name string
		a, b signer.Secret
		want bool
	}{
		{"the same", s, s, true},
		{"the same, parsed again", s, plainSecret(t), true},
		{"another", s, signer.NewSecret(), false},
		{"a prefix", s, shorter, false},
		{"zero and a secret", signer.Secret{}, s, false},
		{"a secret and zero", s, signer.Secret{}, false},
		{"two zeros", signer.Secret{}, signer.Secret{}, true},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("Equal(%s) = %t; want %t", c.name, got, c.want)
		}
	}
	if got := (signer.Secret{}).Reveal(); got != "" {
		t.Errorf("Secret{}.Reveal() = %q; want none", got)
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3JldCEhZA")
	f.Add("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3JldCEhZA==")
	f.Add("whsec_***")
	f.Add("whsec_\n=")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := signer.ParseSecret(text)
		if err != nil {
			if !errors.Is(err, signer.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("ParseSecret(%q) = %v, %v; want zero, %v", text, s, err, signer.ErrInvalidSecret)
			}
			return
		}
		if got := s.Reveal(); strings.TrimRight(got, "=") != strings.TrimRight(text, "=") {
			t.Fatalf("ParseSecret(%q).Reveal() = %q; want the same but for padding", text, got)
		}
		if again := mustParse(t, s.Reveal()); !again.Equal(s) {
			t.Fatalf("ParseSecret(%q) reveals another secret", text)
		}
	})
}
