package hooks

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"example.com/hooks/signer"
)

// Records of before there was a form, written by the version before it.
const (
	formerRecord = `{"ID":"plain","Tenant":"acme","URL":"https://example.com/ok?v=2","Events":["invoice.*"],"Description":"d",` +
		`"Secret":"","Ed25519":false,"PublicKey":"","Header":{"X-Team":"***"},"Raw":true,"Ordered":true,"Concurrency":2,` +
		`"Timeout":7000000000,"Retry":[60000000000,1],"Private":{"Keys":[{"Key":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","Until":"0001-01-01T00:00:00Z"}],` +
		`"Header":{"X-Team":"billing"}}}`
	formerHandler = `{"Events":["invoice.paid","order.*"],"Ordered":true}`
)

// The same in the present form. Every later version reads it.
const (
	goldenRecord = `{"form":2,"id":"plain","tenant":"acme","url":"https://example.com/ok?v=2","events":["invoice.*"],"description":"d",` +
		`"scheme":"v1","header":{"X-Team":"***"},"raw":true,"ordered":true,"concurrency":2,"timeout_ms":7000,"retry_ms":[60000,0.000001],` +
		`"private":{"keys":[{"key":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}],"header":{"X-Team":"billing"}}}`
	goldenHandler = `{"form":2,"events":["invoice.paid","order.*"],"ordered":true}`
)

func TestRecordsOfEveryFormAreRead(t *testing.T) {
	for _, data := range []string{formerRecord, goldenRecord} {
		e, err := unseal(nil, "plain", Record{Key: "endpoint/plain", Version: 1, Data: []byte(data)}, nil)
		if err != nil || e.closed != nil {
			t.Fatalf("unseal(%s) = %v, closed: %v", data, err, e.closed)
		}
		if got, err := e.plain(); err != nil || string(got) != goldenRecord {
			t.Errorf("read and written again, %s is\n%s, %v; want\n%s", data, got, err, goldenRecord)
		}
		if e.Timeout != 7*time.Second || e.Retry[1] != time.Nanosecond || e.Header["X-Team"] != "billing" {
			t.Errorf("unseal(%s) = %+v", data, e.Endpoint)
		}
	}
	for _, data := range []string{formerHandler, goldenHandler} {
		r, err := parseHandler([]byte(data))
		r.Form = recordForm
		if got, _ := json.Marshal(r); err != nil || string(got) != goldenHandler {
			t.Errorf("read and written again, %s is %s, %v; want %s", data, got, err, goldenHandler)
		}
	}
}

// An endpoint that was put again says since when it exists, to the microsecond.
func TestRecordsKeepSince(t *testing.T) {
	const data = `{"form":2,"id":"x","url":"","events":null,"scheme":"v1","since":"2026-11-30T21:00:00.000001Z",` +
		`"private":{"keys":[{"key":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}]}}`
	e, err := unseal(nil, "x", Record{Data: []byte(data)}, nil)
	if want := time.Date(2026, 11, 30, 21, 0, 0, 1000, time.UTC); err != nil || !e.since.Equal(want) {
		t.Fatalf("unseal = since %v, %v; want %v", e.since, err, want)
	}
	if got, err := e.plain(); err != nil || string(got) != data {
		t.Errorf("written again, it is\n%s, %v; want\n%s", got, err, data)
	}
}

func TestAKeyPairOfTheFormerForm(t *testing.T) {
	pair := signer.NewKeyPair()
	public, _ := json.Marshal(pair.Public())
	data := `{"ID":"pair","URL":"https://example.com","Events":["**"],"Ed25519":true,"PublicKey":` + string(public) +
		`,"Private":{"Keys":[{"Key":"` + pair.Reveal() + `"}]}}`
	e, err := unseal(nil, "pair", Record{Data: []byte(data)}, nil)
	if err != nil || e.Scheme != SchemeEd25519 || !e.keys[0].pair.Equal(pair) || e.PublicKey != pair.Public() {
		t.Errorf("unseal = %+v, %v; want the pair", e, err)
	}
}

// A schedule without waits, after which nothing is tried again, is not the default.
func TestRecordsKeepEmptySchedules(t *testing.T) {
	for data, isNil := range map[string]bool{
		`{"form":2,"id":"x","private":{"keys":[]}}`: true, `{"form":2,"id":"x","retry_ms":[]}`: false,
		`{"ID":"x","Retry":null}`: true, `{"ID":"x"}`: true, `{"ID":"x","Retry":[]}`: false,
	} {
		r, err := parseEndpoint([]byte(data))
		if e := r.endpoint(); err != nil || (e.Retry == nil) != isNil || (e.form().Retry == nil) != isNil {
			t.Errorf("%s has the schedule %#v, %v; want nil: %t", data, e.Retry, err, isNil)
		}
	}
}

// A record of a later version is left as it is, and not taken for something else.
func TestRecordsOfLaterFormsAreRefused(t *testing.T) {
	if _, err := parseEndpoint([]byte(`{"form":3,"id":"x"}`)); err == nil {
		t.Error("an endpoint of form 3 was read; want an error")
	}
	if _, err := parseHandler([]byte(`{"form":3}`)); err == nil {
		t.Error("a handler of form 3 was read; want an error")
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", time.Second: "1000", 1500 * time.Microsecond: "1.5", 1: "0.000001", -time.Millisecond: "-1",
		math.MaxInt64: "9223372036854.775807", math.MinInt64: "-9223372036854.775808",
	} {
		got, err := json.Marshal(millis(d))
		var back millis
		if err != nil || string(got) != want || json.Unmarshal(got, &back) != nil || time.Duration(back) != d {
			t.Errorf("millis(%d) = %s, %v, read back %d; want %s", d, got, err, back, want)
		}
	}
	for _, text := range []string{`""`, `"1"`, `1e3`, `1.0000001`, `true`, `9223372036855`} {
		var m millis
		if err := json.Unmarshal([]byte(text), &m); err == nil {
			t.Errorf("Unmarshal(%s) = %d; want an error", text, m)
		}
	}
}

func FuzzMillis(f *testing.F) {
	f.Add(int64(0))
	f.Fuzz(func(t *testing.T, ns int64) {
		b, err := json.Marshal(millis(ns))
		var back millis
		if err != nil || json.Unmarshal(b, &back) != nil || int64(back) != ns {
			t.Errorf("millis(%d) = %s, %v, read back %d", ns, b, err, back)
		}
	})
}
