package admin

import (
	"maps"
	"net/url"
	"time"

	"example.com/hooks"
)

// A deliveriesData is what the page of deliveries shows.
type deliveriesData struct {
	Filter  filter
	Rows    []hooks.Delivery
	Next    string // address of the page that follows; empty: there is none
	Older   string // the words of the link to it
	Classes []string
}

// A filter is what the address of a list says, as its form shows it.
type filter struct {
	Path                                      string
	Type, Subscriber, Tenant, Error, Since, Q string
	Status                                    string
	Sinces                                    []since
}

// statusTabs are the statuses in the order of the tabs above the list.
var statusTabs = []string{"pending", "retrying", "sending", "succeeded", "failed", "canceled"}

// Tabs returns the statuses.
func (filter) Tabs() []string { return statusTabs }

// With returns the address of the same list with another status; empty: any.
func (f filter) With(status string) string {
	values := make(url.Values)
	for _, p := range []struct{ name, value string }{
		{"status", status}, {"type", f.Type}, {"subscriber", f.Subscriber}, {"tenant", f.Tenant}, {"error", f.Error}, {"since", f.Since},
	} {
		if p.value != "" {
			values.Set(p.name, p.value)
		}
	}
	if len(values) == 0 {
		return f.Path
	}
	return f.Path + "?" + values.Encode()
}

// readFilter returns the filter that an address says.
func readFilter(path string, values url.Values) filter {
	return filter{
		Path: path, Type: values.Get("type"), Subscriber: values.Get("subscriber"), Tenant: values.Get("tenant"),
		Error: values.Get("error"), Since: values.Get("since"), Status: values.Get("status"), Sinces: sinces,
	}
}

// IsSet reports whether the filter leaves out anything, the status aside.
func (f filter) IsSet() bool {
	return f.Type+f.Subscriber+f.Tenant+f.Error+f.Since != ""
}

// deliveriesPage shows the deliveries that the address selects, newest first.
func (c *call) deliveriesPage() error {
	values := c.r.URL.Query()
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	data := deliveriesData{Filter: readFilter("deliveries", values), Older: "Older deliveries"}
	rows, next, err := c.view.Deliveries(c.r.Context(), q)
	if err != nil {
		return err
	}
	data.Rows, data.Next = rows, withCursor("deliveries", values, next)
	return c.page(page{Name: "deliveries", Nav: "Deliveries", Title: "Deliveries", Live: true, Data: data})
}

// withCursor returns the address of the page that follows, or nothing if there is none.
func withCursor(path string, values url.Values, next string) string {
	if next == "" {
		return ""
	}
	more := make(url.Values)
	maps.Copy(more, values)
	more.Set("cursor", next)
	return path + "?" + more.Encode()
}

func (c *call) overviewPage() error {
	return c.page(page{Name: "overview", Nav: "Overview", Title: "Overview", Live: true, Data: time.Now()})
}

func (c *call) listDeliveries() error {
	q, err := parseQuery(c.r.URL.Query())
	if err != nil {
		return err
	}
	page, next, err := c.view.Deliveries(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(200, struct {
		Deliveries []hooks.Delivery `json:"deliveries"`
		Next       string           `json:"next,omitempty"`
	}{page, next})
}
