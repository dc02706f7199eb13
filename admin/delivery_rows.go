package admin

import (
	"errors"
	"strings"
	"time"

	"example.com/hooks"
)

// A deliveryRow is one delivery in a list, with its columns in words. What stands first in
// a column is plain, and its Note is paler.
type deliveryRow struct {
	hooks.Delivery
	Handler            bool // its subscriber is a handler
	Result, ResultNote string
	Next, NextNote     string
}

// Quiet reports whether the result is none.
func (r deliveryRow) Quiet() bool { return r.Result == noResult || r.Result == underWay }

// deliveryRows returns the rows of a list of deliveries.
func (c *call) deliveryRows(list []hooks.Delivery) ([]deliveryRow, error) {
	handlers, err := c.handlerNames()
	if err != nil {
		return nil, err
	}
	rows := make([]deliveryRow, len(list))
	now, why := time.Now(), explainer{call: c, lines: make(map[line]hooks.Explanation), known: make(map[string]hooks.Explanation)}
	for i, d := range list {
		r := deliveryRow{Delivery: d, Handler: handlers[d.Subscriber]}
		r.Result, r.ResultNote = lastResult(d)
		r.Next, r.NextNote = nextAttempt(d, now)
		r.NextNote = c.access.words(r.NextNote)
		if !d.Status.Final() && d.Status != hooks.Sending && !d.Due.After(now) {
			e, ok, err := why.explain(d)
			if err != nil {
				return nil, err
			}
			if ok {
				if r.Next, r.NextNote = whyNotYet(d, e, now); e.Code == "deleted" {
					r.NextNote = c.access.words(r.NextNote)
				}
			}
		}
		rows[i] = r
	}
	return rows, nil
}

// handlerNames returns the names of the handlers that the user may see.
func (c *call) handlerNames() (map[string]bool, error) {
	names := make(map[string]bool)
	if !c.access.AllTenants {
		return names, nil
	}
	list, err := c.hooks.Handlers(c.r.Context())
	for _, h := range list {
		names[h.Name] = true
	}
	return names, err
}

const (
	noResult = "none yet"
	underWay = "under way"
)

// lastResult writes what the last attempt came to.
func lastResult(d hooks.Delivery) (text, note string) {
	switch {
	case d.Status == hooks.Sending:
		return underWay, ""
	case d.Code != 0 && d.Error != "" && d.Error != "status":
		return codeText(d.Code), visible(d.Error)
	case d.Code != 0:
		return codeText(d.Code), ""
	case d.Error != "":
		return visible(d.Error), ""
	case d.Status == hooks.Succeeded:
		return "ok", ""
	}
	return noResult, ""
}

// endings are the words for how a delivery has failed for good, or was canceled.
var endings = map[hooks.Reason]string{
	hooks.ReasonExhausted: "gave up",
	hooks.ReasonRejected:  "rejected",
	hooks.ReasonExpired:   "expired",
	hooks.ReasonLost:      "lost",
	hooks.ReasonDeleted:   "subscriber deleted",
	hooks.ReasonErased:    "data erased",
	"":                    "canceled",
}

// nextAttempt writes when a delivery is sent next, as far as its row tells, or since when
// it is final.
func nextAttempt(d hooks.Delivery, now time.Time) (text, note string) {
	switch {
	case d.Status == hooks.Succeeded:
		return "", ""
	case d.Status.Final():
		return "", endings[d.Reason] + " " + ago(d.Updated, now)
	case d.Status == hooks.Sending:
		return "now", ""
	case d.Due.After(now):
		return stamp(d.Due, now), until(d.Due, now)
	}
	if late := now.Sub(d.Due); late >= time.Second {
		return "now", "due for " + span(late)
	}
	return "now", ""
}

// whyNotYet writes why a delivery that is due has not been sent.
func whyNotYet(d hooks.Delivery, e hooks.Explanation, now time.Time) (text, note string) {
	switch e.Code {
	case "disabled":
		note = "disabled"
		if !e.Until.IsZero() {
			note += "; ends by " + stamp(e.Until, now)
		}
		return "held", note
	case "unverified":
		return "held", "its endpoint is not verified"
	case "no_key":
		return "held", "no key"
	case "deleted":
		return "never", "its subscriber was deleted"
	case "behind":
		return "in line", "behind key " + shortID(visible(d.OrderingKey))
	case "erased":
		return "never", "its data was erased"
	case "no_handler":
		return "waiting", "for a process with the handler"
	case "final", "sending", "scheduled", "retrying", "due":
		return nextAttempt(d, now)
	}
	return "held", strings.ReplaceAll(e.Code, "_", " ") // a reason of a later version
}

// An explainer asks why deliveries of one page are not sent yet. When it has asked about
// many, it goes on with what it knows of their subscribers.
type explainer struct {
	*call
	asked int
	lines map[line]hooks.Explanation   // of deliveries that wait for the first one of their line
	known map[string]hooks.Explanation // by subscriber: why none of its deliveries is sent
}

// A line is the deliveries of one ordering key, which are sent one after the other.
type line struct{ subscriber, tenant, key string }

// mostExplained bounds how many deliveries of a page the store is asked about.
const mostExplained = 50

// ofAll are the reasons that hold for all deliveries of a subscriber.
var ofAll = map[string]bool{"disabled": true, "unverified": true, "no_key": true, "no_handler": true}

// explain returns why a delivery waits. ok is false if nobody knows, or it is gone.
func (x *explainer) explain(d hooks.Delivery) (e hooks.Explanation, ok bool, err error) {
	in := line{d.Subscriber, d.Tenant, d.OrderingKey}
	if e, ok := x.lines[in]; ok && d.OrderingKey != "" {
		return e, e.Behind != d.DeliveryID, nil // the first one of its line waits for nothing
	}
	if x.asked++; x.asked > mostExplained {
		e, ok = x.known[d.Subscriber]
		return e, ok, nil
	}
	e, err = x.view.ExplainDelivery(x.r.Context(), d.DeliveryID)
	switch {
	case errors.Is(err, hooks.ErrNotFound):
		return e, false, nil
	case err != nil:
		return e, false, err
	case e.Code == "behind":
		x.lines[in] = e
	case ofAll[e.Code]:
		all := e
		all.Until = time.Time{} // each has its own
		x.known[d.Subscriber] = all
	}
	return e, true, nil
}
