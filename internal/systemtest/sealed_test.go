package systemtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// Events for an endpoint whose secrets cannot be decrypted are not lost, and not
// charged with attempts: they wait for the key.
func TestEndpointsWaitForTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys := memory.New(), kit.NewKeeper(t, "1")
		e := sealedEndpoint
		e.Secret = kit.Secret(t, kit.LeakySecret)
		kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), e)

		k := &doubtful{Keeper: keys, err: errDown}
		log := new(bytes.Buffer)
		h := kit.New(t, hooks.Config{
			Store: store, Keeper: k, Transport: verified(t),
			Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
		kit.Start(t, h)
		synctest.Wait()
		r := kit.Send(t, h)
		time.Sleep(time.Minute)
		if s := statusOf(t, h, r); s != hooks.Pending {
			t.Errorf("delivery is %v; want it to wait", s)
		}
		if n := strings.Count(log.String(), "waits for its key"); n != 1 {
			t.Errorf("the log was told %d times; want once:\n%s", n, log)
		}
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})
		wantSealed(t, h)

		k.fail(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := statusOf(t, h, r); s != hooks.Succeeded {
			t.Errorf("delivery is %v two seconds after the key came back; want succeeded", s)
		}
		wantWarning(t, h)
		wantWarning(t, h)
		if n := strings.Count(log.String(), "decrypted again"); n != 1 {
			t.Errorf("the log was told %d times that the key is back; want once:\n%s", n, log)
		}
	})
}

// The same for an endpoint that comes while Run runs.
func TestNewEndpointsWaitForTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, k := memory.New(), &doubtful{Keeper: kit.NewKeeper(t, "1")}
		h := kit.New(t, hooks.Config{Store: store, Keeper: k, Transport: verified(t)})
		kit.Start(t, h)
		synctest.Wait()
		e := sealedEndpoint
		e.Secret = kit.Secret(t, kit.LeakySecret)
		kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: k}), e)
		k.fail(errDown)
		time.Sleep(2 * time.Second) // so that it reads anew
		r := kit.Send(t, h)
		time.Sleep(time.Minute)
		k.fail(nil)
		time.Sleep(2 * time.Second)
		if s := statusOf(t, h, r); s != hooks.Succeeded {
			t.Errorf("delivery is %v two seconds after the key came back; want succeeded", s)
		}
	})
}

// An edit that comes while an older record is being decrypted stands.
func TestDecryptionOverwritesNoEdit(t *testing.T) {
	store, keys := memory.New(), kit.NewKeeper(t, "1")
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), sealedEndpoint)
	k, edit := &doubtful{Keeper: keys, err: errDown}, func() {}
	h := kit.New(t, hooks.Config{Store: store, Keeper: decrypting{k, func() { edit() }}})
	wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})
	k.fail(nil)
	edit = func() {
		edit = func() {}
		e := sealedEndpoint
		e.URL, e.Secret = kit.AnyURL+"/edited", kit.Secret(t, kit.LeakySecret)
		kit.Put(t, h, e)
	}
	wantWarning(t, h)
	if e, err := h.Endpoint(t.Context(), "crm"); err != nil || e.URL != kit.AnyURL+"/edited" {
		t.Errorf("URL = %s, %v; want the edited one", e.URL, err)
	}
}

// A decrypting Keeper calls before it decrypts.
type decrypting struct {
	hooks.Keeper
	before func()
}

func (d decrypting) Decrypt(ciphertext, associated []byte) ([]byte, error) {
	d.before()
	return d.Keeper.Decrypt(ciphertext, associated)
}

// What is leased already when a record comes that cannot be decrypted is given back,
// neither sent without a signature nor charged.
func TestLeasedDeliveriesWaitForTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys, gate := memory.New(), kit.NewKeeper(t, "1"), make(chan struct{})
		attempts := 0
		h := kit.New(t, hooks.Config{Store: store, Keeper: keys, Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
			attempts++
			<-gate
			return kit.Answer(200, nil, ""), nil
		})})
		e := sealedEndpoint
		e.Concurrency = 1
		kit.Put(t, h, e)
		kit.Start(t, h)
		synctest.Wait() // it has looked for what was there; else it may begin with the second
		first, second := kit.Send(t, h), kit.Send(t, h)
		synctest.Wait()
		spoil(t, h, store)
		close(gate)
		time.Sleep(time.Minute)
		d, err := h.Delivery(t.Context(), hooks.DeliveryID{Event: second.EventID, Subscriber: "crm"})
		if err != nil || d.Status.Final() || d.Attempts != 0 || attempts != 1 {
			t.Errorf("the second delivery is %v after %d attempts (%d requests), %v; want it to wait", d.Status, d.Attempts, attempts, err)
		}
		if s := statusOf(t, h, first); s != hooks.Succeeded {
			t.Errorf("the first delivery is %v; want what was under way to succeed", s)
		}
	})
}

// spoil makes the secrets of sealedEndpoint undecryptable, and has h notice.
func spoil(t *testing.T, h *hooks.Hooks, store hooks.Store) {
	t.Helper()
	r := kit.Recorded(t, store, "crm")
	r.Data = bytes.Replace(r.Data, []byte(`"sealed":"`), []byte(`"sealed":"AAAA`), 1)
	if _, err := store.Put(t.Context(), time.Now(), r, nil); err != nil {
		t.Fatal(err)
	}
	wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})
}

// wantSealed checks that nothing replaces by accident what cannot be read.
func wantSealed(t *testing.T, h *hooks.Hooks) {
	t.Helper()
	e := sealedEndpoint
	e.Events = []string{"**"}
	if _, err := h.PutEndpoint(t.Context(), e); !errors.Is(err, hooks.ErrUndecryptable) {
		t.Errorf("PutEndpoint = %v; want %v", err, hooks.ErrUndecryptable)
	}
	if _, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{}); !errors.Is(err, hooks.ErrUndecryptable) {
		t.Errorf("RotateSecret = %v; want %v", err, hooks.ErrUndecryptable)
	}
	if n, err := h.Reseal(t.Context()); n != 0 || !errors.Is(err, hooks.ErrUndecryptable) || !strings.Contains(err.Error(), "crm") {
		t.Errorf("Reseal = %d, %v; want 0 and %v, with the endpoint's name", n, err, hooks.ErrUndecryptable)
	}
}

// wantWarning checks the codes and endpoints of all warnings.
func wantWarning(t *testing.T, h *hooks.Hooks, want ...hooks.Warning) {
	t.Helper()
	got, err := h.Health(t.Context())
	if err != nil || len(got) != len(want) {
		t.Fatalf("Health = %+v, %v; want %d warnings", got, err, len(want))
	}
	for i, w := range got {
		if w.Code != want[i].Code || w.Subscriber != want[i].Subscriber || !strings.HasSuffix(w.Text, ".") {
			t.Errorf("warning %+v; want %s of %q with a sentence", w, want[i].Code, want[i].Subscriber)
		}
	}
}

// Whoever reads an endpoint while it cannot be decrypted, and puts it back later, does
// not wipe its header.
func TestHeadersSurviveAnOutage(t *testing.T) {
	store, k := memory.New(), &doubtful{Keeper: kit.NewKeeper(t, "1")}
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: k}), sealedEndpoint)
	k.fail(errDown)
	h := kit.New(t, hooks.Config{Store: store, Keeper: k})
	e, err := h.Endpoint(t.Context(), "crm")
	if err != nil || len(e.Header) != 1 {
		t.Fatalf("Endpoint = %+v, %v; want its header's names", e, err)
	}
	k.fail(nil)
	wantWarning(t, h)
	e.Description = "edited"
	_, err = h.PutEndpoint(t.Context(), e)
	kit.WantInvalid(t, err, "Endpoint.Header", nil, "hidden form")
}

// Publishing does not wait for keys that are missing.
func TestPublishAsksForNoKeyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys := memory.New(), kit.NewKeeper(t, "1")
		kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), sealedEndpoint)
		k := &doubtful{Keeper: keys, err: errDown}
		h := kit.New(t, hooks.Config{Store: store, Keeper: k})
		other := kit.New(t, hooks.Config{Store: store, Keeper: keys})
		kit.Send(t, h)
		k.fail(errDown)
		for i := range 5 {
			kit.Put(t, other, hooks.Endpoint{ID: fmt.Sprint("new-", i), URL: kit.AnyURL})
			time.Sleep(2 * time.Second) // so that it reads anew
			kit.Send(t, h)
		}
		if n := k.decryptions(); n != 5 {
			t.Errorf("Decrypt was called %d times; want 5, for what is new, and the rest left to Run and Health", n)
		}
	})
}

// What decrypts and cannot be used is not a reason to forget an endpoint, nor to
// send unsigned.
func TestNonsenseInAnEndpointsRecord(t *testing.T) {
	for name, plain := range map[string]string{
		"nothing":           ``,
		"null":              `null`,
		"no key":            `{"Keys":[],"Header":null}`,
		"a key of tomorrow": `{"Keys":[{"Key":"whpq_AAAA"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, keys := memory.New(), kit.NewKeeper(t, "1")
				kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), sealedEndpoint)
				h := kit.New(t, hooks.Config{Store: store, Keeper: saying{keys, plain}})
				kit.Start(t, h)
				r := kit.Send(t, h)
				time.Sleep(time.Minute)
				if s := statusOf(t, h, r); s != hooks.Pending {
					t.Errorf("delivery is %v; want it to wait", s)
				}
				wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})
			})
		})
	}
}

// A saying Keeper decrypts everything to the same.
type saying struct {
	hooks.Keeper
	plain string
}

func (s saying) Decrypt([]byte, []byte) ([]byte, error) { return []byte(s.plain), nil }

// A process that was started without its keys writes no plain text among ciphertexts.
func TestWithoutAKeeperNothingIsWrittenAmongCiphertexts(t *testing.T) {
	store := lasting{memory.New()}
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "1")}), sealedEndpoint)
	was := kit.Recorded(t, store, "crm")
	h := kit.New(t, hooks.Config{Store: store})
	for _, id := range []string{"crm", "erp"} {
		e := hooks.Endpoint{ID: id, URL: kit.AnyURL, Events: []string{"**"}, Secret: kit.Secret(t, kit.LeakySecret)}
		if _, err := h.PutEndpoint(t.Context(), e); !errors.Is(err, hooks.ErrUndecryptable) {
			t.Errorf("PutEndpoint(%s) = %v; want %v", id, err, hooks.ErrUndecryptable)
		}
	}
	if _, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{Overlap: -1}); !errors.Is(err, hooks.ErrUndecryptable) {
		t.Errorf("RotateSecret = %v; want %v", err, hooks.ErrUndecryptable)
	}
	if is := kit.Recorded(t, store, "crm"); is.Version != was.Version {
		t.Errorf("the record was written: %s", is.Data)
	}
	wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"}) // and none of plain text
}

// What a lost key has encrypted can be given up, whatever it is.
func TestRotationGivesUpWhatIsSealed(t *testing.T) {
	for name, e := range map[string]hooks.Endpoint{
		"a secret":   sealedEndpoint,
		"a key pair": {ID: "crm", URL: kit.AnyURL, Scheme: hooks.SchemeEd25519},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New()
			kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "lost")}), e)
			h := kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "found")})
			got, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{Overlap: -1})
			if err != nil || got.Secret.IsZero() != (e.Scheme == hooks.SchemeEd25519) || got.PublicKey.IsZero() == (e.Scheme == hooks.SchemeEd25519) || len(got.Header) > 0 {
				t.Errorf("RotateSecret = %+v, %v; want something new to sign with, and no header", got, err)
			}
			wantWarning(t, h)
			kit.Put(t, h, e)
		})
	}
}

// A key that is lost is not the end of an endpoint.
func TestASecretOfYourOwnReplacesWhatIsSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "lost")}), hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		h := kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "found"), Transport: verified(t)})
		kit.Start(t, h)
		synctest.Wait()
		r := kit.Send(t, h)
		synctest.Wait()
		e := sealedEndpoint
		e.Secret = kit.Secret(t, kit.LeakySecret)
		kit.Put(t, h, e)
		time.Sleep(2 * time.Second)
		if s := statusOf(t, h, r); s != hooks.Succeeded {
			t.Errorf("delivery is %v; want succeeded", s)
		}
	})
}

func TestWithoutAKeeperSealedEndpointsWait(t *testing.T) {
	store := memory.New()
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "1")}), sealedEndpoint)
	h := kit.New(t, hooks.Config{Store: store})
	wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})
	if got := kit.Send(t, h).Deliveries; got != 1 {
		t.Errorf("an event has %d deliveries; want the endpoint to get its own", got)
	}
	if _, err := store.Put(t.Context(), time.Now(), kit.Recorded(t, store, "crm"), nil); err != nil { // the same once more
		t.Fatal(err)
	}
	wantWarning(t, h, hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})
}

// A backlog whose endpoint waits for its key is left alone.
func TestABacklogWithoutItsKeyIsNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var claims atomic.Int64
		store, gate := &kit.GatedStore{Store: memory.New(), AfterClaim: func() { claims.Add(1) }}, make(chan struct{})
		h := kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "1"), Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
			<-gate
			return kit.Answer(200, nil, ""), nil
		})})
		kit.Put(t, h, sealedEndpoint)
		for range 100 {
			kit.Send(t, h)
		}
		kit.Start(t, h)
		synctest.Wait()
		spoil(t, h, store)
		before := claims.Load()
		close(gate)
		time.Sleep(time.Minute)
		if n := claims.Load() - before; n > 1 {
			t.Errorf("it was claimed for %d times in a minute; want once at most", n)
		}
	})
}
