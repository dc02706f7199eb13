package keeper_test

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"example.com/hooks/keeper"
)

func mustParse(t testing.TB, text string) *keeper.Keys {
	t.Helper()
	keys, err := keeper.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func mustEncrypt(t testing.TB, keys *keeper.Keys, plaintext, associated string) []byte {
	t.Helper()
	ciphertext, err := keys.Encrypt([]byte(plaintext), []byte(associated))
	if err != nil {
		t.Fatal(err)
	}
	return ciphertext
}

// checkRefuses reports what Decrypt should have refused with want.
func checkRefuses(t *testing.T, keys *keeper.Keys, ciphertext []byte, associated string, want error) {
	t.Helper()
	got, err := keys.Decrypt(ciphertext, []byte(associated))
	if !errors.Is(err, want) || got != nil {
		t.Errorf("Decrypt(%x, %q) = %q, %v; want nil, %v", ciphertext, associated, got, err, want)
	}
}

func TestRoundTrip(t *testing.T) {
	keys := mustParse(t, plain)
	for _, plaintext := range [][]byte{
		nil, {}, {0}, []byte("whsec_x"), bytes.Repeat([]byte("0123456789abcdef"), 4096),
	} {
		for _, associated := range [][]byte{nil, []byte("crm"), bytes.Repeat([]byte{0}, 1000)} {
			ciphertext, err := keys.Encrypt(plaintext, associated)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(ciphertext), 30+len(plainID)+len(plaintext); got != want {
				t.Errorf("Encrypt(%d bytes) = %d bytes; want %d", len(plaintext), got, want)
			}
			got, err := keys.Decrypt(ciphertext, associated)
			if !bytes.Equal(got, plaintext) || err != nil {
				t.Errorf("Decrypt(Encrypt(%.20q)) = %.20q, %v; want the same", plaintext, got, err)
			}
		}
	}
}

// The arguments belong to the caller, before and after.
func TestArgumentsAreNotKept(t *testing.T) {
	keys := mustParse(t, plain)
	plaintext, associated := []byte("whsec_x"), []byte("crm")
	ciphertext, err := keys.Encrypt(plaintext, associated)
	if err != nil {
		t.Fatal(err)
	}
	kept := bytes.Clone(ciphertext)
	clear(plaintext)
	got, err := keys.Decrypt(ciphertext, associated)
	if string(got) != "whsec_x" || err != nil {
		t.Errorf("Decrypt = %q, %v; want whsec_x", got, err)
	}
	if !bytes.Equal(ciphertext, kept) || string(associated) != "crm" {
		t.Error("Decrypt wrote to its arguments")
	}
}

// known is the encryption of "whsec_known" for "endpoint crm" by plainKey, with
// the nonce 0, 1, … 11. Databases are full of ciphertexts in this format: a
// change of it needs a new version, and must go on reading this one.
const known = "0107323032362d3131" + "000102030405060708090a0b" +
	"03eaefd30ba4fa6bb02984dd91751870fae11d89dd07112a89406e"

func TestKnownAnswer(t *testing.T) {
	want, err := hex.DecodeString(known)
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	if got := format(t, nonce, "whsec_known", "endpoint crm"); !bytes.Equal(got, want) {
		t.Errorf("the format gives %x; want %x", got, want)
	}
	keys := mustParse(t, plain)
	got, err := keys.Decrypt(want, []byte("endpoint crm"))
	if string(got) != "whsec_known" || err != nil {
		t.Errorf("Decrypt(known) = %q, %v; want whsec_known", got, err)
	}
	for n := range 70 {
		text := strings.Repeat("x", n)
		got := mustEncrypt(t, keys, text, text)
		nonce := got[2+len(plainID):][:12]
		if want := format(t, nonce, text, text); !bytes.Equal(got, want) {
			t.Errorf("Encrypt(%q) = %x; want %x", text, got, want)
		}
	}
}

// format encrypts by plainKey as the package comment says, with AES-GCM as NIST
// SP 800-38D defines it in section 7.1, from the bare block cipher.
func format(t *testing.T, nonce []byte, plaintext, associated string) []byte {
	t.Helper()
	block, err := aes.NewCipher([]byte(plainKey))
	if err != nil {
		t.Fatal(err)
	}
	encrypt := func(in []byte) (out [16]byte) {
		block.Encrypt(out[:], in)
		return out
	}
	counter := func(i int) []byte { return binary.BigEndian.AppendUint32(bytes.Clone(nonce), uint32(i)) }

	header := append([]byte{1, byte(len(plainID))}, plainID...)
	sealed := []byte(plaintext)
	for i := range sealed {
		pad := encrypt(counter(2 + i/16))
		sealed[i] ^= pad[i%16]
	}
	authenticated := append(bytes.Clone(header), associated...)
	hash := ghash(encrypt(make([]byte, 16)), authenticated, sealed)
	tag := encrypt(counter(1))
	for i := range tag {
		tag[i] ^= hash[i]
	}
	return bytes.Join([][]byte{header, nonce, sealed, tag[:]}, nil)
}

// ghash is GHASH of SP 800-38D, section 6.4, of both texts, each filled up with
// zeros to whole blocks, and of their lengths in bits.
func ghash(h [16]byte, authenticated, sealed []byte) (y [16]byte) {
	fill := func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, -len(b)&15)...) }
	in := append(fill(authenticated), fill(sealed)...)
	in = binary.BigEndian.AppendUint64(in, uint64(len(authenticated))*8)
	in = binary.BigEndian.AppendUint64(in, uint64(len(sealed))*8)
	for ; len(in) > 0; in = in[16:] {
		for i := range y {
			y[i] ^= in[i]
		}
		y = multiply(y, h)
	}
	return y
}

// multiply is the product of two blocks, section 6.3.
func multiply(x, v [16]byte) (z [16]byte) {
	for i := range 128 {
		if x[i/8]>>(7-i%8)&1 == 1 {
			for j := range z {
				z[j] ^= v[j]
			}
		}
		odd := v[15] & 1
		high, low := binary.BigEndian.Uint64(v[:8]), binary.BigEndian.Uint64(v[8:])
		binary.BigEndian.PutUint64(v[8:], low>>1|high<<63)
		binary.BigEndian.PutUint64(v[:8], high>>1)
		v[0] ^= odd * 0xe1
	}
	return z
}

func TestEqualPlaintextsDiffer(t *testing.T) {
	keys := mustParse(t, plain)
	seen := map[string]bool{}
	for range 1000 {
		ciphertext := mustEncrypt(t, keys, "whsec_x", "crm")
		nonce := string(ciphertext[2+len(plainID):][:12])
		if seen[nonce] {
			t.Fatalf("Encrypt used the nonce %x twice", nonce)
		}
		seen[nonce] = true
	}
}

func TestEveryBitFlipIsRefused(t *testing.T) {
	keys := mustParse(t, plain)
	ciphertext := mustEncrypt(t, keys, "whsec_x", "crm")
	for i := range ciphertext {
		for bit := range 8 {
			flipped := bytes.Clone(ciphertext)
			flipped[i] ^= 1 << bit
			got, err := keys.Decrypt(flipped, []byte("crm"))
			inID := 1 <= i && i < 2+len(plainID) // may name another key
			if got != nil || !errors.Is(err, keeper.ErrCorrupt) && (!inID || !errors.Is(err, keeper.ErrUnknownKey)) {
				t.Errorf("Decrypt with bit %d of byte %d flipped = %q, %v; want nil, %v",
					bit, i, got, err, keeper.ErrCorrupt)
			}
			if !errors.Is(err, keeper.ErrCorrupt) && keys.Current(flipped) {
				t.Errorf("Current with bit %d of byte %d flipped = true; want false", bit, i)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	keys := mustParse(t, plain)
	ciphertext := mustEncrypt(t, keys, "whsec_x", "crm")
	for n := range ciphertext {
		checkRefuses(t, keys, ciphertext[:n], "crm", keeper.ErrCorrupt)
	}
	checkRefuses(t, keys, ciphertext[1:], "crm", keeper.ErrCorrupt)
	checkRefuses(t, keys, append(ciphertext, 0), "crm", keeper.ErrCorrupt)
}

func TestRefusesWhatIsNoCiphertext(t *testing.T) {
	keys := mustParse(t, plain)
	for name, ciphertext := range map[string]string{
		"nothing":             "",
		"a plaintext":         "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"no id":               "\x01\x00" + strings.Repeat("x", 40),
		"an id of 65":         "\x01\x41" + strings.Repeat("x", 100),
		"an id to forge logs": "\x01\x03a\nb" + strings.Repeat("x", 40),
		"another version":     "\x02" + string(mustEncrypt(t, keys, "", "")[1:]),
	} {
		t.Run(name, func(t *testing.T) {
			checkRefuses(t, keys, []byte(ciphertext), "", keeper.ErrCorrupt)
			if keys.Current([]byte(ciphertext)) {
				t.Errorf("Current(%q) = true; want false", ciphertext)
			}
		})
	}
	checkRefuses(t, keys, nil, "", keeper.ErrCorrupt)
}

func TestOtherAssociatedDataIsRefused(t *testing.T) {
	keys := mustParse(t, plain)
	crm, erp := mustEncrypt(t, keys, "whsec_x", "crm"), mustEncrypt(t, keys, "whsec_x", "erp")
	for _, associated := range []string{"erp", "", "cr", "crm\x00", "CRM"} {
		checkRefuses(t, keys, crm, associated, keeper.ErrCorrupt)
	}
	checkRefuses(t, keys, erp, "crm", keeper.ErrCorrupt)
	checkRefuses(t, keys, mustEncrypt(t, keys, "whsec_x", ""), "crm", keeper.ErrCorrupt)
}

// renamed returns a ciphertext with the id of another key.
func renamed(ciphertext []byte, id string) []byte {
	rest := ciphertext[2+int(ciphertext[1]):]
	return append(append([]byte{1, byte(len(id))}, id...), rest...)
}

func TestHeaderIsAuthenticated(t *testing.T) {
	keys := mustParse(t, "a:"+plain64+" b:"+plain64+" ab:"+plain64)
	ciphertext := mustEncrypt(t, keys, "whsec_x", "bcrm")
	checkRefuses(t, keys, renamed(ciphertext, "b"), "bcrm", keeper.ErrCorrupt)
	// Nor can the end of an id become the beginning of the associated data.
	checkRefuses(t, keys, renamed(ciphertext, "ab"), "crm", keeper.ErrCorrupt)

	got, err := keys.Decrypt(renamed(renamed(ciphertext, "ab"), "a"), []byte("bcrm"))
	if string(got) != "whsec_x" || err != nil {
		t.Errorf("Decrypt of the ciphertext itself = %q, %v; want whsec_x", got, err)
	}
}

func TestUnknownKey(t *testing.T) {
	ciphertext := mustEncrypt(t, mustParse(t, plain), "whsec_x", "crm")
	other := mustParse(t, "other:"+plain64)
	checkRefuses(t, other, ciphertext, "crm", keeper.ErrUnknownKey)
	_, err := other.Decrypt(ciphertext, []byte("crm"))
	if errors.Is(err, keeper.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), plainID) {
		t.Errorf("Decrypt = %v; want an error that names %s, and is not %v", err, plainID, keeper.ErrCorrupt)
	}

	sameID, err := keeper.NewKey(plainID)
	if err != nil {
		t.Fatal(err)
	}
	checkRefuses(t, mustParse(t, sameID.Reveal()), ciphertext, "crm", keeper.ErrCorrupt)
}

func TestFirstKeyEncryptsAllDecrypt(t *testing.T) {
	var texts []string
	for _, id := range []string{"a", "b", "c"} {
		k, err := keeper.NewKey(id)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, k.Reveal())
	}
	keys := mustParse(t, strings.Join(texts, ","))
	for i, text := range texts {
		alone := mustParse(t, text)
		ciphertext := mustEncrypt(t, alone, "whsec_x", "crm")
		got, err := keys.Decrypt(ciphertext, []byte("crm"))
		if string(got) != "whsec_x" || err != nil {
			t.Errorf("%v.Decrypt(of %v) = %q, %v; want whsec_x", keys, alone, got, err)
		}
		if got, want := keys.Current(ciphertext), i == 0; got != want {
			t.Errorf("%v.Current(of %v) = %t; want %t", keys, alone, got, want)
		}
	}
	ciphertext := mustEncrypt(t, keys, "whsec_x", "crm")
	if got, err := mustParse(t, texts[0]).Decrypt(ciphertext, []byte("crm")); err != nil {
		t.Errorf("the first key alone: Decrypt = %q, %v; want whsec_x", got, err)
	}
	if !keys.Current(ciphertext) {
		t.Errorf("%v.Current(its own) = false; want true", keys)
	}
}

func TestParse(t *testing.T) {
	a, b := "a:"+plain64, "b:"+strings.TrimRight(plain64, "=")
	for text, want := range map[string]string{
		a:                               "keeper(a)",
		a + "," + b:                     "keeper(a, b)",
		b + " " + a:                     "keeper(b, a)",
		"\n\t" + a + " ,\r\n" + b + ",": "keeper(a, b)",
	} {
		if keys, err := keeper.Parse(text); err != nil || keys.String() != want {
			t.Errorf("Parse(%q) = %v, %v; want %s", text, keys, err, want)
		}
	}
	for _, c := range []struct {
		text, want string
		err        error
	}{
		{"", "no key", keeper.ErrNoKey},
		{" ,\n", "no key", keeper.ErrNoKey},
		{a + " " + a, "same id: a", keeper.ErrDuplicateID},
		{a + " b:super", "key 2 of 2", keeper.ErrInvalidKey},
		{a + ";" + b, "base64", keeper.ErrInvalidKey},
	} {
		keys, err := keeper.Parse(c.text)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || keys != nil {
			t.Errorf("Parse(%q) = %v, %v; want nil, %v with %q", c.text, keys, err, c.err, c.want)
			continue
		}
		checkNoLeak(t, "the error", err.Error())
	}
}

func TestNewRefuses(t *testing.T) {
	k := mustKey(t, plain)
	for _, c := range []struct {
		name string
		keys []keeper.Key
		want error
	}{
		{"none", nil, keeper.ErrNoKey},
		{"a zero key", []keeper.Key{{}}, keeper.ErrInvalidKey},
		{"a zero key behind", []keeper.Key{k, {}}, keeper.ErrInvalidKey},
		{"the same id", []keeper.Key{k, mustKey(t, "b:"+plain64), k}, keeper.ErrDuplicateID},
	} {
		if keys, err := keeper.New(c.keys...); !errors.Is(err, c.want) || keys != nil {
			t.Errorf("New(%s) = %v, %v; want nil, %v", c.name, keys, err, c.want)
		}
	}
}

func TestZeroKeysHaveNoKey(t *testing.T) {
	ciphertext := mustEncrypt(t, mustParse(t, plain), "", "")
	for _, keys := range []*keeper.Keys{nil, {}} {
		if got, err := keys.Encrypt(nil, nil); !errors.Is(err, keeper.ErrNoKey) || got != nil {
			t.Errorf("%v.Encrypt = %x, %v; want nil, %v", keys, got, err, keeper.ErrNoKey)
		}
		checkRefuses(t, keys, ciphertext, "", keeper.ErrUnknownKey)
		if keys.Current(ciphertext) {
			t.Errorf("%v.Current = true; want false", keys)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	keys := mustParse(t, plain)
	shared := mustEncrypt(t, keys, "shared", "crm")
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 50 {
				text := fmt.Sprint(i, j)
				ciphertext, err := keys.Encrypt([]byte(text), []byte("crm"))
				if err != nil {
					t.Error(err)
				}
				got, err := keys.Decrypt(ciphertext, []byte("crm"))
				if string(got) != text || err != nil || !keys.Current(ciphertext) {
					t.Errorf("Decrypt(Encrypt(%q)) = %q, %v; want the same", text, got, err)
				}
				if got, err := keys.Decrypt(shared, []byte("crm")); string(got) != "shared" || err != nil {
					t.Errorf("Decrypt(shared) = %q, %v; want shared", got, err)
				}
			}
		})
	}
	group.Wait()
}

func FuzzDecrypt(f *testing.F) {
	keys := mustParse(f, plain+" b:"+plain64)
	sealed, err := hex.DecodeString(known)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, []byte("endpoint crm"), []byte("whsec_known"))
	f.Add(renamed(sealed, "b"), []byte("endpoint crm"), []byte(nil))
	f.Add([]byte("\x01\xff"), []byte(nil), []byte("x"))
	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, ciphertext, associated, plaintext []byte) {
		got, err := keys.Decrypt(ciphertext, associated)
		switch {
		case err == nil && !(bytes.Equal(ciphertext, sealed) && string(associated) == "endpoint crm"):
			t.Fatalf("Decrypt(%x, %q) = %q; nobody encrypted that", ciphertext, associated, got)
		case err != nil && (got != nil ||
			errors.Is(err, keeper.ErrCorrupt) == errors.Is(err, keeper.ErrUnknownKey)):
			t.Fatalf("Decrypt(%x) = %q, %v; want nil and one of the two errors", ciphertext, got, err)
		}
		made, err := keys.Encrypt(plaintext, associated)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = keys.Decrypt(made, associated); !bytes.Equal(got, plaintext) || err != nil {
			t.Fatalf("Decrypt(Encrypt(%q)) = %q, %v; want the same", plaintext, got, err)
		}
	})
}
