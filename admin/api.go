package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// This file is how the API reads requests and writes answers. Values are written as package
// hooks writes them in JSON: names in snake case, and durations in milliseconds.

const jsonType = "application/json"

// readBody reads the request's body, a JSON object, into v. Fields that v does not have are
// refused, because a misspelt one would be ignored in silence.
func (c *call) readBody(v any) error {
	read, err := c.readOptionalBody(v)
	if err == nil && !read {
		return badRequest("", "The body is empty; send a JSON object.")
	}
	return err
}

// readOptionalBody is readBody for a request that needs none. It reports whether there is
// one.
func (c *call) readOptionalBody(v any) (read bool, err error) {
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return false, err
		}
		return false, badRequest("", "The body could not be read to its end.")
	}
	if len(body) == 0 {
		return false, nil
	}
	if is, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || is != jsonType {
		return false, &problem{Status: http.StatusUnsupportedMediaType, Detail: "The body must be JSON, with the header Content-Type: application/json."}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return false, notRead(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return false, badRequest("", "Something follows the JSON object; send one object and nothing else.")
	}
	return true, nil
}

// noBody refuses a body that nobody would look at.
func (c *call) noBody() error {
	_, err := c.readOptionalBody(new(struct{}))
	return err
}

// noParameters refuses what nobody would look at in the address.
func (c *call) noParameters() error {
	for name := range c.values {
		return badRequest(name, "There is no parameter %q; this address takes none.", name)
	}
	return nil
}

// notRead says what is wrong with a body that does not decode. It quotes nothing that may be
// a secret.
func notRead(err error) error {
	if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrongType.Field == "" {
			return badRequest("", "The body is a JSON %s; send an object.", wrongType.Value)
		}
		kind, _, _ := strings.Cut(wrongType.Value, " ") // "number 1.5" has the value
		return badRequest(wrongType.Field, "It cannot be a JSON %s.", kind)
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return badRequest("", "The body is no JSON, from byte %d on.", syntax.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return badRequest("", "The body is no whole JSON object.")
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		field, _ := strconv.Unquote(name)
		return badRequest(field, "There is no field of this name.")
	}
	return badRequest("", "The body cannot be read: %v.", err) // of a type's own UnmarshalJSON
}

// json answers with a value.
func (c *call) json(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	body = bytes.ToValidUTF8(body, []byte("\uFFFD")) // an event's data may be JSON that is not UTF-8
	c.w.Header().Set("Content-Type", jsonType)
	c.w.WriteHeader(status)
	c.wrote = true
	_, _ = c.w.Write(append(body, '\n')) // the client may be gone; nothing can be done then
	return nil
}

// done answers that something was done of which nothing is to be said.
func (c *call) done() error {
	c.w.WriteHeader(http.StatusNoContent)
	c.wrote = true
	return nil
}

// rowsOf returns a list for JSON, in which one that has nothing is empty, and not null.
func rowsOf[T any](rows []T) []T {
	if rows == nil {
		return []T{}
	}
	return rows
}

// redact returns what may be shown of an event's data, or of a body.
func (h *handler) redact(eventType string, body []byte) []byte {
	if h.cfg.Redact == nil || len(body) == 0 {
		return body
	}
	return h.cfg.Redact(eventType, bytes.Clone(body)) // the store may share its bytes
}

// redactData is redact for JSON. What is no JSON any more becomes a JSON string.
func (h *handler) redactData(eventType string, data json.RawMessage) json.RawMessage {
	shown := h.redact(eventType, data)
	switch {
	case len(shown) == 0:
		return nil
	case json.Valid(shown):
		return shown
	}
	text, _ := json.Marshal(string(shown)) // no string fails
	return text
}

// redactEvent returns an event as it may be shown.
func (h *handler) redactEvent(ev hooks.Event) hooks.Event {
	ev.Data = h.redactData(ev.Type, ev.Data)
	return ev
}

// redactAttempt returns an attempt as it may be shown. A tenant is not told the process that
// made it, because that has the name of the operator's host.
func (c *call) redactAttempt(eventType string, a hooks.Attempt) hooks.Attempt {
	a.Body, a.Header = c.redact(eventType, a.Body), c.shownHeader(a.Header)
	if !c.access.AllTenants {
		a.Instance = ""
	}
	return a
}

// secretFields are the fields of a response that may hold a session or a password.
var secretFields = []string{"Set-Cookie", "Set-Cookie2", "Cookie", "Authorization", "Proxy-Authorization", "Authentication-Info"}

// shownHeader returns a response's header as the user may see it: below the level Secrets,
// "***" stands for values that let somebody in elsewhere.
func (c *call) shownHeader(header http.Header) http.Header {
	if c.may(Secrets) {
		return header
	}
	shown := maps.Clone(header) // the store may share it
	for name, values := range shown {
		if slices.Contains(secretFields, http.CanonicalHeaderKey(name)) {
			shown[name] = slices.Repeat([]string{hiddenValue}, len(values))
		}
	}
	return shown
}

// millis is a duration in JSON: a number of milliseconds.
type millis time.Duration

// UnmarshalJSON reads a number. All durations that settings allow are exact.
func (m *millis) UnmarshalJSON(b []byte) error {
	const most = float64(math.MaxInt64 / int64(time.Millisecond))
	ms, err := strconv.ParseFloat(string(b), 64)
	switch {
	case string(b) == "null":
		return nil
	case err != nil, math.Abs(ms) > most:
		return errors.New("a duration is a number of milliseconds")
	}
	*m = millis(math.Round(ms * float64(time.Millisecond)))
	return nil
}

// durations returns a list in another form; nil stays nil, because it stands for a default.
func durations(list []millis) []time.Duration {
	if list == nil {
		return nil
	}
	converted := make([]time.Duration, len(list))
	for i, m := range list {
		converted[i] = time.Duration(m)
	}
	return converted
}

// etag returns the entity tag of an endpoint: its version.
func etag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

// ifMatch returns the version of an endpoint that the request's If-Match names. It is zero
// if there is none, or if it is "*".
func (c *call) ifMatch() (version int64, err error) {
	tag := strings.TrimSpace(c.r.Header.Get("If-Match"))
	if tag == "" || tag == "*" {
		return 0, nil
	}
	if strings.Contains(tag, ",") {
		return 0, badRequest("If-Match", "Give one ETag, that of the endpoint that you have read.")
	}
	if text, err := strconv.Unquote(tag); err == nil {
		if version, err = strconv.ParseInt(text, 10, 64); err == nil && version > 0 {
			return version, nil
		}
	}
	return 0, errStale // no endpoint ever had it
}

var errStale = &problem{
	Status: http.StatusPreconditionFailed,
	Detail: "Somebody has changed this since you have read it. Read it again, and repeat your change if it is still right.",
}

// orStale returns err, and for a conflict what If-Match asks for, if there is one.
func (c *call) orStale(err error) error {
	if errors.Is(err, hooks.ErrConflict) && c.r.Header.Get("If-Match") != "" {
		return errStale
	}
	return err
}
