package hooks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An ActionKind is what an [Action] does. The texts are stored: they stay as they are.
type ActionKind string

const (
	// ActionReplay replays each delivery that matches, as [Hooks.Replay] does. It skips
	// those that are being sent. Without Query.Statuses it also sends again what has
	// succeeded.
	ActionReplay ActionKind = "replay"
	// ActionCancel cancels each delivery that matches and is not final, as [Hooks.Cancel]
	// does.
	ActionCancel ActionKind = "cancel"
	// ActionBackfill delivers to Query.Subscriber the events since Query.From that it
	// would receive now and has no delivery of. It skips events that are erased or have
	// expired.
	ActionBackfill ActionKind = "backfill"
	// ActionErase erases each event that matches: its Data, its Metadata, and the headers
	// and bodies of all responses to it. The event, its deliveries and their attempts stay
	// in the history. Deliveries that are not final are canceled, with [ReasonErased]. An
	// erased event cannot be replayed. The action of a [Tenant] skips events that have an
	// unfinished delivery to a handler, because the tenant is not shown that one: start it
	// again later. An operator's action cancels these, too.
	ActionErase ActionKind = "erase"
)

// An Action changes many rows, oldest first, at a rate. [Hooks.StartAction] starts it.
// Processes in which Run runs carry it out: one at a time, and if that one ends, another
// one goes on, or the next one that calls Run. Each row is changed once.
type Action struct {
	// ID is the action's: 1 to 128 letters, digits, "_" and "-". Empty: StartAction makes
	// one. To start the same action again, with its ID, does nothing.
	ID   string     `json:"id"`
	Kind ActionKind `json:"kind"`
	// Query selects the rows: deliveries, or events for backfill and erase. Rows that come
	// after the start are not part of it. It must not be empty, and Limit, Cursor and
	// OldestFirst must be.
	//
	//   - Replay and cancel look at what [Hooks.Deliveries] looks at.
	//   - Erase looks at Event, Key, Tenant, Types, From and To.
	//   - Backfill needs Subscriber and From, and looks at Tenant, Types and To.
	Query Query `json:"query"`
	// Rate is how many rows are changed in a time, by all processes together. What is
	// replayed or backfilled is due one after the other, so that it makes no burst. Zero:
	// 50 a second. At least one an hour.
	Rate Rate `json:"rate"`
	// By says who started it, for people: one line of at most 128 bytes, or empty.
	By string `json:"by,omitempty"`
	// DryRun makes StartAction count the rows, and do nothing else.
	DryRun bool `json:"dry_run,omitempty"`

	// StartAction ignores the fields that follow, and returns them as they are.

	// Tenant is whose view started it: [Hooks.Tenant]. Empty: the operator's.
	Tenant string `json:"tenant,omitempty"`
	// Total is how many rows matched when the action started, exact up to 10,000. It counts
	// rows that are skipped later, too. When the action has finished by itself, Done and
	// Skipped together are as many. If few of very many rows match, counting gives up: More
	// is set then, with what was found.
	Total Count `json:"total"`
	// Done is how many rows were changed.
	Done int `json:"done"`
	// Skipped is how many rows were not: somebody else, or an attempt, has changed or
	// removed them since the start, or they are in no state for it.
	Skipped int       `json:"skipped"`
	Started time.Time `json:"started,omitzero"`
	// Finished is when it had changed its rows. What it has replayed or backfilled may still
	// wait for its attempts then. Zero: it is under way.
	Finished time.Time `json:"finished,omitzero"`
	Stopped  bool      `json:"stopped,omitempty"` // by StopAction
	Error    string    `json:"error,omitempty"`   // why it could not go on, for people; empty if it could
}

const (
	maxOpenActions = 100   // unfinished ones of one view
	maxNewActions  = 1_000 // that one view may start in a day
	maxBy          = 128   // bytes
	actionsKept    = 90 * day
)

// StartAction starts a bulk action and returns it, with its ID and Total. It is carried out
// by processes in which Run runs; Flush does not carry it out. An action that selects nothing
// has finished when StartAction returns. With DryRun StartAction only counts.
//
// It is safe to repeat a call that has an ID: if there is an action with this ID, Kind and
// Query already, StartAction returns that one as it stands and starts nothing.
//
// A [Tenant] selects among the rows that it sees. Bad input is an [*InvalidError]:
//
//   - an empty Query, for example, because it would select everything,
//   - the ID of an action with another Kind or Query, or of one that a Tenant does not see,
//   - the 101st action that is unfinished, and the 1,001st that was started in a day.
//
// A Subscriber that does not exist is [ErrNotFound]. But one that was deleted may still have
// deliveries: then a cancel cancels them, and a replay skips them, as [Hooks.Replay] refuses
// them.
func (v *view) StartAction(ctx context.Context, a Action) (Action, error) {
	if err := v.check(ctx); err != nil {
		return Action{}, err
	}
	if a.ID != "" && !isID(a.ID) {
		return Action{}, invalid("Action.ID", "%q: write 1 to 128 letters, digits, _ and -, or leave it empty", a.ID)
	}
	if err := v.h.reload(ctx, nil); err != nil {
		return Action{}, err
	}
	if known, err := v.started(a); known != nil || err != nil {
		return known.result(err)
	}
	rec, err := v.newAction(ctx, a)
	switch {
	case err != nil:
		return Action{}, err
	case a.DryRun:
		return rec.Action, nil
	}
	switch recent, unfinished := v.h.dir.countActions(v.tenant, rec.Started.Add(-day)); {
	case unfinished >= maxOpenActions:
		return Action{}, invalid("Action", "%d actions are unfinished; wait until one has finished, or stop one", unfinished)
	case recent >= maxNewActions:
		return Action{}, invalid("Action", "%d actions were started in the last day; start one for many rows", recent)
	}
	rec.ID = cmp.Or(rec.ID, newID("act_"))
	err = v.h.putRecord(ctx, v.h.store, "action/"+rec.ID, Record{}, rec, nil)
	if errors.Is(err, ErrConflict) { // somebody has started it at the same time
		if err = v.h.reload(ctx, nil); err == nil {
			known, err := v.started(rec.Action)
			return known.result(err)
		}
	}
	if err != nil {
		return Action{}, err
	}
	return rec.Action, nil
}

// started returns the action that has the ID of a, or nil. One that the view does not show
// is an error: its ID is taken.
func (v *view) started(a Action) (*action, error) {
	if a.ID == "" || a.DryRun {
		return nil, nil
	}
	known, err := v.action(a.ID)
	switch {
	case errors.Is(err, ErrNotFound) && v.h.dir.action(a.ID) != nil:
		return nil, invalid("Action.ID", "%q is taken; choose another one, or leave it empty", a.ID)
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err == nil && !known.isSame(a, v.tenant):
		return nil, invalid("Action.ID", "%q is that of another action, of kind %s; choose another one, or leave it empty", a.ID, known.Kind)
	}
	return known, err
}

// isSame reports whether wanted asks for what the action does. tenant is whose view asks;
// empty: the operator's.
func (a *action) isSame(wanted Action, tenant string) bool {
	q := wanted.Query
	q.Tenant, q.From, q.To = cmp.Or(q.Tenant, tenant), micro(q.From), micro(q.To)
	asked, err1 := json.Marshal(q)
	does, err2 := json.Marshal(a.Query)
	return wanted.Kind == a.Kind && err1 == nil && err2 == nil && bytes.Equal(asked, does)
}

// StopAction ends an action that is under way, and returns it. What it has done stays done.
// A step that is under way is carried to its end, and counted a moment later. An action that
// has finished already is returned as it is; one that does not exist is [ErrNotFound].
func (v *view) StopAction(ctx context.Context, id string) (a Action, err error) {
	if err := v.check(ctx); err != nil {
		return Action{}, err
	}
	err = untilWritten(0, func() error {
		if err := v.h.reload(ctx, nil); err != nil {
			return err
		}
		known, err := v.action(id)
		if err != nil {
			return err
		}
		rec := known.actionRecord
		if rec.Finished.IsZero() {
			rec.Finished, rec.Stopped = v.h.now(), true
			err = v.h.putRecord(ctx, v.h.store, "action/"+id, known.record, rec, nil)
		}
		a = rec.Action
		return err
	})
	if err != nil {
		return Action{}, err
	}
	return a, nil
}

// Action returns an action as it stands, or [ErrNotFound]. What another process has done of
// it may be a second or so old.
func (v *view) Action(ctx context.Context, id string) (Action, error) {
	if err := v.check(ctx); err != nil {
		return Action{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return Action{}, err
	}
	known, err := v.action(id)
	return known.result(err)
}

// Actions lists the actions that are under way or have finished within 90 days, those that
// started last first. It looks at Tenant, Limit and Cursor of q. With q.Tenant it lists those
// that the [Tenant] has started. A Tenant sees its own, and those of an operator's [Hooks]
// only the operator.
func (v *view) Actions(ctx context.Context, q Query) (page []Action, next string, err error) {
	if err := v.check(ctx); err != nil {
		return nil, "", err
	}
	if q, err = v.query(q, ofActions); err != nil {
		return nil, "", err
	}
	after, err := parsePlace(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, "", err
	}
	limit, old := q.PageSize(tenantPage), v.h.now().Add(-actionsKept)
	for _, a := range v.h.dir.actionsBackwards() {
		switch {
		case !v.showsAction(a) || a.unreadable != nil || a.endedBefore(old) || q.Tenant != "" && a.Tenant != q.Tenant:
		case q.Cursor != "" && a.place().compare(after) >= 0:
		case len(page) == limit:
			last := actionPlace{page[limit-1].Started, page[limit-1].ID}
			return page, last.String(), nil
		default:
			page = append(page, a.Action.clone())
		}
	}
	return page, "", nil
}

// showsAction reports whether the view shows an action.
func (v *view) showsAction(a *action) bool { return v.all || a.Tenant == v.tenant }

// action returns the action with an id, if the view shows it, or [ErrNotFound]. If its record
// cannot be read, the error says why.
func (v *view) action(id string) (*action, error) {
	a := v.h.dir.action(id)
	switch {
	case a == nil || !v.showsAction(a):
		return nil, fmt.Errorf("hooks: action %q: %w", id, ErrNotFound)
	case a.unreadable != nil:
		return nil, fmt.Errorf("hooks: the record of action %q cannot be read: %w", id, a.unreadable)
	}
	return a, nil
}

// result returns what a method returns of a, which may be nil if err is not.
func (a *action) result(err error) (Action, error) {
	if err != nil {
		return Action{}, err
	}
	return a.Action.clone(), nil
}

// clone returns an Action that shares no memory with a.
func (a Action) clone() Action {
	q := &a.Query
	q.Types, q.Statuses = slices.Clone(q.Types), slices.Clone(q.Statuses)
	q.Reasons, q.Errors = slices.Clone(q.Reasons), slices.Clone(q.Errors)
	q.Codes = slices.Clone(q.Codes)
	return a
}

// An actionPlace is where an action stands in the list of all: by when it started, then by
// its id.
type actionPlace struct {
	started time.Time
	id      string
}

func (a *action) place() actionPlace { return actionPlace{a.Started, a.ID} }

func (p actionPlace) compare(other actionPlace) int {
	return cmp.Or(p.started.Compare(other.started), cmp.Compare(p.id, other.id))
}

// String returns the cursor of the page that follows an action.
func (p actionPlace) String() string {
	return strconv.FormatInt(p.started.UnixMicro(), 10) + "." + p.id
}

// parsePlace reads what String returned. An empty cursor is no place.
func parsePlace(cursor string) (p actionPlace, err error) {
	if cursor == "" {
		return p, nil
	}
	text, id, _ := strings.Cut(cursor, ".")
	started, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !isID(id) {
		return p, invalid("Query.Cursor", "%q: give what the page before returned as next", cursor)
	}
	return actionPlace{time.UnixMicro(started).UTC(), id}, nil
}
