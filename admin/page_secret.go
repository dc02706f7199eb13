package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"example.com/hooks"
	"example.com/hooks/signer"
)

// A secretData is what the page shows that answers a POST by which a secret was made. It
// is the only time that the secret is shown.
type secretData struct {
	hooks.Endpoint
	Made     bool   // the endpoint is new
	Imported bool   // its secret was typed
	Already  bool   // the form was sent before: nothing was done, and there is no secret
	Old      string // what becomes of the secret before, in a sentence
}

// An overlap is for how long the old secret signs too, as the form offers it.
type overlap struct {
	Value, Name string
	span        time.Duration
	text        string
}

var overlaps = []overlap{
	{"none", "not at all", -1, "The old secret does not sign any more."},
	{"1h", "1 hour", time.Hour, "The old secret signs beside it for 1 hour."},
	{"24h", "24 hours", 24 * time.Hour, "The old secret signs beside it for 24 hours."},
	{"7d", "7 days", 7 * 24 * time.Hour, "The old secret signs beside it for 7 days."},
}

// Overlaps returns what the form offers. Secrets that cannot be decrypted cannot sign.
func (d endpointData) Overlaps() []overlap {
	if d.NoKey() {
		return overlaps[:1]
	}
	return overlaps
}

func rotateValues(e hooks.Endpoint, h hooks.EndpointHealth) url.Values {
	return url.Values{"version": {strconv.FormatInt(e.Version, 10)}, "overlap": {"24h"}}
}

// rotateSecret makes a new secret and shows it in this answer. The form carries the
// endpoint's version, so that it rotates once however often it is sent.
func (c *call) rotateSecret() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	r, chosen, err := readRotation(values)
	if err != nil {
		return c.refuseRotation(values, err)
	}
	e, err := c.view.RotateSecret(c.r.Context(), c.r.PathValue("id"), r)
	switch {
	case errors.Is(err, hooks.ErrConflict):
		e, readErr := c.view.Endpoint(c.r.Context(), c.r.PathValue("id"))
		if readErr != nil {
			return readErr
		}
		return c.answer(http.StatusConflict, secretPage(secretData{Endpoint: e, Already: true}), err)
	case err != nil:
		return c.refuseRotation(values, err)
	case !r.Secret.IsZero():
		return c.redirect("endpoints/" + e.ID + "?did=imported")
	}
	return c.page(secretPage(secretData{Endpoint: e, Old: chosen.text}))
}

// readRotation reads the form.
func readRotation(values url.Values) (r hooks.Rotation, chosen overlap, err error) {
	if r.Version, err = strconv.ParseInt(values.Get("version"), 10, 64); err != nil || r.Version == 0 {
		return r, chosen, badRequest("version", "The form lacks the version of the endpoint. Open the endpoint again, and send its form.")
	}
	for _, o := range overlaps {
		if o.Value == values.Get("overlap") {
			chosen, r.Overlap = o, o.span
		}
	}
	if r.Overlap == 0 {
		return r, chosen, badRequest("overlap", "Choose how long the old secret signs too.")
	}
	if text := values.Get("secret"); text != "" {
		if r.Secret, err = signer.ParseSecret(text); err != nil {
			return r, chosen, badRequest("secret", "%s", secretProblem)
		}
	}
	return r, chosen, nil
}

// secretProblem says what is wrong with a secret that cannot be read.
const secretProblem = `This is no secret. Write "whsec_" and the base64 of 24 to 64 bytes.`

// refuseRotation shows the endpoint again, with what is wrong with the form. A secret that
// was typed is not shown.
func (c *call) refuseRotation(values url.Values, why error) error {
	d, err := c.endpointData()
	if err != nil {
		return err
	}
	for _, name := range []string{"overlap", "version"} {
		if values.Has(name) {
			d.Rotate.Values.Set(name, values.Get(name))
		}
	}
	status := c.refuseError(&d.Rotate, why, "", "overlap", "secret")
	if errors.Is(why, hooks.ErrUndecryptable) {
		d.Rotate.refuse("overlap", "The old secrets cannot be decrypted, so that they cannot sign. If the key is lost, choose: not at all.")
	}
	return c.refused(d, status, why)
}

func secretPage(d secretData) page {
	title := "New secret of " + d.ID
	switch {
	case d.Made:
		title = d.ID + " was made"
	case d.Already:
		title = "Secret of " + d.ID
	}
	return page{Name: "secret", Nav: "Endpoints", Title: title, Data: d}
}

// SecretText returns the secret. It stands in no other page.
func (d secretData) SecretText() string { return d.Secret.Reveal() }
