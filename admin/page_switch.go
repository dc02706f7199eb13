package admin

import (
	"net/url"
	"time"

	"example.com/hooks"
)

// A switchData is what the pages show that ask before an endpoint is disabled or deleted.
type switchData struct {
	form
	hooks.Endpoint
	Health hooks.EndpointHealth
	Spans  []disableSpan
}

// A disableSpan is for how long an endpoint is disabled, as the form offers it.
type disableSpan struct {
	Value, Name string
	span        time.Duration // zero: until somebody enables it
}

var disableSpans = []disableSpan{
	{"1h", "for 1 hour", time.Hour},
	{"24h", "for 24 hours", 24 * time.Hour},
	{"7d", "for 7 days", 7 * 24 * time.Hour},
	{"me", "until I enable it", 0},
}

// HoldText says what becomes of what is held for too long.
func (d switchData) HoldText() string { return holdText(d.Endpoint) }

// Disabled reports that the endpoint is disabled already.
func (d switchData) Disabled() bool { return d.Health.State == hooks.StateDisabled }

// switchData reads what the pages show of the endpoint in the address.
func (c *call) switchData() (d switchData, err error) {
	d.Spans = disableSpans
	if d.Endpoint, err = c.view.Endpoint(c.r.Context(), c.r.PathValue("id")); err != nil {
		return d, err
	}
	d.Health, err = c.view.EndpointHealth(c.r.Context(), d.ID)
	return d, err
}

// disablePage asks for how long, and why.
func (c *call) disablePage() error {
	d, err := c.switchData()
	if err != nil {
		return err
	}
	d.Values = url.Values{"until": {"me"}, "reason": {d.Health.Reason}}
	return c.page(d.page("disable", "Disable "+d.ID+"?"))
}

func (d switchData) page(name, title string) page {
	return page{Name: name, Nav: "Endpoints", Title: title, Data: d}
}

// switchOff disables an endpoint, or changes for how long and why.
func (c *call) switchOff() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	id, until, known := c.r.PathValue("id"), time.Time{}, false
	for _, s := range disableSpans {
		if s.Value != values.Get("until") {
			continue
		}
		if known = true; s.span > 0 {
			until = time.Now().Add(s.span)
		}
	}
	err = badRequest("EndpointHealth.Until", "Choose one of these.")
	if known {
		err = c.view.DisableEndpoint(c.r.Context(), id, values.Get("reason"), until)
	}
	if err == nil {
		return c.redirect("endpoints/" + id + "?did=disabled")
	}
	d, readErr := c.switchData()
	if readErr != nil {
		return readErr
	}
	d.Values = values
	status := c.refuseError(&d.form, err, "EndpointHealth.", "reason", "until")
	return c.answer(status, d.page("disable", "Disable "+d.ID+"?"), err)
}

func (c *call) switchOn() error {
	id := c.r.PathValue("id")
	if err := c.view.EnableEndpoint(c.r.Context(), id); err != nil {
		return err
	}
	return c.redirect("endpoints/" + id + "?did=enabled")
}

// deleteEndpointPage says what is lost, and asks.
func (c *call) deleteEndpointPage() error {
	d, err := c.switchData()
	if err != nil {
		return err
	}
	return c.page(d.page("delete", "Delete "+d.ID+"?"))
}

func (c *call) removeEndpoint() error {
	if err := c.view.DeleteEndpoint(c.r.Context(), c.r.PathValue("id")); err != nil {
		return err
	}
	return c.redirect("endpoints?did=deleted")
}
