package hooks

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// This file has the proof that an endpoint is its owner's. Without one, a customer's page on
// which endpoints are made is a tool that sends requests to strangers.

// challengeType is the type of the event that a challenge sends. It is never published.
const challengeType = "hooks.endpoint.challenge"

// classChallenge is the class of an answer that does not have the challenge.
const classChallenge = "challenge"

// challengeEvery is how far apart the challenges of one tenant are, in one process, at least.
const challengeEvery = 5 * time.Second

// VerifyEndpoint sends a challenge to an endpoint that is [Endpoint].Unverified, once, now,
// and returns the attempt. If the answer proves that the endpoint's owner expects webhooks
// there, the endpoint is verified and what was held for it is sent. For an endpoint that is
// verified already, it does nothing and returns the zero Attempt.
//
// The request is signed and sent as that of [Hooks.SendTest]. Its type is
// "hooks.endpoint.challenge", and its data {"challenge": "…"} with a random text. The receiver
// verifies the signature and answers 2xx with that text alone as the body. (A server that
// sends back what it gets does not: the text is only a part of that.)
//
// Another answer is no error, but in the attempt: its Error is the class, such as "status",
// or "challenge" if the answer has another body. These are errors:
//
//   - An endpoint that does not exist is [ErrNotFound], and one whose secrets cannot be
//     decrypted [ErrUndecryptable].
//   - While a test or a challenge of the endpoint is under way in this process, or if the
//     same [Tenant] has sent one in the last 5 s, it is an [*InvalidError] that wraps
//     [ErrConflict]: otherwise challenges would be such a tool, too.
//   - If the endpoint was changed meanwhile, it is [ErrConflict], and not verified.
func (v *view) VerifyEndpoint(ctx context.Context, id string) (Attempt, error) {
	if err := v.check(ctx); err != nil {
		return Attempt{}, err
	}
	h := v.h
	if err := h.reload(ctx, nil); err != nil {
		return Attempt{}, err
	}
	e := v.endpoint(id)
	switch {
	case e == nil:
		return Attempt{}, fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
	case !e.Unverified:
		return Attempt{}, nil
	case e.closed != nil:
		return Attempt{}, fmt.Errorf("hooks: endpoint %q: %w", id, e.closed)
	}
	if !h.tests.begin(e.ID) {
		return Attempt{}, invalid("Endpoint", "a test or challenge of %q is under way; wait for its result", e.ID).because(ErrConflict)
	}
	defer h.tests.end(e.ID)
	if !v.all && !h.challenges.begin(e.Tenant, time.Now()) {
		return Attempt{}, invalid("Endpoint", "a challenge was sent a moment ago; wait %v before the next", challengeEvery).because(ErrConflict)
	}
	a, err := v.challenge(ctx, e)
	if err != nil || a.Error != "" {
		return a, err
	}
	next := e.copy()
	next.Unverified, next.unverifiedSince = false, time.Time{}
	return a, h.putEndpointRecord(ctx, e, next)
}

// challenge sends a challenge. The attempt has an Error unless the answer was right.
func (v *view) challenge(ctx context.Context, e *endpoint) (Attempt, error) {
	text := rand.Text()
	data, err := json.Marshal(map[string]string{"challenge": text})
	if err != nil {
		return Attempt{}, err
	}
	a, err := v.sendTest(ctx, e, Event{ID: newID("verify_"), Type: challengeType, Tenant: e.Tenant, Time: v.h.now(), Data: data})
	if err == nil && a.Error == "" && strings.TrimSpace(string(a.Body)) != text {
		a.Error = classChallenge
	}
	return a, err
}

// demandProof sets whether an endpoint that is put over old, which may be nil, has to be
// verified. The operator is believed.
func (v *view) demandProof(old, next *endpoint) {
	next.Unverified, next.unverifiedSince = false, time.Time{}
	switch {
	case old != nil && old.URL == next.URL:
		next.Unverified, next.unverifiedSince = old.Unverified, old.unverifiedSince
	case v.h.cfg.VerifyEndpoints && !v.all:
		next.Unverified, next.unverifiedSince = true, micro(v.h.now())
	}
}

// unproven returns the health of an endpoint that has to be verified: what is due for it is
// held as if it had been disabled. It is nil for others.
func (e *endpoint) unproven() *health {
	if !e.Unverified {
		return nil
	}
	return &health{healthRecord: healthRecord{Since: e.unverifiedSince, Why: notVerified}}
}

// challenges are when tenants sent their last challenges.
type challenges struct {
	mu   sync.Mutex // guards what follows
	last map[string]time.Time
}

// begin records that a tenant sends a challenge. It reports false if it is too early.
func (c *challenges) begin(tenant string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.last[tenant]; ok && now.Sub(last) < challengeEvery {
		return false
	}
	for t, last := range c.last {
		if now.Sub(last) >= challengeEvery {
			delete(c.last, t)
		}
	}
	insert(&c.last, tenant, now)
	return true
}
