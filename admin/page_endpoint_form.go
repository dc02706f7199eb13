package admin

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/hooks"
)

// An endpointForm is what the page shows that makes or changes an endpoint.
type endpointForm struct {
	form
	ID       string // of the endpoint that is changed; empty: a new one
	Types    []hooks.TypeInfo
	Conflict bool   // somebody else has changed the endpoint meanwhile
	Taken    string // the id of an endpoint that exists already

	kept bool // a header's value is to stay as it is stored
}

// endpointFields are the fields of the form, by the name of the field of [hooks.Endpoint].
var endpointFields = []string{
	"id", "tenant", "url", "events", "description", "header", "raw", "ordered",
	"concurrency", "timeout", "hold", "retry", "scheme", "secret",
}

// New reports whether the form makes an endpoint.
func (f endpointForm) New() bool { return f.ID == "" }

func (c *call) formPage(f endpointForm) page {
	f.Types = slices.DeleteFunc(ownLast(c.view.Types()), func(t hooks.TypeInfo) bool { return t.Private })
	title := "Edit " + f.ID
	if f.New() {
		title = "New endpoint"
	}
	return page{Name: "endpoint_form", Nav: "Endpoints", Title: title, Data: f}
}

// refuseForm shows the form again, with what is wrong beside its fields and what was typed
// in them; a secret is left out.
func (c *call) refuseForm(f endpointForm, why error) error {
	status := c.refuseError(&f.form, why, "Endpoint.", endpointFields...)
	delete(f.Values, "secret")
	return c.answer(status, c.formPage(f), why)
}

// errUnreadable is why a form is refused of which a field cannot be read.
var errUnreadable = &problem{Status: http.StatusBadRequest, Detail: "Nothing was saved. What is wrong stands beside the fields."}

// editEndpointPage shows the form with what an endpoint has.
func (c *call) editEndpointPage() error {
	e, err := c.editable()
	if err != nil {
		return err
	}
	return c.page(c.formPage(endpointForm{form: form{Values: endpointValues(e)}, ID: e.ID}))
}

// editable returns the endpoint in the address, unless nobody can change it.
func (c *call) editable() (e hooks.Endpoint, err error) {
	health, err := c.view.EndpointHealth(c.r.Context(), c.r.PathValue("id"))
	switch {
	case err != nil:
		return e, err
	case health.State == hooks.StateNoKey:
		return e, &problem{
			Status: http.StatusConflict,
			Detail: "The secrets and headers of this endpoint cannot be decrypted, so it cannot be changed. If the key is lost, rotate the secret first.",
		}
	}
	return c.view.Endpoint(c.r.Context(), health.Endpoint)
}

// changeEndpoint changes an endpoint as the form says.
func (c *call) changeEndpoint() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	old, err := c.editable()
	if err != nil {
		return err
	}
	f, e := endpointForm{form: form{Values: values}, ID: old.ID}, old
	if e.Version, err = strconv.ParseInt(values.Get("version"), 10, 64); err != nil || e.Version == 0 {
		return badRequest("version", "The form lacks the version of the endpoint. Open the endpoint again, and edit it there.")
	}
	f.read(&e)
	if scheme := values.Get("scheme"); scheme != "" && c.may(Secrets) { // it makes a new secret
		e.Scheme = hooks.Scheme(scheme)
	}
	if f.Wrong != nil {
		return c.refuseForm(f, errUnreadable)
	}
	if f.kept {
		if err := c.mayMoveHeader(old.URL, e.URL); err != nil {
			return c.refuseForm(f, err)
		}
	}
	made, err := c.view.PutEndpoint(c.r.Context(), e)
	switch {
	case errors.Is(err, hooks.ErrConflict):
		return c.showConflict(f, old, err)
	case err != nil:
		return c.refuseForm(f, err)
	case !made.Secret.IsZero() || made.Scheme != old.Scheme:
		return c.page(secretPage(secretData{Endpoint: made, Old: overlaps[2].text}))
	}
	return c.redirect("endpoints/" + made.ID + "?did=changed")
}

// showConflict shows the form again, with what is stored now beside each field that
// differs. Sent again, it replaces that.
func (c *call) showConflict(f endpointForm, stored hooks.Endpoint, why error) error {
	now := endpointValues(stored)
	f.Conflict, f.Stored = true, make(map[string]string)
	for _, name := range endpointFields {
		typed := strings.TrimSpace(strings.ReplaceAll(f.Value(name), "\r\n", "\n"))
		if f.Values.Has(name) && typed != now.Get(name) || !f.Values.Has(name) && now.Get(name) == "on" {
			f.Stored[name] = now.Get(name)
		}
	}
	f.Values.Set("version", now.Get("version"))
	return c.answer(http.StatusConflict, c.formPage(f), why)
}

// newEndpointPage shows the form of a new endpoint. It carries an id for the endpoint, so
// that a form that is sent twice makes one endpoint.
func (c *call) newEndpointPage() error {
	values := url.Values{"events": {"**"}, "scheme": {string(hooks.SchemeHMAC)}, "made": {newEndpointID()}}
	if tenant := c.values.Get("tenant"); c.access.AllTenants {
		values.Set("tenant", tenant)
	}
	return c.page(c.formPage(endpointForm{form: form{Values: values}}))
}

// newEndpointID returns an id that no endpoint has.
func newEndpointID() string { return "ep_" + strings.ToLower(rand.Text()) }

// makeEndpoint makes an endpoint, and shows its secret in this answer.
func (c *call) makeEndpoint() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	f := endpointForm{form: form{Values: values}}
	e := hooks.Endpoint{ID: cmp.Or(strings.TrimSpace(values.Get("id")), values.Get("made")), Scheme: hooks.Scheme(values.Get("scheme"))}
	c.audit.Target = e.ID
	if c.access.AllTenants {
		e.Tenant = strings.TrimSpace(values.Get("tenant"))
	}
	f.read(&e)
	if err := f.readSecret(&e, c.may(Secrets)); err != nil {
		return err
	}
	if f.Wrong != nil {
		return c.refuseForm(f, errUnreadable)
	}
	made, err := c.makeNew(e)
	switch {
	case errors.Is(err, errExists):
		f.Taken = e.ID
		return c.refuseForm(f, err)
	case err != nil:
		return c.refuseForm(f, err)
	}
	c.audit.Target = made.ID
	return c.page(secretPage(secretData{Endpoint: made, Made: true, Imported: !e.Secret.IsZero()}))
}
