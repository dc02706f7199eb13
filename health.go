package hooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An EndpointState is how an endpoint is treated. The texts stay as they are.
type EndpointState string

const (
	// StateWorking: its last attempts succeeded, or there were none, as far as this
	// process knows.
	StateWorking EndpointState = "working"
	// StateFailing: its last three or more attempts failed, as far as this process made
	// them. Deliveries are sent to it all the same.
	StateFailing EndpointState = "failing"
	// StateDisabled: somebody has disabled it, and what is due for it is held; see
	// [Hooks.DisableEndpoint].
	StateDisabled EndpointState = "disabled"
	// StateUnverified: its owner has to prove that it is theirs, and what is due for it is
	// held; see [Hooks.VerifyEndpoint].
	StateUnverified EndpointState = "unverified"
	// StateNoKey: its secrets cannot be decrypted, and what is due for it waits; see
	// [ErrUndecryptable].
	StateNoKey EndpointState = "no_key"
)

// endpointStates are all states.
var endpointStates = []EndpointState{StateWorking, StateFailing, StateDisabled, StateUnverified, StateNoKey}

// An EndpointHealth is how an endpoint stands. State, Reason, Since and Until of a
// disabled endpoint are the same in every process. Failures and the fields that begin with
// Last are what attempts of this process showed since it began, or since the endpoint was
// put for the first time.
type EndpointHealth struct {
	Endpoint string        `json:"endpoint"` // its id
	State    EndpointState `json:"state"`
	Reason   string        `json:"reason,omitempty"` // of a disabled one: what was given to DisableEndpoint
	// Since is when a disabled endpoint was disabled, when an unverified one was made or
	// pointed to another URL, or when the first of the Failures of a failing one ended. It is
	// zero in other states.
	Since time.Time `json:"since,omitzero"`
	// Until is when a disabled endpoint is enabled by itself. Zero means that somebody
	// has to call EnableEndpoint.
	Until       time.Time `json:"until,omitzero"`
	Failures    int       `json:"failures"`              // failed attempts in a row, up to the last one
	LastSuccess time.Time `json:"last_success,omitzero"` // zero: none was seen
	LastError   string    `json:"last_error,omitempty"`  // the class of the last failed attempt, such as "timeout"
	LastCode    int       `json:"last_code,omitempty"`   // the HTTP status of the last failed attempt; 0 without one
	Waiting     Count     `json:"waiting"`               // deliveries that are pending or retrying
	Oldest      time.Time `json:"oldest,omitzero"`       // when the earliest unfinished delivery was or will be due
}

// DisableEndpoint holds what is due for an endpoint, until a time or, if until is zero,
// until EnableEndpoint is called. Events are published to it as before. What is due waits
// in the store, uncharged; an attempt that is under way ends as it ends. It takes effect
// at once in this process, and within a second or so in others on the same store. However
// many deliveries wait, none is written.
//
// A delivery that has been due for longer than [Endpoint].Hold while the endpoint was
// disabled ends as [Failed] with [ReasonExpired]. One whose event's ExpiresAt passes
// meanwhile ends then, or when the endpoint is enabled, whichever is first.
//
// reason is for people to read: one line, at most 1,024 bytes, or empty. until must be in
// the future. Disabling a disabled endpoint replaces reason and until, and its Hold goes on.
// [Endpoint].Version stays the same. [EndpointDisabled] tells of it, and [EndpointEnabled] when
// it has ended. An endpoint that does not exist is [ErrNotFound], and
// bad input an [*InvalidError].
func (v *view) DisableEndpoint(ctx context.Context, id, reason string, until time.Time) error {
	if err := v.check(ctx); err != nil {
		return err
	}
	if err := checkText("EndpointHealth.Reason", reason, maxDescription); err != nil {
		return err
	}
	if err := v.h.sync(ctx, nil); err != nil {
		return err
	}
	if !until.IsZero() {
		until = micro(until)
		if !until.After(v.h.now()) || until.After(farFuture) {
			return invalid("EndpointHealth.Until", "%v: give a time in the future and before the year 9999, or the zero time for no end", until)
		}
	}
	return v.writeHealth(ctx, id, func(was *health) healthRecord {
		next := healthRecord{Since: v.h.now(), Why: byHand, Until: until, Reason: reason}
		if was.disabled(next.Since) {
			next.Since = was.Since
		}
		return next
	})
}

// EnableEndpoint ends a disabling. What is due is sent at once by this process, and within
// a second or so by others on the same store. An endpoint that is enabled stays as it is;
// one that does not exist is [ErrNotFound].
func (v *view) EnableEndpoint(ctx context.Context, id string) error {
	if err := v.check(ctx); err != nil {
		return err
	}
	return v.writeHealth(ctx, id, func(*health) healthRecord { return healthRecord{} })
}

// EndpointHealth says how an endpoint stands, since when and why, until when, and how many
// deliveries wait for it. A [Tenant] counts the deliveries that it sees. An endpoint that
// does not exist is [ErrNotFound].
func (v *view) EndpointHealth(ctx context.Context, id string) (EndpointHealth, error) {
	if err := v.check(ctx); err != nil {
		return EndpointHealth{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return EndpointHealth{}, err
	}
	e := v.endpoint(id)
	if e == nil {
		return EndpointHealth{}, fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
	}
	list, err := v.standings(ctx, []*endpoint{e})
	if err != nil {
		return EndpointHealth{}, err
	}
	return list[0], nil
}

// EndpointHealths lists how endpoints stand, in the order of their ids, as EndpointHealth
// does for one. It looks at Tenant, States, Limit and Cursor of q. next goes into q.Cursor
// for the page that follows, and is empty at the end. A page reads the backlog of the store
// once, so it is cheaper than a call of EndpointHealth for each endpoint.
func (v *view) EndpointHealths(ctx context.Context, q Query) (page []EndpointHealth, next string, err error) {
	if err := v.check(ctx); err != nil {
		return nil, "", err
	}
	if q, err = v.query(q, ofEndpoints); err != nil {
		return nil, "", err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, "", err
	}
	known, next := v.endpointPage(q)
	page, err = v.standings(ctx, known)
	return page, next, err
}

// state returns how an endpoint stands at a time with a health record, which may be nil,
// without what waits for it.
func (e *endpoint) state(known *health, at time.Time) EndpointHealth {
	is := EndpointHealth{Endpoint: e.ID, State: StateWorking}
	e.seen.describe(&is)
	switch {
	case known != e.unproved && known.disabled(at):
		is.State, is.Reason, is.Since, is.Until = StateDisabled, known.Reason, known.Since, known.Until
	case e.Unverified:
		is.State, is.Since = StateUnverified, e.unverifiedSince
	case e.closed != nil:
		is.State, is.Since = StateNoKey, time.Time{}
	}
	return is
}

// standings returns how endpoints stand now.
func (v *view) standings(ctx context.Context, list []*endpoint) (page []EndpointHealth, err error) {
	at := v.h.now()
	for _, e := range list {
		page = append(page, e.state(v.h.subscriber(e.ID).health, at))
	}
	return page, v.addWaiting(ctx, page)
}

// addWaiting adds what waits for each endpoint, as far as the view shows it. It reads the
// backlog once.
func (v *view) addWaiting(ctx context.Context, page []EndpointHealth) error {
	if len(page) == 0 {
		return nil
	}
	backlog, err := v.h.store.Backlog(ctx)
	if err != nil {
		return fmt.Errorf("hooks: backlog: %w", err)
	}
	lanes := make(map[string]BacklogLane, len(backlog))
	for _, l := range backlog {
		lanes[l.Subscriber] = l
	}
	for i := range page {
		lane, ok := lanes[page[i].Endpoint]
		if !ok {
			continue
		}
		if err := v.countWaiting(ctx, &page[i], lane); err != nil {
			return fmt.Errorf("hooks: backlog of %q: %w", lane.Subscriber, err)
		}
	}
	return nil
}

// countWaiting adds what waits in a lane to the health of its endpoint.
func (v *view) countWaiting(ctx context.Context, is *EndpointHealth, lane BacklogLane) (err error) {
	q := Query{Subscriber: lane.Subscriber, Tenant: v.tenant, Statuses: []Status{Pending, Retrying}}
	if !v.all {
		if q.Types = v.types(); len(q.Types) == 0 {
			return nil // nothing that it shows
		}
	}
	if is.Waiting, err = v.h.count(ctx, q); err != nil || v.oldestIsOthers(lane.Subscriber) {
		return err
	}
	is.Oldest = lane.Due
	if v.all || is.Waiting.N > 0 {
		return nil
	}
	q.Statuses = []Status{Sending}
	_, err = first(ctx, v.h.store.Deliveries, q)
	if errors.Is(err, ErrNotFound) { // it is of a delivery that the view does not show
		is.Oldest, err = time.Time{}, nil
	}
	return err
}

// A seen is what the attempts of this process showed of an endpoint. The ledger writes it
// and EndpointHealth reads it. It lives as long as the endpoint does, over all versions.
type seen struct {
	mu      sync.Mutex // guards what follows
	streak             // the present one
	success time.Time  // when the last attempt that succeeded had ended
	class   string     // of the last failure
	code    int        // the HTTP status of the last failure
}

// note records an attempt, after which the delivery is d.
func (s *seen) note(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Status == Succeeded {
		s.streak, s.success = streak{}, d.Updated
		return
	}
	s.fail(d)
	s.class, s.code = d.Error, d.Code
}

// describe sets the fields of is that this process knows from its attempts.
func (s *seen) describe(is *EndpointHealth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is.Failures, is.LastSuccess, is.LastError, is.LastCode = s.failures, s.success, s.class, s.code
	if s.fails() {
		is.State, is.Since = StateFailing, s.since
	}
}

// disabledWarning returns what the operator should know of an endpoint that is disabled.
// due is the earliest of what waits for it; zero: nothing does.
func (s subscriber) disabledWarning(due time.Time) Warning {
	until := "until Hooks.EnableEndpoint is called"
	if !s.health.Until.IsZero() {
		until = "until " + stamp(s.health.Until)
	}
	ends := fmt.Sprintf("Nothing waits for it; a delivery that is held for %v fails.", s.hold)
	if !due.IsZero() {
		ends = fmt.Sprintf("A delivery that is held for %v fails, the first one at %s.", s.hold, stamp(s.holdEnds(due)))
	}
	text := fmt.Sprintf("It has been disabled since %s, with the reason %q, and stays so %s. %s",
		stamp(s.health.Since), s.health.Reason, until, ends)
	return Warning{WarnDisabled, s.id, text}
}

// explainHeld explains a delivery of an endpoint that is disabled or not verified.
func (s subscriber) explainHeld(d Delivery, at time.Time) Explanation {
	if s.health.Why == notVerified {
		text := fmt.Sprintf("Its endpoint has not been verified since %s: its owner has to answer a challenge first. %s If it is held until %s, it fails.",
			stamp(s.health.Since), d.dueText(at), stamp(s.holdEnds(d.Due)))
		return Explanation{Code: codeUnverified, Text: text, Since: s.health.Since, Until: s.nextLook(d.Due)}
	}
	until := "until it is enabled"
	if !s.health.Until.IsZero() {
		until = "until " + stamp(s.health.Until)
	}
	text := fmt.Sprintf("Its endpoint has been disabled since %s, with the reason %q, and stays so %s. %s If it is held until %s, it fails.",
		stamp(s.health.Since), s.health.Reason, until, d.dueText(at), stamp(s.holdEnds(d.Due)))
	return Explanation{Code: codeDisabled, Text: text, Since: s.health.Since, Until: s.nextLook(d.Due)}
}
