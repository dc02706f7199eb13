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
func (a attention) Red() bool {
	return a.State != hooks.StateDisabled && a.State != hooks.StateUnverified && a.State != "paused"
}

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
		text = append(text, "Its secrets cannot be decrypted. What is due waits until the application has the key again.")
	case hooks.StateUnverified:
		text = append(text, "Its owner has to answer a challenge before anything is sent to it.")
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

// mostWatched bounds the endpoints that a page speaks of because of their state.
const mostWatched = 200

// ownAttentions returns the endpoints of a tenant that need somebody.
func (c *call) ownAttentions(now time.Time) (list []attention, err error) {
	states := append([]hooks.EndpointState{hooks.StateUnverified}, needAttention...)
	rows, _, err := c.endpointRows(hooks.Query{States: states, Limit: mostWatched})
	for _, r := range rows {
		list = append(list, attentionOf(r.Endpoint, r.Health, now))
	}
	return list, err
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
	return list, notes, c.describe(list[:min(len(list), mostUrgentRows)], now)
}

// describe adds to attentions what is known of their endpoints. A handler has none.
func (c *call) describe(list []attention, now time.Time) error {
	if len(list) == 0 {
		return nil
	}
	rows, _, err := c.endpointRows(hooks.Query{States: needAttention, Limit: mostWatched})
	if err != nil {
		return err
	}
	known := make(map[string]endpointRow, len(rows))
	for _, r := range rows {
		known[r.ID] = r
	}
	for i := range list {
		a := &list[i]
		if r, ok := known[a.Subscriber]; ok {
			*a = attentionOf(r.Endpoint, r.Health, now)
			continue
		}
		e, err := c.view.Endpoint(c.r.Context(), a.Subscriber)
		switch {
		case err == nil: // it works since the warning, or there are many
			a.Endpoint, a.Tenant = true, e.Tenant
		case !errors.Is(err, hooks.ErrNotFound):
			return err
		}
	}
	return nil
}
