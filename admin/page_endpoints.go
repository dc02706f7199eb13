package admin

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"example.com/hooks"
)

// An endpointsData is what the page of endpoints shows.
type endpointsData struct {
	Tenant string // the filter
	Rows   []endpointRow
	Urgent bool // those that need attention stand first
	Left   int  // how many more need attention
	Next   string
	Older  string
}

// An endpointRow is an endpoint with how it stands.
type endpointRow struct {
	hooks.Endpoint
	Health hooks.EndpointHealth
}

// byUrgency compares rows by their states: those that need nobody come last.
func byUrgency(a, b endpointRow) int {
	rank := func(r endpointRow) int {
		if r.Health.State == hooks.StateWorking {
			return len(urgency)
		}
		return urgency[r.Health.State]
	}
	return cmp.Compare(rank(a), rank(b))
}

// mostAttention bounds the rows that stand above the list because of their state.
const mostAttention = 20

// endpointsPage shows the endpoints in the order of their ids, after those that need
// attention: all of these for the operator, and those of the page for a tenant, which has few.
func (c *call) endpointsPage() error {
	values := maps.Clone(c.values)
	q, err := parseQuery(values, "did")
	if err != nil {
		return err
	}
	data := endpointsData{Tenant: q.Tenant, Older: "More endpoints"}
	var first, found []hooks.Endpoint
	if c.access.AllTenants {
		if first, data.Left, err = c.attention(q.Tenant); err != nil {
			return err
		}
	}
	found, next, err := c.view.Endpoints(c.r.Context(), q)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(e hooks.Endpoint) bool {
		return slices.ContainsFunc(first, func(f hooks.Endpoint) bool { return f.ID == e.ID })
	})
	if q.Cursor == "" {
		found = slices.Concat(first, found)
	}
	if data.Rows, err = c.endpointRows(found); err != nil {
		return err
	}
	if q.Cursor == "" || !c.access.AllTenants {
		slices.SortStableFunc(data.Rows, byUrgency)
		data.Urgent = len(data.Rows) > 0 && data.Rows[0].Health.State != hooks.StateWorking
	}
	values.Del("did")
	data.Next = withCursor("endpoints", values, next)
	return c.page(page{Name: "endpoints", Nav: "Endpoints", Title: "Endpoints", Live: true, Notice: c.notice(), Data: data})
}

// endpointRows returns the rows of endpoints. One that was deleted meanwhile has none.
func (c *call) endpointRows(list []hooks.Endpoint) (rows []endpointRow, err error) {
	for _, e := range list {
		health, err := c.view.EndpointHealth(c.r.Context(), e.ID)
		switch {
		case err == nil:
			rows = append(rows, endpointRow{e, health})
		case !errors.Is(err, hooks.ErrNotFound):
			return nil, err
		}
	}
	return rows, nil
}

// attention returns the endpoints that the operator is warned of, the most urgent first,
// and how many more there are.
func (c *call) attention(tenant string) (list []hooks.Endpoint, left int, err error) {
	warnings, err := c.hooks.Health(c.r.Context())
	if err != nil {
		return nil, 0, err
	}
	for _, id := range warned(warnings) {
		e, err := c.view.Endpoint(c.r.Context(), id)
		switch {
		case errors.Is(err, hooks.ErrNotFound): // a handler, or deleted meanwhile
		case err != nil:
			return nil, 0, err
		case tenant != "" && e.Tenant != tenant:
		case len(list) == mostAttention:
			left++
		default:
			list = append(list, e)
		}
	}
	return list, left, nil
}

// urgent are the warnings that are about the state of one subscriber, the most urgent first.
var urgent = []hooks.WarningCode{hooks.WarnFailing, hooks.WarnUndecryptable, hooks.WarnDisabled}

// warned returns the ids of the subscribers that urgent warnings are about.
func warned(warnings []hooks.Warning) (ids []string) {
	for _, code := range urgent {
		for _, w := range warnings {
			if w.Code == code && w.Subscriber != "" && !slices.Contains(ids, w.Subscriber) {
				ids = append(ids, w.Subscriber)
			}
		}
	}
	return ids
}
