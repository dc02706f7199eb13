package admin

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"example.com/hooks"
)

// An endpointsData is what the page of endpoints shows.
type endpointsData struct {
	Tenant string // the filter
	States []hooks.EndpointState
	Rows   []endpointRow
	Urgent bool // those that need attention stand first
	More   bool // there are more of these than stand first
	Next   string
	Older  string
}

// Filtered reports whether the page shows only some endpoints.
func (d endpointsData) Filtered() bool { return d.Tenant != "" || len(d.States) > 0 }

// A stateChoice is a state that the filter offers.
type stateChoice struct {
	Value, Name string
	Chosen      bool
}

// Choices returns what the filter offers. The address may name
// several states, of which the form shows none.
func (d endpointsData) Choices() []stateChoice {
	list := []stateChoice{{"", "any", len(d.States) == 0}}
	for _, s := range []hooks.EndpointState{hooks.StateWorking, hooks.StateFailing, hooks.StateNoKey, hooks.StateUnverified, hooks.StateDisabled} {
		list = append(list, stateChoice{string(s), strings.ReplaceAll(string(s), "_", " "), slices.Equal(d.States, []hooks.EndpointState{s})})
	}
	return list
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

// needAttention are the states of endpoints that somebody should look at.
var needAttention = []hooks.EndpointState{hooks.StateFailing, hooks.StateNoKey, hooks.StateDisabled}

// endpointsPage shows the endpoints in the order of their ids, after those that need
// attention.
func (c *call) endpointsPage() error {
	values := maps.Clone(c.values)
	q, err := parseQuery(values, "did")
	if err != nil {
		return err
	}
	data := endpointsData{Tenant: q.Tenant, States: q.States, Older: "More endpoints"}
	first, more, err := c.firstRows(q)
	if err != nil {
		return err
	}
	rows, next, err := c.endpointRows(q)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r endpointRow) bool {
		return slices.ContainsFunc(first, func(f endpointRow) bool { return f.ID == r.ID })
	})
	if q.Cursor == "" {
		data.Urgent, data.More = len(first) > 0, more
		rows = slices.Concat(first, rows)
	}
	data.Rows = rows
	values.Del("did")
	data.Next = withCursor("endpoints", values, next)
	return c.page(page{Name: "endpoints", Nav: "Endpoints", Title: "Endpoints", Live: true, Notice: c.notice(), Data: data})
}

// firstRows returns the endpoints that stand first on the first page, and not again on a later
// one, because they need attention. A filter by state needs none. more reports that there are
// more than can stand there.
func (c *call) firstRows(q hooks.Query) (rows []endpointRow, more bool, err error) {
	if len(q.States) > 0 {
		return nil, false, nil
	}
	rows, next, err := c.endpointRows(hooks.Query{Tenant: q.Tenant, States: needAttention, Limit: mostAttention})
	slices.SortStableFunc(rows, byUrgency)
	return rows, next != "", err
}

// endpointRows returns the endpoints that q selects. One that changed its state between the
// two calls is left out.
func (c *call) endpointRows(q hooks.Query) (rows []endpointRow, next string, err error) {
	list, next, err := c.view.Endpoints(c.r.Context(), q)
	if err != nil || len(list) == 0 {
		return nil, next, err
	}
	healths, _, err := c.view.EndpointHealths(c.r.Context(), q)
	if err != nil {
		return nil, "", err
	}
	known := make(map[string]hooks.EndpointHealth, len(healths))
	for _, is := range healths {
		known[is.Endpoint] = is
	}
	for _, e := range list {
		if is, ok := known[e.ID]; ok {
			rows = append(rows, endpointRow{e, is})
		}
	}
	return rows, next, nil
}
