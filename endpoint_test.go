package hooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
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

func TestPutEndpointMakesAnID(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	a, b := kit.Put(t, h, hooks.Endpoint{URL: kit.AnyURL}), kit.Put(t, h, hooks.Endpoint{URL: kit.AnyURL})
	if len(a.ID) != len("ep_")+36 || !strings.HasPrefix(a.ID, "ep_") || a.ID == b.ID {
		t.Errorf("ids = %s, %s; want two of ep_ and a UUID", a.ID, b.ID)
	}
}

func TestPutEndpointRoundTrip(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store})
	e := hooks.Endpoint{
		ID:          "crm",
		Tenant:      "acme",
		URL:         "https://example.com/hooks?a=1&b=<2>",
		Events:      []string{"**", "invoice.*"},
		Description: "the CRM <b>of</b> acme",
		Header:      map[string]string{"Authorization": "Bearer x", "X-A": "ü"},
		Raw:         true,
		Ordered:     true,
		Concurrency: 3,
		Timeout:     7 * time.Second,
		Retry:       []time.Duration{time.Second, 0},
	}
	made := kit.Put(t, h, e)
	if made.Secret.IsZero() {
		t.Error("PutEndpoint of a new endpoint returns no secret; want the one it made")
	}
	made.Secret = signer.Secret{}
	other := kit.New(t, hooks.Config{Store: store})
	read, err := other.Endpoint(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	page, _, err := other.Endpoints(t.Context(), hooks.Query{})
	if err != nil || len(page) != 1 {
		t.Fatalf("Endpoints = %v, %v; want one", page, err)
	}
	for name, got := range map[string]hooks.Endpoint{"PutEndpoint": made, "Endpoint": read, "Endpoints": page[0]} {
		e.Scheme, e.Version = hooks.SchemeHMAC, made.Version
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%s returns %+v; want %+v", name, got, e)
		}
	}
}

// What the caller does to an endpoint, before or after, changes nothing.
func TestEndpointsAreCopies(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	e := hooks.Endpoint{
		ID: "crm", URL: kit.AnyURL, Events: []string{"**"},
		Header: map[string]string{"X-A": "1"}, Retry: []time.Duration{1},
	}
	spoil := func(e hooks.Endpoint) {
		e.Events[0], e.Header["X-A"], e.Retry[0] = "none", "2", 2
	}
	get := func() hooks.Endpoint {
		e, err := h.Endpoint(t.Context(), "crm")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	made := kit.Put(t, h, e)
	spoil(e)
	spoil(made)
	spoil(get())
	if got := get(); got.Events[0] != "**" || got.Header["X-A"] != "1" || got.Retry[0] != 1 {
		t.Errorf("endpoint = %+v; want it as it was put", got)
	}
	if r := kit.Send(t, h); r.Deliveries != 1 {
		t.Errorf("deliveries = %d; want 1", r.Deliveries)
	}
}

func TestEqualContentWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watchedStore{Store: memory.New()}
		e := hooks.Endpoint{
			ID: "crm", URL: kit.AnyURL, Events: []string{"**"}, Secret: signer.NewSecret(),
			Header: map[string]string{"X-A": "1", "X-B": "2", "X-C": "3"},
		}
		h := kit.New(t, hooks.Config{Store: store})
		puts := func(e hooks.Endpoint) int64 {
			before := store.puts.Load()
			made := kit.Put(t, h, e)
			if read, err := h.Endpoint(t.Context(), e.ID); err != nil || made.Version != read.Version || made.Version == 0 {
				t.Errorf("PutEndpoint = version %d; want %d, %v, as it is read", made.Version, read.Version, err)
			}
			return store.puts.Load() - before
		}
		if n := puts(e); n != 1 {
			t.Errorf("a new endpoint: %d writes; want 1", n)
		}
		bare, other, empty := e, e, e
		bare.Secret = signer.Secret{}
		other.Secret = signer.NewSecret()
		empty.Header = maps.Clone(e.Header)
		for name, same := range map[string]hooks.Endpoint{"the same": e, "without secret": bare, "a copy": empty} {
			time.Sleep(time.Hour)
			if n := puts(same); n != 0 {
				t.Errorf("%s: %d writes; want none", name, n)
			}
		}
		h = kit.New(t, hooks.Config{Store: store}) // another process, or a later one
		if n := puts(e); n != 0 {
			t.Errorf("the same in another process: %d writes; want none", n)
		}
		if n := puts(other); n != 1 {
			t.Errorf("another secret: %d writes; want 1", n)
		}
		time.Sleep(48 * time.Hour)
		if n := puts(bare); n != 0 {
			t.Errorf("after the old secret's time: %d writes; want none", n)
		}
		e.Header = nil
		puts(e)
		e.Header = map[string]string{}
		if n := puts(e); n != 0 {
			t.Errorf("an empty header after none: %d writes; want none", n)
		}
		e.Retry = []time.Duration{}
		if n := puts(e); n != 1 {
			t.Errorf("an empty Retry, never again, after none, the default: %d writes; want 1", n)
		}
	})
}

// Many processes write one endpoint at once; each succeeds, and one of them
// has made the secret.
func TestPutEndpointByManyAtOnce(t *testing.T) {
	store := memory.New()
	var mu sync.Mutex // guards secrets
	secrets := 0
	var wg sync.WaitGroup
	for i := range 8 {
		h := kit.New(t, hooks.Config{Store: store})
		wg.Go(func() {
			e, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Description: fmt.Sprint(i), Events: []string{"**"}})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !e.Secret.IsZero() {
				secrets++
			}
		})
	}
	wg.Wait()
	if secrets != 1 {
		t.Errorf("%d callers were given a secret; want 1", secrets)
	}
}

func TestPutEndpointWhoseStoreFails(t *testing.T) {
	store := &watchedStore{Store: memory.New()}
	h := kit.New(t, hooks.Config{Store: store})
	broken := errors.New("disk on fire")
	store.fail.Store(&broken)
	e, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
	if !errors.Is(err, broken) || !e.Secret.IsZero() || !strings.HasPrefix(err.Error(), "hooks: ") {
		t.Errorf("PutEndpoint = %+v, %v; want nothing and the store's error", e, err)
	}
	store.fail.Store(nil)
	if e := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL}); e.Secret.IsZero() {
		t.Error("the repetition returns no secret; want one")
	}
}

func TestDeleteEndpointCancelsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		cfg := hooks.Config{
			Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(500, nil, ""), nil }),
			Trace:     hooks.Trace{Ended: func(context.Context, hooks.Delivery) { ended++ }},
		}
		h := kit.New(t, cfg)
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.Put(t, h, hooks.Endpoint{ID: "erp", URL: kit.AnyURL})
		kit.Start(t, h)
		later := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		later.DeliverAt = time.Now().Add(1000 * time.Hour)
		kit.Publish(t, h, later)
		kit.Send(t, h)
		synctest.Wait() // one is retrying, one pending
		if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, d := range kit.Deliveries(t, h) {
			if canceled := d.Status == hooks.Canceled; canceled != (d.Subscriber == "crm") {
				t.Errorf("delivery to %s is %v; want crm's canceled only", d.Subscriber, d.Status)
			}
		}
		if ended != 2 {
			t.Errorf("Trace.Ended was told %d times; want 2", ended)
		}
		if r := kit.Send(t, h); r.Deliveries != 1 {
			t.Errorf("deliveries after that = %d; want erp's only", r.Deliveries)
		}
		_, err := h.Endpoint(t.Context(), "crm")
		if again := h.DeleteEndpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrNotFound) || !errors.Is(again, hooks.ErrNotFound) {
			t.Errorf("Endpoint = %v, DeleteEndpoint again = %v; want ErrNotFound", err, again)
		}
	})
}

// An id that was deleted is free again, with a secret of its own.
func TestPutEndpointAfterDeleteEndpoint(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	first := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Description: "old"})
	if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	second := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	if second.Secret.IsZero() || second.Secret.Equal(first.Secret) || second.Description != "" {
		t.Errorf("the endpoint made anew is %+v; want nothing of the old", second)
	}
	if r := kit.Send(t, h); r.Deliveries != 1 {
		t.Errorf("deliveries = %d; want 1", r.Deliveries)
	}
	if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Error(err)
	}
	if err := h.Subscribe(hooks.Handler{Name: "crm", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Errorf("Subscribe with the id of a deleted endpoint = %v; want nil", err)
	}
	kit.WantInvalid(t, h.DeleteHandler(t.Context(), "crm"), "Handler.Name", hooks.ErrTaken, "remove it from the code")
}

func TestEndpointsPages(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	var want []string
	for i := range 60 {
		id := fmt.Sprintf("ep-%d", i*7%60)
		kit.Put(t, h, hooks.Endpoint{ID: id, URL: kit.AnyURL})
		want = append(want, id)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 7, 59, 60, 61, 0, -1} {
		var got []string
		for after := ""; ; {
			page, next, err := h.Endpoints(t.Context(), hooks.Query{Cursor: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			if most := max(limit, 0); most > 0 && len(page) > most || most == 0 && len(page) > 50 {
				t.Errorf("limit %d: %d on a page", limit, len(page))
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: ids = %v; want %v", limit, got, want)
		}
	}
	if page, next, err := h.Endpoints(t.Context(), hooks.Query{Cursor: "ep-58x", Limit: 50}); err != nil || next != "" || len(page) != 5 {
		t.Errorf("Endpoints after an id that is none = %d, %q, %v; want the 5 that follow", len(page), next, err)
	}
}

// What waits for an endpoint is sent as the endpoint is when it is sent.
func TestEditMendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var urls []string
		h := kit.New(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			urls = append(urls, r.URL.String())
			if r.URL.Path == "/old" {
				return kit.Answer(404, nil, ""), nil
			}
			return kit.Answer(200, nil, ""), nil
		})})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "https://example.com/old"})
		kit.Start(t, h)
		kit.Send(t, h)
		synctest.Wait()
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "https://example.com/new"})
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"https://example.com/old", "https://example.com/new"}
		if !slices.Equal(urls, want) {
			t.Errorf("requests went to %v; want %v", urls, want)
		}
	})
}

func TestHeaderValuesDoNotPrint(t *testing.T) {
	h := hooks.Header{"X-A": "topsecret", "X-B": "topsecret"}
	e := hooks.Endpoint{ID: "crm", Header: h}
	outputs := map[string]string{"String": h.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		outputs[verb] = fmt.Sprintf(verb, h)
		outputs[verb+" of its endpoint"] = fmt.Sprintf(verb, e)
		outputs[verb+" of a pointer"] = fmt.Sprintf(verb, &e)
	}
	for name, v := range map[string]any{"header": h, "endpoint": e, "pointer": &e} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		outputs["JSON of the "+name] = string(data)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		outputs["slog of the "+name] = log.String()
	}
	for name, got := range outputs {
		if strings.Contains(got, "topsecret") || strings.Contains(got, fmt.Sprintf("%x", "topsecret")) || !strings.Contains(got, "X-A") {
			t.Errorf("%s = %s; want the names without the values", name, got)
		}
	}
	if got := fmt.Sprint(hooks.Header(nil)); got != "map[]" {
		t.Errorf("nil prints as %q; want map[]", got)
	}
	if data, err := json.Marshal(hooks.Header(nil)); err != nil || string(data) != "null" {
		t.Errorf("nil as JSON = %s, %v; want null", data, err)
	}
}
