package admin

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// below returns the path of a request below the prefix: empty for the prefix itself without
// the slash that relative links need. mounted is false for a path that is elsewhere.
func (h *handler) below(r *http.Request) (rest string, mounted bool) {
	p, prefix := r.URL.Path, h.cfg.Prefix
	if prefix == "" || stripped(r, prefix) {
		return p, true
	}
	rest, mounted = strings.CutPrefix(p, prefix)
	if !mounted || rest != "" && rest[0] != '/' {
		return p, false
	}
	return rest, true
}

// stripped reports whether the application has stripped the prefix: the address still has it
// before the path. This is looked at first, because a prefix may be called like a page.
func stripped(r *http.Request, prefix string) bool {
	sent, err := url.ParseRequestURI(r.RequestURI)
	return err == nil && strings.HasSuffix(sent.Path, prefix+r.URL.Path)
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

// redirectToRoot adds the slash to the path at which the handler is mounted, and reports
// whether it could. The Location is relative, because only the browser knows the whole path.
func redirectToRoot(w http.ResponseWriter, r *http.Request) bool {
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	last := path.Base(asked)
	if last == "/" || last == "." || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	w.Header().Set("Location", "./"+last+"/")
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

// notFound answers a path below the prefix that there is no route for.
func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	if visited(r.Context()).access.AllTenants {
		h.wrongMount(w, r)
		return
	}
	h.refuse(w, r, &problem{Status: http.StatusNotFound, Detail: "There is nothing at this address."})
}

// wrongMount answers a path that is not the handler's. Most often that is a mistake in how it
// is mounted, so the answer says how it is.
func (h *handler) wrongMount(w http.ResponseWriter, r *http.Request) {
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
