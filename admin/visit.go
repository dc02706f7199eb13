package admin

import (
	"context"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A visit is what Authorize says of a request. It is in the context of the request that the
// routes get, because ServeMux calls them.
type visit struct {
	access Access
	err    error // why there is no access
}

type visitKey struct{}

// visited returns what Authorize says of a request.
func visited(ctx context.Context) visit {
	v, ok := ctx.Value(visitKey{}).(visit)
	if !ok {
		return visit{err: errNoAccess}
	}
	return v
}

// authorize asks what a request may see and do.
func (h *handler) authorize(r *http.Request) visit {
	a, err := h.cfg.Authorize(r)
	switch {
	case err != nil:
		h.cfg.Logger.InfoContext(r.Context(), "hooks admin: a request is not authorized", "path", r.URL.Path, "error", err)
		return visit{err: errNoAccess}
	case !a.namesUser():
		h.cfg.Logger.ErrorContext(r.Context(), "hooks admin: a request is refused because of a mistake in the application: "+
			"Config.Authorize must return an Access.User of one line and at most 128 bytes", "path", r.URL.Path, "bytes", len(a.User))
		return visit{err: errNoAccess}
	case a.Level <= None || a.Level > Secrets || !a.AllTenants && a.Tenant == "":
		return visit{Access{User: a.User}, errNoAccess} // the audit is told who
	}
	if a.AllTenants {
		a.Tenant = ""
	}
	return visit{access: a}
}

// mostUser bounds Access.User, as hooks bounds Action.By: in bytes.
const mostUser = 128

// namesUser reports whether User can be written into the audit and an action: one line of
// text that is not too long. An empty one can.
func (a Access) namesUser() bool {
	return len(a.User) <= mostUser && utf8.ValidString(a.User) && !strings.ContainsFunc(a.User, unicode.IsControl)
}

// mayUse returns why somebody may not use a route, or nil.
func (a Access) mayUse(rt *route) error {
	switch {
	case rt.operator && !a.AllTenants:
		return &problem{Status: http.StatusNotFound, Detail: "There is nothing here."}
	case a.Level < rt.level && !a.AllTenants:
		return &problem{Status: http.StatusForbidden, Detail: "You may not do this. If you should, ask who runs the application."}
	case a.Level < rt.level:
		return &problem{
			Status: http.StatusForbidden,
			Detail: "This needs the level " + rt.level.String() + ", and yours is " + a.Level.String() + ".",
		}
	}
	return nil
}

// receiver is what texts call who receives events.
func (a Access) receiver() string {
	if a.AllTenants {
		return "subscriber"
	}
	return "endpoint"
}

// words returns a text of ours that speaks of subscribers as whoever has the access reads it.
// Text of others must not be in it.
func (a Access) words(text string) string {
	return strings.ReplaceAll(text, "subscriber", a.receiver())
}

// receiverHead is receiver for the head of a column.
func (a Access) receiverHead() string {
	if a.AllTenants {
		return "Subscriber"
	}
	return "Endpoint"
}

var errNoAccess = &problem{
	Status: http.StatusForbidden,
	Detail: "You may not see this. If you should, ask who runs the application.",
}

// sameOrigin refuses a request that a page of another site sent. Over plain HTTP a proxy
// that changes the Host makes each page look like one of another site, so the log says what
// there was to compare.
func (h *handler) sameOrigin(r *http.Request, a Access) error {
	if err := h.crossOrigin.Check(r); err != nil {
		h.cfg.Logger.WarnContext(r.Context(), "hooks admin: a request of another site's page was refused; "+
			"if the origin is yours, a proxy changes the Host: let it pass the Host, or name the origin in admin.Config.TrustedOrigins",
			"origin", r.Header.Get("Origin"), "host", r.Host, "sec_fetch_site", r.Header.Get("Sec-Fetch-Site"), "path", r.URL.Path)
		p := &problem{Status: http.StatusForbidden, Detail: "A page of another site sent this request, so that it was refused."}
		if a.AllTenants {
			p.Detail += " If it was a page of this handler, a proxy in front changes the Host: have it pass the Host on, " +
				"or name the page's origin in admin.Config.TrustedOrigins. The application's log has both."
		}
		return p
	}
	return nil
}
