package admin

import (
	"net/http"

	"example.com/hooks"
)

func (c *call) apiEvents() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	rows, next, err := c.view.Events(c.r.Context(), q)
	if err != nil {
		return err
	}
	if n := fitting(rows); n < len(rows) { // only the store knows the cursor of a shorter page
		q.Limit = n
		if rows, next, err = c.view.Events(c.r.Context(), q); err != nil {
			return err
		}
	}
	shown := make([]hooks.Event, len(rows))
	for i, ev := range rows {
		shown[i] = c.redactEvent(ev)
	}
	return c.json(http.StatusOK, struct {
		Events []hooks.Event `json:"events"`
		Next   string        `json:"next,omitempty"`
	}{shown, next})
}

// fitting returns how many of the first events a page has: their data is at most 1 MiB in
// all, but there is one at least.
func fitting(rows []hooks.Event) int {
	const most = 1 << 20
	size := 0
	for i, ev := range rows {
		if size += len(ev.Data); size > most {
			return max(i, 1)
		}
	}
	return len(rows)
}

func (c *call) apiEvent() error {
	ev, err := c.view.Event(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.redactEvent(ev))
}

func (c *call) apiPublishEvent() error {
	var ev hooks.Event
	if err := c.readBody(&ev); err != nil {
		return err
	}
	c.audit.Target = ev.ID
	receipt, err := c.view.Publish(c.r.Context(), ev)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if receipt.Duplicate {
		status = http.StatusOK
	}
	if receipt.EventID != "" { // a tenant is not told which event of another one it repeats
		c.audit.Target = receipt.EventID
		c.w.Header().Set("Location", "events/"+receipt.EventID)
	}
	return c.json(status, receipt)
}

func (c *call) apiExplainEvent() error {
	var ev hooks.Event
	if err := c.readBody(&ev); err != nil {
		return err
	}
	list, err := c.view.ExplainEvent(c.r.Context(), ev)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Routes []hooks.Route `json:"routes"`
	}{rowsOf(list)})
}

func (c *call) apiTypes() error {
	if err := c.noParameters(); err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Types []hooks.TypeInfo `json:"types"`
	}{rowsOf(c.view.Types())})
}
