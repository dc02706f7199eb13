package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// A call is one request and its answer.
type call struct {
	*handler
	w      http.ResponseWriter
	r      *http.Request
	route  *route     // nil: there is none
	values url.Values // the parameters of the address; never r.URL.Query, which drops what it cannot read
	access Access
	view   view
	audit  AuditEntry // what the route's function knows of it; see [call.tell]
	err    error      // what went wrong
	wrote  bool       // the answer has begun
	// toldAudit says that the route's function has told the audit itself, because it makes
	// several changes.
	toldAudit bool
}

// base returns the relative path from the request's address to the handler's root. Links
// are made with it, because nobody here knows what a proxy has cut off the path.
func (c *call) base() string {
	depth := strings.Count(c.r.URL.Path, "/") - 1
	if depth <= 0 {
		return "./"
	}
	return strings.Repeat("../", depth)
}

// redirect answers a form that was sent: the browser gets another page by GET. to is a
// path below the handler's root. The Location is relative, because http.Redirect would
// make it absolute, without what was stripped.
func (c *call) redirect(to string) error {
	c.w.Header().Set("Location", c.base()+to)
	c.w.WriteHeader(http.StatusSeeOther)
	c.wrote = true
	return nil
}

// readValues reads the parameters of the address. One that cannot be read is refused: a list
// without it would show too much, and a bulk action would be about too much.
func (c *call) readValues() (err error) {
	query := c.r.URL.RawQuery
	if c.values, err = url.ParseQuery(query); err != nil || strings.Count(query, "&") >= mostParameters {
		return badRequest("", "The part of the address after the question mark cannot be read. Write %%25 for a percent sign, "+
			"%%3B for a semicolon, and at most %d parameters.", mostParameters)
	}
	return nil
}

// readForm reads what a form has sent, so that one that is too large or malformed changes
// nothing, also where nobody looks at it.
func (c *call) readForm() error {
	err := c.r.ParseForm()
	if _, large := errors.AsType[*http.MaxBytesError](err); err == nil || large {
		return err
	}
	return badRequest("", "The form could not be read.")
}

// may reports whether the user has a level; pages leave out what they may not do.
func (c *call) may(l Level) bool { return c.access.Level >= l }
