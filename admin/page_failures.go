package admin

import (
	"errors"
	"net/http"
	"time"

	"example.com/hooks"
)

// A failuresData is what the page Failures shows.
type failuresData struct {
	Filter filter
	Rows   []groupRow
	Unread int         // groups that are not shown
	Total  hooks.Count // deliveries that failed, as far as they were looked at
	All    string      // the address of their list
	Replay string      // the address of the page that asks before all are replayed
}

// A groupRow is a group, with where its links lead.
type groupRow struct {
	*failureGroup
	List, Replay string // Replay is empty if there is nobody to send to any more
}

var failureFields = []string{"type", "subscriber", "tenant", "error", "since"}

// readFailures reads the groups that the address selects.
func (c *call) readFailures() (q hooks.Query, all failureGroups, err error) {
	for _, name := range []string{"status", "cursor", "limit", "order"} {
		if c.values.Has(name) {
			return q, all, badRequest(name, "Groups are those of the newest deliveries that failed, on one page; "+
				"Deliveries has each of them.")
		}
	}
	if q, err = parseQuery(c.values); err != nil {
		return q, all, err
	}
	if all, err = c.failureGroups(q); err != nil {
		return q, all, err
	}
	return q, all, c.readMessages(all.Groups[:min(len(all.Groups), mostGroups)])
}

// failuresPage shows what failed for good, in groups.
func (c *call) failuresPage() error {
	_, all, err := c.readFailures()
	if err != nil {
		return err
	}
	handlers, err := c.handlerNames()
	if err != nil {
		return err
	}
	data := failuresData{Filter: readFilter("failures", c.values, failureFields...), Total: hooks.Count{N: all.Looked, More: all.More}}
	shown := all.Groups[:min(len(all.Groups), mostGroups)]
	data.Unread = len(all.Groups) - len(shown)
	for _, g := range shown {
		g.Handler = handlers[g.Subscriber]
		row := groupRow{failureGroup: g}
		values := g.within(data.Filter)
		row.List = address("deliveries", values)
		_, err := c.view.Endpoint(c.r.Context(), g.Subscriber)
		switch {
		case err == nil || g.Handler:
			values.Set("kind", string(hooks.ActionReplay))
			row.Replay = address("actions/new", values)
		case !errors.Is(err, hooks.ErrNotFound):
			return err
		}
		data.Rows = append(data.Rows, row)
	}
	values := data.Filter.failed()
	data.All = address("deliveries", values)
	values.Set("kind", string(hooks.ActionReplay))
	data.Replay = address("actions/new", values)
	return c.page(page{Name: "failures", Nav: "Failures", Title: "Failures", Live: true, Data: data})
}

// A groupForm is a group in JSON.
type groupForm struct {
	Subscriber string       `json:"subscriber"`
	Tenant     string       `json:"tenant,omitempty"`
	Reason     hooks.Reason `json:"reason"`
	Error      string       `json:"error"`
	Code       int          `json:"code"`
	Deliveries int          `json:"deliveries"`
	First      time.Time    `json:"first"`
	Last       time.Time    `json:"last"`
	Messages   []string     `json:"messages"`
	Query      hooks.Query  `json:"query"`
}

// apiFailures lists the groups.
func (c *call) apiFailures() error {
	q, all, err := c.readFailures()
	if err != nil {
		return err
	}
	list := []groupForm{}
	for _, g := range all.Groups[:min(len(all.Groups), mostGroups)] {
		list = append(list, groupForm{
			g.Subscriber, g.Tenant, g.Reason, g.Error, g.Code, g.N, g.First, g.Last, rowsOf(g.Messages), g.query(q),
		})
	}
	return c.json(http.StatusOK, struct {
		Groups []groupForm `json:"groups"`
		Looked int         `json:"looked"`
		More   bool        `json:"more"`
	}{list, all.Looked, all.More || len(list) < len(all.Groups)})
}
