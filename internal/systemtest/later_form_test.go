package systemtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// An endpoint whose record a later version has written stays as that version wrote it, and
// whoever wants to change it is told why that cannot be.
func TestARecordOfALaterVersionIsLeftAlone(t *testing.T) {
	for _, known := range []bool{false, true} {
		store := memory.New()
		h := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent})
		later := hooks.Record{Key: "endpoint/crm", Data: []byte(`{"form":99,"id":"crm","url":"https://example.com","events":["**"]}`)}
		if known {
			kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
			later.Version = kit.Recorded(t, store, "crm").Version
		}
		if _, err := store.Put(t.Context(), time.Now(), later, nil); err != nil {
			t.Fatal(err)
		}
		_, put := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}})
		_, rotated := h.RotateSecret(t.Context(), "crm", hooks.Rotation{})
		for what, err := range map[string]error{"PutEndpoint": put, "RotateSecret": rotated, "DeleteEndpoint": h.DeleteEndpoint(t.Context(), "crm")} {
			if err == nil || errors.Is(err, hooks.ErrConflict) || !strings.Contains(err.Error(), "upgrade this program") {
				t.Errorf("known %t: %s = %v; want an error that says to upgrade", known, what, err)
			}
		}
		_, err := h.Tenant("rival").PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
		kit.WantInvalid(t, err, "Endpoint.ID", hooks.ErrTaken, "choose another")
		if is := kit.Recorded(t, store, "crm"); string(is.Data) != string(later.Data) {
			t.Errorf("known %t: the record is %s; want it as it was", known, is.Data)
		}
	}
}

// Nobody writes over the health record of a later version when the Until that was known before
// has passed, nor tries to for ever.
func TestAHealthRecordOfALaterVersionDoesNotEnd(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		told, failures := &gazette{began: w.began}, 0
		h := kit.New(w.t, hooks.Config{Store: w.store, Logger: kit.Silent, Trace: hooks.Trace{
			StoreError: func(context.Context, error, time.Duration) { failures++ },
		}})
		told.subscribe(w.t, h)
		w.h = h
		w.disable(w.began.Add(time.Minute))
		records, err := w.store.Records(w.t.Context(), 0)
		if err != nil {
			w.t.Fatal(err)
		}
		later := records[len(records)-1]
		later.Data = []byte(`{"form":99}`)
		if _, err := w.store.Put(w.t.Context(), time.Now(), later, nil); err != nil {
			w.t.Fatal(err)
		}
		kit.StartInBubble(w.t, w.h)
		puts := w.store.puts.Load()
		time.Sleep(time.Hour)
		told.want(w.t, `0s endpoint.disabled crm crm disabled "it is full" 0 until 1m0s`)
		if n := w.store.puts.Load() - puts; n != 0 || failures != 0 {
			w.t.Errorf("%d records were written, and %d tries failed; want no try", n, failures)
		}
	})
}
