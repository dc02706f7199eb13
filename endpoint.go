package hooks

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"example.com/hooks/retry"
	"example.com/hooks/signer"
)

// An Endpoint is a URL that receives events as signed webhooks. It is stored, and known to
// every process on the store.
type Endpoint struct {
	// ID is its subscriber id: letters, digits, "_" and "-", at most 128.
	// Empty: PutEndpoint makes one, "ep_" and a UUIDv7.
	ID string
	// Tenant is the customer whose events it receives, and no others. Empty: it receives
	// the events without a tenant, and not those of all tenants. It cannot change.
	Tenant string
	// URL is where to POST. [Config].Egress says which are allowed. Each attempt reads
	// it, so deliveries that wait go to the new URL when you change it.
	URL string
	// Events are patterns of the types it receives, at most 64: names, with "*" for one
	// segment and "**" for the rest, such as "invoice.*". Each must match a registered
	// type that is not private. The library's own types, such as that of [DeliveryFailed],
	// are matched only by patterns that begin with "hooks.", such as "hooks.**".
	Events []string
	// Description is for people to read: one line, at most 1,024 bytes.
	Description string
	// Secret signs the requests. Zero: PutEndpoint generates one for a new endpoint and
	// returns it; an existing endpoint keeps its own. Set it only to import one: it
	// becomes the newest, and the one before signs beside it for 24 h; see
	// [Hooks.RotateSecret]. An endpoint that is read has none here.
	Secret signer.Secret
	// Scheme is how the requests are signed. Empty: [SchemeHMAC]. When you change it,
	// the old key signs beside the new one for 24 h.
	Scheme Scheme
	// PublicKey is what the owner of a [SchemeEd25519] endpoint verifies with: the newest
	// one. PutEndpoint ignores it.
	PublicKey signer.PublicKey
	// Header is added to every request; at most 20 fields, 4 KiB in all. It cannot replace
	// a field that hooks sends itself. With a [Config].Keeper its values are encrypted in
	// the store, as the secrets are.
	Header Header
	// Raw sends an event's Data alone as the body, without type and timestamp.
	Raw bool
	// Ordered makes events with the same OrderingKey come one after the
	// other, each only when the one before is final.
	Ordered bool
	// Concurrency is how many requests may be under way at once from one
	// process, at most [Config].Concurrency. Zero: [Config].SubscriberConcurrency.
	Concurrency int
	// Timeout is how long one attempt may take, the response's body included.
	// At most 24 h. Zero: [Config].Timeout.
	Timeout time.Duration
	// Hold is how long a delivery may be held while the endpoint is disabled, before it
	// ends as [Failed] with [ReasonExpired]; see [Hooks.DisableEndpoint]. At most 30 days.
	// Zero: [Config].Hold.
	Hold time.Duration
	// Retry is the waits between attempts, at most 50. Nil: [Config].Retry. Empty and not
	// nil: there is one attempt only.
	Retry []time.Duration
	// Unverified says that the endpoint gets nothing yet, because a [Tenant] has made it, or
	// changed its URL, while [Config].VerifyEndpoints was set. What is due for it is held, as
	// for a disabled endpoint, until [Hooks.VerifyEndpoint] has succeeded. PutEndpoint ignores
	// it: it stays as it is while the URL does.
	Unverified bool
	// Version is that of the stored endpoint, set when it is read. Give it back to
	// PutEndpoint to change exactly what you have read: if somebody has changed the
	// endpoint since, or deleted it, that is [ErrConflict]. Zero writes over whatever is
	// there.
	Version int64
}

// A Scheme is how an endpoint's requests are signed, as Standard Webhooks names it.
type Scheme string

const (
	// SchemeHMAC is HMAC-SHA256 with a secret that the receiver has as well.
	SchemeHMAC Scheme = "v1"
	// SchemeEd25519 is a signature with the private key of a pair, which hooks generates
	// and never shows. Receivers verify with the public key, and cannot sign with it.
	SchemeEd25519 Scheme = "v1a"
)

// An endpoint is an [Endpoint] as it is recorded, with what signs its requests.
type endpoint struct {
	Endpoint
	keys []signingKey // newest first
	address
	policy retry.Policy // what Retry says; nil: [Config].Retry
	sender sender       // made by [Hooks.connect]
	seen   *seen        // what attempts of this process showed; set by the roster

	// since is zero, unless another subscriber had the id and was deleted. Then deliveries
	// that were created before belong to that one, and are not sent to this one.
	since  time.Time
	record Record

	unverifiedSince time.Time // zero unless it is Unverified
	unproved        *health   // see unproven; made by [Hooks.connect]
	sealed          []byte    // the ciphertext in it; nil if it is in plain text
	closed          error     // why that cannot be decrypted: keys and header are unknown
}

// An address is what follows from an endpoint's URL, made when the endpoint becomes known,
// because each attempt needs it.
type address struct {
	masked string   // for people; see [maskURL]
	tokens []string // see [urlTokens]
}

// PutEndpoint creates the endpoint e, or changes the stored one with the same ID so that it
// equals e. To change some fields, read the endpoint first, and put it with those fields
// changed. If nothing differs, nothing is written. The change takes effect at once in this
// process, and within a second or so in others on the same store. Deliveries that wait are
// sent by the new settings.
//
// It returns the endpoint as stored. The Secret is set only if this call generated one:
// show it to the endpoint's owner now, because it cannot be read later. (If an error of the
// store leaves open whether the endpoint was created, call RotateSecret.) A Secret that you
// give becomes the newest one, and the one before signs beside it for another 24 h, so that
// receivers can change over. Give it once, to import it, and not with each start of the
// program, because that would undo a rotation.
//
// An endpoint that is put with the id of a deleted one is a new one: it receives nothing
// that was published for the old one.
//
// Bad input is an [*InvalidError]; it wraps [ErrTaken] if the ID is another tenant's or a
// handler's, and [ErrNoMatch] if a pattern matches no type. A Version that is not the stored
// one is [ErrConflict].
//
// An endpoint whose secrets cannot be decrypted is [ErrUndecryptable], unless you give a
// Secret: then e, with its Secret and Header, replaces it at once. When such an endpoint is
// read, its Header has "***" for each value, which PutEndpoint refuses. On a store with
// encrypted endpoints, PutEndpoint without a [Config].Keeper is [ErrUndecryptable] too.
func (v *view) PutEndpoint(ctx context.Context, e Endpoint) (Endpoint, error) {
	if err := v.check(ctx); err != nil {
		return Endpoint{}, err
	}
	var err error
	if e.Tenant, err = v.own("Endpoint.Tenant", e.Tenant); err != nil {
		return Endpoint{}, err
	}
	if e.ID == "" {
		e.ID = newID("ep_")
	}
	e.Scheme = cmp.Or(e.Scheme, SchemeHMAC)
	if err := v.h.checkEndpoint(e); err != nil {
		return Endpoint{}, err
	}
	if !v.all {
		select {
		case v.h.creating <- struct{}{}:
			defer func() { <-v.h.creating }()
		case <-ctx.Done():
			return Endpoint{}, ctx.Err()
		}
	}
	e = e.clone()
	var made Endpoint
	err = untilWritten(e.Version, func() (err error) {
		made, err = v.putEndpoint(ctx, e)
		return err
	})
	return made, err
}

func (v *view) putEndpoint(ctx context.Context, e Endpoint) (Endpoint, error) {
	h := v.h
	if err := h.reload(ctx, nil); err != nil {
		return Endpoint{}, err
	}
	old := h.dir.endpoint(e.ID)
	if err := v.mayPut(e, old); err != nil {
		return Endpoint{}, err
	}
	next, made := merge(old, e, h.now())
	v.demandProof(old, next)
	if old == nil {
		var err error
		if next.since, err = h.since(ctx, e.ID); err != nil {
			return Endpoint{}, fmt.Errorf("hooks: endpoint %q: %w", e.ID, err)
		}
	}
	if err := h.putEndpointRecord(ctx, old, next); err != nil {
		return Endpoint{}, err
	}
	return next.shown(made), nil
}

// mayPut returns an error unless e may be written over old, which is nil if there is no
// endpoint with the id. Who has taken an id is nobody's business but the operator's.
func (v *view) mayPut(e Endpoint, old *endpoint) error {
	_, isHandler := v.h.dir.listener(e.ID)
	taken := invalid("Endpoint.ID", "%q is taken; choose another", e.ID).because(ErrTaken)
	unreadable := v.h.dir.whyUnreadable(e.ID)
	switch {
	case isHandler:
		return taken.detail("it is a handler's name")
	case unreadable != nil && (v.all || old != nil && old.Tenant == v.tenant):
		return unreadable
	case unreadable != nil:
		return taken.detail("%v", unreadable)
	case !v.all && old == nil && v.h.dir.wasEver(e.ID, wasHandler):
		return taken.detail("it was a handler's name, so that a tenant would not be shown its deliveries")
	case old != nil && old.Tenant != e.Tenant:
		return taken.detail("it is that of an endpoint of tenant %q, and what waits for it too", old.Tenant)
	case old != nil && old.closed != nil && e.Secret.IsZero():
		return fmt.Errorf("hooks: endpoint %q: %w", e.ID, old.closed)
	}
	if most := v.h.cfg.TenantEndpoints; !v.all && old == nil && v.h.dir.count(e.Tenant) >= most {
		return invalid("Endpoint", "there are %d endpoints, and there may be no more; delete one that nobody needs", most).
			detail("Config.TenantEndpoints is the limit of tenant %q", e.Tenant)
	}
	return old.isAt(e.ID, e.Version)
}

// since returns what an endpoint that is made now has as since: zero if no subscriber had
// its id before. The clock may have been set back, so it is later than whatever is dated
// after now, and than what is dated in the same microsecond.
func (h *Hooks) since(ctx context.Context, id string) (since time.Time, err error) {
	if !h.isDeleted(id) {
		return time.Time{}, nil
	}
	since = h.now()
	q := Query{Subscriber: id, From: since, Limit: 1000}
	for d, err := range All(ctx, h.store.Deliveries, q) {
		if err != nil {
			return since, err
		}
		if d.Created.After(since) {
			since = d.Created
		}
	}
	return since.Add(time.Microsecond), nil
}

// merge returns the endpoint that putting e over old gives. old may be nil. Its keys carry
// over, and a Secret that is given becomes the newest. made reports that a key had to be
// generated.
func merge(old *endpoint, e Endpoint, at time.Time) (next *endpoint, made bool) {
	given := e.Secret
	e.Secret, e.PublicKey = signer.Secret{}, signer.PublicKey{}
	next = &endpoint{Endpoint: e}
	if old != nil {
		next.keys, next.PublicKey, next.since = slices.Clone(old.keys), old.PublicKey, old.since
	}
	switch {
	case !given.IsZero():
		next.use(signingKey{secret: given}, at, defaultOverlap)
	case len(next.keys) == 0, old.Scheme != e.Scheme:
		next.use(newKey(e.Scheme), at, defaultOverlap)
		return next, true
	}
	return next, false
}

// isAt returns [ErrConflict] unless the endpoint, which may be nil, has the version
// that the caller has read. The version zero is any.
func (e *endpoint) isAt(id string, version int64) error {
	if version == 0 || e != nil && e.record.Version == version {
		return nil
	}
	return fmt.Errorf("hooks: endpoint %q: %w", id, ErrConflict)
}

// copy returns a copy that may be changed.
func (e *endpoint) copy() *endpoint {
	return &endpoint{Endpoint: e.Endpoint.clone(), keys: slices.Clone(e.keys), since: e.since, unverifiedSince: e.unverifiedSince}
}

// shown returns the endpoint as callers see it: with its newest secret if made, that is,
// if their call has generated it.
func (e *endpoint) shown(made bool) Endpoint {
	shown := e.Endpoint.clone()
	shown.Secret, shown.Version = signer.Secret{}, e.record.Version
	if made {
		shown.Secret = e.keys[0].secret
	}
	return shown
}

// DeleteEndpoint deletes an endpoint, or returns [ErrNotFound]. The dispatcher cancels the
// deliveries that wait for it, with [ReasonDeleted]; an attempt that is under way may still
// end. Then the id is free. An endpoint that is put with the same id later is a new one. It
// receives nothing that was published for the old one.
func (v *view) DeleteEndpoint(ctx context.Context, id string) error {
	if err := v.check(ctx); err != nil {
		return err
	}
	return untilWritten(0, func() error {
		if err := v.h.reload(ctx, nil); err != nil {
			return err
		}
		e := v.endpoint(id)
		if err := v.h.dir.whyUnreadable(id); err != nil && (v.all || e != nil) {
			return err
		}
		if e == nil {
			return fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
		}
		if err := v.h.deleteRecord(ctx, id, e.record); err != nil {
			return err
		}
		v.h.deleteHealth(ctx, id)
		return nil
	})
}

// Endpoint returns an endpoint, without its Secret, or [ErrNotFound].
func (v *view) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	if err := v.check(ctx); err != nil {
		return Endpoint{}, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return Endpoint{}, err
	}
	e := v.endpoint(id)
	if e == nil {
		return Endpoint{}, fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
	}
	return e.shown(false), nil
}

// Endpoints lists endpoints, without their Secrets, in the order of their ids. It looks at
// Tenant, States, Limit and Cursor of q. next goes into q.Cursor for the page that follows,
// and is empty at the end.
func (v *view) Endpoints(ctx context.Context, q Query) (page []Endpoint, next string, err error) {
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
	for _, e := range known {
		page = append(page, e.shown(false))
	}
	return page, next, nil
}

// endpointPage returns the endpoints that q selects, as this process knows them.
func (v *view) endpointPage(q Query) (page []*endpoint, next string) {
	limit := q.PageSize(math.MaxInt)
	if len(q.States) == 0 {
		page, more := v.h.dir.page(q.Tenant, q.Cursor, limit)
		if more {
			next = page[limit-1].ID
		}
		return page, next
	}
	at := v.h.now()
	all, _ := v.h.dir.page(q.Tenant, q.Cursor, math.MaxInt)
	for _, e := range all {
		if !slices.Contains(q.States, e.state(v.h.subscriber(e.ID).health, at).State) {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID
		}
		page = append(page, e)
	}
	return page, ""
}

func (e Endpoint) clone() Endpoint {
	e.Events = slices.Clone(e.Events)
	e.Header = maps.Clone(e.Header)
	if len(e.Header) == 0 {
		e.Header = nil // equal content is to be recorded alike
	}
	e.Retry = slices.Clone(e.Retry)
	return e
}

// maxWaits is how many waits an endpoint's own schedule may have. Every process reads
// them with the endpoint.
const maxWaits = 50

func (h *Hooks) checkEndpoint(e Endpoint) error {
	switch {
	case !isID(e.ID):
		return invalid("Endpoint.ID", "%q: write 1 to 128 letters, digits, _ and -", e.ID)
	case e.Concurrency < 0:
		return invalid("Endpoint.Concurrency", "%d is negative; leave it zero for the default", e.Concurrency)
	case e.Timeout < 0 || e.Timeout > day:
		return invalid("Endpoint.Timeout", "%v: at most 24 h, and zero for the default", e.Timeout)
	case e.Hold < 0 || e.Hold > maxHold:
		return invalid("Endpoint.Hold", "%v: at most 30 days, and zero for the default", e.Hold)
	case e.Scheme != SchemeHMAC && e.Scheme != SchemeEd25519:
		return invalid("Endpoint.Scheme", "%q: write v1 for HMAC-SHA256, v1a for Ed25519, or leave it empty for v1", e.Scheme)
	case len(e.Retry) > maxWaits:
		return invalid("Endpoint.Retry", "%d waits; at most %d", len(e.Retry), maxWaits)
	}
	if err := retry.Schedule(e.Retry).Validate(); err != nil {
		return invalid("Endpoint.Retry", "%v", err).because(err)
	}
	if err := h.CheckURL(e.URL); err != nil {
		return invalid("Endpoint.URL", "%v", err).because(err)
	}
	if err := checkText("Endpoint.Tenant", e.Tenant, maxName); err != nil {
		return err
	}
	if err := checkText("Endpoint.Description", e.Description, maxDescription); err != nil {
		return err
	}
	if err := e.Header.check(); err != nil {
		return err
	}
	if e.Scheme == SchemeEd25519 && !e.Secret.IsZero() {
		return errNoImport("Endpoint.Secret")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.checkPatterns("Endpoint.Events", e.Events, customers)
}
