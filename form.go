package hooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/hooks/signer"
)

// This file is how values of ours look in JSON: what the store keeps in records, and
// what an API shows. Names are in snake case and durations in milliseconds. Records
// are read for ever: a field may be added, and none renamed or removed.

// recordForm is the form of records since it was first written down. Those before it
// had the names of Go's fields and nanoseconds, and no form.
const recordForm = 2

// An endpointForm is an [Endpoint] in JSON, without anything secret.
type endpointForm struct {
	ID          string           `json:"id"`
	Tenant      string           `json:"tenant,omitempty"`
	URL         string           `json:"url"`
	Events      []string         `json:"events"`
	Description string           `json:"description,omitempty"`
	Scheme      Scheme           `json:"scheme"`
	PublicKey   signer.PublicKey `json:"public_key,omitzero"`
	Header      Header           `json:"header,omitempty"` // hides its values
	Raw         bool             `json:"raw,omitempty"`
	Ordered     bool             `json:"ordered,omitempty"`
	Concurrency int              `json:"concurrency,omitempty"`
	Timeout     millis           `json:"timeout_ms,omitempty"`
	Hold        millis           `json:"hold_ms,omitempty"`
	Retry       []millis         `json:"retry_ms,omitzero"` // empty: no attempt after the first
	Unverified  bool             `json:"unverified,omitempty"`
}

// form returns e in the form for JSON.
func (e Endpoint) form() endpointForm {
	f := endpointForm{
		ID: e.ID, Tenant: e.Tenant, URL: e.URL, Events: e.Events, Description: e.Description,
		Scheme: e.Scheme, PublicKey: e.PublicKey, Header: e.Header, Raw: e.Raw, Ordered: e.Ordered,
		Concurrency: e.Concurrency, Timeout: millis(e.Timeout), Hold: millis(e.Hold), Unverified: e.Unverified,
	}
	f.Retry = convert[millis](e.Retry)
	return f
}

// convert returns a list of durations in another form; a list that is nil, which stands
// for the default, stays so.
func convert[To, From ~int64](list []From) []To {
	if list == nil {
		return nil
	}
	converted := make([]To, len(list))
	for i, v := range list {
		converted[i] = To(v)
	}
	return converted
}

// endpoint returns the Endpoint that f is the form of.
func (f endpointForm) endpoint() Endpoint {
	e := Endpoint{
		ID: f.ID, Tenant: f.Tenant, URL: f.URL, Events: f.Events, Description: f.Description,
		Scheme: f.Scheme, PublicKey: f.PublicKey, Header: f.Header, Raw: f.Raw, Ordered: f.Ordered,
		Concurrency: f.Concurrency, Timeout: time.Duration(f.Timeout), Hold: time.Duration(f.Hold), Unverified: f.Unverified,
	}
	e.Retry = convert[time.Duration](f.Retry)
	return e
}

// MarshalJSON writes names in snake case, durations in milliseconds, and no secret:
// "***" stands for the values of the Header.
func (e Endpoint) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		endpointForm
		Version int64 `json:"version,omitempty"`
	}{e.form(), e.Version})
}

// An endpointRecord is what the store keeps of an endpoint.
type endpointRecord struct {
	Form int `json:"form"`
	endpointForm
	Since time.Time `json:"since,omitzero"` // see endpoint
	// UnverifiedSince is zero unless the endpoint is unverified.
	UnverifiedSince time.Time    `json:"unverified_since,omitzero"`
	Private         *privateForm `json:"private,omitempty"` // without a Keeper
	Sealed          []byte       `json:"sealed,omitempty"`  // with one: the same, encrypted
}

// A privateForm is what nobody may read of an endpoint.
type privateForm struct {
	Keys   []keyForm         `json:"keys"` // newest first
	Header map[string]string `json:"header,omitempty"`
}

// A keyForm is a signing key in plain text.
type keyForm struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until,omitzero"` // when it stops signing; zero: never
}

// A formerEndpoint is what records without a form had under another name or in another
// unit. Their other names differ in case only, which package json does not mind.
type formerEndpoint struct {
	Ed25519   bool
	PublicKey signer.PublicKey
	Timeout   time.Duration
	Retry     []time.Duration
}

// parseEndpoint reads a record in any form that was ever written.
func parseEndpoint(data []byte) (endpointRecord, error) {
	var r endpointRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	switch {
	case r.Form > recordForm:
		return r, errRecordTooNew
	case r.Form == recordForm:
		return r, nil
	}
	var former formerEndpoint
	if err := json.Unmarshal(data, &former); err != nil {
		return r, err
	}
	r.Scheme, r.PublicKey, r.Timeout = SchemeHMAC, former.PublicKey, millis(former.Timeout)
	if former.Ed25519 {
		r.Scheme = SchemeEd25519
	}
	r.Retry = convert[millis](former.Retry)
	return r, nil
}

var errRecordTooNew = fmt.Errorf("it was written by a newer version of hooks; upgrade this program")

// A handlerRecord is what the store keeps of a handler. In records without a form the
// names differ in case only.
type handlerRecord struct {
	Form    int      `json:"form"`
	Events  []string `json:"events"`
	Ordered bool     `json:"ordered,omitempty"`
}

func parseHandler(data []byte) (r handlerRecord, err error) {
	if err = json.Unmarshal(data, &r); err == nil && r.Form > recordForm {
		err = errRecordTooNew
	}
	return r, err
}

// millis is a duration that JSON shows as milliseconds, exactly: down to the nanosecond.
type millis time.Duration

const nanoDigits = 6 // of a millisecond

// MarshalJSON writes a decimal number.
func (m millis) MarshalJSON() ([]byte, error) {
	sign, ns := "", uint64(m)
	if m < 0 {
		sign, ns = "-", -ns
	}
	text := fmt.Sprintf("%s%d.%06d", sign, ns/1e6, ns%1e6)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *millis) UnmarshalJSON(b []byte) error {
	whole, fraction, _ := strings.Cut(string(b), ".")
	if len(fraction) > nanoDigits {
		return fmt.Errorf("%s: milliseconds have %d decimals at most", b, nanoDigits)
	}
	ns, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", nanoDigits-len(fraction)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s: not a number of milliseconds", b)
	}
	*m = millis(ns)
	return nil
}

// MarshalJSON writes names in snake case and durations in milliseconds. A Body that is
// not text in UTF-8 is "body_base64" instead of "body". The Token is left out.
func (a Attempt) MarshalJSON() ([]byte, error) {
	f := attemptForm{
		Run: a.Run, Number: a.Number, Start: a.Start,
		DNS: millis(a.DNS), Connect: millis(a.Connect), TLS: millis(a.TLS), Wait: millis(a.Wait), Took: millis(a.Took),
		URL: a.URL, Code: a.Code, Error: a.Error, RetryAfter: millis(a.RetryAfter),
		Header: a.Header, BodyCut: a.BodyCut, Instance: a.Instance,
	}
	if utf8.Valid(a.Body) {
		f.Body = string(a.Body)
	} else {
		f.BodyBase64 = a.Body
	}
	return json.Marshal(f)
}

type attemptForm struct {
	Run        int         `json:"run"`
	Number     int         `json:"number"`
	Start      time.Time   `json:"start"`
	DNS        millis      `json:"dns_ms,omitempty"`
	Connect    millis      `json:"connect_ms,omitempty"`
	TLS        millis      `json:"tls_ms,omitempty"`
	Wait       millis      `json:"wait_ms,omitempty"`
	Took       millis      `json:"took_ms"`
	URL        string      `json:"url,omitempty"`
	Code       int         `json:"code,omitempty"`
	Error      string      `json:"error,omitempty"`
	RetryAfter millis      `json:"retry_after_ms,omitempty"`
	Header     http.Header `json:"header,omitempty"`
	Body       string      `json:"body,omitempty"`
	BodyBase64 []byte      `json:"body_base64,omitempty"`
	BodyCut    bool        `json:"body_cut,omitempty"`
	Instance   string      `json:"instance,omitempty"`
}
