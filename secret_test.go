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
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
)

func TestSecretIsShownOnceAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var transport http.RoundTripper
		h := kit.New(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) { return transport.RoundTrip(r) })})
		made := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		if text := made.Secret.Reveal(); !strings.HasPrefix(text, "whsec_") {
			t.Fatalf("secret = %q; want whsec_…", text)
		}
		again := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL + "/new"})
		read, err := h.Endpoint(t.Context(), "crm")
		if err != nil || !again.Secret.IsZero() || !read.Secret.IsZero() {
			t.Errorf("secrets of the upsert and read back: %q, %q, %v; want none", again.Secret.Reveal(), read.Secret.Reveal(), err)
		}
		var by func() []int
		transport, by = kit.SignedBy(t, made.Secret)
		kit.Start(t, h)
		kit.Send(t, h)
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
		transport, by := kit.SignedBy(t, secrets...)
		h := kit.New(t, hooks.Config{Transport: transport})
		rotate := func(i int) {
			t.Helper()
			if e := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Secret: secrets[i]}); !e.Secret.IsZero() {
				t.Error("PutEndpoint returns a secret that was given to it; want none")
			}
		}
		want := func(want ...int) {
			t.Helper()
			kit.Send(t, h)
			synctest.Wait()
			if got := by(); !slices.Equal(got, want) {
				t.Errorf("signed by secrets %v; want %v", got, want)
			}
		}
		rotate(0)
		kit.Start(t, h)
		want(0)
		rotate(0) // the same: no change
		want(0)
		rotate(1)
		want(0, 1)
		time.Sleep(23 * time.Hour)
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Description: "edited"})
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
		h := kit.New(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			verified = signer.Verifier{Secrets: []signer.Secret{newest}}.Verify(r.Header, body, time.Now())
			return kit.Answer(200, nil, ""), nil
		})})
		for range 40 {
			newest = signer.NewSecret()
			kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Secret: newest})
		}
		kit.Start(t, h)
		r := kit.Send(t, h)
		synctest.Wait()
		d, err := h.Delivery(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "crm"})
		if err != nil || d.Status != hooks.Succeeded || verified != nil {
			t.Errorf("delivery is %v (%s), verification %v, %v; want succeeded and verified", d.Status, d.Error, verified, err)
		}
	})
}
