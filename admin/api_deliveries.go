package admin

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"unicode/utf8"

	"example.com/hooks"
)

func (c *call) apiDeliveries() error {
	q, err := parseQuery(c.values)
	if err != nil {
		return err
	}
	rows, next, err := c.view.Deliveries(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Deliveries []hooks.Delivery `json:"deliveries"`
		Next       string           `json:"next,omitempty"`
	}{rowsOf(rows), next})
}

// deliveryID returns the delivery that the path names.
func (c *call) deliveryID() (hooks.DeliveryID, error) {
	id, err := hooks.ParseDeliveryID(c.r.PathValue("id"))
	if invalid, ok := errors.AsType[*hooks.InvalidError](err); ok {
		return id, &problem{Status: http.StatusNotFound, Detail: "No delivery has this id: " + invalid.Problem + "."}
	}
	return id, err
}

func (c *call) apiDelivery() error {
	id, err := c.deliveryID()
	if err != nil {
		return err
	}
	d, err := c.view.Delivery(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, d)
}

// apiAttempts lists the newest attempts, the oldest of them first.
func (c *call) apiAttempts() error {
	id, err := c.deliveryID()
	if err != nil {
		return err
	}
	limit, err := c.attemptLimit()
	if err != nil {
		return err
	}
	d, err := c.view.Delivery(c.r.Context(), id)
	if err != nil {
		return err
	}
	attempts, err := c.view.Attempts(c.r.Context(), id)
	if err != nil {
		return err
	}
	attempts = attempts[max(0, len(attempts)-limit):]
	shown := make([]hooks.Attempt, len(attempts))
	for i, a := range attempts {
		shown[i] = c.redactAttempt(d.Type, a)
	}
	return c.json(http.StatusOK, struct {
		Attempts []hooks.Attempt `json:"attempts"`
	}{shown})
}

// attemptLimit returns how many attempts the address asks for.
func (c *call) attemptLimit() (int, error) {
	limit := mostAttempts
	for name, values := range c.r.URL.Query() {
		n, err := strconv.Atoi(values[0])
		switch {
		case name != "limit":
			return 0, badRequest(name, "There is no parameter %q; this address takes limit.", name)
		case err != nil, n < 1, n > mostAttempts, len(values) > 1:
			return 0, badRequest(name, "Give one number of attempts from 1 to %d.", mostAttempts)
		}
		limit = n
	}
	return limit, nil
}

func (c *call) apiExplainDelivery() error {
	id, err := c.deliveryID()
	if err != nil {
		return err
	}
	e, err := c.view.ExplainDelivery(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, e)
}

// A requestForm is a request in JSON. Its names are those of an attempt.
type requestForm struct {
	Method     string      `json:"method"`
	URL        string      `json:"url"`
	Header     http.Header `json:"header"`
	Body       string      `json:"body,omitempty"`
	BodyBase64 []byte      `json:"body_base64,omitempty"` // instead of one that is not UTF-8
}

func (c *call) apiRequest() error {
	id, err := c.deliveryID()
	if err != nil {
		return err
	}
	d, err := c.view.Delivery(c.r.Context(), id)
	if err != nil {
		return err
	}
	req, err := c.view.Request(c.r.Context(), id)
	if err != nil {
		return c.becauseOfURL(d.Subscriber, err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	maps.DeleteFunc(req.Header, func(_ string, values []string) bool { return len(values) == 0 }) // they are not sent
	f := requestForm{Method: req.Method, URL: req.URL.String(), Header: req.Header}
	if body = c.redact(d.Type, body); utf8.Valid(body) {
		f.Body = string(body)
	} else {
		f.BodyBase64 = body
	}
	return c.json(http.StatusOK, f)
}

// becauseOfURL returns why there is no request for an endpoint: that its URL is not allowed
// any more, or err.
func (c *call) becauseOfURL(endpoint string, err error) error {
	e, unknown := c.view.Endpoint(c.r.Context(), endpoint)
	if unknown != nil {
		return err
	}
	if refused := c.view.CheckURL(e.URL); refused != nil {
		return &problem{Status: http.StatusConflict, Detail: "The endpoint's URL is not allowed any more: " + refused.Error() + "."}
	}
	return err
}

func (c *call) apiReplayDelivery() error {
	return c.decide(func(id hooks.DeliveryID) (hooks.Delivery, error) { return c.view.Replay(c.r.Context(), id) })
}

func (c *call) apiCancelDelivery() error {
	return c.decide(func(id hooks.DeliveryID) (hooks.Delivery, error) { return c.view.Cancel(c.r.Context(), id) })
}

// decide answers with a delivery after what somebody has decided.
func (c *call) decide(how func(hooks.DeliveryID) (hooks.Delivery, error)) error {
	if err := c.noBody(); err != nil {
		return err
	}
	id, err := c.deliveryID()
	if err != nil {
		return err
	}
	d, err := how(id)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, d)
}
