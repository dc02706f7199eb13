package hooks_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
)

func TestJSON(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value any
		want  string
	}{
		{hooks.Event{ID: "e", Type: "a.b", Time: at, Data: json.RawMessage(`{"n":1}`)}, `{"id":"e","type":"a.b","time":"2026-11-30T12:00:00Z","data":{"n":1}}`},
		{hooks.Receipt{EventID: "e", Deliveries: 2}, `{"event_id":"e","deliveries":2}`},
		{
			hooks.Delivery{
				DeliveryID: hooks.DeliveryID{Event: "e", Subscriber: "crm"}, Type: "a.b", Seq: 7, Status: hooks.Failed,
				Reason: hooks.ReasonRejected, Run: 1, Attempts: 1, Token: 3, Created: at, Updated: at, Code: 410, Error: "status",
			},
			`{"event":"e","subscriber":"crm","type":"a.b","seq":7,"status":"failed","reason":"rejected","run":1,"attempts":1,` +
				`"created":"2026-11-30T12:00:00Z","updated":"2026-11-30T12:00:00Z","code":410,"error":"status"}`,
		},
		{
			hooks.Attempt{Run: 1, Number: 2, Token: 9, Start: at, Took: 1500 * time.Microsecond, RetryAfter: time.Second, Body: []byte("no"), BodyCut: true},
			`{"run":1,"number":2,"start":"2026-11-30T12:00:00Z","took_ms":1.5,"retry_after_ms":1000,"body":"no","body_cut":true}`,
		},
		{hooks.Attempt{Start: at, Body: []byte{0xff}}, `{"run":0,"number":0,"start":"2026-11-30T12:00:00Z","took_ms":0,"body_base64":"/w=="}`},
		{
			hooks.Endpoint{
				ID: "crm", URL: "https://example.com", Events: []string{"**"}, Secret: signer.NewSecret(), Scheme: hooks.SchemeHMAC,
				Header: hooks.Header{"X-Key": "k"}, Timeout: time.Second, Retry: []time.Duration{time.Minute}, Version: 4,
			},
			`{"id":"crm","url":"https://example.com","events":["**"],"scheme":"v1","header":{"X-Key":"***"},"timeout_ms":1000,"retry_ms":[60000],"version":4}`,
		},
	} {
		if got, err := json.Marshal(c.value); err != nil || string(got) != c.want {
			t.Errorf("%T in JSON is\n%s, %v; want\n%s", c.value, got, err, c.want)
		}
	}
}

func TestDeliveryIDs(t *testing.T) {
	id := hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"}
	if got, err := hooks.ParseDeliveryID(id.String()); err != nil || got != id || id.String() != "evt_1.crm" {
		t.Errorf("ParseDeliveryID(%q) = %v, %v; want it back", id, got, err)
	}
	for _, text := range []string{"", ".", "a", "a.", ".b", "a.b.c", "a b.c", "a.b\n"} {
		_, err := hooks.ParseDeliveryID(text)
		kit.WantInvalid(t, err, "DeliveryID", nil, "evt_1.crm")
	}
}

// Two forms that were opened at the same version: the first one to be sent counts.
func TestAnEndpointIsChangedAsItWasRead(t *testing.T) {
	ctx := t.Context()
	h := kit.New(t, hooks.Config{})
	e := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
	read, err := h.Endpoint(ctx, "crm")
	if err != nil || read.Version == 0 || read.Version != e.Version {
		t.Fatalf("Endpoint = version %d, %v; want %d, as put", read.Version, err, e.Version)
	}
	first, second := read, read
	first.Description, second.Description = "first", "second"
	changed, err := h.PutEndpoint(ctx, first)
	if err != nil || changed.Version == read.Version {
		t.Fatalf("PutEndpoint = version %d, %v; want another than %d", changed.Version, err, read.Version)
	}
	if _, err := h.PutEndpoint(ctx, second); !errors.Is(err, hooks.ErrConflict) {
		t.Errorf("PutEndpoint of what was read before = %v; want ErrConflict", err)
	}
	if _, err := h.RotateSecret(ctx, "crm", hooks.Rotation{Version: read.Version}); !errors.Is(err, hooks.ErrConflict) {
		t.Errorf("RotateSecret of what was read before = %v; want ErrConflict", err)
	}
	if _, err := h.RotateSecret(ctx, "crm", hooks.Rotation{Version: changed.Version}); err != nil {
		t.Errorf("RotateSecret = %v", err)
	}
	page, _, err := h.Endpoints(ctx, hooks.Query{})
	if err != nil || len(page) != 1 || page[0].Version <= changed.Version || page[0].Description != "first" {
		t.Errorf("Endpoints = %+v, %v; want the first change, at a later version than %d", page, err, changed.Version)
	}
	second.Version = 0
	if _, err := h.PutEndpoint(ctx, second); err != nil {
		t.Errorf("PutEndpoint over whatever is there = %v", err)
	}
	gone := hooks.Endpoint{ID: "none", URL: kit.AnyURL, Events: []string{"**"}, Version: 3}
	if _, err := h.PutEndpoint(ctx, gone); !errors.Is(err, hooks.ErrConflict) {
		t.Errorf("PutEndpoint of one that is gone = %v; want ErrConflict", err)
	}
}

func TestSchemes(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	e := hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}, Scheme: "v2"}
	_, err := h.PutEndpoint(t.Context(), e)
	kit.WantInvalid(t, err, "Endpoint.Scheme", nil, "v1a")
	e.Scheme = ""
	if got := kit.Put(t, h, e); got.Scheme != hooks.SchemeHMAC || !strings.HasPrefix(got.Secret.Reveal(), "whsec_") {
		t.Errorf("PutEndpoint without a Scheme = %+v; want v1 with a secret", got)
	}
}
