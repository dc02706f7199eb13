package admin

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// A newActionData is what the page shows that asks before an action is started.
type newActionData struct {
	form
	actionRow
	Hidden    url.Values // what the form carries: the kind and the query
	Back      string
	Target    *hooks.EndpointHealth // of the endpoint that it is about, if that needs attention; else nil
	Succeeded hooks.Count           // how many of those to be replayed have succeeded
	Without   string                // the address of the same without these
}

// newActionPage says how many rows an action would change, and what will happen. Nothing
// is started. An address without a filter means all deliveries, as it does for their list.
func (c *call) newActionPage() error {
	values := c.values
	if len(values) == 0 {
		return c.redirect("actions")
	}
	a, err := readAction(values)
	if err != nil {
		return err
	}
	if len(queryValues(a.Query)) == 0 && kindTexts[a.Kind].Lists == "deliveries" {
		a.Query.Types = []string{"**"}
	}
	d, err := c.planAction(a)
	if to := a.Query.Subscriber; to != "" && errors.Is(err, hooks.ErrNotFound) {
		return &problem{Status: http.StatusNotFound, Detail: c.access.words("There is no subscriber ") + visible(to) +
			", or it was deleted, so nothing can be sent to it."}
	}
	if err != nil {
		return err
	}
	d.Values = url.Values{"rate": {"50"}, "per": {"s"}, "id": {"act_" + strings.ToLower(rand.Text())}}
	return c.page(d.page())
}

func (d newActionData) page() page {
	return page{Name: "action_new", Nav: "Actions", Title: d.Question(), Data: d}
}

// Question returns the heading, such as "Replay 1,204 deliveries?".
func (d newActionData) Question() string { return d.Words().Verb + " " + d.Rows() + "?" }

// readAction reads the kind and the query of an action. Which page of a list was shown does
// not matter. A time such as "the last 7 days" is taken as of now, so that the form says it
// exactly.
func readAction(values url.Values) (a hooks.Action, err error) {
	a.Kind = hooks.ActionKind(values.Get("kind"))
	if _, known := kindTexts[a.Kind]; !known {
		return a, badRequest("kind", "%q is none of replay, cancel, backfill, erase.", values.Get("kind"))
	}
	if a.Query, err = parseQuery(values, "kind", "rate", "per", "id", "did"); err != nil {
		return a, err
	}
	a.Query.Limit, a.Query.Cursor, a.Query.OldestFirst = 0, "", false
	return a, nil
}

// planAction counts what an action would change, and looks for what speaks against it.
func (c *call) planAction(a hooks.Action) (d newActionData, err error) {
	a.DryRun = true
	planned, err := c.view.StartAction(c.r.Context(), a)
	if err != nil {
		return d, err
	}
	planned.Query = a.Query
	d.actionRow, d.Hidden = actionRow{Action: planned, access: c.access, now: time.Now()}, queryValues(a.Query)
	d.Back = d.Words().Lists + "?" + d.Hidden.Encode()
	d.Hidden.Set("kind", string(a.Kind))
	if d.Target, err = c.weakTarget(a); err != nil {
		return d, err
	}
	if a.Kind == hooks.ActionReplay && (len(a.Query.Statuses) == 0 || slices.Contains(a.Query.Statuses, hooks.Succeeded)) {
		a.Query.Statuses = []hooks.Status{hooks.Succeeded}
		again, err := c.view.StartAction(c.r.Context(), a)
		if err != nil && !errors.Is(err, hooks.ErrNotFound) { // of a deleted subscriber: none has succeeded
			return d, err
		}
		d.Succeeded = again.Total
		failed := queryValues(a.Query)
		failed.Set("kind", string(a.Kind))
		failed.Set("status", hooks.Failed.String())
		d.Without = "actions/new?" + failed.Encode()
	}
	return d, nil
}

// weakTarget returns the health of the endpoint to which an action sends, if it does not
// work at present.
func (c *call) weakTarget(a hooks.Action) (*hooks.EndpointHealth, error) {
	if a.Query.Subscriber == "" || a.Kind != hooks.ActionReplay && a.Kind != hooks.ActionBackfill {
		return nil, nil
	}
	h, err := c.view.EndpointHealth(c.r.Context(), a.Query.Subscriber)
	switch {
	case errors.Is(err, hooks.ErrNotFound): // a handler, or it was deleted
		return nil, nil
	case err != nil || h.State == hooks.StateWorking:
		return nil, err
	}
	return &h, nil
}

// Warning says what the state of the endpoint means for the action.
func (d newActionData) Warning() string {
	switch h := d.Target; h.State {
	case hooks.StateDisabled:
		return "What is sent now is held until it is enabled, and fails if it is held for too long."
	case hooks.StateNoKey:
		return "Its secrets cannot be decrypted, so what is sent now waits."
	default:
		return "The last attempt failed with " + failure(*h) + ". What is sent now will probably fail too."
	}
}

// To says to whom deliveries are sent.
func (d newActionData) To() string {
	if d.Query.Subscriber == "" {
		return d.access.words("its subscriber")
	}
	return d.Query.Subscriber
}

// Takes says how long the action takes at the rate in the form; empty if that is unknown.
func (d newActionData) Takes() string {
	r, err := d.readRate()
	if err != nil || d.Total.More {
		return ""
	}
	return "Takes about " + rateTime(d.Total.N, r) + " at this rate."
}

// Pers returns the times of a rate.
func (newActionData) Pers() []ratePer { return ratePers }

// readRate reads the rate from the form.
func (d newActionData) readRate() (r hooks.Rate, err error) {
	n, err := strconv.Atoi(strings.TrimSpace(d.Value("rate")))
	i := slices.IndexFunc(ratePers, func(p ratePer) bool { return p.Value == d.Value("per") })
	if err != nil || n < 1 || i < 0 {
		return r, badRequest("Action.Rate", "Write how many in which time, such as 50 a second.")
	}
	return hooks.Rate{N: n, Per: ratePers[i].size}, nil
}

// beginAction starts the action that the form says, and leads to it. The form carries its
// id, so that it starts once however often the form is sent.
func (c *call) beginAction() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	a, err := readAction(values)
	if err != nil {
		return err
	}
	c.audit.Query = &a.Query
	a.ID, a.By = values.Get("id"), c.access.User
	if a.Rate, err = (newActionData{form: form{Values: values}}).readRate(); err == nil {
		a, err = c.view.StartAction(c.r.Context(), a)
	}
	if err != nil {
		return c.refuseAction(values, err)
	}
	c.audit.Target, c.audit.Count, c.audit.Query = a.ID, a.Total.N, &a.Query
	return c.redirect("actions/" + a.ID)
}

// refuseAction asks again, with what is wrong. If the query itself is wrong, there is
// nothing to ask.
func (c *call) refuseAction(values url.Values, why error) error {
	a, err := readAction(values)
	if err != nil {
		return why
	}
	d, err := c.planAction(a)
	if err != nil {
		return why
	}
	d.Values = values
	status := c.refuseError(&d.form, why, "Action.", "rate")
	return c.answer(status, d.page(), why)
}

// recoverPage asks what an endpoint is to be sent again or later, and since when.
func (c *call) recoverPage() error {
	d, err := c.switchData()
	if err != nil {
		return err
	}
	return c.page(d.page("recover", "Recover "+d.ID+" since…"))
}

// Sinces returns the times that a form offers.
func (switchData) Sinces() []since { return sinces }
