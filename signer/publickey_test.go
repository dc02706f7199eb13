package signer_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/hooks/signer"
)

const publicText = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

func mustParsePublic(t testing.TB, text string) signer.PublicKey {
	t.Helper()
	p, err := signer.ParsePublicKey(text)
	if err != nil {
		t.Fatalf("ParsePublicKey(%q) = %v", text, err)
	}
	return p
}

func TestParsePublicKey(t *testing.T) {
	for _, text := range []string{publicText, strings.TrimRight(publicText, "=")} {
		p, err := signer.ParsePublicKey(text)
		if got := p.String(); got != publicText || p.IsZero() || err != nil {
			t.Errorf("ParsePublicKey(%q) = %q, %v; want %q", text, got, err, publicText)
		}
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	good := strings.TrimPrefix(publicText, "whpk_")
	encode := base64.StdEncoding.EncodeToString
	cases := []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"only the prefix", "whpk_", "0 bytes, want 32"},
		{"no prefix", good, "begin with whpk_"},
		{"a secret", "whsec_" + good, "begin with whpk_"},
		{"a key pair", "whsk_" + good, "begin with whpk_"},
		{"31 bytes", "whpk_" + encode(make([]byte, 31)), "holds 31 bytes"},
		{"33 bytes", "whpk_" + encode(make([]byte, 33)), "holds 33 bytes"},
		{"64 bytes", "whpk_" + encode(make([]byte, 64)), "holds 64 bytes"},
		{"space before", " " + publicText, "begin with whpk_"},
		{"space after", publicText + " ", "not standard base64 at byte 49"},
		{"a line break after", publicText + "\n", "line break at byte 49"},
		{"base64url", "whpk_-_-_" + good[4:], "not standard base64 at byte 5"},
		{"bits after the end", "whpk_" + good[:42] + "p=", "not standard base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := signer.ParsePublicKey(c.text)
			if !errors.Is(err, signer.ErrInvalidKey) || !p.IsZero() {
				t.Fatalf("ParsePublicKey(%q) = %v, %v; want zero, %v", c.text, p, err, signer.ErrInvalidKey)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParsePublicKey(%q) = %v; want %q in it", c.text, err, c.want)
			}
			if strings.Contains(err.Error(), good[:6]) {
				t.Errorf("ParsePublicKey(%q) = %v; want nothing of the text", c.text, err)
			}
		})
	}
}

// smallOrder are all encodings of the eight points whose order divides 8 that
// crypto/ed25519 decodes, those that RFC 8032 forbids included.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000", // order 1
	"0100000000000000000000000000000000000000000000000000000000000080",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0000000000000000000000000000000000000000000000000000000000000000", // order 4
	"0000000000000000000000000000000000000000000000000000000000000080",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

func TestParsePublicKeyRefusesSmallOrder(t *testing.T) {
	// R is the neutral point and S is 0, which needs no private key.
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	for _, text := range smallOrder {
		key := mustHex(t, text)
		p, err := signer.ParsePublicKey("whpk_" + base64.StdEncoding.EncodeToString(key))
		if !errors.Is(err, signer.ErrInvalidKey) || !p.IsZero() {
			t.Errorf("ParsePublicKey(%s) = %v, %v; want zero, %v", text, p, err, signer.ErrInvalidKey)
		}
		works := false
		for i := range 200 {
			works = works || ed25519.Verify(key, fmt.Append(nil, "message ", i), forged)
		}
		if !works {
			t.Errorf("nothing can be forged for %s; want a point of small order here", text)
		}
	}
}

// Section 5.1.3 of RFC 8032: "If the resulting value is >= p, decoding fails."
func TestParsePublicKeyRefusesUnreduced(t *testing.T) {
	key := slices.Repeat([]byte{0xff}, 32)
	for low := 0xe0; low <= 0xff; low++ {
		for _, high := range []byte{0x7f, 0xff} {
			key[0], key[31] = byte(low), high
			_, err := signer.ParsePublicKey("whpk_" + base64.StdEncoding.EncodeToString(key))
			if refused, want := err != nil, low >= 0xec; refused != want { // ec is of order 2
				t.Errorf("ParsePublicKey(%x) = %v; want refused = %t", key, err, want)
			}
		}
	}
	for i := 1; i < 31; i++ {
		key := slices.Repeat([]byte{0xff}, 32)
		key[i] = 0xfe
		if _, err := signer.ParsePublicKey("whpk_" + base64.StdEncoding.EncodeToString(key)); err != nil {
			t.Errorf("ParsePublicKey(%x) = %v; want nil", key, err)
		}
	}
}

func TestPublicKeysEqual(t *testing.T) {
	a, b := signer.NewKeyPair().Public(), signer.NewKeyPair().Public()
	again := mustParsePublic(t, a.String())
	if !a.Equal(again) || a != again {
		t.Errorf("Equal(%v, parsed again) = false; want true", a)
	}
	if a.Equal(b) || a.Equal(signer.PublicKey{}) {
		t.Errorf("Equal(%v, another or zero) = true; want false", a)
	}
	if !(signer.PublicKey{}).Equal(signer.PublicKey{}) {
		t.Error("Equal(zero, zero) = false; want true")
	}
}

func TestPublicKeyAsText(t *testing.T) {
	type config struct{ Key signer.PublicKey }
	p := mustParsePublic(t, publicText)
	data, err := json.Marshal(config{p})
	if want := `{"Key":"` + publicText + `"}`; string(data) != want || err != nil {
		t.Errorf("Marshal = %s, %v; want %s", data, err, want)
	}
	if got := fmt.Sprint(p, signer.PublicKey{}); got != publicText+" " {
		t.Errorf("Sprint(key, zero) = %q; want %q", got, publicText+" ")
	}
	for _, c := range []struct {
		json string
		want signer.PublicKey
		err  error
	}{
		{`"` + publicText + `"`, p, nil},
		{`""`, signer.PublicKey{}, nil},
		{`"whpk_short"`, signer.NewKeyPair().Public(), signer.ErrInvalidKey},
	} {
		got := config{c.want}
		if c.err == nil {
			got.Key = signer.NewKeyPair().Public()
		}
		err := json.Unmarshal([]byte(`{"Key":`+c.json+`}`), &got)
		if got.Key != c.want || !errors.Is(err, c.err) {
			t.Errorf("Unmarshal(%s) = %v, %v; want %v, %v", c.json, got.Key, err, c.want, c.err)
		}
	}
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(publicText)
	f.Add(strings.TrimRight(publicText, "="))
	f.Add("whpk_" + strings.Repeat("A", 43) + "=")
	f.Add("whpk_\n=")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := signer.ParsePublicKey(text)
		if err != nil {
			if !errors.Is(err, signer.ErrInvalidKey) || !p.IsZero() {
				t.Fatalf("ParsePublicKey(%q) = %v, %v; want zero, %v", text, p, err, signer.ErrInvalidKey)
			}
			return
		}
		if got := p.String(); p.IsZero() || strings.TrimRight(got, "=") != strings.TrimRight(text, "=") {
			t.Fatalf("ParsePublicKey(%q) = %q; want the same but for padding", text, got)
		}
		if again := mustParsePublic(t, p.String()); again != p {
			t.Fatalf("ParsePublicKey(%q) prints another key", text)
		}
	})
}
