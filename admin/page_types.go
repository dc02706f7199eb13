package admin

import "example.com/hooks"

// A typesData is what the page of event types shows.
type typesData struct {
	Rows []typeRow
	None bool // the application has registered none; the rows are the library's own
	Cut  bool // there are more endpoints than were looked at
}

// A typeRow is an event type with who listens to it.
type typeRow struct {
	hooks.TypeInfo
	ExampleText string
	Listeners   []listener
}

// A listener is a subscriber that receives a type.
type listener struct {
	ID, Tenant string
	Handler    bool
}

// mostListened bounds how many endpoints the page looks at.
const mostListened = 100

// typesPage shows the event types, and who listens to them.
func (c *call) typesPage() error {
	ctx := c.r.Context()
	endpoints, next, err := c.view.Endpoints(ctx, hooks.Query{Limit: mostListened})
	if err != nil {
		return err
	}
	var handlers []hooks.HandlerInfo
	if c.access.AllTenants {
		if handlers, err = c.hooks.Handlers(ctx); err != nil {
			return err
		}
	}
	data := typesData{Cut: next != ""}
	for _, t := range ownLast(c.view.Types()) {
		row := typeRow{TypeInfo: t}
		if t.Example != nil {
			row.ExampleText = c.show(t.Name, t.Example).Text
		}
		for _, h := range handlers {
			if receives(h.Events, t.Name) {
				row.Listeners = append(row.Listeners, listener{ID: h.Name, Handler: true})
			}
		}
		for _, e := range endpoints {
			if !t.Private && receives(e.Events, t.Name) {
				row.Listeners = append(row.Listeners, listener{ID: e.ID, Tenant: e.Tenant})
			}
		}
		data.Rows = append(data.Rows, row)
	}
	data.None = len(data.Rows) == 0 || isOwn(data.Rows[0].Name)
	return c.page(page{Name: "types", Nav: "Event types", Title: "Event types", Data: data})
}

// First returns the listeners that are shown.
func (r typeRow) First() []listener { return r.Listeners[:min(len(r.Listeners), 8)] }

// More returns how many are not.
func (r typeRow) More() int { return len(r.Listeners) - len(r.First()) }
