package hooks

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"
)

// The health record in its present form. Every later version reads it.
const goldenHealth = `{"form":1,"endpoint_since":"2026-01-02T03:04:05Z","since":"2026-02-03T04:05:06.000007Z","why":"by_hand",` +
	`"until":"2026-02-04T00:00:00Z","reason":"they asked for it"}`

func TestHealthRecordsAreRead(t *testing.T) {
	dir := newDirectory(slog.New(slog.DiscardHandler), nil, func(*endpoint) {})
	if err := dir.applyHealth("crm", Record{Key: "health/crm", Version: 1, Data: []byte(goldenHealth)}); err != nil {
		t.Fatal(err)
	}
	is := dir.health["crm"]
	want := healthRecord{
		1, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC), byHand,
		time.Date(2026, 2, 4, 0, 0, 0, 0, time.UTC), "they asked for it",
	}
	if is.healthRecord != want {
		t.Errorf("%s is %+v; want %+v", goldenHealth, is.healthRecord, want)
	}
	if got, err := json.Marshal(is.healthRecord); err != nil || string(got) != goldenHealth {
		t.Errorf("read and written again it is\n%s, %v; want\n%s", got, err, goldenHealth)
	}
	e := &endpoint{Endpoint: Endpoint{ID: "crm"}, since: want.EndpointSince}
	if dir.healthOf(e) != is || dir.healthOf(&endpoint{Endpoint: Endpoint{ID: "crm"}}) != nil {
		t.Error("the record is not taken for that of the endpoint since endpoint_since, or for that of another one")
	}
}

// A record that cannot be read leaves the endpoint as it was known.
func TestHealthRecordsOfLaterFormsAreRefused(t *testing.T) {
	dir := newDirectory(slog.New(slog.DiscardHandler), nil, func(*endpoint) {})
	_ = dir.applyHealth("crm", Record{Key: "health/crm", Version: 1, Data: []byte(goldenHealth)})
	err := dir.applyHealth("crm", Record{Key: "health/crm", Version: 2, Data: []byte(`{"form":2,"since":"2027-01-01T00:00:00Z"}`)})
	if !errors.Is(err, errRecordTooNew) {
		t.Errorf("applyHealth of form 2 = %v; want errRecordTooNew", err)
	}
	record, err := dir.healthRecord("crm")
	if is := dir.health["crm"]; is.Reason != "they asked for it" || record.Version != 2 || !errors.Is(err, errRecordTooNew) {
		t.Errorf("then it is %+v, with version %d and %v; want what version 1 said, version 2, errRecordTooNew", is, record.Version, err)
	}
}

func TestEndpointRecordsHaveTheHold(t *testing.T) {
	r, err := parseEndpoint([]byte(`{"form":2,"id":"x","hold_ms":7200000}`))
	if e := r.endpoint(); err != nil || e.Hold != 2*time.Hour || e.form().Hold != millis(2*time.Hour) {
		t.Errorf("hold_ms 7200000 is %v, %v; want 2h, and the same when it is written", e.Hold, err)
	}
}
