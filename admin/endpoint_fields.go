package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
	"example.com/hooks/signer"
)

// This file has how the form of an endpoint writes and reads each field.

// endpointValues returns what the form shows of an endpoint. "***" stands for the values of
// its headers; a line that keeps it keeps the value.
func endpointValues(e hooks.Endpoint) url.Values {
	v := url.Values{
		"id": {e.ID}, "tenant": {e.Tenant}, "url": {e.URL}, "events": {strings.Join(e.Events, "\n")},
		"description": {e.Description}, "scheme": {string(e.Scheme)}, "version": {strconv.FormatInt(e.Version, 10)},
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(e.Header)) {
		lines = append(lines, name+": "+hiddenValue)
	}
	v.Set("header", strings.Join(lines, "\n"))
	for name, is := range map[string]bool{"raw": e.Raw, "ordered": e.Ordered} {
		if is {
			v.Set(name, "on")
		}
	}
	if e.Concurrency != 0 {
		v.Set("concurrency", strconv.Itoa(e.Concurrency))
	}
	for name, d := range map[string]time.Duration{"timeout": e.Timeout, "hold": e.Hold} {
		if d != 0 {
			v.Set(name, writeSpan(d))
		}
	}
	if e.Retry != nil {
		v.Set("retry", writeWaits(e.Retry))
	}
	return v
}

const (
	hiddenValue = "***"  // for a header's value
	noRetry     = "none" // in the field of waits: one attempt only
)

func writeWaits(waits []time.Duration) string {
	if len(waits) == 0 {
		return noRetry
	}
	var list []string
	for _, w := range waits {
		list = append(list, writeSpan(w))
	}
	return strings.Join(list, ", ")
}

// read changes e to what the form says, and notes what cannot be read.
func (f *endpointForm) read(e *hooks.Endpoint) {
	e.URL = strings.TrimSpace(f.Value("url"))
	e.Description = f.Value("description")
	e.Events = strings.FieldsFunc(f.Value("events"), func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) })
	e.Raw, e.Ordered = f.Is("raw", "on"), f.Is("ordered", "on")
	e.Header = f.readHeader(e.Header)
	e.Timeout, e.Hold = f.readSpan("timeout"), f.readSpan("hold")
	e.Retry = f.readWaits()
	e.Concurrency = 0
	if text := strings.TrimSpace(f.Value("concurrency")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			f.refuse("concurrency", "This is no number. Leave it empty for the default.")
		}
		e.Concurrency = n
	}
}

// readHeader reads a line for each header. "***" stands for the value that it has in old.
func (f *endpointForm) readHeader(old hooks.Header) hooks.Header {
	header := make(hooks.Header)
	for line := range strings.Lines(f.Value("header")) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if _, twice := header[name]; !ok || twice {
			f.refuse("header", fmt.Sprintf("%q: write each header once, as Name: value.", cmp.Or(name, line)))
			continue
		}
		if value == hiddenValue && old[name] != "" {
			value, f.kept = old[name], true
		}
		header[name] = value
	}
	return header
}

func (f *endpointForm) readSpan(name string) time.Duration {
	text := strings.TrimSpace(f.Value(name))
	if text == "" {
		return 0
	}
	d, ok := parseSpan(text)
	if !ok {
		f.refuse(name, "This is no duration. Write one such as 15 s, 4 min 10 s or 3 d.")
	}
	return d
}

// readWaits reads the waits between attempts: nil for the default.
func (f *endpointForm) readWaits() []time.Duration {
	text := strings.TrimSpace(f.Value("retry"))
	switch text {
	case "":
		return nil
	case noRetry:
		return []time.Duration{}
	}
	var waits []time.Duration
	for part := range strings.SplitSeq(text, ",") {
		d, ok := parseSpan(strings.TrimSpace(part))
		if !ok {
			f.refuse("retry", fmt.Sprintf("%q is no duration. Write waits such as 5 s, 5 min, 2 h, or none for one attempt only.", strings.TrimSpace(part)))
		}
		waits = append(waits, d)
	}
	return waits
}

// readSecret reads a secret that is imported.
func (f *endpointForm) readSecret(e *hooks.Endpoint, may bool) error {
	text := f.Value("secret")
	switch {
	case text == "":
		return nil
	case !may:
		return &problem{Status: http.StatusForbidden, Detail: "To import a secret needs the level " + Secrets.String() + "."}
	}
	secret, err := signer.ParseSecret(text)
	if err != nil {
		f.refuse("secret", secretProblem)
	}
	e.Secret = secret
	return nil
}

// mayMoveHeader refuses to send hidden values of headers to another place than before:
// somebody who may change the URL, but not read the values, would receive them there.
func (c *call) mayMoveHeader(from, to string) error {
	if c.may(Secrets) || origin(from) == origin(to) {
		return nil
	}
	return &problem{
		Status: http.StatusForbidden, Field: "Endpoint.Header",
		Detail: "The URL leads to another scheme, host or port, and *** would send the values that are stored there. Write the values again, or remove the headers; to keep them needs the level " + Secrets.String() + ", and yours is " + c.access.Level.String() + ".",
	}
}

// origin returns the scheme, host and port of a URL. PutEndpoint refuses one that does not
// parse.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
