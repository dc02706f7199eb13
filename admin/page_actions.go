package admin

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/hooks"
)

// An actionsData is what the page of actions shows.
type actionsData struct {
	Rows  []actionRow
	Next  string
	Older string
}

// An actionRow is an action as pages show it.
type actionRow struct {
	hooks.Action
	now     time.Time
	access  Access      // of who reads it
	Earlier []actionRow // on its own page: others
}

// A kindText is what pages say of a kind of action.
type kindText struct {
	Name  string // as a heading
	Verb  string // of a button
	Done  string // what became of a row
	One   string // what a row is
	Many  string
	Lists string // the page that lists the rows
}

var kindTexts = map[hooks.ActionKind]kindText{
	hooks.ActionReplay:   {"Replay", "Replay", "replayed", "delivery", "deliveries", "deliveries"},
	hooks.ActionCancel:   {"Cancel", "Cancel", "canceled", "delivery", "deliveries", "deliveries"},
	hooks.ActionBackfill: {"Backfill", "Look through", "delivered", "event", "events", "events"},
	hooks.ActionErase:    {"Erase", "Erase", "erased", "event", "events", "events"},
}

// Words returns what pages say of the action's kind.
func (a actionRow) Words() kindText { return kindTexts[a.Kind] }

// Rows returns how many rows there are, in words.
func (a actionRow) Rows() string { return countText(a.Total, a.Words()) }

func countText(n hooks.Count, words kindText) string {
	if n.N == 1 && !n.More {
		return "1 " + words.One
	}
	return n.String() + " " + words.Many
}

// Matching says what the action selects.
func (a actionRow) Matching() string { return queryText(a.Query, a.access, a.now) }

// Sign returns the sign of the action's state.
func (a actionRow) Sign() string {
	switch {
	case a.Finished.IsZero():
		return "sending"
	case a.Error != "":
		return "failed"
	case a.Stopped:
		return "canceled"
	}
	return "succeeded"
}

// State says where the action stands, in a word or two.
func (a actionRow) State() string {
	switch {
	case a.Finished.IsZero():
		return "under way"
	case a.Error != "":
		return "ended by an error"
	case a.Stopped:
		return "stopped"
	}
	return "finished"
}

// Ended says how the action ended, and after how long.
func (a actionRow) Ended() string {
	if a.Finished.IsZero() {
		if p, ok := a.Percent(); ok {
			return fmt.Sprintf("%s, %d %%", a.State(), p)
		}
		return a.State()
	}
	return a.State() + " after " + span(a.Finished.Sub(a.Started))
}

// Handled returns how many rows it has gone through.
func (a actionRow) Handled() int { return a.Done + a.Skipped }

// Percent returns how many of a hundred rows it has gone through; ok is false if there are
// more rows than were counted.
func (a actionRow) Percent() (p int, ok bool) {
	if a.Total.More || a.Total.N == 0 {
		return 0, false
	}
	return min(100*a.Handled()/a.Total.N, 100), true
}

// Counted reports whether the number of rows is known.
func (a actionRow) Counted() bool { return !a.Total.More }

// PercentText writes Percent, such as ", 50 %"; empty if it is not known.
func (a actionRow) PercentText() string {
	if p, ok := a.Percent(); ok {
		return fmt.Sprintf(", %d %%", p)
	}
	return ""
}

// Left says how many rows are left and how long they take; empty if there are none.
func (a actionRow) Left() string {
	left := a.Total.N - a.Handled()
	switch {
	case !a.Finished.IsZero():
		if left <= 0 || a.Total.More {
			return ""
		}
		return number(left) + " left as they were"
	case a.Total.More:
		return "more left, at " + rateText(a.Rate)
	}
	left = max(left, 0)
	return fmt.Sprintf("%s left, about %s at %s", number(left), rateTime(left, a.Rate), rateText(a.Rate))
}

// RateText writes the rate.
func (a actionRow) RateText() string { return rateText(a.Rate) }

// Facts says what the action selects, one condition each.
func (a actionRow) Facts() []setting { return queryFacts(a.Query, a.access, a.now) }

// RowsPath returns the address of the list of what it selects, as it is now.
func (a actionRow) RowsPath() string { return a.Words().Lists + "?" + queryValues(a.Query).Encode() }

// actionsPage shows the actions, those that started last first.
func (c *call) actionsPage() error {
	values := maps.Clone(c.values)
	q, err := parseQuery(values, "did")
	if err != nil {
		return err
	}
	rows, next, err := c.actionRows(q)
	if err != nil {
		return err
	}
	values.Del("did")
	data := actionsData{rows, withCursor("actions", values, next), "Earlier actions"}
	return c.page(page{Name: "actions", Nav: "Actions", Title: "Actions", Live: true, Data: data})
}

// actionRows lists actions.
func (c *call) actionRows(q hooks.Query) (rows []actionRow, next string, err error) {
	list, next, err := c.view.Actions(c.r.Context(), q)
	for _, a := range list {
		rows = append(rows, actionRow{Action: a, access: c.access, now: time.Now()})
	}
	return rows, next, err
}

// actionPage shows one action and how far it is, and others below.
func (c *call) actionPage() error {
	a, err := c.view.Action(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	row := actionRow{Action: a, access: c.access, now: time.Now()}
	if row.Earlier, _, err = c.actionRows(hooks.Query{Limit: 10}); err != nil {
		return err
	}
	row.Earlier = slices.DeleteFunc(row.Earlier, func(other actionRow) bool { return other.ID == a.ID })
	return c.page(page{Name: "action", Nav: "Actions", Title: row.Words().Name + " of " + row.Rows(), Live: true, Data: row})
}

// haltAction stops an action.
func (c *call) haltAction() error {
	a, err := c.view.StopAction(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	c.audit.Query, c.audit.Count = &a.Query, a.Done
	return c.redirect("actions/" + a.ID)
}
