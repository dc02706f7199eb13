package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file has what an action looks for: how its query is checked and narrowed when it
// starts, and which rows are part of it.

var defaultRate = Rate{50, time.Second}

// looksAt returns the fields of Query that a kind of action looks at.
func (k ActionKind) looksAt() (fields, error) {
	switch k {
	case ActionReplay, ActionCancel:
		return ofDecisions, nil
	case ActionBackfill:
		return ofBackfill, nil
	case ActionErase:
		return ofErase, nil
	}
	return nil, invalid("Action.Kind", "%q: give replay, cancel, backfill or erase", string(k))
}

// ofEvents reports whether the rows of an action are events. Otherwise they are deliveries.
func (k ActionKind) ofEvents() bool { return k == ActionBackfill || k == ActionErase }

// newAction returns the record of an action that somebody wants to start, with its Total.
func (v *view) newAction(ctx context.Context, a Action) (rec actionRecord, err error) {
	looksAt, err := a.Kind.looksAt()
	if err = cmp.Or(err, checkText("Action.By", a.By, maxBy), a.Rate.check("Action.Rate")); err != nil {
		return rec, err
	}
	if fields(nil).check(a.Query) == nil {
		return rec, invalid("Action.Query", "it is empty, so that it would select everything; say which rows are meant, "+
			"by Tenant, Types, From or another field (everything: Types with the pattern **)")
	}
	rec = actionRecord{Form: actionForm, Action: Action{
		ID: a.ID, Tenant: v.tenant, Kind: a.Kind, Query: a.clone().Query, Rate: a.Rate, By: a.By, DryRun: a.DryRun, Started: v.h.now(),
	}}
	orDefault(&rec.Rate, defaultRate)
	if rec.Ask, err = v.query(rec.Query, looksAt); err != nil {
		return rec, err
	}
	rec.Query.Tenant, rec.Query.From, rec.Query.To = rec.Ask.Tenant, rec.Ask.From, rec.Ask.To
	rec.Ask.OldestFirst = true
	if err := v.narrowAction(&rec); err != nil {
		return rec, err
	}
	err = v.total(ctx, &rec)
	switch {
	case err != nil:
	case rec.DryRun:
		rec.Started = time.Time{}
	case rec.Total == Count{}:
		rec.Finished = rec.Started
	}
	return rec, err
}

// total sets Until and Total. If there is nothing, because the subscriber does not exist, the
// error says so. One that was deleted may still have deliveries, for example to cancel.
func (v *view) total(ctx context.Context, rec *actionRecord) error {
	ask, none, err := v.narrow(rec.Ask)
	if err != nil {
		return err
	}
	rec.Ask = ask
	if !none {
		if err := v.h.measure(ctx, rec); err != nil {
			return fmt.Errorf("hooks: count what the action selects: %w", err)
		}
	}
	if id := rec.Ask.Subscriber; id != "" && rec.Total == (Count{}) && !v.hasSubscriber(id) {
		return fmt.Errorf("hooks: %s of deliveries to %q: %w", rec.Kind, id, ErrNotFound)
	}
	return nil
}

// hasSubscriber reports whether the view shows an endpoint or a handler with an id.
func (v *view) hasSubscriber(id string) bool {
	_, isHandler := v.h.dir.listener(id)
	return v.endpoint(id) != nil || v.all && isHandler
}

// narrowAction narrows the query to rows that the action can change.
func (v *view) narrowAction(rec *actionRecord) (err error) {
	switch q := &rec.Ask; rec.Kind {
	case ActionCancel:
		q.Statuses, err = onlyUnfinished(q.Statuses)
	case ActionBackfill:
		err = v.narrowBackfill(rec)
	case ActionReplay:
		rec.Since = v.h.dir.since(q.Subscriber)
	}
	return err
}

// unfinished are the statuses of deliveries that are not final.
var unfinished = []Status{Pending, Retrying, Sending}

// onlyUnfinished returns those of the given statuses that are not final; of none given, all.
func onlyUnfinished(given []Status) ([]Status, error) {
	if len(given) == 0 {
		return unfinished, nil
	}
	left := slices.DeleteFunc(slices.Clone(given), Status.Final)
	if len(left) == 0 {
		return nil, invalid("Query.Statuses", "only deliveries that are pending, retrying or sending can be canceled; give one of these, or none for all")
	}
	return left, nil
}

// narrowBackfill narrows the query to events that the subscriber receives: those of its
// tenant if it is an endpoint, and of types that its patterns match.
func (v *view) narrowBackfill(rec *actionRecord) error {
	q := &rec.Ask
	switch {
	case q.Subscriber == "":
		return invalid("Query.Subscriber", "it is empty; say to which endpoint the events are to be delivered")
	case q.From.IsZero():
		return invalid("Query.From", "it is zero; say since when the events were published that are to be delivered")
	}
	e := v.endpoint(q.Subscriber)
	switch {
	case !v.hasSubscriber(q.Subscriber):
		return fmt.Errorf("hooks: backfill to %q: %w", q.Subscriber, ErrNotFound)
	case e != nil && q.Tenant != "" && q.Tenant != e.Tenant:
		return invalid("Query.Tenant", "the endpoint %q receives events of its own tenant only; leave it empty", e.ID)
	case e != nil:
		q.Tenant, rec.Since, rec.NoTenant = e.Tenant, v.h.dir.since(e.ID), e.Tenant == ""
	}
	if len(q.Types) == 0 {
		q.Types = v.types()
	}
	q.Types = slices.DeleteFunc(q.Types, func(name string) bool {
		_, receives := v.h.receives(q.Subscriber, q.Tenant, name, v.h.isPrivate(name))
		return !receives || !v.knows(name) // whether the others are private, nobody can say
	})
	if len(q.Types) == 0 {
		return invalid("Query.Types", "%q receives events of none of these types", q.Subscriber)
	}
	return nil
}

// receives reports whether a subscriber receives events of a tenant and type now, and how.
// Private ones are for handlers only.
func (h *Hooks) receives(id, tenant, typ string, private bool) (match, bool) {
	list := h.dir.matches(tenant, typ, private)
	i := slices.IndexFunc(list, func(m match) bool { return m.id == id })
	if i < 0 {
		return match{}, false
	}
	return list[i], true
}

// measure sets Until and Total.
func (h *Hooks) measure(ctx context.Context, rec *actionRecord) (err error) {
	if rec.Kind.ofEvents() {
		var last Event
		last, err = first(ctx, h.store.Events, Query{})
		rec.Until = last.Seq
	} else {
		var last Delivery
		last, err = first(ctx, h.store.Deliveries, Query{})
		rec.Until = last.Seq
	}
	if errors.Is(err, ErrNotFound) {
		return nil // nothing is stored
	}
	if err != nil {
		return err
	}
	n, cursor := 0, ""
	for range mostMeasured {
		var rows []actionRow
		if rows, cursor, err = h.actionRows(ctx, h.store, rec, cursor, rec.Kind.mostRows()); err != nil {
			return err
		}
		if n += len(rows); cursor == "" || n > mostCounted {
			break
		}
	}
	rec.Total = countUpTo(n, mostCounted)
	rec.Total.More = rec.Total.More || cursor != ""
	return nil
}

// mostMeasured is how many pages are read at most to count what an action selects: enough for
// 10,000 events if every row matches, and twice as many as that.
const mostMeasured = 2 * mostCounted / 100

// mostRows returns how many rows are read or changed at once at most. Events are read with
// their Data, so these are fewer, and a store erases no more in one call.
func (k ActionKind) mostRows() int {
	if k.ofEvents() {
		return 100
	}
	return 500
}

// An actionRow is a row that an action changes.
type actionRow struct {
	Event      string `json:"event"`
	Subscriber string `json:"subscriber,omitempty"` // of a delivery
	Token      int64  `json:"token,omitempty"`      // of a delivery, before the action has changed it
	Run        int    `json:"run,omitempty"`        // of a delivery, likewise
	Has        bool   `json:"has,omitempty"`        // of a backfill: the event had a delivery before

	// The row as it was read when the step was planned. They are nil if it must be read
	// again, because another process has planned the step or a call of the store failed.
	delivery *Delivery
	event    *Event // without Data
}

// actionRows returns rows of an action, oldest first, from a cursor on: those among the next
// limit ones that the query selects. next is the cursor of those that follow; it is empty if
// none do.
func (h *Hooks) actionRows(
	ctx context.Context, store Store, rec *actionRecord, cursor string, limit int,
) (rows []actionRow, next string, err error) {
	q := rec.Ask
	q.Cursor, q.Limit = cursor, limit+1 // with one more, the last page is known to be the last
	if rec.Kind.ofEvents() {
		page, next, err := store.Events(ctx, q)
		page, next = cutPage(page, next, limit, rec.Until, func(ev Event) int64 { return ev.Seq })
		for _, ev := range page {
			if ev = ev.withoutData(); rec.hasEvent(ev) {
				rows = append(rows, actionRow{Event: ev.ID, event: &ev})
			}
		}
		return rows, next, err
	}
	page, next, err := store.Deliveries(ctx, q)
	page, next = cutPage(page, next, limit, rec.Until, func(d Delivery) int64 { return d.Seq })
	for _, d := range page {
		if rec.hasDelivery(h, d) {
			rows = append(rows, actionRow{Event: d.Event, Subscriber: d.Subscriber, Token: d.Token, Run: d.Run, delivery: &d})
		}
	}
	return rows, next, err
}

// withoutData returns ev without its Data, which would fill the memory. A notice of a failed
// delivery keeps it, because it says who may receive the notice.
func (ev Event) withoutData() Event {
	if ev.Type != DeliveryFailed.Name {
		ev.Data = nil
	}
	return ev
}

// cutPage returns at most limit rows of a page, and of these those with a Seq of at most until;
// and the cursor of the rows of the action that follow.
func cutPage[T any](page []T, next string, limit int, until int64, seq func(T) int64) ([]T, string) {
	for i, row := range page {
		switch {
		case seq(row) > until:
			return page[:i], ""
		case i == limit:
			return page[:i], Cursor(seq(page[i-1]))
		}
	}
	return page, next
}

// hasDelivery reports whether a delivery is part of the action, if its query selects it. A
// tenant's has none of handlers.
func (rec *actionRecord) hasDelivery(h *Hooks, d Delivery) bool {
	return rec.Tenant == "" || h.dir.wasOnlyEndpoint(d.Subscriber)
}

// hasEvent reports whether an event is part of the action, if its query selects it: a query
// without a Tenant selects events of all tenants.
func (rec *actionRecord) hasEvent(ev Event) bool { return !rec.NoTenant || ev.Tenant == "" }
