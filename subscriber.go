package hooks

import (
	"context"
	"time"

	"example.com/hooks/internal/lanes"
	"example.com/hooks/retry"
)

// A subscriber is an endpoint or a handler, as this process would call it now. Only
// [Hooks.subscriber] makes one, so nothing else asks which of the two it is.
type subscriber struct {
	id       string
	tenant   *string       // the one whose events it receives; nil: those of all tenants
	since    time.Time     // deliveries created before are those of a deleted one with its id
	slots    int           // attempts at once
	timeout  time.Duration // of an attempt
	policy   retry.Policy
	sender   sender
	obstacle obstacle
	health   *health       // of an endpoint that has a health record; else nil
	hold     time.Duration // how long what is due may be held
	declared bool          // this program's code declares it
	record   Record        // what the store has of it; its Version is zero if that is nothing
}

// A sender makes attempts at one subscriber. Each kind of destination has a sender of its
// own: [webhook], [function]. Several goroutines may call it at once.
type sender interface {
	// send makes one attempt at d, a delivery of ev, and returns when ctx ends, if not
	// before. It writes into a what people should read about the attempt. Error is the
	// class of failure and stays empty after a success. The caller has set Run, Number,
	// Token, Start and Instance, and sets Took.
	//
	// The verdict decides what happens to the delivery. The result tells the lanes how
	// the receiver is doing. If send panics, the caller decides both.
	send(ctx context.Context, d Delivery, ev Event, a *Attempt) (verdict, lanes.Result)
}

// A verdict is how an attempt went, as far as it decides what happens next.
type verdict struct {
	ok        bool
	permanent bool          // never try again
	after     time.Duration // not before; at most longestAfter counts
}

// longestAfter bounds what a subscriber can ask for with Retry-After.
const longestAfter = 24 * time.Hour

// An obstacle is why this process must not call a subscriber now. Deliveries of such a
// subscriber are neither reserved nor claimed nor attempted. Those that are leased all the
// same are given back; if the obstacle is for good, they are canceled.
type obstacle int

const (
	noObstacle   obstacle = iota
	notHere               // this process has no endpoint and no handler with the id
	held                  // the endpoint is disabled or not verified; see [Hooks.DisableEndpoint], [Hooks.VerifyEndpoint]
	keyMissing            // the endpoint's secrets cannot be decrypted; see [ErrUndecryptable]
	wasDeleted            // the subscriber was deleted, and perhaps put again since
	othersTenant          // the id is now that of another tenant's endpoint
)

// forGood reports whether waiting for the end of the obstacle is of no use.
func (o obstacle) forGood() bool { return o == wasDeleted || o == othersTenant }

// subscriber returns the subscriber with an id as it is now. It allocates nothing, because
// each delivery needs it several times.
func (h *Hooks) subscriber(id string) subscriber {
	s := subscriber{id: id}
	switch e, l, known, deleted := h.dir.lookUp(id); {
	case e != nil:
		s.tenant, s.slots, s.timeout = &e.Tenant, e.Concurrency, e.Timeout
		s.policy, s.sender, s.record, s.since = e.policy, e.sender, e.record, e.since
		s.health, s.hold = known, e.Hold
		switch {
		case known != nil && known.disabled(h.now()):
			s.obstacle = held
		case e.Unverified:
			s.obstacle, s.health = held, e.unproved
		case e.closed != nil:
			s.obstacle = keyMissing
		}
	case l.local != nil:
		s.slots, s.timeout, s.policy = l.local.Concurrency, l.local.Timeout, l.local.Retry
		s.sender, s.declared, s.record = l.local, true, l.record
	case deleted:
		s.obstacle = wasDeleted
	default:
		s.obstacle, s.record = notHere, l.record
	}
	orDefault(&s.slots, h.cfg.SubscriberConcurrency)
	orDefault(&s.timeout, h.cfg.Timeout)
	orDefault(&s.hold, h.cfg.Hold)
	if s.policy == nil {
		s.policy = h.cfg.Retry
	}
	return s
}

// connect decides how an endpoint is called and gives it its sender and policy. The
// directory calls it once, when the endpoint becomes known, because otherwise each attempt
// would allocate them.
func (h *Hooks) connect(e *endpoint) {
	e.sender, e.unproved = &webhook{h.client, e}, e.unproven()
	if e.Retry != nil {
		e.policy = retry.Schedule(e.Retry)
	}
}

// CheckURL returns nil if an endpoint may have this URL, and otherwise an [*egress.Error].
// The error's text may be shown to whoever typed the URL. Its fields Rule and Reason say
// more, but are for the operator, because the Reason may name an address.
//
// CheckURL asks no name server, so it accepts a host name whatever it resolves to. Each
// attempt checks the address, and fails with "destination not allowed" if it must not be
// called.
func (v *view) CheckURL(raw string) error {
	if err := v.check(context.Background()); err != nil {
		return err
	}
	_, err := v.h.cfg.Egress.CheckURL(raw)
	return err
}

// servable reports whether this process can call the subscriber.
func (s subscriber) servable() bool { return s.obstacle == noObstacle }

// obstacleTo returns what keeps the subscriber from receiving d.
func (s subscriber) obstacleTo(d Delivery) obstacle {
	switch {
	case s.tenant != nil && *s.tenant != d.Tenant:
		return othersTenant
	case d.Created.Before(s.since):
		return wasDeleted
	}
	return s.obstacle
}

// lane returns what the lanes must know about the subscriber.
func (s subscriber) lane() lanes.Lane {
	return lanes.Lane{ID: s.id, Slots: s.slots, Timeout: s.timeout}
}

// isDeleted reports whether a subscriber was deleted, and not merely never heard of.
func (h *Hooks) isDeleted(id string) bool {
	return h.subscriber(id).obstacle == wasDeleted
}
