// Package admin is an http.Handler with pages for whoever operates a [hooks.Hooks], and the
// same as a JSON API. It mounts with one line in any web application:
//
//	ui, err := admin.New(h, admin.Config{Prefix: "/admin/hooks", Authorize: authorize})
//	mux.Handle("/admin/hooks/", ui)
//
// Authorize says what each request may see and do: it asks the application's own session
// who the user is. Without it, New returns an error. A request that it gives no Access is
// answered with 403.
//
// The pages work without JavaScript. Everything they need comes from the handler itself:
// two assets, and nothing from elsewhere.
//
// # The API
//
// The API is below api/v1/, and api/v1/openapi.json describes it. It sees and may do the
// same as the pages. Lists are pages of rows with the cursor of the next one. An error is
// a problem as RFC 9457 describes it, with the content type application/problem+json.
//
// # Safety
//
// A request that changes something is refused if a browser sent it for another site
// ([http.CrossOriginProtection]), unless Config.TrustedOrigins names that site. Every answer forbids browsers to run scripts that are not
// the handler's own, to be put into a frame, and to be kept in a cache (the two assets may
// be kept). Secrets are shown once, when they are made. Payloads and responses are other
// people's text, and shown as text.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"example.com/hooks"
)

// A Config says who may do what, and where the handler is mounted. Authorize is required.
type Config struct {
	// Prefix is the path that the handler is mounted at, such as "/admin/hooks". Empty: at
	// the root. If the application strips the prefix before it calls the handler, as
	// [http.StripPrefix] does, Prefix may be given or not: the Request.RequestURI still has
	// it. If a proxy in front strips it, leave Prefix empty. The answer to other paths is 404.
	Prefix string

	// Authorize returns what a request may see and do. It is called for each request, but
	// not for the assets, which are the same for everybody. It gets the request as the
	// application's router gave it: URL.Path is the whole path, with the Prefix unless that
	// was stripped before. The body is bounded by 1 MiB; a form that Authorize has parsed is
	// not lost, but a body that it reads itself it must put back. Its error is written to the
	// log and not shown; the answer is 403 then. It may be called from several goroutines at
	// once.
	Authorize func(*http.Request) (Access, error)

	// TrustedOrigins are the origins whose pages may send requests that change something, such
	// as "http://intranet.example:8080", as [http.CrossOriginProtection.AddTrustedOrigin] takes
	// them. Empty: only pages of the origin that the request's Host names. They are needed
	// where people open the pages over plain HTTP through a proxy that changes the Host.
	TrustedOrigins []string

	// Audit is told of each change that somebody made or tried to make, after the fact. Nil:
	// the Logger is told, at level Info. Its context has the values of the request's, but does
	// not end when the client hangs up: the change was made all the same, so bound what waits
	// for others. It may be called from several goroutines at once.
	Audit func(context.Context, AuditEntry)

	// Redact returns what is shown of an event's data, a request's body, or a response's
	// body. It is called each time that one is shown, and must not change body. Nil: they are
	// shown as they are. It may be called from several goroutines at once.
	Redact func(eventType string, body []byte) []byte

	// Title is the name at the top of the pages and in the browser's tabs: one line of at most
	// 64 bytes. Empty: "Hooks".
	Title string

	// Accent is the colour of links and buttons, such as "#0b57c4", which an empty one means.
	// New refuses a colour with too little contrast to be read (WCAG 2.2, 1.4.3), and names one
	// that has enough. Where the browser asks for a dark page, a lighter colour of the same hue
	// takes its place.
	Accent string

	// Home leads back to the application, from every page. Zero: no link.
	Home Link

	// Logger is told of errors that are not the user's. Nil: slog.Default().
	Logger *slog.Logger
}

// An Access is what one request may see and do. The zero Access is none.
type Access struct {
	// Level says what may be done. Zero is [None].
	Level Level
	// Tenant is the customer whose data may be seen and changed, and no other, unless
	// AllTenants is set. If it is empty and AllTenants is not set, the answer is 403.
	Tenant string
	// AllTenants is for the operator: every tenant's data, handlers, and the System page.
	AllTenants bool
	// User is who it is, for [AuditEntry] and [hooks.Action].By: one line, at most 128
	// bytes, or empty. With any other one the answer is 403, and the log says why. It is also
	// shown at the foot of the pages.
	User string

	unprotected bool // the pages warn that everybody may do everything
}

// A Level says what somebody may do. Each includes those before it.
type Level int

const (
	None    Level = iota // nothing
	View                 // lists, pages, payloads and responses
	Replay               // replay, cancel and test events
	Manage               // endpoints (a new one's secret is shown once), bulk actions, publishing
	Secrets              // rotating or importing secrets, and requests with their signatures
)

var levels = [...]string{None: "None", View: "View", Replay: "Replay", Manage: "Manage", Secrets: "Secrets"}

// String returns the name of the level, such as "View".
func (l Level) String() string {
	if l < 0 || int(l) >= len(levels) {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return levels[l]
}

// Unprotected is an Authorize for tools on one's own machine: everybody may do everything.
// The pages say so. It refuses a request whose Host is neither localhost nor an address of
// the loopback, because a page of another site could have a name that leads here (DNS
// rebinding).
func Unprotected(r *http.Request) (Access, error) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	if !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		return Access{}, fmt.Errorf("admin: Unprotected answers only on localhost, not on %q; use an Authorize of your own", r.Host)
	}
	return Access{Level: Secrets, AllTenants: true, User: "everybody", unprotected: true}, nil
}

// An AuditEntry is one change that somebody made or tried to make.
type AuditEntry struct {
	Time   time.Time `json:"time"`
	User   string    `json:"user"`             // Access.User
	Tenant string    `json:"tenant,omitempty"` // Access.Tenant; empty for AllTenants
	// Action is what was done to what, such as "endpoint.rotate" or "delivery.replay".
	Action string       `json:"action"`
	Target string       `json:"target,omitempty"` // an id; empty if there is none
	Query  *hooks.Query `json:"query,omitempty"`  // what a bulk action is about; nil for others
	Count  int          `json:"count,omitempty"`  // of several at once: how many
	// Refused is why it was not done; empty if it was.
	Refused string `json:"refused,omitempty"`
}

// New returns the handler. It reports all that is wrong with c at once, and asks the store
// nothing. The handler is safe for concurrent use. It needs no Run, but then shows what
// other processes do.
func New(h *hooks.Hooks, c Config) (http.Handler, error) {
	if err := c.check(h); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Audit == nil {
		c.Audit = logAudit(c.Logger)
	}
	return newHandler(h, c)
}

func (c Config) check(h *hooks.Hooks) error {
	var errs []error
	if h == nil {
		errs = append(errs, errors.New("admin: the Hooks is nil; give what hooks.New returned"))
	}
	if c.Authorize == nil {
		errs = append(errs, errors.New("admin: Config.Authorize is nil: it must say who may do what "+
			"(admin.Unprotected lets everybody on this machine do everything)"))
	}
	if c.Prefix != "" && (c.Prefix[0] != '/' || path.Clean(c.Prefix) != c.Prefix || c.Prefix == "/") {
		errs = append(errs, fmt.Errorf("admin: Config.Prefix is %q: write a path such as \"/admin/hooks\", "+
			"with a slash at its beginning and none at its end, or leave it empty for the root", c.Prefix))
	}
	for _, origin := range c.TrustedOrigins {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
			errs = append(errs, fmt.Errorf("admin: Config.TrustedOrigins has %q: write an origin such as \"https://tools.example.com\", "+
				"without a path: %w", origin, err))
		}
	}
	return errors.Join(append(errs, c.checkBrand())...)
}

// logAudit returns an Audit that writes to a log.
func logAudit(log *slog.Logger) func(context.Context, AuditEntry) {
	return func(ctx context.Context, e AuditEntry) {
		args := []any{"action", e.Action, "user", e.User}
		for _, a := range []struct{ key, value string }{{"tenant", e.Tenant}, {"target", e.Target}, {"refused", e.Refused}} {
			if a.value != "" {
				args = append(args, a.key, a.value)
			}
		}
		if e.Count > 0 {
			args = append(args, "count", e.Count)
		}
		log.InfoContext(ctx, "hooks admin: a change was made or refused", args...)
	}
}
