package hooks_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

const day = 24 * time.Hour

// rotating is an endpoint "crm" with the first of three secrets, its dispatcher
// running, and who signs the next request, by their place.
func rotating(t *testing.T) (h *hooks.Hooks, secrets []signer.Secret, signs func() []int) {
	t.Helper()
	for range 3 {
		secrets = append(secrets, signer.NewSecret())
	}
	transport, by := kit.SignedBy(t, secrets...)
	h = kit.New(t, hooks.Config{Transport: transport})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Secret: secrets[0]})
	kit.Start(t, h)
	return h, secrets, func() []int {
		t.Helper()
		kit.Send(t, h)
		synctest.Wait()
		return by()
	}
}

func rotate(t *testing.T, h *hooks.Hooks, r hooks.Rotation) hooks.Endpoint {
	t.Helper()
	e, err := h.RotateSecret(t.Context(), "crm", r)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRotationOverlaps(t *testing.T) {
	for overlap, ends := range map[time.Duration]time.Duration{
		0:           24 * time.Hour,
		time.Minute: time.Minute,
		30 * day:    30 * day,
	} {
		t.Run(overlap.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, secrets, signs := rotating(t)
				if e := rotate(t, h, hooks.Rotation{Secret: secrets[1], Overlap: overlap}); !e.Secret.IsZero() {
					t.Error("RotateSecret returns a secret that was given to it; want none")
				}
				time.Sleep(ends - time.Microsecond)
				if got := signs(); !slices.Equal(got, []int{0, 1}) {
					t.Errorf("just before the overlap ends %v sign; want both", got)
				}
				time.Sleep(time.Microsecond)
				if got := signs(); !slices.Equal(got, []int{1}) {
					t.Errorf("after the overlap %v sign; want the new one", got)
				}
			})
		})
	}
}

// A secret that has leaked stops at once, and all others with it.
func TestRotationWithoutOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, secrets, signs := rotating(t)
		rotate(t, h, hooks.Rotation{Secret: secrets[1]})
		rotate(t, h, hooks.Rotation{Secret: secrets[2], Overlap: -1})
		if got := signs(); !slices.Equal(got, []int{2}) {
			t.Errorf("%v sign; want the new one alone", got)
		}
		rotate(t, h, hooks.Rotation{Secret: secrets[0], Overlap: time.Hour})
		rotate(t, h, hooks.Rotation{Secret: secrets[0]}) // the newest already
		if got := signs(); !slices.Equal(got, []int{0, 2}) {
			t.Errorf("%v sign; want the newest and the one before", got)
		}
		rotate(t, h, hooks.Rotation{Secret: secrets[0], Overlap: -1})
		if got := signs(); !slices.Equal(got, []int{0}) {
			t.Errorf("%v sign; want the newest alone", got)
		}
		time.Sleep(48 * time.Hour)
		if got := signs(); !slices.Equal(got, []int{0}) {
			t.Errorf("two days later %v sign; want the newest still", got)
		}
	})
}

// What has ended does not stay in the store.
func TestEndedSecretsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		h := kit.New(t, hooks.Config{Store: store})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Secret: kit.Secret(t, kit.LeakySecret)})
		rotate(t, h, hooks.Rotation{Overlap: time.Hour})
		if data := kit.Recorded(t, store, "crm").Data; !bytes.Contains(data, []byte(kit.LeakySecret)) {
			t.Fatalf("record %s; want the secret that signs for another hour", data)
		}
		time.Sleep(time.Hour)
		rotate(t, h, hooks.Rotation{})
		kit.Haystack{Name: "the record", Data: kit.Recorded(t, store, "crm").Data}.Search(t, "a secret that has ended", kit.LeakySecret)
	})
}

func TestRotationMakesASecretUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got http.Header
		h := kit.New(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			got = r.Header
			return kit.Answer(200, nil, ""), nil
		})})
		first := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		second := rotate(t, h, hooks.Rotation{})
		if second.Secret.IsZero() || second.Secret.Equal(first.Secret) {
			t.Error("RotateSecret returns no secret of its own; want it shown once")
		}
		if read, err := h.Endpoint(t.Context(), "crm"); err != nil || !read.Secret.IsZero() {
			t.Errorf("read back: %q, %v; want no secret", read.Secret.Reveal(), err)
		}
		for range 6 {
			rotate(t, h, hooks.Rotation{})
		}
		kit.Start(t, h)
		kit.Send(t, h)
		synctest.Wait()
		if n := len(strings.Fields(got.Get(signer.HeaderSignature))); n != 5 {
			t.Errorf("after eight secrets in a day %d sign; want the newest 5", n)
		}
	})
}

func TestRotationRefuses(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store})
	_, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{})
	if !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("RotateSecret of nothing = %v; want %v", err, hooks.ErrNotFound)
	}
	kit.WantEmpty(t, h, store)
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Scheme: hooks.SchemeEd25519})
	_, err = h.RotateSecret(t.Context(), "crm", hooks.Rotation{Overlap: 30*day + 1})
	kit.WantInvalid(t, err, "Rotation.Overlap", nil, "at most 30 days")
	_, err = h.RotateSecret(t.Context(), "crm", hooks.Rotation{Secret: signer.NewSecret()})
	kit.WantInvalid(t, err, "Rotation.Secret", nil, "Ed25519")
	_, err = h.PutEndpoint(t.Context(), hooks.Endpoint{
		ID: "crm", URL: kit.AnyURL, Events: []string{"**"}, Scheme: hooks.SchemeEd25519, Secret: signer.NewSecret(),
	})
	kit.WantInvalid(t, err, "Endpoint.Secret", nil, "Ed25519")
}

// What two operators rotate at once signs, both of it.
func TestRotationsAtOnce(t *testing.T) {
	store := memory.New()
	var made [4]signer.Secret
	var group sync.WaitGroup
	kit.Put(t, kit.New(t, hooks.Config{Store: store}), hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	for i := range made {
		h := kit.New(t, hooks.Config{Store: store})
		group.Go(func() {
			e, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{})
			if err != nil {
				t.Error(err)
			}
			made[i] = e.Secret
		})
	}
	group.Wait()
	var verifies int
	h := kit.New(t, hooks.Config{Store: store, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		for _, s := range made {
			if err == nil && (signer.Verifier{Secrets: []signer.Secret{s}}).Verify(r.Header, body, time.Now()) == nil {
				verifies++
			}
		}
		return kit.Answer(200, nil, ""), err
	})})
	kit.Send(t, h)
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if verifies != len(made) {
		t.Errorf("%d of %d new secrets sign; want all", verifies, len(made))
	}
}

// verifiedBy returns a transport and a function that says whether the last request
// verifies with a public key, and how many signatures it had.
func verifiedBy(t *testing.T) (http.RoundTripper, func(signer.PublicKey) bool, func() int) {
	var header http.Header
	var body []byte
	transport := kit.Exchange(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Clone()
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		return kit.Answer(200, nil, ""), nil
	})
	verifies := func(k signer.PublicKey) bool {
		return (signer.Verifier{PublicKeys: []signer.PublicKey{k}}).Verify(header, body, time.Now()) == nil
	}
	return transport, verifies, func() int { return len(strings.Fields(header.Get(signer.HeaderSignature))) }
}

func TestEd25519(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, verifies, signatures := verifiedBy(t)
		h := kit.New(t, hooks.Config{Transport: transport, Keeper: kit.NewKeeper(t, "1")})
		want := func(n int, keys ...signer.PublicKey) {
			t.Helper()
			kit.Send(t, h)
			synctest.Wait()
			if signatures() != n {
				t.Errorf("%d signatures; want %d", signatures(), n)
			}
			for i, k := range keys {
				if k.IsZero() || !verifies(k) {
					t.Errorf("public key %d (%v) does not verify", i, k)
				}
			}
		}
		kit.Start(t, h)
		e := hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Scheme: hooks.SchemeEd25519}
		first := kit.Put(t, h, e)
		if !first.Secret.IsZero() || !strings.HasPrefix(first.PublicKey.String(), "whpk_") {
			t.Errorf("made with secret %v and public key %v; want the latter only", first.Secret, first.PublicKey)
		}
		want(1, first.PublicKey)
		if again := kit.Put(t, h, e); again.PublicKey != first.PublicKey {
			t.Errorf("equal content has public key %v; want %v", again.PublicKey, first.PublicKey)
		}
		if read, err := h.Endpoint(t.Context(), "crm"); err != nil || read.PublicKey != first.PublicKey {
			t.Errorf("read back: %v, %v; want the public key %v", read.PublicKey, err, first.PublicKey)
		}
		second := rotate(t, h, hooks.Rotation{})
		want(2, first.PublicKey, second.PublicKey)
		time.Sleep(24 * time.Hour)
		want(1, second.PublicKey)

		e.Scheme = hooks.SchemeHMAC // back to a secret, which is shown
		third := kit.Put(t, h, e)
		if third.Secret.IsZero() || !third.PublicKey.IsZero() {
			t.Errorf("changed to secret %v, public key %v; want a new secret only", third.Secret, third.PublicKey)
		}
		want(2, second.PublicKey)
		time.Sleep(24 * time.Hour)
		want(1)
		if verifies(second.PublicKey) {
			t.Error("the key pair signs a day after the change")
		}
	})
}

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
