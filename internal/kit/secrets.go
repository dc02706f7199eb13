package kit

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/keeper"
	"example.com/hooks/signer"
)

// needles returns all forms in which a careless line might write a secret.
func needles(text string) [][]byte {
	forms := [][]byte{[]byte(text)}
	_, encoded, found := strings.Cut(text, "_")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil {
		raw = []byte(text)
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		forms = append(forms, []byte(e.EncodeToString(raw)))
	}
	quoted, _ := json.Marshal(text)
	return append(forms, raw, []byte(hex.EncodeToString(raw)), bytes.Trim(quoted, `"`), fmt.Append(nil, raw))
}

// A Haystack is bytes, with a name for failures, in which no secret may be.
type Haystack struct {
	Name string
	Data []byte
}

// Search fails the test if the secret is in the bytes, in any usual encoding. what says what
// the secret is.
func (h Haystack) Search(t *testing.T, what, secret string) {
	t.Helper()
	for _, n := range needles(secret) {
		if i := bytes.Index(h.Data, n); i >= 0 {
			t.Errorf("%s has %s at byte %d: …%q…", h.Name, what, i, h.Data[max(0, i-60):min(len(h.Data), i+len(n)+20)])
		}
	}
}

// LeakySecret is a secret that no output, and no store with a Keeper, may contain.
const LeakySecret = "whsec_bGVha3ktc2VjcmV0LWtleS0wMTIzNDU2Nzg5YWI="

// Secret parses a secret.
func Secret(t *testing.T, text string) signer.Secret {
	t.Helper()
	s, err := signer.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NewKeeper returns a Keeper with new keys that have the ids.
func NewKeeper(t *testing.T, ids ...string) *keeper.Keys {
	t.Helper()
	var keys []keeper.Key
	for _, id := range ids {
		k, err := keeper.NewKey(id)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	k, err := keeper.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Recorded returns the record of an endpoint as the store has it.
func Recorded(t *testing.T, s hooks.Store, id string) hooks.Record {
	t.Helper()
	records, err := s.Records(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Key == "endpoint/"+id {
			return r
		}
	}
	t.Fatalf("no record of %s", id)
	panic("unreachable")
}

// SignedBy returns a transport that answers 204, and a function that returns the indices of
// the secrets that verify the last request.
func SignedBy(t *testing.T, secrets ...signer.Secret) (http.RoundTripper, func() []int) {
	var last struct {
		header http.Header
		body   []byte
	}
	transport := Exchange(func(r *http.Request) (*http.Response, error) {
		last.header = r.Header.Clone()
		var err error
		if last.body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		return Answer(204, nil, ""), nil
	})
	return transport, func() (by []int) {
		for i, s := range secrets {
			if (signer.Verifier{Secrets: []signer.Secret{s}}).Verify(last.header, last.body, time.Now()) == nil {
				by = append(by, i)
			}
		}
		if n := len(strings.Fields(last.header.Get(signer.HeaderSignature))); n != len(by) {
			t.Errorf("%d signatures, of which %d verify", n, len(by))
		}
		return by
	}
}
