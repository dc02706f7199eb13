package admin

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"example.com/hooks"
)

// A deliveriesData is what the page Deliveries shows.
type deliveriesData struct {
	Filter  filter
	Rows    []deliveryRow
	Counts  map[string]string // by status; what is dear to count is left out
	Next    string            // address of the page that follows; empty: there is none
	Older   string            // the words of the link to it
	Stopped bool              // the search has stopped before the page was full
	Later   bool              // this is not the first page
	Start   *startData        // how to begin, if nothing was published yet
}

// Tabs returns the statuses in the order of the tabs above the list.
func (deliveriesData) Tabs() []string {
	return []string{"pending", "retrying", "sending", "succeeded", "failed", "canceled"}
}

// MayCancel reports whether the list may have deliveries that are not final.
func (d deliveriesData) MayCancel() bool {
	var s hooks.Status
	err := s.UnmarshalText([]byte(d.Filter.Get("status")))
	return err != nil || !s.Final()
}

var deliveryFields = []string{"type", "subscriber", "tenant", "error", "since", "event"}

// deliveriesPage shows the deliveries that the address selects, newest first.
func (c *call) deliveriesPage() error {
	data := deliveriesData{Filter: readFilter("deliveries", c.values, deliveryFields...)}
	q, err := parseQuery(c.values, "did")
	if err != nil {
		return err
	}
	list, next, err := c.view.Deliveries(c.r.Context(), q)
	if err != nil {
		return err
	}
	if data.Rows, err = c.deliveryRows(list); err != nil {
		return err
	}
	data.Later, data.Next, data.Older = q.Cursor != "", withCursor(data.Filter.Path, c.values, next), "Older deliveries"
	data.Stopped = stopped(len(list), q, next)
	if data.Counts, err = c.counts(data.Filter, q); err != nil {
		return err
	}
	if len(list) == 0 && next == "" && len(data.Filter.values) == 0 && !data.Later {
		if data.Start, err = c.start(); err != nil {
			return err
		}
	}
	return c.page(page{Name: "deliveries", Nav: "Deliveries", Title: "Deliveries", Live: true, Notice: c.deedNotice(), Data: data})
}

// stopped reports whether a search has stopped before its page was full: a store looks only
// through so many rows for one page.
func stopped(found int, q hooks.Query, next string) bool {
	return next != "" && found < q.PageSize(mostRows)
}

// counts returns how many deliveries of one subscriber have each status that is not final.
// For others there are no counts, because they would be dear.
func (c *call) counts(f filter, q hooks.Query) (map[string]string, error) {
	for name := range f.values {
		if name != "status" && name != "subscriber" && name != "tenant" && name != "order" {
			return nil, nil
		}
	}
	if q.Subscriber == "" {
		return nil, nil
	}
	list, _, err := c.view.Backlog(c.r.Context(), hooks.Query{Subscriber: q.Subscriber, Tenant: q.Tenant})
	if err != nil {
		return nil, err
	}
	var b hooks.Backlog // zeros, if nothing waits
	if len(list) > 0 {
		b = list[0]
	}
	return map[string]string{"pending": b.Pending.String(), "retrying": b.Retrying.String(), "sending": b.Sending.String()}, nil
}

// plus adds two counts. If one of them is not exact, neither is the sum.
func plus(a, b hooks.Count) hooks.Count { return hooks.Count{N: a.N + b.N, More: a.More || b.More} }

// replaySelected and cancelSelected do something to each delivery that was ticked.
func (c *call) replaySelected() error {
	return c.doSelected("replay", func(id hooks.DeliveryID) error { return c.replay(id, false) })
}

func (c *call) cancelSelected() error {
	return c.doSelected("cancel", func(id hooks.DeliveryID) error {
		_, err := c.view.Cancel(c.r.Context(), id)
		return err
	})
}

// doSelected answers the form of a list, in which rows are ticked, and leads back to it.
func (c *call) doSelected(verb string, do func(hooks.DeliveryID) error) error {
	if _, large := errors.AsType[*http.MaxBytesError](c.r.ParseForm()); large || c.r.PostForm == nil {
		return badRequest("", "The form cannot be read, or has more than %d bytes.", mostBody)
	}
	back, err := c.listAddress()
	if err != nil {
		return err
	}
	texts := c.r.PostForm["id"]
	if len(texts) > mostRows {
		return badRequest("id", "%d deliveries; at most %d at once. Replay all that match a filter instead.", len(texts), mostRows)
	}
	ids := make([]hooks.DeliveryID, len(texts))
	for i, text := range texts {
		if ids[i], err = hooks.ParseDeliveryID(text); err != nil {
			return err
		}
	}
	d := deed{verb: verb}
	back.values.Set("did", d.String())
	if len(ids) == 0 {
		return cmp.Or(c.redirect(back.Address()), error(badRequest("id", "No delivery was ticked.")))
	}
	c.toldAudit = true // of each delivery by itself
	for _, id := range ids {
		if err := c.r.Context().Err(); err != nil {
			return err
		}
		err := do(id)
		d.add(err)
		c.tell(AuditEntry{Target: id.String()}, err)
	}
	back.values.Set("did", d.String())
	return c.redirect(back.Address())
}

// listAddress returns the list that a form with rows was on, as the form says. Only a list
// of deliveries is possible, so that nobody is led elsewhere.
func (c *call) listAddress() (filter, error) {
	values, err := url.ParseQuery(c.r.PostForm.Get("filter"))
	if err != nil {
		return filter{}, badRequest("filter", "It is no query of an address.")
	}
	if _, err := parseQuery(values); err != nil {
		return filter{}, err
	}
	return filter{Path: "deliveries", values: values}, nil
}
