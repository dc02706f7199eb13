package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"example.com/hooks/signer"
)

// plainSeed begins with what checkNoLeak looks for.
const plainSeed = plainKey + "12345678"

func plainPair(t testing.TB) signer.KeyPair {
	t.Helper()
	return mustParsePair(t, "whsk_"+base64.StdEncoding.EncodeToString([]byte(plainSeed)))
}

func mustParsePair(t testing.TB, text string) signer.KeyPair {
	t.Helper()
	k, err := signer.ParseKeyPair(text)
	if err != nil {
		t.Fatalf("ParseKeyPair(%q) = %v", text, err)
	}
	return k
}

func pairs(keyPairs ...signer.KeyPair) []signer.KeyPair { return keyPairs }

func mustHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TEST 1 to TEST 3 of section 7.1 of RFC 8032.
func TestKeyPairIsThatOfRFC8032(t *testing.T) {
	for _, c := range []struct{ seed, public, message, signature string }{
		{
			"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
			"",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555" +
				"fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
		},
		{
			"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
			"72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
				"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		},
		{
			"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
			"af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac" +
				"18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
		},
	} {
		pair := mustParsePair(t, "whsk_"+base64.StdEncoding.EncodeToString(mustHex(t, c.seed)))
		public := "whpk_" + base64.StdEncoding.EncodeToString(mustHex(t, c.public))
		if got := pair.Public().String(); got != public {
			t.Errorf("Public() of seed %s = %s; want %s", c.seed, got, public)
		}
		private, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pair.Reveal(), "whsk_"))
		if err != nil {
			t.Fatalf("Reveal() of seed %s: %v", c.seed, err)
		}
		if got := hex.EncodeToString(private); got != c.seed+c.public {
			t.Errorf("Reveal() of seed %s = %s; want %s", c.seed, got, c.seed+c.public)
			continue
		}
		got := hex.EncodeToString(ed25519.Sign(private, mustHex(t, c.message)))
		if got != c.signature {
			t.Errorf("Sign(%s) with seed %s = %s; want %s", c.message, c.seed, got, c.signature)
		}
	}
}

func TestParseKeyPair(t *testing.T) {
	const seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	const full = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="
	for _, encoded := range []string{seed, full, strings.TrimRight(seed, "="), strings.TrimRight(full, "=")} {
		k, err := signer.ParseKeyPair("whsk_" + encoded)
		if got := k.Reveal(); got != "whsk_"+full || k.IsZero() || err != nil {
			t.Errorf("ParseKeyPair(whsk_%s).Reveal() = %q, %v; want whsk_%s", encoded, got, err, full)
		}
	}
}

func TestParseKeyPairRefuses(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	plain := encode([]byte(plainSeed))
	own := ed25519.NewKeyFromSeed([]byte(plainSeed))
	stranger := ed25519.NewKeyFromSeed(make([]byte, 32))
	swapped := bytes.Clone(own)
	swapped[63] ^= 0x80
	cases := []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"only the prefix", "whsk_", "0 bytes, want 64 or 32"},
		{"no prefix", plain, "begin with whsk_"},
		{"a secret", "whsec_" + plain, "begin with whsk_"},
		{"a public key", "whpk_" + plain, "begin with whsk_"},
		{"the prefix in capitals", "WHSK_" + plain, "begin with whsk_"},
		{"redacted", "whsk_***", "redacted form"},
		{"31 bytes", "whsk_" + encode([]byte(plainSeed[:31])), "holds 31 bytes"},
		{"33 bytes", "whsk_" + encode([]byte(plainSeed+"9")), "holds 33 bytes"},
		{"63 bytes", "whsk_" + encode(own[:63]), "holds 63 bytes"},
		{"65 bytes", "whsk_" + encode(append(bytes.Clone(own), 0)), "holds 65 bytes"},
		{"the public key of another", "whsk_" + encode(append([]byte(plainSeed), stranger[32:]...)), "not that of its seed"},
		{"a bit of the public key", "whsk_" + encode(swapped), "not that of its seed"},
		{"two seeds", "whsk_" + encode([]byte(plainSeed+plainSeed)), "not that of its seed"},
		{"space before", " whsk_" + plain, "begin with whsk_"},
		{"space after", "whsk_" + plain + " ", "not standard base64 at byte 49"},
		{"a line break after", "whsk_" + plain + "\n", "line break at byte 49"},
		{"base64url", "whsk_-_-_" + plain[4:], "not standard base64 at byte 5"},
		{"bits after the end", "whsk_" + plain[:42] + "h=", "not standard base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k, err := signer.ParseKeyPair(c.text)
			if !errors.Is(err, signer.ErrInvalidKey) || !k.IsZero() {
				t.Fatalf("ParseKeyPair(%q) = %v, %v; want zero, %v", c.text, k, err, signer.ErrInvalidKey)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseKeyPair(%q) = %v; want %q in it", c.text, err, c.want)
			}
			checkNoLeak(t, "the error", err.Error())
		})
	}
}

func TestNewKeyPair(t *testing.T) {
	a, b := signer.NewKeyPair(), signer.NewKeyPair()
	if a.Equal(b) || a.Public() == b.Public() {
		t.Error("two new key pairs are equal")
	}
	if again := mustParsePair(t, a.Reveal()); !again.Equal(a) || again.Public() != a.Public() {
		t.Error("ParseKeyPair(NewKeyPair().Reveal()) is another key pair")
	}
}

func TestKeyPairsEqual(t *testing.T) {
	k := plainPair(t)
	for _, c := range []struct {
		name string
		a, b signer.KeyPair
		want bool
	}{
		{"the same", k, k, true},
		{"the same, parsed again", k, plainPair(t), true},
		{"another", k, signer.NewKeyPair(), false},
		{"zero and a pair", signer.KeyPair{}, k, false},
		{"a pair and zero", k, signer.KeyPair{}, false},
		{"two zeros", signer.KeyPair{}, signer.KeyPair{}, true},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("Equal(%s) = %t; want %t", c.name, got, c.want)
		}
	}
}

func TestZeroKeyPair(t *testing.T) {
	var k signer.KeyPair
	if !k.IsZero() || k.Reveal() != "" || !k.Public().IsZero() {
		t.Errorf("KeyPair{} = %t, %q, %v; want zero, no text, no key", k.IsZero(), k.Reveal(), k.Public())
	}
}

func FuzzParseKeyPair(f *testing.F) {
	f.Add("whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
	f.Add("whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg")
	f.Add("whsk_***")
	f.Add("whsk_\n=")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := signer.ParseKeyPair(text)
		if err != nil {
			if !errors.Is(err, signer.ErrInvalidKey) || !k.IsZero() {
				t.Fatalf("ParseKeyPair(%q) = %v, %v; want zero, %v", text, k, err, signer.ErrInvalidKey)
			}
			return
		}
		// 42 characters are the seed's alone; the next shares its bits.
		if got := k.Reveal(); !strings.HasPrefix(got, strings.TrimRight(text, "=")[:len("whsk_")+42]) {
			t.Fatalf("ParseKeyPair(%q).Reveal() = %q; want the same seed", text, got)
		}
		if again := mustParsePair(t, k.Reveal()); !again.Equal(k) {
			t.Fatalf("ParseKeyPair(%q) reveals another key pair", text)
		}
		if public := mustParsePublic(t, k.Public().String()); public != k.Public() {
			t.Fatalf("ParseKeyPair(%q).Public() = %v; read as %v", text, k.Public(), public)
		}
	})
}
