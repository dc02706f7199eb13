package admin

import (
	"errors"
	"maps"
	"slices"
	"time"

	"example.com/hooks"
)

// An eventsData is what the page Events shows.
type eventsData struct {
	Filter filter
	Rows   []hooks.Event
	Next   string // address of the page that follows; empty: there is none
	Older  string // the words of the link to it
	Later  bool   // this is not the first page
	// Stopped: the search has stopped before the page was full.
	Stopped bool
	Start   *startData
}

// eventsPage shows the events that the address selects, newest first.
func (c *call) eventsPage() error {
	values := c.values
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	data := eventsData{Filter: readFilter("events", values, "type", "tenant", "since", "key"), Later: q.Cursor != "", Older: "Older events"}
	list, next, err := c.view.Events(c.r.Context(), q)
	if err != nil {
		return err
	}
	data.Rows, data.Next, data.Stopped = list, withCursor("events", values, next), stopped(len(list), q, next)
	if len(list) == 0 && next == "" && len(data.Filter.values) == 0 && !data.Later {
		if data.Start, err = c.start(); err != nil {
			return err
		}
	}
	return c.page(page{Name: "events", Nav: "Events", Title: "Events", Live: true, Data: data})
}

// An eventData is what the page of one event shows.
type eventData struct {
	hooks.Event
	Shown      shownBody
	Copy       string
	Metadata   []field
	Deliveries []deliveryRow
	More       bool // there are more deliveries
	Timeline   timeline
	Missed     []missed // who would not receive it now, and why
	Late       []string // who would receive it now, and has no delivery
	Others     int      // endpoints of other tenants
	NotAsked   string   // why nobody was asked who would receive it
}

// A missed is a subscriber that does not receive an event.
type missed struct{ Subscriber, Because string }

const (
	mostFanOut = 200 // deliveries on the page of an event
	mostMissed = 50  // subscribers on it that do not receive it
)

// eventPage shows one event: what is in it, who received it, who did not, and why.
func (c *call) eventPage() error {
	ctx := c.r.Context()
	ev, err := c.view.Event(ctx, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	data := eventData{Event: ev, Shown: c.show(ev.Type, ev.Data)}
	if ev.Erased.IsZero() {
		data.Copy = copyable(c.shownBytes(ev.Type, ev.Data))
	}
	for _, name := range slices.Sorted(maps.Keys(ev.Metadata)) {
		data.Metadata = append(data.Metadata, field{visible(name), visible(ev.Metadata[name])})
	}
	list, next, err := c.view.Deliveries(ctx, hooks.Query{Event: ev.ID, Limit: mostFanOut})
	if err != nil {
		return err
	}
	data.More = next != ""
	if data.Deliveries, err = c.deliveryRows(list); err != nil {
		return err
	}
	if data.Timeline, err = c.timeline(ev, list, data.More, time.Now()); err != nil {
		return err
	}
	if err := c.explainEvent(&data); err != nil {
		return err
	}
	return c.page(page{Name: "event", Nav: "Events", Title: ev.Type + " " + shortID(ev.ID), Live: true, Data: data})
}

// explainEvent finds out who would not receive the event if it were published now. Who the
// subscribers were when it was published, nobody remembers.
func (c *call) explainEvent(data *eventData) error {
	routes, err := c.view.ExplainEvent(c.r.Context(), data.Event)
	if invalid, ok := errors.AsType[*hooks.InvalidError](err); ok {
		data.NotAsked = visible(invalid.Problem)
		return nil
	}
	if err != nil {
		return err
	}
	has := make(map[string]bool)
	for _, d := range data.Deliveries {
		has[d.Subscriber] = true
	}
	for _, r := range routes {
		switch {
		case has[r.Subscriber]:
		case r.Receives && !data.More:
			data.Late = append(data.Late, r.Subscriber)
		case r.Receives:
		case r.Because == "tenant":
			data.Others++
		default:
			data.Missed = append(data.Missed, missed{r.Subscriber, missedWords[r.Because]})
		}
	}
	return nil
}

// MissedShown returns those who did not receive it, as many as the page shows.
func (d eventData) MissedShown() []missed { return d.Missed[:min(len(d.Missed), mostMissed)] }

// LateShown returns those who came too late, as many as the page shows.
func (d eventData) LateShown() []string { return d.Late[:min(len(d.Late), mostMissed)] }

// NotShown returns how many of both are left out.
func (d eventData) NotShown() int {
	return len(d.Missed) - len(d.MissedShown()) + len(d.Late) - len(d.LateShown())
}

var missedWords = map[string]string{
	"pattern": "none of its patterns matches the type",
	"private": "the type is private, which only handlers receive",
}

// downloadEvent answers with the data of an event.
func (c *call) downloadEvent() error {
	ev, err := c.view.Event(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.download(ev.ID, c.shownBytes(ev.Type, ev.Data))
}
