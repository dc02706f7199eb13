package hooks

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Header is the fields that are added to an endpoint's requests, by name. A composite
// literal of type map[string]string can be assigned to it.
//
// Its values are treated as secrets: package fmt with any verb, log/slog and encoding/json
// write "***" for them; read the map to see them. Printers that work by reflection show
// them, and so does fmt if the Header is in an unexported field of another struct.
type Header map[string]string

const hidden = "***"

// hide returns h without its values.
func (h Header) hide() map[string]string {
	if h == nil {
		return nil
	}
	names := make(map[string]string, len(h))
	for name := range h {
		names[name] = hidden
	}
	return names
}

// String returns the names in order, with "***" for each value.
func (h Header) String() string { return fmt.Sprint(h.hide()) }

// Format writes what [Header.String] returns, whatever the verb and its flags.
func (h Header) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, h.String()) // the State keeps the error
}

// MarshalJSON returns an object with "***" for each value. What it writes is not to
// be read back: PutEndpoint refuses such values.
func (h Header) MarshalJSON() ([]byte, error) { return json.Marshal(h.hide()) }

const (
	maxHeaders     = 20
	maxHeaderBytes = 4 << 10
)

var (
	// RFC 9110, section 5.6.2: what a field's name is made of.
	token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$")
	// What hooks sends itself, what belongs to the connection, and what would
	// give a receiver the sender's authority.
	reserved = regexp.MustCompile(`(?i)^(webhook-.*|content-.*|proxy-.*|sec-.*|host|user-agent|cookie|connection|` +
		`keep-alive|te|trailer|transfer-encoding|upgrade|expect|accept-encoding|date)$`)
)

// check refuses fields that are malformed or not an endpoint's to set. No value gets
// into the error.
func (h Header) check() error {
	if len(h) > maxHeaders {
		return invalid("Endpoint.Header", "%d fields; at most %d", len(h), maxHeaders)
	}
	size, seen := 0, make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value, lower := h[name], strings.ToLower(name)
		size += len(name) + len(value)
		switch {
		case !token.MatchString(name):
			return invalid("Endpoint.Header", "%q is no header name", name)
		case reserved.MatchString(name):
			return invalid("Endpoint.Header", "%q is not yours to set; choose a name of your own, such as X-%s", name, name)
		case seen[lower]:
			return invalid("Endpoint.Header", "%q is there twice in different case", name)
		case value == hidden:
			return invalid("Endpoint.Header", "the value of %q is the hidden form; give the value itself", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return invalid("Endpoint.Header", "the value of %q has a control character", name)
		case !utf8.ValidString(value):
			return invalid("Endpoint.Header", "the value of %q is not UTF-8", name)
		}
		seen[lower] = true
	}
	if size > maxHeaderBytes {
		return invalid("Endpoint.Header", "%d bytes; at most %d", size, maxHeaderBytes)
	}
	return nil
}
