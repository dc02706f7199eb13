package admin

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"example.com/hooks"
)

// An attention is a subscriber that somebody should look at.
type attention struct {
	Subscriber string
	Endpoint   bool   // it has a page
	Tenant     string // of an endpoint
	State      hooks.EndpointState
	Cause      string    // such as "503 Service Unavailable"
	Since      time.Time // zero: nobody knows
	Until      time.Time // zero: somebody has to act
	Text       string    // what more there is to say
	Waiting    string    // how many deliveries wait; empty: nobody has counted
}

// stateNoHandler is the state of a handler that no process seems to have.
const stateNoHandler hooks.EndpointState = "no_handler"

// urgency orders states by how much they need somebody. Others come between.
var urgency = map[hooks.EndpointState]int{
	hooks.StateFailing: -3, hooks.StateNoKey: -2, stateNoHandler: -1, hooks.StateDisabled: 1,
}

// Red reports whether it is not what somebody wanted.
func (a attention) Red() bool { return a.State != hooks.StateDisabled && a.State != "paused" }

// Is says what is wrong, after the subscriber's name.
func (a attention) Is() string {
	switch a.State {
	case hooks.StateNoKey:
		return "cannot be signed for"
	case stateNoHandler:
		return "has no process"
	}
	return "is " + string(a.State)
}

// attentionOf returns what the health of an endpoint says.
func attentionOf(e hooks.Endpoint, h hooks.EndpointHealth, now time.Time) attention {
	a := attention{
		Subscriber: h.Endpoint, Endpoint: true, Tenant: e.Tenant, State: h.State, Since: h.Since, Until: h.Until,
		Waiting: h.Waiting.String(),
	}
	var text []string
	switch h.State {
	case hooks.StateNoKey:
		text = append(text, "Its secrets cannot be decrypted. What is due waits until the operator has provided the key.")
	case hooks.StateDisabled:
		if h.Reason != "" {
			text = append(text, "The reason is “"+visible(h.Reason)+"”.")
		}
		if h.Until.IsZero() {
			text = append(text, "It stays so until somebody enables it.")
		} else {
			text = append(text, "It stays so until "+stamp(h.Until, now)+".")
		}
	default:
		a.Cause = visible(h.LastError)
		if h.LastCode != 0 {
			a.Cause = codeText(h.LastCode)
		}
		text = append(text, "Its last "+number(h.Failures)+" attempts failed.")
	}
	a.Text = strings.Join(append(text, waitingText(h, now)), " ")
	return a
}

// waitingText says how much waits for an endpoint, and since or until when.
func waitingText(h hooks.EndpointHealth, now time.Time) string {
	if h.Waiting.N == 0 {
		return "Nothing waits for it."
	}
	text := h.Waiting.String() + " deliveries wait"
	if h.Waiting.N == 1 {
		text = "1 delivery waits"
	}
	switch {
	case h.Oldest.IsZero():
		return text + "."
	case h.Oldest.After(now):
		return text + "; the next is due " + until(h.Oldest, now) + "."
	}
	return text + "; the oldest has been due for " + span(now.Sub(h.Oldest)) + "."
}

// attentions returns who needs somebody, the most urgent first. notes is the number of
// warnings that are about no subscriber's deliveries, which the page System shows.
func (c *call) attentions(now time.Time) (list []attention, notes int, err error) {
	if c.access.AllTenants {
		list, notes, err = c.warned(now)
	} else {
		list, err = c.ownAttentions(now)
	}
	slices.SortStableFunc(list, func(a, b attention) int {
		return cmp.Or(cmp.Compare(urgency[a.State], urgency[b.State]), compareSince(a.Since, b.Since))
	})
	return list, notes, err
}

// compareSince puts the longest first, and what nobody knows last.
func compareSince(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return b.Compare(a)
	}
	return a.Compare(b)
}

// mostWatched bounds how many endpoints are asked how they stand, for one page.
const mostWatched = 200

// ownAttentions asks each endpoint of a tenant how it stands.
func (c *call) ownAttentions(now time.Time) (list []attention, err error) {
	endpoints, _, err := c.view.Endpoints(c.r.Context(), hooks.Query{Limit: mostWatched})
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		h, err := c.view.EndpointHealth(c.r.Context(), e.ID)
		switch {
		case errors.Is(err, hooks.ErrNotFound): // it was deleted just now
		case err != nil:
			return nil, err
		case h.State != hooks.StateWorking:
			list = append(list, attentionOf(e, h, now))
		}
	}
	return list, nil
}

// warnedStates are the states that warnings are about.
var warnedStates = map[hooks.WarningCode]hooks.EndpointState{
	hooks.WarnFailing:       hooks.StateFailing,
	hooks.WarnUndecryptable: hooks.StateNoKey,
	hooks.WarnDisabled:      hooks.StateDisabled,
	hooks.WarnNoHandler:     stateNoHandler,
}

// warned returns the subscribers that the operator is warned of, each of them once, the most
// urgent first.
func (c *call) warned(now time.Time) (list []attention, notes int, err error) {
	warnings, err := c.hooks.Health(c.r.Context())
	if err != nil {
		return nil, 0, err
	}
	known := make(map[string]bool)
	for _, w := range warnings {
		state, isState := warnedStates[w.Code]
		switch {
		case !isState:
			notes++
		case !known[w.Subscriber]:
			known[w.Subscriber] = true
			text, _, _ := strings.Cut(w.Text, " Find out why with") // methods, for who reads a log
			list = append(list, attention{Subscriber: w.Subscriber, State: state, Text: plainTimes(text, now)})
		}
	}
	slices.SortStableFunc(list, func(a, b attention) int { return cmp.Compare(urgency[a.State], urgency[b.State]) })
	for i := range list[:min(len(list), mostUrgentRows)] {
		if err := c.ask(&list[i], now); err != nil {
			return nil, 0, err
		}
	}
	return list, notes, nil
}

// ask adds to an attention what is known of its endpoint. A handler has none.
func (c *call) ask(a *attention, now time.Time) error {
	e, err := c.view.Endpoint(c.r.Context(), a.Subscriber)
	if errors.Is(err, hooks.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	h, err := c.view.EndpointHealth(c.r.Context(), a.Subscriber)
	switch {
	case errors.Is(err, hooks.ErrNotFound):
		return nil
	case err != nil:
		return err
	case h.State == hooks.StateWorking: // since the warning
		a.Endpoint, a.Tenant = true, e.Tenant
	default:
		*a = attentionOf(e, h, now)
	}
	return nil
}
