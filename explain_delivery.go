package hooks

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Explanation says where a delivery stands, and why it is not final yet.
type Explanation struct {
	// Code is one of these words, which stay as they are:
	//
	//   - "final": it has ended; the text says how.
	//   - "sending": a dispatcher has it, at most until Until.
	//   - "deleted": its subscriber was deleted, and a dispatcher will cancel it.
	//   - "erased": its event was erased, and a dispatcher will cancel it.
	//   - "disabled": its endpoint is disabled, at the latest until Until; see
	//     [Hooks.DisableEndpoint].
	//   - "unverified": its endpoint's owner has not answered a challenge yet; see
	//     [Hooks.VerifyEndpoint]. It fails at Until.
	//   - "no_key": its endpoint's secrets cannot be decrypted.
	//   - "scheduled": its first attempt may not start before Until.
	//   - "retrying": its last attempt failed; the next one may not start before Until.
	//   - "behind": it waits until Behind is final, an earlier one of its ordering key.
	//   - "no_handler": it is due, for a handler that this process does not have.
	//   - "due": it is due, and waits for a dispatcher that has room for it.
	//
	// If several are true, it is the first of them.
	Code string `json:"code"`
	// Text says the same in a few sentences, for people. It holds no secrets.
	Text string `json:"text"`
	// Since is when this began. Zero means that nobody knows.
	Since time.Time `json:"since,omitzero"`
	// Until is when this ends by itself. Zero means that it depends on something else: room,
	// another delivery, somebody who has to act; or that it is final.
	Until time.Time `json:"until,omitzero"`
	// Behind is the first unfinished delivery of the ordering key, if Code is "behind".
	Behind DeliveryID `json:"behind,omitzero"`
}

// The values of [Explanation].Code.
const (
	codeFinal      = "final"
	codeSending    = "sending"
	codeDeleted    = "deleted"
	codeErased     = "erased"
	codeDisabled   = "disabled"
	codeUnverified = "unverified"
	codeNoKey      = "no_key"
	codeScheduled  = "scheduled"
	codeRetrying   = "retrying"
	codeBehind     = "behind"
	codeNoHandler  = "no_handler"
	codeDue        = "due"
)

// ExplainDelivery says why a delivery is not final yet, or how it ended, and when that
// changes. A delivery that does not exist is [ErrNotFound]. What it says of subscribers is
// what this process knows: another process may have the handler that is missing here, or
// the key.
func (v *view) ExplainDelivery(ctx context.Context, id DeliveryID) (Explanation, error) {
	if err := v.check(ctx); err != nil {
		return Explanation{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return Explanation{}, err
	}
	d, err := v.Delivery(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	ev, err := first(ctx, v.h.store.Events, Query{Event: d.Event})
	if err != nil {
		return Explanation{}, noDelivery(id, err)
	}
	if e, ok := v.explainAlone(d, ev.Erased); ok {
		return e, nil
	}
	b, err := v.blockerOf(ctx, d)
	switch {
	case err != nil:
		return Explanation{}, fmt.Errorf("hooks: delivery %v: %w", id, err)
	case b.found:
		return b.explain(d, v.showsDelivery(b.Delivery)), nil
	}
	return v.explainDue(d), nil
}

// explainAlone explains a delivery if its row, its subscriber, and when its event was erased
// say enough. It reports false if the delivery is due, and may have to wait for another one.
func (v *view) explainAlone(d Delivery, erased time.Time) (e Explanation, ok bool) {
	at := v.h.now()
	s := v.h.subscriber(d.Subscriber)
	obstacle := s.obstacleTo(d)
	switch {
	case d.Status.Final():
		return Explanation{Code: codeFinal, Text: d.ending(erased), Since: d.Updated}, true
	case d.Status == Sending && d.Due.After(at):
		text := "A dispatcher has leased it, and sends it now or as soon as it has room. If the outcome is not stored by " +
			stamp(d.Due) + ", when the lease ends, it is sent again."
		return Explanation{Code: codeSending, Text: text, Until: d.Due}, true
	case obstacle.forGood():
		return Explanation{Code: codeDeleted, Text: "Its subscriber was deleted. The next dispatcher that meets it cancels it."}, true
	case !erased.IsZero():
		text := "Its event was erased at " + stamp(erased) + ". The next dispatcher that meets it cancels it."
		return Explanation{Code: codeErased, Text: text, Since: erased}, true
	case obstacle == held:
		return s.explainHeld(d, at), true
	case obstacle == keyMissing:
		text := "The secrets of its endpoint cannot be decrypted, so that no request can be signed. " +
			"It waits, without using up attempts, until the operator has provided the key. " + d.dueText(at)
		return Explanation{Code: codeNoKey, Text: text}, true
	case d.Due.After(at) && d.Status == Pending:
		text := "It is scheduled: its first attempt starts at " + stamp(d.Due) + " or later."
		return Explanation{Code: codeScheduled, Text: text, Since: d.Updated, Until: d.Due}, true
	case d.Due.After(at):
		text := fmt.Sprintf("%s at %s. The next attempt starts at %s or later.", d.lastFailure(), stamp(d.Updated), stamp(d.Due))
		return Explanation{Code: codeRetrying, Text: text, Since: d.Updated, Until: d.Due}, true
	}
	return Explanation{}, false
}

// explainDue explains a delivery that is due and is the first of its ordering key.
func (v *view) explainDue(d Delivery) Explanation {
	s := v.h.subscriber(d.Subscriber)
	switch {
	case s.obstacle == notHere:
		text := fmt.Sprintf("It has been due since %s for the handler %q, which this process does not have. "+
			"A process that has this handler calls it. If none has, because it was renamed or removed, delete the handler: that cancels what waits.",
			stamp(d.Due), d.Subscriber)
		return Explanation{Code: codeNoHandler, Text: text, Since: d.Due}
	case d.Status == Sending:
		text := "A dispatcher had leased it, but that lease ended at " + stamp(d.Due) +
			" without an outcome, perhaps because the process ended. The next dispatcher that has room sends it again."
		return Explanation{Code: codeDue, Text: text, Since: d.Due}
	}
	text := fmt.Sprintf("It has been due since %s. A running dispatcher sends it when it has room: "+
		"for one subscriber, at most %d attempts are under way at once in a process, and fewer while the subscriber fails.",
		stamp(d.Due), s.slots)
	return Explanation{Code: codeDue, Text: text, Since: d.Due}
}

// dueText says when the delivery is or was due.
func (d Delivery) dueText(at time.Time) string {
	if d.Due.After(at) {
		return "It is due at " + stamp(d.Due) + "."
	}
	return "It has been due since " + stamp(d.Due) + "."
}

// lastFailure says which attempt failed last, and how, without a full stop.
func (d Delivery) lastFailure() string {
	how := fmt.Sprintf("with %q", d.Error)
	switch d.Error {
	case "status":
		how = fmt.Sprintf("with status %d", d.Code)
	case "":
		how = "without an outcome"
	case classLost:
		how = "because the process ended"
	}
	return fmt.Sprintf("Attempt %d of run %d failed %s", d.Attempts, d.Run, how)
}

// ending says how a final delivery has ended, and whether its event was erased; zero: it was
// not.
func (d Delivery) ending(erased time.Time) string {
	since, next := stamp(d.Updated), "Replay it to send it again."
	if !erased.IsZero() {
		next = "Its event was erased at " + stamp(erased) + ", so it cannot be sent again."
	}
	switch {
	case d.Status == Succeeded && d.Code != 0:
		return fmt.Sprintf("It succeeded at %s: attempt %d of run %d got status %d.", since, d.Attempts, d.Run, d.Code)
	case d.Status == Succeeded:
		return fmt.Sprintf("It succeeded at %s with attempt %d of run %d.", since, d.Attempts, d.Run)
	case d.Status == Canceled && d.Reason == ReasonDeleted:
		return "It was canceled at " + since + " because its subscriber was deleted."
	case d.Status == Canceled && d.Reason == ReasonErased:
		return "It was canceled at " + since + " because its event was erased."
	case d.Status == Canceled:
		return "It was canceled at " + since + "."
	}
	return fmt.Sprintf("It failed for good at %s (%s). %s %s", since, d.Reason, d.whyFailed(), next)
}

// whyFailed says in a sentence why a delivery has failed for good.
func (d Delivery) whyFailed() string {
	switch d.Reason {
	case ReasonExhausted:
		return d.lastFailure() + ", and was the last one by the retry policy."
	case ReasonRejected:
		return d.lastFailure() + ", and the subscriber said never to try again."
	case ReasonLost:
		return "The process ended during its attempts."
	case ReasonExpired:
		if d.Attempts == 0 {
			return "Its event expired, or it was held for too long, before an attempt was made."
		}
		return d.lastFailure() + ", and then the event has expired, or it was held for too long."
	}
	return d.lastFailure() + "."
}

// A blocker is the delivery that another one of its ordering key waits for.
type blocker struct {
	Delivery
	found bool
}

// blockerOf finds the first unfinished delivery of the ordering key of d, which is
// unfinished itself, unless that is d.
func (v *view) blockerOf(ctx context.Context, d Delivery) (b blocker, err error) {
	if d.OrderingKey == "" || d.Status != Pending {
		return b, nil
	}
	b.Delivery, err = first(ctx, v.h.store.Deliveries, Query{
		Subscriber: d.Subscriber, Tenant: d.Tenant, OrderingKey: d.OrderingKey,
		Statuses: []Status{Pending, Retrying, Sending}, OldestFirst: true,
	})
	if errors.Is(err, ErrNotFound) {
		return blocker{}, nil // d has ended just now
	}
	b.found = err == nil && b.Seq < d.Seq
	return b, err
}

// explain explains d, which waits for the blocker. shown says that the blocker may be named:
// its type may be private by now.
func (b blocker) explain(d Delivery, shown bool) Explanation {
	e := Explanation{Code: codeBehind, Since: d.Due}
	first := "another one"
	if shown {
		e.Behind, first = b.DeliveryID, "delivery "+b.DeliveryID.String()
	}
	e.Text = fmt.Sprintf("It has been due since %s, but waits in line: %s, which is %v, has the same ordering key and comes first. "+
		"Deliveries of a key are sent one after the other, each when the one before is final.", stamp(d.Due), first, b.Status)
	return e
}

// stamp writes a time for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
