package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

func TestMetadataIsTheCallersAgainAfterPublish(t *testing.T) {
	store := &watchedStore{Store: memory.New()}
	h := kit.New(t, hooks.Config{Store: store})
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Metadata = map[string]string{"request": "r-1"}
	kit.Publish(t, h, ev)
	ev.Metadata["request"] = "changed"
	if got := store.entries[0].Event.Metadata; !maps.Equal(got, map[string]string{"request": "r-1"}) {
		t.Errorf("Metadata given to the store = %v; want it as published", got)
	}
}

// What one handler does to an event's metadata, another does not see.
func TestMetadataIsTheHandlersOwn(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	seen := make(chan string, 20)
	for i := range 20 {
		s := hooks.Handler{Name: fmt.Sprint("h", i), Events: []string{"**"}, Func: func(_ context.Context, ev hooks.Event) error {
			seen <- ev.Metadata["request"]
			ev.Metadata["request"] = "changed"
			return nil
		}}
		if err := h.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	kit.Start(t, h)
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Metadata = map[string]string{"request": "r-1"}
	kit.Publish(t, h, ev)
	for range 20 {
		if got := <-seen; got != "r-1" {
			t.Fatalf("handler got %q; want r-1", got)
		}
	}
}

// verbatim are payloads that any re-encoding would alter.
var verbatim = []string{
	" { \"a\" :\t1 ,\r\n\"b\":[ ] } \n",
	`{"a":1,"a":2,"A":3}`,
	`1e400`,
	`-0`,
	`1.0`,
	`123456789012345678901234567890`,
	`{"z":1,"a":2}`,
	`"<script>&\u003c\/\ud83d\ude00\ud800"`,
	"\"😀\u2028\"",
	`null`,
	`[[[[[[[[1]]]]]]]]`,
}

func TestDataIsVerbatim(t *testing.T) {
	raw := hooks.EventType[json.RawMessage]{Name: "invoice.paid"}
	h := kit.New(t, hooks.Config{})
	got := make(chan string, 1)
	if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: func(_ context.Context, ev hooks.Event) error {
		got <- string(ev.Data)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	kit.Start(t, h)
	for _, data := range verbatim {
		kit.Publish(t, h, raw.New(json.RawMessage(data)))
		if s := <-got; s != data {
			t.Errorf("handler got %q; want %q", s, data)
		}
		if s := string(kit.Events(t, h)[0].Data); s != data {
			t.Errorf("stored %q; want %q", s, data)
		}
	}
}

// An event from New is a plain value: copies are independent, nothing knows
// of it until it is published, and then it is as it was.
func TestEventIsAPlainValue(t *testing.T) {
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
	if ev.ID != "" || ev.Type != "invoice.paid" || string(ev.Data) != `{"number":7}` || !ev.Time.IsZero() {
		t.Errorf("New = %+v; want type and data only", ev)
	}
	other := ev
	other.Tenant = "acme"
	h := kit.New(t, hooks.Config{})
	a, b := kit.Publish(t, h, ev), kit.Publish(t, h, ev)
	if ev.ID != "" || ev.Tenant != "" || ev.Seq != 0 || !ev.Time.IsZero() {
		t.Errorf("event after Publish = %+v; want it unchanged", ev)
	}
	if a.EventID == b.EventID || a.Duplicate || b.Duplicate {
		t.Errorf("receipts = %+v, %+v; want two events", a, b)
	}
	literal := hooks.Event{Type: "invoice.paid", Data: json.RawMessage(`{"number":7}`)}
	if r := kit.Publish(t, h, literal); r.Duplicate {
		t.Errorf("receipt of a literal event = %+v; want it stored", r)
	}
	got, err := kit.InvoicePaid.Decode(kit.Events(t, h)[0])
	if err != nil || got.Number != 7 {
		t.Errorf("Decode = %+v, %v; want number 7", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	if _, err := kit.InvoicePaid.Decode(hooks.Event{Type: "order.placed", Data: json.RawMessage(`{}`)}); err == nil {
		t.Error("Decode of another type = nil; want an error")
	}
	_, err := kit.InvoicePaid.Decode(hooks.Event{ID: "evt_1", Type: "invoice.paid", Data: json.RawMessage(`{"number":"x"}`)})
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); !ok || !strings.Contains(err.Error(), "decode invoice.paid evt_1") {
		t.Errorf("Decode of bad data = %v; want json's error and the event's id", err)
	}
}
