package systemtest_test

import (
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
