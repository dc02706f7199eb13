package admin

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"example.com/hooks"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates by name: each is layout.html and parts.html with one page's own
// "main".
type pages map[string]*template.Template

// allPages are the same for every handler: parsed once, when the first one is made.
var allPages = sync.OnceValue(parsePages)

func parsePages() pages {
	common := template.Must(template.New("layout.html").Funcs(pageFuncs).
		ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	list, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic(err) // they are part of the program
	}
	all := make(pages)
	for _, entry := range list {
		name := strings.TrimSuffix(entry.Name(), path.Ext(entry.Name()))
		if name == "layout" || name == "parts" {
			continue
		}
		all[name] = template.Must(template.Must(common.Clone()).ParseFS(templateFiles, "templates/"+entry.Name()))
	}
	return all
}

// A page is what every template is given.
type page struct {
	Name   string // of the template, without ".html"
	Nav    string // the item of the menu that it belongs to; empty: none
	Title  string
	Base   string // see [call.base]
	Now    time.Time
	Live   bool // the script may update it while somebody looks
	Notice *notice
	Access Access
	Brand  brand
	Data   any // the page's own

	assets map[string]string // names by those of their files
}

// Asset returns the address of an asset below Base, by the name of its file.
func (p page) Asset(file string) string { return "assets/" + p.assets[file] }

// A notice tells somebody what came of what they did, above the page.
type notice struct {
	Sign  string // a sign of parts.html; empty: none
	Tone  string // "red", "amber" or "": the colour of its ground
	Title string
	Text  string
}

// A menu item leads to a page.
type menuItem struct {
	Name, Path string
	operator   bool
}

// menu has the pages that are always one click away, in order.
var menu = []menuItem{
	{"Overview", "", false},
	{"Deliveries", "deliveries", false},
	{"Failures", "failures", false},
	{"Events", "events", false},
	{"Endpoints", "endpoints", false},
	{"Event types", "types", false},
	{"Actions", "actions", false},
	{"System", "system", true},
}

// Menu returns the items that the user may follow.
func (p page) Menu() (items []menuItem) {
	for _, m := range menu {
		if p.Access.AllTenants || !m.operator {
			items = append(items, m)
		}
	}
	return items
}

// May reports whether the user has a level, such as "Replay".
func (p page) May(level string) bool {
	for l, name := range levels {
		if name == level {
			return p.Access.Level >= Level(l)
		}
	}
	panic("no level is called " + level)
}

// Receiver is what the pages call who receives events. Customers have endpoints only.
func (p page) Receiver() string { return p.Access.receiver() }

// ReceiverHead is Receiver for the head of a column.
func (p page) ReceiverHead() string { return p.Access.receiverHead() }

// Unprotected reports whether everybody may do everything.
func (p page) Unprotected() bool { return p.Access.unprotected }

// Version is the library's.
func (page) Version() string { return hooks.Version }

// page answers with a page. The template is rendered whole before anything is sent, so
// that an error shows as one.
func (c *call) page(p page) error { return c.pageStatus(http.StatusOK, p) }

func (c *call) pageStatus(status int, p page) error {
	p.Base, p.Access, p.Now = c.base(), c.access, time.Now().UTC()
	p.Brand, p.assets = c.brand, c.assetNames
	var body bytes.Buffer
	if err := c.pages[p.Name].Execute(&body, p); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.WriteHeader(status)
	c.wrote = true
	_, _ = body.WriteTo(c.w)
	return nil
}

// errorPage answers with a page that says what went wrong, and what to do.
func (c *call) errorPage(p *problem) {
	if err := c.pageStatus(p.Status, page{Name: "error", Title: http.StatusText(p.Status), Data: p}); err != nil {
		c.cfg.Logger.ErrorContext(c.r.Context(), "hooks admin: the page of an error cannot be shown", "error", err)
		http.Error(c.w, p.Detail, p.Status)
	}
}
