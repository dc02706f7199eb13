package admin

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"example.com/hooks"
)

// A requestView is the request that the next attempt would send.
type requestView struct {
	Line   string // such as "POST /hooks HTTP/1.1"; empty: the body only
	Fields []field
	Body   shownBody
	Curl   string // the same as a command
	Copy   string // the body as it is, to be copied
	Signed time.Time
	// Missing says why there is the body only.
	Missing string
	// Masked says that the signature is of another body than the one shown.
	Masked bool
	// IsData says that the body is the event's data, and not what is sent.
	IsData bool

	raw []byte
}

// requestOf rebuilds the request of a delivery, as far as the user may see it. It returns
// nil if the event is gone.
func (c *call) requestOf(d hooks.Delivery, ev *hooks.Event) *requestView {
	switch {
	case ev == nil:
		return nil
	case !ev.Erased.IsZero():
		return &requestView{raw: ev.Data}
	}
	req, err := c.view.Request(c.r.Context(), d.DeliveryID)
	if err != nil {
		v := requestView{raw: ev.Data, IsData: true, Missing: c.whyNoRequest(err)}
		v.Body, v.Copy = c.show(d.Type, ev.Data), copyable(c.shownBytes(d.Type, ev.Data))
		return &v
	}
	v := requestView{Signed: time.Now()}
	if v.raw, err = io.ReadAll(req.Body); err != nil {
		return nil
	}
	v.Body, v.Copy = c.show(d.Type, v.raw), copyable(c.shownBytes(d.Type, v.raw))
	if !c.may(Secrets) {
		v.Missing = "Its headers and the command for curl hold a signature, which you may not see."
		if c.access.AllTenants {
			v.Missing = "Its headers and the command for curl hold a signature; they need the level Secrets, and yours is " + c.access.Level.String() + "."
		}
		return &v
	}
	v.Line = visible(req.Method + " " + req.URL.RequestURI() + " HTTP/1.1")
	v.Fields = append([]field{{"Host", visible(req.URL.Host)}}, fields(req.Header)...)
	if v.Copy != "" {
		v.Curl = curl(req, v.Copy)
	}
	v.Masked = v.Copy != "" && v.Copy != string(v.raw)
	return &v
}

// whyNoRequest says why no request can be rebuilt.
func (c *call) whyNoRequest(err error) string {
	_, isHandler := errors.AsType[*hooks.InvalidError](err)
	switch {
	case errors.Is(err, hooks.ErrNotFound):
		return c.access.words("The subscriber was deleted, so that there is no request.")
	case isHandler:
		return "A handler is called in the process, without a request."
	case errors.Is(err, hooks.ErrUndecryptable):
		return "The endpoint's secrets cannot be decrypted, so that no request can be signed."
	}
	return "No request can be made: " + visible(asProblem(err, c.access.AllTenants).Detail)
}

// copyable returns a body to be copied, or nothing if it is no text or very long.
func copyable(body []byte) string {
	if text := string(body); len(text) <= mostShown && visible(text) == text {
		return text
	}
	return ""
}

// curl writes a request as a command for a POSIX shell. By --globoff and --data-raw, curl
// sends once and what stands there: brackets in a URL would be many URLs, and a body that
// begins with "@" the name of a file.
func curl(req *http.Request, body string) string {
	var b strings.Builder
	b.WriteString("curl -i --globoff -X " + req.Method + " " + shellQuote(req.URL.String()))
	for _, f := range fields(req.Header) {
		b.WriteString(" \\\n  -H " + shellQuote(f.Name+": "+f.Value))
	}
	b.WriteString(" \\\n  --data-raw " + shellQuote(body))
	return b.String()
}

// shellQuote quotes a text for a POSIX shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
