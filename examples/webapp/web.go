package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"example.com/hooks/admin"
)

//go:embed page.html
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

// A view is what page.html shows.
type view struct {
	User     *user
	Email    string
	Staff    bool
	Wrong    string
	Invoices []Invoice
	People   []string
}

// Euros writes an amount.
func (i Invoice) Euros() string {
	return strconv.FormatInt(i.Cents/100, 10) + "." + strconv.FormatInt(100+i.Cents%100, 10)[1:]
}

// routes is all that the application answers: its own pages, the operator's, and the portal.
func (a *app) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(http.NewCrossOriginProtection().Handler) // forms of other sites are refused
	r.Get("/login", a.loginPage)
	r.Post("/login", a.login)
	r.Group(func(r chi.Router) {
		r.Use(a.signedIn)
		r.Get("/", a.home)
		r.Post("/logout", a.logout)
		r.Post("/invoices", a.sendInvoice)
		r.Post("/invoices/{id}/pay", a.payInvoice)
		r.Mount("/webhooks", a.mount(admin.Config{
			Prefix: "/webhooks", Authorize: a.customerAccess, Title: "Teabag webhooks", Accent: "#1c6b4a",
			Home: admin.Link{Text: "Invoices", URL: "/"},
		}))
		r.Mount("/staff/webhooks", a.mount(admin.Config{
			Prefix: "/staff/webhooks", Authorize: a.staffAccess, Home: admin.Link{Text: "Invoices", URL: "/"},
		}))
	})
	return r
}

// mount returns the pages of the webhooks.
func (a *app) mount(c admin.Config) http.Handler {
	ui, err := admin.New(a.hooks, c)
	if err != nil {
		panic(err) // the Config is the program's own
	}
	return ui
}

type userKey struct{}

// signedIn sends whoever is not signed in to the login. The pages of the webhooks are behind
// it, too, so that nobody meets their 403.
func (a *app) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, ok, err := a.user(r)
		switch {
		case err != nil:
			fail(w, r, err)
		case !ok:
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, u)))
		}
	})
}

func who(r *http.Request) user { return r.Context().Value(userKey{}).(user) }

func (a *app) loginPage(w http.ResponseWriter, r *http.Request) { show(w, r, http.StatusOK, view{}) }

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	token, err := a.signIn(r.Context(), r.PostFormValue("email"), r.PostFormValue("password"))
	switch {
	case errors.Is(err, errWrong):
		show(w, r, http.StatusUnauthorized, view{Wrong: "The address or the password is wrong."})
	case err != nil:
		fail(w, r, err)
	default:
		http.SetCookie(w, sessionCookie(r, token, int(sessionTime.Seconds())))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func sessionCookie(r *http.Request, token string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: cookie, Value: token, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	}
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		if err := a.signOut(r.Context(), c.Value); err != nil {
			fail(w, r, err)
			return
		}
	}
	http.SetCookie(w, sessionCookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// home shows the invoices: their own to a customer, all to the staff.
func (a *app) home(w http.ResponseWriter, r *http.Request) { a.showInvoices(w, r, http.StatusOK, "") }

func (a *app) showInvoices(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	u := who(r)
	list, err := a.invoices(r.Context(), u.company)
	if err != nil {
		fail(w, r, err)
		return
	}
	show(w, r, status, view{User: &u, Email: u.email, Staff: u.company == "", Wrong: wrong, Invoices: list})
}

// sendInvoice and payInvoice are for the staff.
func (a *app) sendInvoice(w http.ResponseWriter, r *http.Request) {
	euros, err := strconv.ParseFloat(r.PostFormValue("euros"), 64)
	company := r.PostFormValue("company")
	if err != nil || !(euros > 0 && euros < 1e9) || company != "acme" && company != "globex" {
		a.showInvoices(w, r, http.StatusBadRequest, "Give a company and an amount above 0.")
		return
	}
	a.staffOnly(w, r, func() error {
		return a.send(r.Context(), Invoice{ID: "R-" + rand.Text()[:6], Company: company, Cents: int64(euros*100 + 0.5)})
	})
}

func (a *app) payInvoice(w http.ResponseWriter, r *http.Request) {
	a.staffOnly(w, r, func() error { return a.pay(r.Context(), chi.URLParam(r, "id")) })
}

func (a *app) staffOnly(w http.ResponseWriter, r *http.Request, do func() error) {
	if who(r).company != "" {
		http.Error(w, "This is for the staff.", http.StatusForbidden)
		return
	}
	switch err := do(); {
	case errors.Is(err, errNothingToDo):
		a.showInvoices(w, r, http.StatusConflict, strings.ToUpper(err.Error()[:1])+err.Error()[1:]+".")
	case err != nil:
		fail(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// show answers with the page. It is rendered whole first, so that an error shows as one.
func show(w http.ResponseWriter, r *http.Request, status int, v view) {
	for _, u := range people {
		v.People = append(v.People, u.email)
	}
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

func fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "a request failed", "path", r.URL.Path, "error", err)
	http.Error(w, "Something failed. The log says what.", http.StatusInternalServerError)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
