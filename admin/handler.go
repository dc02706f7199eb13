package admin

import (
	"cmp"
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
	making      chan struct{} // see [call.makeNew]
	cfg         Config
	mux         *http.ServeMux // the routes, by their paths below the prefix
	crossOrigin *http.CrossOriginProtection
	assets      map[string]asset  // by name
	assetNames  map[string]string // by the names of their files
	brand       brand
	pages       pages
}

func newHandler(h *hooks.Hooks, c Config) (*handler, error) {
	hd := &handler{hooks: h, cfg: c, mux: http.NewServeMux(), crossOrigin: http.NewCrossOriginProtection(), assets: readAssets(c.Accent), making: make(chan struct{}, 1)}
	hd.pages, hd.assetNames, hd.brand = allPages(), assetNames(hd.assets), c.brand()
	for _, origin := range c.TrustedOrigins {
		if err := hd.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return nil, err // New has checked them
		}
	}
	for i := range routes {
		rt := &routes[i]
		hd.mux.HandleFunc(rt.method+" /"+rt.path, func(w http.ResponseWriter, r *http.Request) { hd.serve(w, r, rt) })
	}
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
	rest, mounted := h.below(r)
	switch {
	case mounted && rest == "" && redirectToRoot(w, r), mounted && h.serveAsset(w, r, rest):
		return
	case mounted && encodedSlash(r, rest):
		h.flatNotFound(w, rest)
		return
	}
	r2 := h.ask(w, r)
	r2.URL.Path, r2.URL.RawPath = rest, ""
	if !mounted {
		h.wrongMount(w, r2)
		return
	}
	if rest != "/" && path.Clean(rest) != rest { // for those ServeMux would redirect without the prefix
		h.notFound(w, r2)
		return
	}
	h.mux.ServeHTTP(w, r2)
}

// ask asks Authorize about a request, and returns the one that the routes get. Authorize
// gets the request as the application's router gave it, but for the bound of its body. What
// it has read of the body, such as a form, the routes have too.
func (h *handler) ask(w http.ResponseWriter, r *http.Request) *http.Request {
	asked := r.WithContext(r.Context())
	asked.Body = http.MaxBytesReader(w, r.Body, mostBody)
	v := h.authorize(asked)
	return asked.Clone(context.WithValue(asked.Context(), visitKey{}, v))
}

// noRoute answers a request that there is no route for: with 405 if there is one for another
// method.
func (h *handler) noRoute(w http.ResponseWriter, r *http.Request) {
	if visited(r.Context()).err != nil {
		h.notFound(w, r)
		return
	}
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

// serve answers a request that has a route: it looks whether the user may use that, and tells
// the audit of what was changed.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, rt *route) {
	c := &call{handler: h, w: w, r: r, route: rt}
	v := visited(r.Context())
	c.access, c.err, c.view = v.access, v.err, h.sees(v.access)
	if c.err == nil {
		c.err = c.access.mayUse(rt)
	}
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

// These bound a request: the bytes of its body, and the parameters of its address.
const (
	mostBody       = 1 << 20
	mostParameters = 10_000
)

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

// refuse answers a request that has no route. Who may see nothing is not told either what
// there is: the answer is the same as that of a route.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	v := visited(r.Context())
	h.answerError(&call{handler: h, w: w, r: r, access: v.access, err: cmp.Or[error](v.err, p)})
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
