package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"example.com/hooks"
)

// A deliveryData is what the page of one delivery shows.
type deliveryData struct {
	hooks.Delivery
	Handler  bool         // its subscriber is a handler
	Linked   bool         // its subscriber has a page
	Most     int          // attempts in a run; 0: only the application's configuration says how many
	Event    *hooks.Event // nil: it is gone
	Why      statement
	When     statement
	Attempts []attemptRow // newest first
	Older    int          // how many more there are
	Chosen   string       // the attempt that the address names
	Runs     int
	// Compare is the address of the page that compares two attempts, and CompareWords say
	// which. Both are empty if there are not two.
	Compare, CompareWords string
	Upcoming              string // what the row of the next attempt says; empty: there is none
	Request               *requestView
	Response              *responseView // of the attempt that the address names, or the newest
	Also                  []hooks.Delivery
	AlsoMore              bool
}

// Erased reports whether the data is gone, so that there is nothing to send.
func (data deliveryData) Erased() bool { return data.Event != nil && !data.Event.Erased.IsZero() }

// mostAttempts bounds the attempts on a page.
const mostAttempts = 100

// deliveryPage shows one delivery: why it failed, when it is sent next, and its attempts.
func (c *call) deliveryPage() error {
	ctx := c.r.Context()
	id, err := hooks.ParseDeliveryID(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	d, err := c.view.Delivery(ctx, id)
	if err != nil {
		return err
	}
	attempts, err := c.view.Attempts(ctx, id)
	if err != nil {
		return err
	}
	data := deliveryData{Delivery: d, Chosen: c.values.Get("attempt")}
	if err := c.addSubscriber(ctx, &data); err != nil {
		return err
	}
	if ev, err := c.view.Event(ctx, id.Event); err == nil {
		data.Event = &ev
	} else if !errors.Is(err, hooks.ErrNotFound) {
		return err
	}
	if err := c.explain(&data, attempts); err != nil {
		return err
	}
	data.showAttempts(attempts)
	chosen, err := chooseAttempt(attempts, data.Chosen)
	if err != nil {
		return err
	}
	data.Request, data.Response = c.requestOf(d, data.Event), c.responseOf(d, chosen)
	if err := c.alsoSentTo(&data); err != nil {
		return err
	}
	return c.page(page{Name: "delivery", Nav: "Deliveries", Title: d.Type + " to " + d.Subscriber, Live: true, Notice: c.deedNotice(), Data: data})
}

// addSubscriber finds out what the subscriber is.
func (c *call) addSubscriber(ctx context.Context, data *deliveryData) error {
	e, err := c.view.Endpoint(ctx, data.Subscriber)
	if err == nil {
		data.Linked = true
		if e.Retry != nil {
			data.Most = len(e.Retry) + 1
		}
		return nil
	}
	if !errors.Is(err, hooks.ErrNotFound) {
		return err
	}
	names, err := c.handlerNames()
	data.Handler = names[data.Subscriber]
	return err
}

// alsoSentTo finds the other deliveries of the event.
func (c *call) alsoSentTo(data *deliveryData) error {
	const most = 10
	list, next, err := c.view.Deliveries(c.r.Context(), hooks.Query{Event: data.DeliveryID.Event, Limit: most + 2})
	if err != nil {
		return err
	}
	for _, d := range list {
		switch {
		case d.Subscriber == data.Subscriber:
		case len(data.Also) < most:
			data.Also = append(data.Also, d)
		default:
			data.AlsoMore = true
		}
	}
	data.AlsoMore = data.AlsoMore || next != ""
	return nil
}

// chooseAttempt returns the attempt that an address names by run and number, such as "1.3".
// If it names none, that is the newest; nil if there are none.
func chooseAttempt(attempts []hooks.Attempt, name string) (*hooks.Attempt, error) {
	if name == "" {
		if len(attempts) == 0 {
			return nil, nil
		}
		return &attempts[len(attempts)-1], nil
	}
	for i, a := range attempts {
		if attemptName(a) == name {
			return &attempts[i], nil
		}
	}
	return nil, &problem{Status: http.StatusNotFound, Field: "attempt", Detail: "There is no such attempt, or it is not stored any more."}
}

// attemptName names an attempt among those of its delivery.
func attemptName(a hooks.Attempt) string { return strconv.Itoa(a.Run) + "." + strconv.Itoa(a.Number) }

// replay sends a delivery again. One that has succeeded is sent only if somebody is sure.
func (c *call) replay(id hooks.DeliveryID, sure bool) error {
	d, err := c.view.Delivery(c.r.Context(), id)
	if err != nil {
		return err
	}
	if d.Status == hooks.Succeeded && !sure {
		return errSucceeded
	}
	_, err = c.view.Replay(c.r.Context(), id)
	return err
}

// replayPage asks whether a delivery shall be sent again.
func (c *call) replayPage() error {
	id, err := hooks.ParseDeliveryID(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	d, err := c.view.Delivery(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.page(page{Name: "replay", Nav: "Deliveries", Title: "Replay " + d.Type + " to " + d.Subscriber + "?", Data: d})
}

func (c *call) replayDelivery() error {
	return c.doOne("replay", func(id hooks.DeliveryID) error { return c.replay(id, c.r.PostFormValue("sure") == "yes") })
}

func (c *call) cancelDelivery() error {
	return c.doOne("cancel", func(id hooks.DeliveryID) error {
		_, err := c.view.Cancel(c.r.Context(), id)
		return err
	})
}

// doOne does something to the delivery that the address names, and leads back to its page,
// which tells what came of it.
func (c *call) doOne(verb string, do func(hooks.DeliveryID) error) error {
	id, err := hooks.ParseDeliveryID(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	err = do(id)
	if why := whyRefused(err); why == "missing" || why == "error" {
		return err // there is no page to lead back to, or the log should have it
	}
	d := deed{verb: verb}
	d.add(err)
	return cmp.Or(c.redirect("deliveries/"+id.String()+"?did="+d.String()), err)
}

// downloadBody answers with the body that the delivery's next attempt would send.
func (c *call) downloadBody() error {
	d, ev, err := c.deliveryAndEvent()
	if err != nil {
		return err
	}
	view := c.requestOf(d, ev)
	if view == nil {
		return &problem{Status: http.StatusNotFound, Detail: "The event of this delivery is not stored any more."}
	}
	return c.download(strings.ReplaceAll(d.DeliveryID.String(), ".", "-"), c.shownBytes(d.Type, view.raw))
}

// downloadResponse answers with the body of a response, as it was kept.
func (c *call) downloadResponse() error {
	d, _, err := c.deliveryAndEvent()
	if err != nil {
		return err
	}
	attempts, err := c.view.Attempts(c.r.Context(), d.DeliveryID)
	if err != nil {
		return err
	}
	a, err := chooseAttempt(attempts, c.values.Get("attempt"))
	if err != nil {
		return err
	}
	if a == nil {
		return &problem{Status: http.StatusConflict, Detail: "Nothing was received yet."}
	}
	name := fmt.Sprintf("%s-response-%d-%d", strings.ReplaceAll(d.DeliveryID.String(), ".", "-"), a.Run, a.Number)
	return c.download(name, c.shownBytes(d.Type, a.Body))
}

// deliveryAndEvent returns what the address names, and nil for an event that is gone.
func (c *call) deliveryAndEvent() (d hooks.Delivery, ev *hooks.Event, err error) {
	id, err := hooks.ParseDeliveryID(c.r.PathValue("id"))
	if err != nil {
		return d, nil, err
	}
	if d, err = c.view.Delivery(c.r.Context(), id); err != nil {
		return d, nil, err
	}
	found, err := c.view.Event(c.r.Context(), id.Event)
	if errors.Is(err, hooks.ErrNotFound) {
		return d, nil, nil
	}
	return d, &found, err
}
