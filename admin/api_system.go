package admin

import (
	_ "embed"
	"net/http"

	"example.com/hooks"
)

//go:embed openapi.json
var openAPI []byte

func (c *call) apiDocument() error {
	c.w.Header().Set("Content-Type", jsonType)
	c.wrote = true
	_, _ = c.w.Write(openAPI) // the client may be gone; nothing can be done then
	return nil
}

func (c *call) apiBacklog() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	rows, next, err := c.view.Backlog(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Backlog []hooks.Backlog `json:"backlog"`
		Next    string          `json:"next,omitempty"`
	}{rowsOf(rows), next})
}

func (c *call) apiActivity() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	minutes, err := c.view.Activity(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Activity []hooks.Minute `json:"activity"`
	}{rowsOf(minutes)})
}

func (c *call) apiHandlers() error {
	if err := c.noParameters(); err != nil {
		return err
	}
	list, err := c.hooks.Handlers(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Handlers []hooks.HandlerInfo `json:"handlers"`
	}{rowsOf(list)})
}

func (c *call) apiDeleteHandler() error {
	if err := c.noBody(); err != nil {
		return err
	}
	if err := c.hooks.DeleteHandler(c.r.Context(), c.r.PathValue("id")); err != nil {
		return err
	}
	return c.done()
}

// A warningForm is a [hooks.Warning] in JSON.
type warningForm struct {
	Code       hooks.WarningCode `json:"code"`
	Subscriber string            `json:"subscriber,omitempty"`
	Text       string            `json:"text"`
}

func (c *call) apiHealth() error {
	if err := c.noParameters(); err != nil {
		return err
	}
	warnings, err := c.hooks.Health(c.r.Context())
	if err != nil {
		return err
	}
	list := make([]warningForm, len(warnings))
	for i, w := range warnings {
		list[i] = warningForm(w)
	}
	return c.json(http.StatusOK, struct {
		Warnings []warningForm `json:"warnings"`
	}{list})
}
