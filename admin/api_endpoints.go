package admin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"example.com/hooks"
	"example.com/hooks/signer"
)

// An endpointInput is an endpoint as somebody writes it. It has the fields that an
// endpoint's JSON has, so that what was read can be sent back with changes.
type endpointInput struct {
	ID          string            `json:"id"`
	Tenant      string            `json:"tenant"`
	URL         string            `json:"url"`
	Events      []string          `json:"events"`
	Description string            `json:"description"`
	Secret      signer.Secret     `json:"secret"`
	Scheme      hooks.Scheme      `json:"scheme"`
	PublicKey   signer.PublicKey  `json:"public_key"` // nobody looks at it
	Header      map[string]string `json:"header"`     // "***": the value that is stored
	Raw         bool              `json:"raw"`
	Ordered     bool              `json:"ordered"`
	Concurrency int               `json:"concurrency"`
	Timeout     millis            `json:"timeout_ms"`
	Hold        millis            `json:"hold_ms"`
	Retry       []millis          `json:"retry_ms"`
	Unverified  bool              `json:"unverified"` // nobody looks at it
	Version     int64             `json:"version"`
}

func (in endpointInput) endpoint() hooks.Endpoint {
	return hooks.Endpoint{
		ID: in.ID, Tenant: in.Tenant, URL: in.URL, Events: in.Events, Description: in.Description,
		Secret: in.Secret, Scheme: in.Scheme, Header: in.Header, Raw: in.Raw, Ordered: in.Ordered,
		Concurrency: in.Concurrency, Timeout: time.Duration(in.Timeout), Hold: time.Duration(in.Hold),
		Retry: durations(in.Retry), Version: in.Version,
	}
}

const keepValue = "***" // which hooks.Header writes for each value

// keepHidden gives fields with keepValue the value that old has, and reports whether
// there are any. One that old does not have stays, and PutEndpoint refuses it.
func (in *endpointInput) keepHidden(old hooks.Header) (kept bool) {
	for name, value := range in.Header {
		if stored, ok := old[name]; ok && value == keepValue {
			in.Header[name], kept = stored, true
		}
	}
	return kept
}

// An endpointAnswer is an endpoint after a change. Secret is set if the change has generated
// one. It is the only answer that ever has it.
type endpointAnswer struct {
	Endpoint hooks.Endpoint `json:"endpoint"`
	Secret   string         `json:"secret,omitempty"`
}

// answerEndpoint answers with what became of an endpoint.
func (c *call) answerEndpoint(status int, e hooks.Endpoint) error {
	c.w.Header().Set("ETag", etag(e.Version))
	return c.json(status, endpointAnswer{Endpoint: e, Secret: e.Secret.Reveal()})
}

// apiEndpointHealths lists how endpoints stand.
func (c *call) apiEndpointHealths() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	rows, next, err := c.view.EndpointHealths(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Healths []hooks.EndpointHealth `json:"healths"`
		Next    string                 `json:"next,omitempty"`
	}{rowsOf(rows), next})
}

func (c *call) apiEndpoints() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	rows, next, err := c.view.Endpoints(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Endpoints []hooks.Endpoint `json:"endpoints"`
		Next      string           `json:"next,omitempty"`
	}{rowsOf(rows), next})
}

func (c *call) apiEndpoint() error {
	e, err := c.view.Endpoint(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", etag(e.Version))
	return c.json(http.StatusOK, e)
}

// mayImport refuses a secret from somebody who may not choose one.
func (c *call) mayImport(s signer.Secret) error {
	if s.IsZero() || c.may(Secrets) {
		return nil
	}
	return &problem{
		Status: http.StatusForbidden, Field: "secret",
		Detail: "Importing a secret needs the level Secrets, and yours is " + c.access.Level.String() + ". Leave it out, and one is generated.",
	}
}

func (c *call) apiCreateEndpoint() error {
	var in endpointInput
	if err := c.readBody(&in); err != nil {
		return err
	}
	c.audit.Target = in.ID
	if err := c.mayImport(in.Secret); err != nil {
		return err
	}
	e, err := c.makeNew(in.endpoint())
	if err != nil {
		return err
	}
	c.audit.Target = e.ID
	c.w.Header().Set("Location", "endpoints/"+e.ID)
	return c.answerEndpoint(http.StatusCreated, e)
}

func (c *call) apiPutEndpoint() error {
	var in endpointInput
	if err := c.readBody(&in); err != nil {
		return err
	}
	if err := c.mayImport(in.Secret); err != nil {
		return err
	}
	old, err := c.view.Endpoint(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	version, err := c.ifMatch()
	if err != nil {
		return err
	}
	if in.ID != "" && in.ID != old.ID {
		return badRequest("id", "It is not that of the address; an endpoint's id cannot change.")
	}
	in.ID = old.ID
	in.Tenant, in.Scheme = cmp.Or(in.Tenant, old.Tenant), cmp.Or(in.Scheme, old.Scheme)
	if in.Scheme != old.Scheme && !c.may(Secrets) {
		return &problem{
			Status: http.StatusForbidden, Field: "scheme",
			Detail: "Another scheme makes a new secret, which needs the level Secrets, and yours is " + c.access.Level.String() + ".",
		}
	}
	if version != 0 {
		in.Version = version
	}
	if in.keepHidden(old.Header) {
		in.Version = cmp.Or(in.Version, old.Version) // the values that are kept are of this one
		if err := c.mayMoveHeader(old.URL, in.URL); err != nil {
			return err
		}
	}
	e, err := c.view.PutEndpoint(c.r.Context(), in.endpoint())
	if err != nil {
		return c.orStale(err)
	}
	return c.answerEndpoint(http.StatusOK, e)
}

func (c *call) apiDeleteEndpoint() error {
	if err := c.noBody(); err != nil {
		return err
	}
	id := c.r.PathValue("id")
	version, err := c.ifMatch()
	if err != nil {
		return err
	}
	if version != 0 {
		switch e, err := c.view.Endpoint(c.r.Context(), id); {
		case err != nil:
			return err
		case e.Version != version:
			return errStale
		}
	}
	if err := c.view.DeleteEndpoint(c.r.Context(), id); err != nil {
		return err
	}
	return c.done()
}

func (c *call) apiRotateEndpoint() error {
	var in struct {
		Secret  signer.Secret `json:"secret"`
		Overlap millis        `json:"overlap_ms"`
		Version int64         `json:"version"`
	}
	if _, err := c.readOptionalBody(&in); err != nil {
		return err
	}
	version, err := c.ifMatch()
	if err != nil {
		return err
	}
	if version == 0 {
		version = in.Version
	}
	rotation := hooks.Rotation{Secret: in.Secret, Overlap: time.Duration(in.Overlap), Version: version}
	e, err := c.view.RotateSecret(c.r.Context(), c.r.PathValue("id"), rotation)
	if err != nil {
		return c.orStale(err)
	}
	return c.answerEndpoint(http.StatusOK, e)
}

func (c *call) apiEndpointHealth() error {
	health, err := c.view.EndpointHealth(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, health)
}

func (c *call) apiDisableEndpoint() error {
	var in struct {
		Reason string    `json:"reason"`
		Until  time.Time `json:"until"`
	}
	if _, err := c.readOptionalBody(&in); err != nil {
		return err
	}
	if err := c.view.DisableEndpoint(c.r.Context(), c.r.PathValue("id"), in.Reason, in.Until); err != nil {
		return err
	}
	return c.done()
}

func (c *call) apiEnableEndpoint() error {
	if err := c.noBody(); err != nil {
		return err
	}
	if err := c.view.EnableEndpoint(c.r.Context(), c.r.PathValue("id")); err != nil {
		return err
	}
	return c.done()
}

// apiTestEndpoint sends a test. It takes no id and no time, because a receiver would take a
// test with the id of a real event for that event.
func (c *call) apiTestEndpoint() error {
	var in struct {
		Type   string          `json:"type"`
		Tenant string          `json:"tenant"`
		Data   json.RawMessage `json:"data"`
	}
	if err := c.readBody(&in); err != nil {
		return err
	}
	ev := hooks.Event{Type: in.Type, Tenant: in.Tenant, Data: in.Data}
	a, err := c.view.SendTest(c.r.Context(), c.r.PathValue("id"), ev)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.redactAttempt(ev.Type, a))
}

func (c *call) apiCheckURL() error {
	var in struct {
		URL string `json:"url"`
	}
	if err := c.readBody(&in); err != nil {
		return err
	}
	var answer struct {
		Allowed bool   `json:"allowed"`
		Problem string `json:"problem,omitempty"`
	}
	if err := c.view.CheckURL(in.URL); err != nil {
		answer.Problem = err.Error()
	} else {
		answer.Allowed = true
	}
	return c.json(http.StatusOK, answer)
}
