package admin

import (
	"net/http"
	"time"

	"example.com/hooks"
)

// An actionInput is a bulk action as somebody writes it. Who starts it is known already.
type actionInput struct {
	ID    string           `json:"id"`
	Kind  hooks.ActionKind `json:"kind"`
	Query hooks.Query      `json:"query"`
	Rate  struct {
		N   int    `json:"n"`
		Per millis `json:"per_ms"`
	} `json:"rate"`
}

// readAction reads an action that is to be started or counted, and tells the audit of it.
func (c *call) readAction() (hooks.Action, error) {
	var in actionInput
	if err := c.readBody(&in); err != nil {
		return hooks.Action{}, err
	}
	c.audit.Target, c.audit.Query = in.ID, &in.Query
	return hooks.Action{
		ID: in.ID, Kind: in.Kind, Query: in.Query, By: c.access.User,
		Rate: hooks.Rate{N: in.Rate.N, Per: time.Duration(in.Rate.Per)},
	}, nil
}

func (c *call) apiStartAction() error {
	a, err := c.readAction()
	if err != nil {
		return err
	}
	if a, err = c.view.StartAction(c.r.Context(), a); err != nil {
		return err
	}
	c.audit.Target, c.audit.Count = a.ID, a.Total.N
	c.w.Header().Set("Location", "actions/"+a.ID)
	return c.json(http.StatusCreated, a)
}

// apiCountAction says how many rows an action would change. It starts nothing, so that it
// has a route of its own, and the audit is not told.
func (c *call) apiCountAction() error {
	a, err := c.readAction()
	if err != nil {
		return err
	}
	a.DryRun = true
	if a, err = c.view.StartAction(c.r.Context(), a); err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Total hooks.Count `json:"total"`
	}{a.Total})
}

func (c *call) apiActions() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	rows, next, err := c.view.Actions(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Actions []hooks.Action `json:"actions"`
		Next    string         `json:"next,omitempty"`
	}{rowsOf(rows), next})
}

func (c *call) apiAction() error {
	a, err := c.view.Action(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, a)
}

func (c *call) apiStopAction() error {
	if err := c.noBody(); err != nil {
		return err
	}
	a, err := c.view.StopAction(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, a)
}
