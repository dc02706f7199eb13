package admin

import (
	"errors"
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
	now, why := time.Now(), explainer{call: c}
	for i, d := range list {
		r := deliveryRow{Delivery: d, Handler: handlers[d.Subscriber]}
		r.Result, r.ResultNote = lastResult(d)
		r.Next, r.NextNote = nextAttempt(d, now)
		if !d.Status.Final() && d.Status != hooks.Sending && !d.Due.After(now) {
			e, ok, err := why.explain(d)
			if err != nil {
				return nil, err
			}
			if ok {
				r.Next, r.NextNote = whyNotYet(d, e, now)
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
	"erased":              "data erased",
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
	case "no_key":
		return "held", "no key"
	case "deleted":
		return "never", "its subscriber was deleted"
	case "behind":
		return "in line", "behind key " + shortID(visible(d.OrderingKey))
	case "no_handler":
		return "waiting", "for a process with the handler"
	}
	return nextAttempt(d, now)
}

// An explainer asks why deliveries of one page are not sent yet. It asks for few of them,
// because the answer is the same for all of a subscriber, or of an ordering key.
type explainer struct {
	*call
	known map[explained]hooks.Explanation
}

// An explained names deliveries that wait for the same.
type explained struct{ subscriber, tenant, orderingKey string }

// mostExplained bounds how many deliveries of a page the store is asked about.
const mostExplained = 20

// explain returns why a delivery waits. ok is false if nobody was asked, or it is gone.
func (x *explainer) explain(d hooks.Delivery) (e hooks.Explanation, ok bool, err error) {
	key := explained{subscriber: d.Subscriber}
	if d.OrderingKey != "" {
		key.tenant, key.orderingKey = d.Tenant, d.OrderingKey
	}
	e, ok = x.known[key]
	if !ok && len(x.known) < mostExplained {
		e, err = x.view.ExplainDelivery(x.r.Context(), d.DeliveryID)
		if errors.Is(err, hooks.ErrNotFound) {
			return e, false, nil
		}
		if err != nil {
			return e, false, err
		}
		if x.known == nil {
			x.known = make(map[explained]hooks.Explanation)
		}
		x.known[key], ok = e, true
	}
	if e.Code == "behind" && e.Behind == d.DeliveryID { // it is the first of its key itself
		return hooks.Explanation{}, false, nil
	}
	return e, ok, nil
}
