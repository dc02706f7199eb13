package hooks_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/signer"
)

// signedBy returns a transport that answers 204 and a function that lists
// which of the secrets verify the last request, by their place.
func signedBy(t *testing.T, secrets ...signer.Secret) (http.RoundTripper, func() []int) {
	var last struct {
		header http.Header
		body   []byte
	}
	transport := exchange(func(r *http.Request) (*http.Response, error) {
		last.header = r.Header.Clone()
		var err error
		if last.body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		return answer(204, nil, ""), nil
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

func TestSecretIsShownOnceAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var transport http.RoundTripper
		h := newHooks(t, hooks.Config{Transport: exchange(func(r *http.Request) (*http.Response, error) { return transport.RoundTrip(r) })})
		made := put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL})
		if text := made.Secret.Reveal(); !strings.HasPrefix(text, "whsec_") {
			t.Fatalf("secret = %q; want whsec_…", text)
		}
		again := put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL + "/new"})
		read, err := h.Endpoint(t.Context(), "crm")
		if err != nil || !again.Secret.IsZero() || !read.Secret.IsZero() {
			t.Errorf("secrets of the upsert and read back: %q, %q, %v; want none", again.Secret.Reveal(), read.Secret.Reveal(), err)
		}
		var by func() []int
		transport, by = signedBy(t, made.Secret)
		start(t, h)
		send(t, h)
		synctest.Wait()
		if got := by(); !slices.Equal(got, []int{0}) {
			t.Errorf("after the upsert %v sign; want the first secret to", got)
		}
	})
}

func TestSecretImportAndRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var secrets []signer.Secret
		for range 3 {
			secrets = append(secrets, signer.NewSecret())
		}
		transport, by := signedBy(t, secrets...)
		h := newHooks(t, hooks.Config{Transport: transport})
		rotate := func(i int) {
			t.Helper()
			if e := put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL, Secret: secrets[i]}); !e.Secret.IsZero() {
				t.Error("PutEndpoint returns a secret that was given to it; want none")
			}
		}
		want := func(want ...int) {
			t.Helper()
			send(t, h)
			synctest.Wait()
			if got := by(); !slices.Equal(got, want) {
				t.Errorf("signed by secrets %v; want %v", got, want)
			}
		}
		rotate(0)
		start(t, h)
		want(0)
		rotate(0) // the same: no change
		want(0)
		rotate(1)
		want(0, 1)
		time.Sleep(23 * time.Hour)
		put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL, Description: "edited"})
		rotate(1)
		want(0, 1)
		rotate(2) // while the first still has an hour
		want(0, 1, 2)
		time.Sleep(time.Hour)
		want(1, 2)
		time.Sleep(23*time.Hour - time.Microsecond)
		want(1, 2)
		time.Sleep(time.Microsecond)
		want(2)
		rotate(0) // one that was used before
		want(0, 2)
		rotate(2) // and back: the newest does not expire
		time.Sleep(48 * time.Hour)
		want(2)
	})
}

// However often a secret is changed in a day, requests are still signed.
func TestSecretChangedVeryOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var newest signer.Secret
		var verified error
		h := newHooks(t, hooks.Config{Transport: exchange(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			verified = signer.Verifier{Secrets: []signer.Secret{newest}}.Verify(r.Header, body, time.Now())
			return answer(200, nil, ""), nil
		})})
		for range 40 {
			newest = signer.NewSecret()
			put(t, h, hooks.Endpoint{ID: "crm", URL: anyURL, Secret: newest})
		}
		start(t, h)
		r := send(t, h)
		synctest.Wait()
		d, err := h.Delivery(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "crm"})
		if err != nil || d.Status != hooks.Succeeded || verified != nil {
			t.Errorf("delivery is %v (%s), verification %v, %v; want succeeded and verified", d.Status, d.Error, verified, err)
		}
	})
}
