package systemtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/keeper"
	"example.com/hooks/store/memory"
)

// lasting hides that a memory store is ephemeral.
type lasting struct{ hooks.Store }

// A doubtful Keeper works until it fails.
type doubtful struct {
	hooks.Keeper

	mu    sync.Mutex // guards what follows
	err   error
	asked int // to decrypt
}

// fail makes it return err from now on; nil: work.
func (d *doubtful) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.asked = err, 0
}

// decryptions counts them since fail was called.
func (d *doubtful) decryptions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *doubtful) Encrypt(plaintext, associated []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nil, d.err
	}
	return d.Keeper.Encrypt(plaintext, associated)
}

func (d *doubtful) Decrypt(ciphertext, associated []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.err != nil {
		return nil, d.err
	}
	return d.Keeper.Decrypt(ciphertext, associated)
}

// sealedEndpoint is one with a secret and a header, which verified expects.
var sealedEndpoint = hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Header: hooks.Header{"X-Key": leakyHeader}}

// verified returns a transport that answers 200 to requests of sealedEndpoint that
// carry the header and verify, and else 400.
func verified(t *testing.T) http.RoundTripper {
	transport, by := kit.SignedBy(t, kit.Secret(t, kit.LeakySecret))
	return kit.Exchange(func(r *http.Request) (*http.Response, error) {
		if _, err := transport.RoundTrip(r); err != nil {
			return nil, err
		}
		if len(by()) != 1 || r.Header.Get("X-Key") != leakyHeader {
			return kit.Answer(400, nil, ""), nil
		}
		return kit.Answer(200, nil, ""), nil
	})
}

// statusOf returns the status of the only delivery of an event.
func statusOf(t *testing.T, h *hooks.Hooks, r hooks.Receipt) hooks.Status {
	t.Helper()
	d, err := h.Delivery(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "crm"})
	if err != nil {
		t.Fatal(err)
	}
	return d.Status
}

func TestTheStoreSeesNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys := memory.New(), kit.NewKeeper(t, "1")
		e := sealedEndpoint
		e.Secret = kit.Secret(t, kit.LeakySecret)
		kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), e)
		hay := kit.Haystack{Name: "the record", Data: kit.Recorded(t, store, "crm").Data}
		hay.Search(t, "the secret", kit.LeakySecret)
		hay.Search(t, "the header's value", leakyHeader)

		h := kit.New(t, hooks.Config{Store: store, Keeper: keys, Transport: verified(t)})
		kit.Start(t, h)
		r := kit.Send(t, h)
		synctest.Wait()
		if s := statusOf(t, h, r); s != hooks.Succeeded {
			t.Errorf("delivery by a process that read the record is %v; want succeeded", s)
		}
	})
}

func TestEqualContentIsNotSealedAgain(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "1")})
	kit.Put(t, h, sealedEndpoint)
	was := kit.Recorded(t, store, "crm")
	kit.Put(t, h, sealedEndpoint)
	if is := kit.Recorded(t, store, "crm"); is.Version != was.Version {
		t.Errorf("equal content made version %d of %d; want nothing written", is.Version, was.Version)
	}
	e := sealedEndpoint
	e.Header = hooks.Header{"X-Key": "another"}
	kit.Put(t, h, e)
	if is := kit.Recorded(t, store, "crm"); is.Version == was.Version {
		t.Error("another header value was not written")
	}
}

// Whoever can write to the store cannot give one endpoint the secrets of another.
func TestSwappedSecretsDoNotDecrypt(t *testing.T) {
	store, keys := memory.New(), kit.NewKeeper(t, "1")
	h := kit.New(t, hooks.Config{Store: store, Keeper: keys})
	kit.Put(t, h, sealedEndpoint)
	other := sealedEndpoint
	other.ID = "erp"
	kit.Put(t, h, other)
	crm, erp := kit.Recorded(t, store, "crm"), kit.Recorded(t, store, "erp")
	var sealed struct{ Sealed []byte }
	if err := json.Unmarshal(erp.Data, &sealed); err != nil || len(sealed.Sealed) == 0 {
		t.Fatalf("record %s: %v; want something sealed", erp.Data, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(crm.Data, &fields); err != nil {
		t.Fatal(err)
	}
	fields["sealed"] = sealed.Sealed
	crm.Data, _ = json.Marshal(fields)
	if _, err := store.Put(t.Context(), time.Now(), crm, nil); err != nil {
		t.Fatal(err)
	}
	wantWarning(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), hooks.Warning{Code: hooks.WarnUndecryptable, Subscriber: "crm"})

	erp.Key = "endpoint/crm" // and the whole record is known to be another's
	erp.Version = kit.Recorded(t, store, "crm").Version
	if _, err := store.Put(t.Context(), time.Now(), erp, nil); err != nil {
		t.Fatal(err)
	}
	h = kit.New(t, hooks.Config{Store: store, Keeper: keys})
	if e, err := h.Endpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("Endpoint of another's record = %+v, %v; want %v", e, err, hooks.ErrNotFound)
	}
}

func TestReseal(t *testing.T) {
	ctx, store := t.Context(), lasting{memory.New()}
	oldKey, newKey := mustKey(t, "old"), mustKey(t, "new")
	open := func(keys ...keeper.Key) *hooks.Hooks {
		cfg := hooks.Config{Store: store, Logger: slog.New(slog.DiscardHandler)}
		if len(keys) > 0 {
			k, err := keeper.New(keys...)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Keeper = k
		}
		return kit.New(t, cfg)
	}
	want := func(h *hooks.Hooks, n int) {
		t.Helper()
		if got, err := h.Reseal(ctx); got != n || err != nil {
			t.Errorf("Reseal = %d, %v; want %d, nil", got, err, n)
		}
	}
	plain := open()
	kit.Put(t, plain, sealedEndpoint)
	other := sealedEndpoint
	other.ID = "erp"
	kit.Put(t, plain, other)
	_, err := plain.Reseal(ctx)
	kit.WantInvalid(t, err, "Config.Keeper", nil, "set it")
	wantWarning(t, plain, hooks.Warning{Code: hooks.WarnPlainSecrets})

	first := open(oldKey)
	stale := []hooks.Warning{{Code: hooks.WarnNotResealed, Subscriber: "crm"}, {Code: hooks.WarnNotResealed, Subscriber: "erp"}}
	wantWarning(t, first, stale...)
	want(first, 2)
	want(first, 0)
	wantWarning(t, first)
	wantWarning(t, open(oldKey, newKey)) // reads what the others will write
	second := open(newKey, oldKey)
	wantWarning(t, second, stale...)
	want(second, 2)
	last := open(newKey)
	wantWarning(t, last)
	for _, id := range []string{"crm", "erp"} {
		if e, err := last.Endpoint(ctx, id); err != nil || e.Header["X-Key"] != leakyHeader {
			t.Errorf("Endpoint(%s) under the new key alone = %v, %v; want its header", id, map[string]string(e.Header), err)
		}
	}
}

// Of a Keeper that cannot tell which key it used, everything is encrypted anew.
func TestResealWithAKeeperThatCannotTell(t *testing.T) {
	store := memory.New()
	kit.Put(t, kit.New(t, hooks.Config{Store: store}), sealedEndpoint)
	h := kit.New(t, hooks.Config{Store: store, Keeper: &doubtful{Keeper: kit.NewKeeper(t, "1")}})
	wantWarning(t, h, hooks.Warning{Code: hooks.WarnNotResealed, Subscriber: "crm"})
	for range 2 {
		if n, err := h.Reseal(t.Context()); n != 1 || err != nil {
			t.Errorf("Reseal = %d, %v; want 1, nil", n, err)
		}
		wantWarning(t, h)
	}
}

func mustKey(t *testing.T, id string) keeper.Key {
	t.Helper()
	k, err := keeper.NewKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// An edit that comes between Reseal's reading and its writing stands.
func TestResealLosesNoEdit(t *testing.T) {
	store := memory.New()
	kit.Put(t, kit.New(t, hooks.Config{Store: store}), sealedEndpoint)
	keys := kit.NewKeeper(t, "1")
	editor := kit.New(t, hooks.Config{Store: store, Keeper: keys})
	edited := false
	h := kit.New(t, hooks.Config{Store: store, Keeper: encrypting{keys, func() {
		if !edited {
			edited = true
			e := sealedEndpoint
			e.URL = kit.AnyURL + "/edited"
			kit.Put(t, editor, e)
		}
	}}})
	if n, err := h.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("Reseal = %d, %v; want 0, nil: the edit has sealed it", n, err)
	}
	if e, err := h.Endpoint(t.Context(), "crm"); err != nil || e.URL != kit.AnyURL+"/edited" {
		t.Errorf("URL = %s, %v; want the edited one", e.URL, err)
	}
}

func TestResealIsInterrupted(t *testing.T) {
	store := memory.New()
	kit.Put(t, kit.New(t, hooks.Config{Store: store}), sealedEndpoint)
	ctx, cancel := context.WithCancel(t.Context())
	h := kit.New(t, hooks.Config{Store: store, Keeper: encrypting{kit.NewKeeper(t, "1"), cancel}})
	if n, err := h.Reseal(ctx); n != 0 || err != context.Canceled {
		t.Errorf("Reseal = %d, %v; want 0, %v", n, err, context.Canceled)
	}
}

// An encrypting Keeper calls before it encrypts.
type encrypting struct {
	*keeper.Keys
	before func()
}

func (e encrypting) Encrypt(plaintext, associated []byte) ([]byte, error) {
	e.before()
	return e.Keys.Encrypt(plaintext, associated)
}

func TestNothingIsStoredThatCannotBeEncrypted(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store, Keeper: &doubtful{Keeper: kit.NewKeeper(t, "1"), err: errDown}})
	e := sealedEndpoint
	e.Events = []string{"**"}
	if _, err := h.PutEndpoint(t.Context(), e); !errors.Is(err, errDown) {
		t.Errorf("PutEndpoint = %v; want %v", err, errDown)
	}
	kit.WantEmpty(t, h, store)
}

func TestPlainSecretsAreWarnedOfOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  hooks.Config
		want int
	}{
		{"a store that lasts", hooks.Config{Store: lasting{memory.New()}}, 1},
		{"a store that lasts, with a Keeper", hooks.Config{Store: lasting{memory.New()}, Keeper: kit.NewKeeper(t, "1")}, 0},
		{"an ephemeral store", hooks.Config{Store: memory.New()}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(bytes.Buffer)
			c.cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			h := kit.New(t, c.cfg)
			wantWarning(t, h) // nobody has a secret yet
			kit.Put(t, h, sealedEndpoint)
			kit.Put(t, h, hooks.Endpoint{ID: "erp", URL: kit.AnyURL})
			if c.want > 0 {
				wantWarning(t, h, hooks.Warning{Code: hooks.WarnPlainSecrets})
			} else {
				wantWarning(t, h)
			}
			if n := strings.Count(log.String(), "plain text"); n != c.want {
				t.Errorf("the log was told %d times; want %d:\n%s", n, c.want, log)
			}
		})
	}
}

// A backlogless store fails in Backlog only.
type backlogless struct{ hooks.Store }

func (backlogless) Backlog(context.Context) ([]hooks.BacklogLane, error) { return nil, errDown }

var errDown = errors.New("it is down")

func TestHealthTellsTheStoresError(t *testing.T) {
	closed := memory.New()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		store hooks.Store
		want  error
	}{{closed, hooks.ErrClosed}, {backlogless{memory.New()}, errDown}} {
		h := kit.New(t, hooks.Config{Store: c.store})
		if list, err := h.Health(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("Health = %v, %v; want %v", list, err, c.want)
		}
	}
}
