package admin

import (
	"errors"
	"strings"

	"example.com/hooks"
)

// A searchData is what the page of a search that found nothing shows.
type searchData struct {
	Q, Tenant string
	Looked    []string // what was looked for
}

// searchPage leads to what an id or a key names, or says what was looked for.
func (c *call) searchPage() error {
	values := c.values
	data := searchData{Q: strings.TrimSpace(values.Get("q")), Tenant: strings.TrimSpace(values.Get("tenant"))}
	if data.Q != "" {
		to, err := c.find(&data)
		if err != nil {
			return err
		}
		if to != "" {
			return c.redirect(to)
		}
	}
	return c.page(page{Name: "search", Title: "Search", Data: data})
}

// find returns the address of what somebody looks for, or nothing.
func (c *call) find(data *searchData) (to string, err error) {
	ctx := c.r.Context()
	if id, err := hooks.ParseDeliveryID(data.Q); err == nil {
		data.Looked = append(data.Looked, "a delivery with this id")
		if _, err = c.view.Delivery(ctx, id); !errors.Is(err, hooks.ErrNotFound) {
			return "deliveries/" + id.String(), err
		}
	}
	data.Looked = append(data.Looked, "an event with this id")
	ev, err := c.view.Event(ctx, data.Q)
	if err == nil {
		return c.eventAddress(ev.ID)
	}
	if !errors.Is(err, hooks.ErrNotFound) {
		return "", err
	}
	looked := "an event with this idempotency key"
	switch {
	case c.access.AllTenants && data.Tenant != "":
		looked += " of the tenant " + visible(data.Tenant)
	case c.access.AllTenants:
		looked += " and no tenant"
	}
	data.Looked = append(data.Looked, looked)
	list, _, err := c.view.Events(ctx, hooks.Query{Key: data.Q, Tenant: data.Tenant, Limit: 1})
	if err != nil || len(list) == 0 {
		return "", err
	}
	return c.eventAddress(list[0].ID)
}

// eventAddress returns the address of an event's page; or of its delivery's, if there is
// exactly one.
func (c *call) eventAddress(id string) (string, error) {
	list, next, err := c.view.Deliveries(c.r.Context(), hooks.Query{Event: id, Limit: 2})
	if err != nil {
		return "", err
	}
	if len(list) == 1 && next == "" {
		return "deliveries/" + list[0].DeliveryID.String(), nil
	}
	return "events/" + id, nil
}
