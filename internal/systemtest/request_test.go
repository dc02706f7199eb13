package systemtest_test

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

// A wire is a request as it would be written to a connection, and what tells net/http how
// to do that.
type wire struct {
	bytes  string
	header http.Header
	url    string
	length int64
	repeat bool // it can be sent again
}

func wireOf(t *testing.T, r *http.Request) wire {
	t.Helper()
	var b bytes.Buffer
	header := r.Header.Clone()
	if err := r.Write(&b); err != nil {
		t.Error(err)
	}
	return wire{b.String(), header, r.URL.String(), r.ContentLength, r.GetBody != nil}
}

// Request returns, byte for byte, what an attempt at the same moment sends.
func TestRequestIsWhatTheNextAttemptSends(t *testing.T) {
	for name, e := range map[string]hooks.Endpoint{
		"plain":   {URL: "https://example.com/a%2Fb?token=t%20k&b"},
		"headers": {URL: kit.AnyURL, Header: hooks.Header{"authorization": "Bearer x", "Idempotency-Key": "own"}},
		"raw":     {URL: kit.AnyURL, Raw: true},
		"v1a":     {URL: kit.AnyURL, Scheme: hooks.SchemeEd25519},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := make(chan wire, 1)
				h := kit.New(t, hooks.Config{Logger: kit.Silent, Retry: retry.Schedule{time.Hour}, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
					sent <- wireOf(t, r)
					return kit.Answer(500, nil, ""), nil
				})})
				e.ID = "crm"
				kit.Put(t, h, e)
				id := hooks.DeliveryID{Event: kit.Send(t, h).EventID, Subscriber: "crm"}
				want := wantRequested(t, h, id, sent)
				if n := len(strings.Fields(want.header.Get(signer.HeaderSignature))); n != 1 {
					t.Errorf("there are %d signatures; want one", n)
				}
				if _, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Hour)
				again := wantRequested(t, h, id, sent)
				if n := len(strings.Fields(again.header.Get(signer.HeaderSignature))); n != 2 || again.bytes == want.bytes {
					t.Errorf("the next attempt sends %s; want another request, with two signatures", again.bytes)
				}
			})
		})
	}
}

// wantRequested checks that Request returns what is then sent.
func wantRequested(t *testing.T, h *hooks.Hooks, id hooks.DeliveryID, sent <-chan wire) wire {
	t.Helper()
	r, err := h.Request(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) > 0 {
		t.Fatal("Request has sent something")
	}
	got := wireOf(t, r)
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := kit.Soon(t, sent); !reflect.DeepEqual(got, want) {
		t.Errorf("Request = %+v; want what was sent, %+v", got, want)
	}
	return got
}

// Also a delivery that is final, or is being sent, has a request.
func TestRequestOfWhatDoesNotWait(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	id := hooks.DeliveryID{Event: kit.Send(t, h).EventID, Subscriber: "crm"}
	for _, change := range []func(){
		func() { kit.Leased(t, store, "crm", time.Now()) },
		func() {
			if _, err := h.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		r, err := h.Request(t.Context(), id)
		if err != nil || r.Header.Get(signer.HeaderID) != id.Event {
			t.Errorf("Request of one that is %v = %v, %v; want it", kit.Delivery(t, h, id.Event, "crm").Status, r, err)
		}
	}
}

func TestDeliveriesWithoutARequest(t *testing.T) {
	store := memory.New()
	keyed := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent, Keeper: kit.NewKeeper(t, "k1")}, hooks.Handler{Name: "audit", Func: kit.Ignore})
	kit.Put(t, keyed, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	kit.Put(t, keyed, hooks.Endpoint{ID: "gone", URL: kit.AnyURL})
	event := kit.Send(t, keyed).EventID
	if err := keyed.DeleteEndpoint(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	request := func(h *hooks.Hooks, event, subscriber string) error {
		r, err := h.Request(t.Context(), hooks.DeliveryID{Event: event, Subscriber: subscriber})
		if r != nil {
			t.Errorf("Request of %s = %v; want none", subscriber, r)
		}
		return err
	}
	kit.WantInvalid(t, request(keyed, event, "audit"), "DeliveryID", nil, "handler")
	kit.WantInvalid(t, request(kit.New(t, hooks.Config{Store: store, Logger: kit.Silent}), event, "audit"), "DeliveryID", nil, "handler")
	if err := request(keyed, event, "gone"); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("Request for a deleted endpoint = %v; want ErrNotFound", err)
	}
	if err := request(keyed, "evt_0", "crm"); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("Request of no delivery = %v; want ErrNotFound", err)
	}
	if err := request(kit.New(t, hooks.Config{Store: store, Logger: kit.Silent}), event, "crm"); !errors.Is(err, hooks.ErrUndecryptable) {
		t.Errorf("Request without the key = %v; want ErrUndecryptable", err)
	}
}

func TestRequestThatEgressForbids(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	id := hooks.DeliveryID{Event: kit.Send(t, h).EventID, Subscriber: "crm"}
	strict := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Egress: egress.Policy{AllowPorts: []uint16{8443}}})
	_, err := strict.Request(t.Context(), id)
	if e, ok := errors.AsType[*egress.Error](err); !ok || e.Rule == "" {
		t.Errorf("Request = %v; want an egress.Error", err)
	}
}
