package admin

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"example.com/hooks"
)

// A handler is what New returns.
type handler struct {
	hooks       *hooks.Hooks
	cfg         Config
	mux         *http.ServeMux // the routes, by their paths below the prefix
	crossOrigin *http.CrossOriginProtection
	assets      map[string]asset // by name
	pages       pages
}

func newHandler(h *hooks.Hooks, c Config) (*handler, error) {
	hd := &handler{hooks: h, cfg: c, mux: http.NewServeMux(), crossOrigin: http.NewCrossOriginProtection(), assets: readAssets()}
	hd.pages = allPages()
	for _, origin := range c.TrustedOrigins {
		if err := hd.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return nil, err // New has checked them
		}
	}
	for i := range routes {
		rt := &routes[i]
		hd.mux.HandleFunc(rt.method+" /"+rt.path, func(w http.ResponseWriter, r *http.Request) { hd.serve(w, r, rt) })
	}
	hd.mux.HandleFunc("GET /assets/{name}", hd.serveAsset)
	hd.mux.HandleFunc("/", hd.noRoute)
	return hd, nil
}

// contentPolicy lets a page load the handler's own style sheet and script, show the icon
// that is in the page itself, send forms to the handler, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", contentPolicy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	// Not "no-referrer": with that, browsers send "Origin: null" with the handler's own
	// forms, and over plain HTTP, where they do not send Sec-Fetch-Site, these would be
	// refused as those of another site.
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Cache-Control", "no-store")
	rest, mounted := h.below(r.URL.Path)
	if !mounted {
		h.redirectToRoot(w, r)
		return
	}
	if encodedSlash(r, rest) {
		h.flatNotFound(w, rest)
		return
	}
	r2 := r.Clone(r.Context())
	r2.URL.Path, r2.URL.RawPath = rest, ""
	if rest != "/" && path.Clean(rest) != rest { // ServeMux would redirect without the prefix
		h.notFound(w, r2)
		return
	}
	h.mux.ServeHTTP(w, r2)
}

// below returns the path of a request below the prefix. A path that does not begin with
// the prefix is one that the application has stripped. mounted is false for the prefix
// itself without the slash that relative links need.
func (h *handler) below(p string) (rest string, mounted bool) {
	if p == "" || p == h.cfg.Prefix && p != "" {
		return "", false
	}
	if rest, ok := strings.CutPrefix(p, h.cfg.Prefix+"/"); ok {
		return "/" + rest, true
	}
	return p, true
}

// encodedSlash reports whether the address has "%2F" or "%5C" below the prefix, where rest
// has a slash. No id has one. Browsers do not count them as slashes when they resolve a
// relative link, so that the links of such a page would lead out of the handler.
func encodedSlash(r *http.Request, rest string) bool {
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	if sent == "" {
		sent = r.URL.EscapedPath() // of a request that came from no connection
	}
	below := len(sent) // where as many slashes follow as rest has
	for range strings.Count(rest, "/") {
		below = max(strings.LastIndexByte(sent[:below], '/'), 0)
	}
	tail := strings.ToLower(sent[below:])
	return strings.Contains(tail, "%2f") || strings.Contains(tail, "%5c")
}

// flatNotFound answers with 404 and no links.
func (h *handler) flatNotFound(w http.ResponseWriter, rest string) {
	p := &problem{Status: http.StatusNotFound, Detail: "There is nothing at this address."}
	if strings.HasPrefix(rest, "/api/") {
		p.write(w)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(p.Status)
	_, _ = w.Write([]byte(p.Detail + "\n"))
}

// redirectToRoot adds the slash to the path at which the handler is mounted. The Location
// is relative, because only the browser knows the whole path.
func (h *handler) redirectToRoot(w http.ResponseWriter, r *http.Request) {
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	last := path.Base(asked)
	if last == "/" || last == "." || r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.notFound(w, r)
		return
	}
	w.Header().Set("Location", last+"/")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// noRoute answers a request that there is no route for: with 405 if there is one for another
// method.
func (h *handler) noRoute(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{get, post, put, del} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := h.mux.Handler(other); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if allow == nil {
		h.notFound(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	h.refuse(w, r, &problem{Status: http.StatusMethodNotAllowed, Detail: "This address takes " + strings.Join(allow, " and ") + "."})
}

// notFound answers a path that there is no route for. Most often that is a mistake in how
// the handler is mounted, so it says how it is.
func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	mounted := "at the root, because admin.Config.Prefix is empty"
	if h.cfg.Prefix != "" {
		mounted = "at " + h.cfg.Prefix + ", as admin.Config.Prefix says"
	}
	h.refuse(w, r, &problem{
		Status: http.StatusNotFound,
		Detail: "There is nothing at " + r.URL.Path + ". This handler believes that it is mounted " + mounted +
			". If the address is right, mend the Prefix.",
	})
}

// serve answers a request that has a route: it asks who sent it, whether they may, and
// tells the audit of what was changed.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, rt *route) {
	c := &call{handler: h, w: w, r: r, route: rt}
	c.access, c.err = h.authorize(r, rt)
	c.view = h.sees(c.access)
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	if c.err == nil {
		c.err = c.readValues()
	}
	if c.err == nil && rt.changes() {
		c.err = h.sameOrigin(r, c.access)
	}
	if c.err == nil && rt.changes() && !isAPI(r) {
		c.err = c.readForm()
	}
	if c.err == nil {
		c.err = rt.serve(c)
	}
	if rt.changes() && rt.action != "" && !c.toldAudit {
		c.tell(c.audit, c.err)
	}
	if c.err != nil {
		h.answerError(c)
	}
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

// These bound a request: the bytes of its body, and the parameters of its address.
const (
	mostBody       = 1 << 20
	mostParameters = 10_000
)

// authorize returns what a request may see and do, or why it may not.
func (h *handler) authorize(r *http.Request, rt *route) (Access, error) {
	a, err := h.cfg.Authorize(r)
	switch {
	case err != nil:
		h.cfg.Logger.InfoContext(r.Context(), "hooks admin: a request is not authorized", "path", r.URL.Path, "error", err)
		return Access{}, errNoAccess
	case a.Level <= None || a.Level > Secrets || !a.AllTenants && a.Tenant == "":
		return Access{User: a.User}, errNoAccess // the audit is told who
	case rt.operator && !a.AllTenants:
		return a, &problem{Status: http.StatusNotFound, Detail: "There is nothing here."}
	case a.Level < rt.level:
		return a, &problem{
			Status: http.StatusForbidden,
			Detail: "This needs the level " + rt.level.String() + ", and yours is " + a.Level.String() + ".",
		}
	}
	if a.AllTenants {
		a.Tenant = ""
	}
	return a, nil
}

var errNoAccess = &problem{
	Status: http.StatusForbidden,
	Detail: "You may not see this. If you should, ask who runs the application.",
}

// tell tells the application of a change that was made, or refused with err.
func (c *call) tell(e AuditEntry, err error) {
	e.Time, e.User, e.Tenant, e.Action = time.Now().UTC(), c.access.User, c.access.Tenant, c.route.action
	if e.Target == "" {
		e.Target = c.r.PathValue("id")
	}
	if err != nil {
		e.Refused = err.Error()
	}
	c.cfg.Audit(context.WithoutCancel(c.r.Context()), e)
}

// answerError answers with what went wrong: as a problem, or as a page.
func (h *handler) answerError(c *call) {
	p := asProblem(c.err, c.access.AllTenants)
	if p.Status >= http.StatusInternalServerError && !errors.Is(c.err, c.r.Context().Err()) {
		h.cfg.Logger.ErrorContext(c.r.Context(), "hooks admin: a request failed", "path", c.r.URL.Path, "error", c.err)
	}
	if c.wrote {
		return
	}
	if isAPI(c.r) {
		p.write(c.w)
		return
	}
	c.errorPage(p)
}

// refuse answers a request that has no route.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	if isAPI(r) {
		p.write(w)
		return
	}
	(&call{handler: h, w: w, r: r}).errorPage(p)
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
