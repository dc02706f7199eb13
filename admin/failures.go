package admin

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// A groupID is what the failures of a group have in common. All of it can be asked for in a
// [hooks.Query], so that the list and the replay of a group have exactly its deliveries.
type groupID struct {
	Subscriber string
	Reason     hooks.Reason
	Error      string
	Code       int
}

// A failureGroup is deliveries that failed for good in the same way.
type failureGroup struct {
	groupID
	Tenant      string // empty if the deliveries are of several tenants
	Handler     bool
	N           int
	First, Last time.Time // when they failed
	// Messages are what the newest of them were told, without numbers and ids, each once.
	Messages []string
	newest   []hooks.Delivery
}

// failureGroups are groups of the newest failures that a query selects.
type failureGroups struct {
	Groups []*failureGroup // the largest first
	Looked int             // failures
	More   bool            // there may be older ones
}

const (
	mostFailures   = 10_000 // that groups are made of
	mostPagesRead  = 40     // calls of the store for them; a page of the store may be short
	failuresAPage  = 1000
	mostGroups     = 100 // that are shown
	newestOfGroup  = 3   // whose messages are read
	mostMessageRun = 90  // deliveries of all groups whose messages are read
)

// failureGroups reads the newest failures that q selects, and puts them into groups. The
// row of a delivery has no message: that is in its attempts, which would be far too many to
// read. So a message is no part of a group, but those of its newest deliveries are shown.
func (c *call) failureGroups(q hooks.Query) (all failureGroups, err error) {
	q.Statuses, q.Limit = []hooks.Status{hooks.Failed}, failuresAPage
	byID := make(map[groupID]*failureGroup)
	for range mostPagesRead {
		page, next, err := c.view.Deliveries(c.r.Context(), q)
		if err != nil {
			return all, err
		}
		taken := min(len(page), mostFailures-all.Looked)
		for _, d := range page[:taken] {
			addFailure(byID, d)
		}
		all.Looked += taken
		all.More = next != "" || taken < len(page)
		if q.Cursor = next; next == "" || all.Looked == mostFailures {
			break
		}
	}
	for _, g := range byID {
		all.Groups = append(all.Groups, g)
	}
	slices.SortFunc(all.Groups, (*failureGroup).compare)
	return all, nil
}

// addFailure adds a delivery to its group. The newest come first.
func addFailure(groups map[groupID]*failureGroup, d hooks.Delivery) {
	id := groupID{d.Subscriber, d.Reason, d.Error, d.Code}
	g := groups[id]
	if g == nil {
		g = &failureGroup{groupID: id, Tenant: d.Tenant, First: d.Updated, Last: d.Updated}
		groups[id] = g
	}
	g.N++
	if d.Tenant != g.Tenant {
		g.Tenant = "" // a handler has deliveries of many tenants
	}
	if d.Updated.Before(g.First) {
		g.First = d.Updated
	}
	if d.Updated.After(g.Last) {
		g.Last = d.Updated
	}
	if len(g.newest) < newestOfGroup {
		g.newest = append(g.newest, d)
	}
}

// compare puts larger groups first.
func (g *failureGroup) compare(h *failureGroup) int {
	return cmp.Or(
		cmp.Compare(h.N, g.N), h.Last.Compare(g.Last), strings.Compare(g.Subscriber, h.Subscriber),
		strings.Compare(g.Error, h.Error), cmp.Compare(g.Code, h.Code), strings.Compare(string(g.Reason), string(h.Reason)),
	)
}

// readMessages reads the messages of the newest deliveries of groups, of the first groups
// only if there are many.
func (c *call) readMessages(groups []*failureGroup) error {
	read := 0
	for _, g := range groups {
		for _, d := range g.newest {
			if read++; read > mostMessageRun {
				return nil
			}
			attempts, err := c.view.Attempts(c.r.Context(), d.DeliveryID)
			if errors.Is(err, hooks.ErrNotFound) {
				continue // it was pruned meanwhile
			}
			if err != nil {
				return err
			}
			if len(attempts) == 0 {
				continue
			}
			m := normalise(messageIn(c.redact(d.Type, attempts[len(attempts)-1].Body)))
			if m != "" && !slices.Contains(g.Messages, m) {
				g.Messages = append(g.Messages, m)
			}
		}
	}
	return nil
}

// Class names the class of the group for people: an HTTP status, a class of failure, or why
// there was no attempt.
func (g *failureGroup) Class() string {
	switch {
	case g.Code != 0 && g.Error != "" && g.Error != "status":
		return strconv.Itoa(g.Code) + " " + visible(g.Error)
	case g.Code != 0:
		return strconv.Itoa(g.Code)
	}
	return cmp.Or(visible(g.Error), visible(string(g.Reason)))
}

// Message returns what the group's newest deliveries were told, in a line.
func (g *failureGroup) Message() string {
	if len(g.Messages) > 0 {
		return g.Messages[0]
	}
	if words := classWords[g.Error]; words != "" {
		return words
	}
	if g.Code != 0 {
		return codeText(g.Code)
	}
	return "No attempt was made, or it left no message."
}

// Ended says why nothing more happens to them.
func (g *failureGroup) Ended() string { return endings[g.Reason] }

// within returns the parameters of an address that select the group among the failures of a
// filter.
func (g *failureGroup) within(f filter) url.Values {
	values := f.failed()
	values.Set("subscriber", g.Subscriber)
	values.Set("reason", string(g.Reason))
	values.Set("error", cmp.Or(g.Error, noClass))
	values.Set("code", strconv.Itoa(g.Code))
	return values
}

// query returns what within says, for programs.
func (g *failureGroup) query(q hooks.Query) hooks.Query {
	q.Subscriber, q.Statuses = g.Subscriber, []hooks.Status{hooks.Failed}
	q.Reasons, q.Errors, q.Codes = []hooks.Reason{g.Reason}, []string{g.Error}, []int{g.Code}
	return q
}

// failed returns the parameters of an address that select the failures of a filter.
func (f filter) failed() url.Values {
	values := maps.Clone(f.values)
	values.Set("status", hooks.Failed.String())
	return values
}
