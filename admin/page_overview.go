package admin

import (
	"cmp"
	"time"

	"example.com/hooks"
)

// An overviewData is what the page Overview shows.
type overviewData struct {
	First    *attention  // who needs somebody most; nil: nobody does
	Others   []attention // a few more
	Unshown  int         // how many more there are than these
	Notes    int         // warnings that the page System shows
	Total    hooks.Count // endpoints and handlers
	Numbers  numbers
	Rows     []overviewRow
	Start    *startData // how to begin, if there is nobody to deliver to
	Counting bool       // attempts were counted in the last 24 h
	Activity activity
}

// An overviewRow is one endpoint or handler.
type overviewRow struct {
	Subscriber string
	Tenant     string
	Handler    bool
	State      hooks.EndpointState
	Note       string // such as "503 Service Unavailable since 12:57"
	Day        tally
	Spark      chart // the same 24 hours
	Waiting    string
}

// Numbers are those of the application as a whole.
type numbers struct {
	Hour, Day tally
	Retrying  hooks.Count
	Oldest    time.Duration // for how long the oldest delivery that is not held has been due; 0: nothing is due
}

const (
	mostOthers       = 5    // subscribers that need attention, after the first one, in words
	mostOverviewRows = 10   // in the table, unless more need attention
	mostUrgentRows   = 20   // in the table, if they need attention
	mostToCount      = 1000 // endpoints
)

// overviewPage says first who needs attention.
func (c *call) overviewPage() error {
	now := time.Now()
	urgent, notes, err := c.attentions(now)
	if err != nil {
		return err
	}
	data := overviewData{Notes: notes}
	if len(urgent) > 0 {
		data.First = &urgent[0]
		data.Others = urgent[1:min(len(urgent), 1+mostOthers)]
		data.Unshown = len(urgent) - 1 - len(data.Others)
	}
	b, err := c.backlog()
	if err != nil {
		return err
	}
	if err := c.overviewRows(&data, urgent, now); err != nil {
		return err
	}
	if err := c.fillRows(&data, b, now); err != nil {
		return err
	}
	if err := c.overviewNumbers(&data, urgent, b, now); err != nil {
		return err
	}
	if data.Total.N == 0 {
		if data.Start, err = c.start(); err != nil {
			return err
		}
	}
	return c.page(page{Name: "overview", Nav: "Overview", Title: "Overview", Live: true, Data: data})
}

// A backlog is how much waits for whom.
type backlog struct {
	lanes map[string]hooks.Backlog // by subscriber
	last  string                   // the last subscriber that was counted; empty: all of them were
}

// countFor is about how long a page may count what waits. Counting is dear when much waits
// for many subscribers.
const countFor = 20 * time.Millisecond

// backlog counts what waits, subscriber by subscriber, for as long as the page may.
func (c *call) backlog() (b backlog, err error) {
	b.lanes = make(map[string]hooks.Backlog)
	began := time.Now()
	for limit := 4; ; limit *= 2 {
		list, next, err := c.view.Backlog(c.r.Context(), hooks.Query{Limit: limit, Cursor: b.last})
		if err != nil {
			return b, err
		}
		for _, lane := range list {
			b.lanes[lane.Subscriber] = lane
		}
		if b.last = next; next == "" || time.Since(began) > countFor {
			return b, nil
		}
	}
}

// waiting writes how many deliveries wait for a subscriber; nothing if they were not counted.
func (b backlog) waiting(subscriber string) string {
	if b.last != "" && subscriber > b.last {
		return ""
	}
	lane := b.lanes[subscriber]
	return plus(lane.Pending, lane.Retrying).String()
}

// overviewRows chooses the rows of the table, and counts endpoints and handlers.
func (c *call) overviewRows(data *overviewData, urgent []attention, now time.Time) error {
	chosen := make(map[string]bool)
	for _, a := range urgent[:min(len(urgent), mostUrgentRows)] {
		chosen[a.Subscriber] = true
		row := overviewRow{Subscriber: a.Subscriber, Tenant: a.Tenant, Handler: !a.Endpoint, State: a.State, Note: a.Cause, Waiting: a.Waiting}
		if !a.Since.IsZero() {
			row.Note += " since " + stamp(a.Since, now)
		}
		data.Rows = append(data.Rows, row)
	}
	add := func(row overviewRow) {
		if len(data.Rows) < mostOverviewRows && !chosen[row.Subscriber] {
			row.State = hooks.StateWorking
			data.Rows = append(data.Rows, row)
		}
	}
	endpoints, next, err := c.view.Endpoints(c.r.Context(), hooks.Query{Limit: mostToCount})
	if err != nil {
		return err
	}
	data.Total = hooks.Count{N: len(endpoints), More: next != ""}
	for _, e := range endpoints {
		add(overviewRow{Subscriber: e.ID, Tenant: e.Tenant})
	}
	if !c.access.AllTenants {
		return nil
	}
	handlers, err := c.hooks.Handlers(c.r.Context())
	data.Total.N += len(handlers)
	for _, h := range handlers {
		add(overviewRow{Subscriber: h.Name, Handler: true})
	}
	return err
}

// fillRows adds the numbers of each row.
func (c *call) fillRows(data *overviewData, b backlog, now time.Time) error {
	for i := range data.Rows {
		r := &data.Rows[i]
		r.Waiting = cmp.Or(r.Waiting, b.waiting(r.Subscriber), "–")
		minutes, err := c.view.Activity(c.r.Context(), hooks.Query{Subscriber: r.Subscriber, From: now.Add(-day)})
		if err != nil {
			return err
		}
		r.Day, r.Spark = tallySince(minutes, now.Add(-day)), sparkline(minutes, now)
	}
	return nil
}

const day = 24 * time.Hour

// overviewNumbers adds the numbers above the table.
func (c *call) overviewNumbers(data *overviewData, urgent []attention, b backlog, now time.Time) error {
	minutes, err := c.view.Activity(c.r.Context(), hooks.Query{From: now.Add(-day)})
	if err != nil {
		return err
	}
	n := &data.Numbers
	n.Hour, n.Day = tallySince(minutes, now.Add(-time.Hour)), tallySince(minutes, now.Add(-day))
	data.Counting, data.Activity = n.Day.Attempts() > 0, c.overviewActivity(minutes, now)
	held := make(map[string]bool)
	for _, a := range urgent {
		held[a.Subscriber] = a.State != hooks.StateFailing
	}
	for id, lane := range b.lanes {
		n.Retrying = plus(n.Retrying, lane.Retrying)
		if !held[id] && !lane.Oldest.IsZero() {
			n.Oldest = max(n.Oldest, now.Sub(lane.Oldest))
		}
	}
	n.Retrying.More = n.Retrying.More || b.last != ""
	return nil
}
