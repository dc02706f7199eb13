package hooks

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

// SendTest sends ev to one endpoint once, now, and returns the attempt. The request is
// signed and sent as every other one, by the rules of [Config].Egress and within the
// endpoint's Timeout. SendTest works without Run, and is not held up by what waits for the
// endpoint.
//
// Nothing is stored or counted: there is no event and no delivery afterwards, the test has
// no place in [Config].Concurrency, and neither Health nor a [Trace] is told of it. It does
// not matter whether the endpoint's Events match. Of ev these count:
//
//   - ID is the webhook-id. Empty: "test_" and a UUIDv7. (A receiver takes an event whose
//     ID it has seen for a repeat.)
//   - Type is that of a registered type, which is not private.
//   - Data is the payload. Empty: the type's Example.
//   - Tenant must be the endpoint's, or empty.
//   - Time: zero means now.
//
// The other fields are checked as by Publish, and do nothing.
//
// A failure is no error, but in the attempt, as in the list of [Hooks.Attempts]: its Error
// is the class, such as "status" or "timeout"; a panic of the transport is "panic". These
// are errors, and nothing was sent after any but the last of them:
//
//   - An [*InvalidError] says what is wrong with ev, such as that it has no Data and its
//     type no Example.
//   - An endpoint that does not exist is [ErrNotFound].
//   - One whose secrets cannot be decrypted is [ErrUndecryptable].
//   - An endpoint of a [Tenant] that is Unverified is an [*InvalidError].
//   - While a test of the same endpoint is under way in this process, another one is an
//     [*InvalidError] that wraps [ErrConflict].
//   - If ctx ends before the attempt has succeeded, the error is that of ctx. The endpoint
//     may have received the request.
func (v *view) SendTest(ctx context.Context, endpoint string, ev Event) (Attempt, error) {
	if err := v.check(ctx); err != nil {
		return Attempt{}, err
	}
	if ev.ID == "" {
		ev.ID = newID("test_")
	}
	ev, err := v.withExample(ev)
	if err != nil {
		return Attempt{}, err
	}
	if ev, err = v.complete(ev); err != nil {
		return Attempt{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return Attempt{}, err
	}
	e := v.endpoint(endpoint)
	if e == nil {
		return Attempt{}, fmt.Errorf("hooks: endpoint %q: %w", endpoint, ErrNotFound)
	}
	if ev, err = v.forTest(ev, e); err != nil {
		return Attempt{}, err
	}
	if !v.h.tests.begin(e.ID) {
		return Attempt{}, invalid("Endpoint", "a test of %q is under way; wait for its result", e.ID).because(ErrConflict)
	}
	defer v.h.tests.end(e.ID)
	return v.sendTest(ctx, e, ev)
}

// withExample returns an event with the Example of its type if it has no Data. It leaves
// alone an event whose type does not exist for the view.
func (v *view) withExample(ev Event) (Event, error) {
	if len(ev.Data) > 0 || ev.err != nil || !v.knows(ev.Type) {
		return ev, nil
	}
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	ev.Data = v.h.types[ev.Type].Example
	if ev.Data == nil {
		return ev, invalid("Event.Data", "it is empty, and %s has no Example; give the data to send", ev.Type)
	}
	return ev, nil
}

// forTest returns an event as a test of an endpoint sends it, or why it must not.
func (v *view) forTest(ev Event, e *endpoint) (Event, error) {
	switch {
	case e.closed != nil:
		return ev, fmt.Errorf("hooks: endpoint %q: %w", e.ID, e.closed)
	case !v.all && e.Unverified:
		return ev, invalid("Endpoint", "%q is not verified; send the challenge first", e.ID)
	case v.h.isPrivate(ev.Type):
		return ev, invalid("Event.Type", "%q is private, and so for handlers only; choose another type", ev.Type)
	case ev.Tenant != "" && ev.Tenant != e.Tenant:
		return ev, invalid("Event.Tenant", "%q is not the tenant of endpoint %q; leave it empty", ev.Tenant, e.ID)
	}
	ev.Tenant = e.Tenant
	if ev.Time.IsZero() {
		ev.Time = v.h.now()
	}
	return ev, nil
}

// sendTest makes the attempt of a test.
func (v *view) sendTest(ctx context.Context, e *endpoint, ev Event) (Attempt, error) {
	if err := ctx.Err(); err != nil {
		return Attempt{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, v.h.cfg.Timeout))
	defer cancel()
	var w worker
	defer w.leave()
	j := &job{Delivery: Delivery{DeliveryID: DeliveryID{ev.ID, e.ID}, Type: ev.Type, Tenant: ev.Tenant, Status: Sending, Run: 1}, event: ev}
	began := time.Now()
	a, _, _ := v.h.try(bounded, &w, e.sender, j, Attempt{Run: 1, Number: 1, Start: v.h.now(), Instance: v.h.cfg.Instance})
	a.Took = time.Since(began).Truncate(time.Microsecond)
	if v.h.dispatcher() == nil {
		v.h.closeIdle() // nobody will use the connection again soon
	}
	if err := ctx.Err(); err != nil && a.Error != "" {
		return Attempt{}, fmt.Errorf("hooks: test of endpoint %q: %w", e.ID, err)
	}
	return *a, nil
}

// testRuns are the endpoints that are tested at present.
type testRuns struct {
	mu  sync.Mutex // guards what follows
	ids map[string]bool
}

// begin records that a test of an endpoint is under way. It reports false if there is one
// already.
func (t *testRuns) begin(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids[id] {
		return false
	}
	insert(&t.ids, id, true)
	return true
}

// end records that the test is not under way any more.
func (t *testRuns) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	discard(&t.ids, id)
}
