package admin

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"example.com/hooks"
)

// A systemData is what the page System shows.
type systemData struct {
	Warnings []hooks.Warning
	Ends     map[string]bool // the ids of endpoints, which have pages of their own
	Handlers []hooks.HandlerInfo
	Backlog  []hooks.Backlog // the oldest first
	Left     bool            // there are more than these
	Day      tally           // the attempts of 24 h
}

// mostBacklog bounds how many subscribers the page counts the backlog of.
const mostBacklog = 50

// systemPage shows what the operator should know of all.
func (c *call) systemPage() (err error) {
	ctx := c.r.Context()
	d := systemData{Ends: make(map[string]bool)}
	if d.Warnings, err = c.hooks.Health(ctx); err != nil {
		return err
	}
	if d.Handlers, err = c.hooks.Handlers(ctx); err != nil {
		return err
	}
	backlog, next, err := c.hooks.Backlog(ctx, hooks.Query{Limit: mostBacklog})
	if err != nil {
		return err
	}
	slices.SortStableFunc(backlog, func(a, b hooks.Backlog) int { return a.Oldest.Compare(b.Oldest) })
	d.Backlog, d.Left = backlog, next != ""
	minutes, err := c.hooks.Activity(ctx, hooks.Query{From: time.Now().Add(-24 * time.Hour)})
	if err != nil {
		return err
	}
	d.Day = tallySince(minutes, time.Time{})
	if err := c.findEndpoints(d); err != nil {
		return err
	}
	return c.page(page{Name: "system", Nav: "System", Title: "System", Live: true, Notice: c.notice(), Data: d})
}

// findEndpoints notes which of the subscribers are endpoints.
func (c *call) findEndpoints(d systemData) error {
	var ids []string
	for _, w := range d.Warnings {
		ids = append(ids, w.Subscriber)
	}
	for _, b := range d.Backlog {
		ids = append(ids, b.Subscriber)
	}
	for _, id := range ids {
		if _, seen := d.Ends[id]; seen || id == "" {
			continue
		}
		_, err := c.hooks.Endpoint(c.r.Context(), id)
		if err != nil && !errors.Is(err, hooks.ErrNotFound) {
			return err
		}
		d.Ends[id] = err == nil
	}
	return nil
}

// Sign returns the sign and the colour of a warning.
func (systemData) Sign(w hooks.Warning) string {
	switch w.Code {
	case hooks.WarnFailing, hooks.WarnUndecryptable, hooks.WarnNoHandler:
		return "failing"
	case hooks.WarnDisabled:
		return "disabled"
	}
	return "paused"
}

// handlerPage asks before the record of a handler is deleted.
func (c *call) handlerPage() error {
	h, err := c.handlerInfo()
	if err != nil {
		return err
	}
	backlog, _, err := c.hooks.Backlog(c.r.Context(), hooks.Query{Subscriber: h.Name})
	if err != nil {
		return err
	}
	data := struct {
		hooks.HandlerInfo
		Backlog []hooks.Backlog
	}{h, backlog}
	return c.page(page{Name: "handler_delete", Nav: "System", Title: "Delete the handler " + h.Name + "?", Data: data})
}

// handlerInfo returns the handler in the address.
func (c *call) handlerInfo() (h hooks.HandlerInfo, err error) {
	list, err := c.hooks.Handlers(c.r.Context())
	if err != nil {
		return h, err
	}
	i := slices.IndexFunc(list, func(h hooks.HandlerInfo) bool { return h.Name == c.r.PathValue("id") })
	switch {
	case i < 0:
		return h, hooks.ErrNotFound
	case list[i].Local:
		return h, &problem{Status: http.StatusConflict, Detail: "This process has the handler, so that it cannot be deleted."}
	}
	return list[i], nil
}

func (c *call) removeHandler() error {
	if err := c.hooks.DeleteHandler(c.r.Context(), c.r.PathValue("id")); err != nil {
		return err
	}
	return c.redirect("system?did=handler")
}
