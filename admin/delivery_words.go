package admin

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"example.com/hooks"
)

// A statement is what the page of a delivery says first, in words.
type statement struct {
	Label  string // what it is about
	Strong string // the beginning of the headline
	Rest   string // its end
	Red    bool   // Strong is a failure
	Text   string // a few sentences
	// Failing is how the endpoint stands, if that is part of the reason.
	Failing *hooks.EndpointHealth
	Behind  hooks.DeliveryID // what the delivery waits for, if the user may see it
}

// explain says why the delivery failed, and when it is sent next.
func (c *call) explain(data *deliveryData, attempts []hooks.Attempt) error {
	e, err := c.view.ExplainDelivery(c.r.Context(), data.DeliveryID)
	if err != nil {
		return err
	}
	now := time.Now()
	data.Why, data.When = c.why(data.Delivery, attempts, now), when(data, e, now)
	if text := customerReasons[e.Code]; text != "" && !c.access.AllTenants {
		data.When.Strong, data.When.Text = c.access.words(data.When.Strong), text
	}
	if e.Code == "final" {
		data.When.Text = c.access.words(data.When.Text)
	}
	if !data.Status.Final() && data.Status != hooks.Sending {
		if data.Upcoming = upcoming(data.Delivery, e, now); e.Code == "deleted" {
			data.Upcoming = c.access.words(data.Upcoming)
		}
	}
	if data.Linked && data.Why.Red {
		h, err := c.view.EndpointHealth(c.r.Context(), data.Subscriber)
		if err != nil {
			return err
		}
		if h.State == hooks.StateFailing {
			data.Why.Failing = &h
		}
	}
	return nil
}

// why says what the last attempt came to, and how often.
func (c *call) why(d hooks.Delivery, attempts []hooks.Attempt, now time.Time) statement {
	s := statement{Label: "Why it failed"}
	if len(attempts) == 0 {
		return untried(d)
	}
	last := attempts[len(attempts)-1]
	s.Strong, s.Red = resultOf(last), last.Error != ""
	switch {
	case !s.Red:
		s.Label, s.Rest = "What happened", fmt.Sprintf(", at attempt %d", last.Number)
	case d.Status == hooks.Canceled:
		s.Label = "What happened before it was canceled"
	}
	if n := inARow(attempts); n > 1 && s.Red {
		s.Rest = fmt.Sprintf(", %d times in a row", n)
	}
	s.Text = fmt.Sprintf("Last at %s after %s.", stamp(last.Start, now), took(last.Took))
	if !s.Red {
		s.Text = fmt.Sprintf("At %s, after %s.", stamp(last.Start, now), took(last.Took))
	}
	if words := classWords[last.Error]; words != "" {
		s.Text += " " + words
	}
	if said := oneLine(string(c.shownBytes(d.Type, last.Body)), 200); said != "" && s.Red {
		verb := " answered: “"
		if last.URL == "" {
			verb = " returned: “"
		}
		s.Text += " " + d.Subscriber + verb + said + "”."
	}
	if d.Lost > 0 {
		s.Text += fmt.Sprintf(" Attempts without an outcome, because the process ended: %d.", d.Lost)
	}
	return s
}

// untried says what happened to a delivery without a stored attempt.
func untried(d hooks.Delivery) statement {
	s := statement{Label: "What happened", Strong: "Not tried yet"}
	switch {
	case d.Lost > 0 || d.Error == "lost":
		s.Strong, s.Red = "No outcome", true
		s.Text = fmt.Sprintf("Attempts that ended with their process, without an outcome: %d.", max(d.Lost, 1))
	case d.Status == hooks.Sending:
		s.Text = "The first attempt is under way."
	case d.Status == hooks.Canceled:
		s.Strong, s.Text = "Never tried", "It was canceled before an attempt was made."
	case d.Status == hooks.Failed:
		s.Label, s.Strong, s.Red = "Why it failed", "Never tried", true
		s.Text = "It expired, or was held for too long, before an attempt was made."
	}
	return s
}

// resultOf writes what an attempt came to.
func resultOf(a hooks.Attempt) string {
	switch {
	case a.Code != 0 && a.Error != "" && a.Error != "status":
		return codeText(a.Code) + ", " + visible(a.Error)
	case a.Code != 0:
		return codeText(a.Code)
	case a.Error == "":
		return "ok"
	}
	return visible(a.Error)
}

// inARow returns how many of the last attempts had the same result, in one run.
func inARow(attempts []hooks.Attempt) (n int) {
	last := attempts[len(attempts)-1]
	for i := len(attempts) - 1; i >= 0; i-- {
		if a := attempts[i]; a.Run != last.Run || resultOf(a) != resultOf(last) {
			break
		}
		n++
	}
	return n
}

// classWords explain the classes of failure that do not explain themselves.
var classWords = map[string]string{
	"timeout":                 "There was no whole answer in time.",
	"dns":                     "Its host name has no address.",
	"connection refused":      "Nothing listens at its address.",
	"connection reset":        "The other side broke the connection off.",
	"connection closed":       "The other side closed the connection before it had answered.",
	"unreachable":             "No way leads to its address.",
	"tls":                     "The two sides could not agree on how to encrypt.",
	"certificate":             "Its certificate is not valid for its name, or nobody here trusts it.",
	"protocol":                "Its answer was no HTTP.",
	"destination not allowed": "The egress policy does not allow its address. Nothing was sent.",
	"proxy":                   "The proxy did not let it pass.",
	"too many connections":    "There are too many connections to its host. Nothing was sent.",
	"panic":                   "The code panicked.",
	"goexit":                  "The code ended its goroutine.",
	"lost":                    "The process ended in the attempt.",
}

// when says when a delivery is sent next, or why it is not.
func when(d *deliveryData, e hooks.Explanation, now time.Time) statement {
	s := statement{Label: "When next", Text: plainTimes(e.Text, now), Behind: e.Behind}
	next := fmt.Sprintf("Attempt %d", d.Delivery.Attempts+1)
	if d.Most > 0 {
		next += fmt.Sprintf(" of %d", d.Most)
	}
	switch e.Code {
	case "final":
		s.Strong = "Not again"
		if d.Status != hooks.Succeeded {
			s.Strong = "Not again, unless it is replayed"
		}
	case "sending":
		s.Strong = next + " is under way"
	case "scheduled", "retrying":
		s.Strong = fmt.Sprintf("%s at %s, %s", next, stamp(e.Until, now), until(e.Until, now))
		s.Text = "By the schedule. Nothing else holds it."
		if e.Code == "scheduled" {
			s.Text = "It is scheduled for then. Nothing else holds it."
		}
	case "disabled":
		s.Strong = "Held, because its endpoint is disabled"
	case "unverified":
		s.Strong = "Held, because its endpoint is not verified"
	case "no_key":
		s.Strong = "Held, because no request can be signed"
	case "behind":
		s.Strong = "In line behind another delivery"
	case "deleted":
		s.Strong = "Never, because its subscriber was deleted"
	case "no_handler":
		s.Strong = "When a process with the handler is free"
	case "erased":
		s.Strong = "Never, because its data was erased"
	case "due":
		s.Strong = "Now"
	default: // a reason of a later version
		s.Strong = "Held: " + strings.ReplaceAll(e.Code, "_", " ")
	}
	return s
}

// customerReasons are what customers read instead of texts about dispatchers and keys.
var customerReasons = map[string]string{
	"sending": "It is being sent, or will be as soon as there is room. If no outcome is known after that, it is sent again.",
	"deleted": "The endpoint was deleted, so it will be canceled.",
	"erased":  "It will be canceled.",
	"no_key": "The secrets of the endpoint cannot be read at the moment, so no request can be signed. " +
		"It waits, without using up attempts, until they can.",
	"due": "It is sent as soon as there is room: only so many requests go to an endpoint at once, and fewer while it fails.",
}

var exactTime = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// plainTimes writes the times in a text of hooks as those of the pages are.
func plainTimes(text string, now time.Time) string {
	return exactTime.ReplaceAllStringFunc(text, func(s string) string {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return s
		}
		return stamp(t, now)
	})
}

// upcoming says in a few words when the next attempt is.
func upcoming(d hooks.Delivery, e hooks.Explanation, now time.Time) string {
	text, note := whyNotYet(d, e, now)
	switch e.Code {
	case "retrying":
		return "due " + until(d.Due, now) + ", by the schedule"
	case "scheduled":
		return "due " + until(d.Due, now) + ", as scheduled"
	}
	return strings.TrimSuffix(text+", "+note, ", ")
}
