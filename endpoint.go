package hooks

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/hooks/retry"
	"example.com/hooks/signer"
)

// An Endpoint is a URL that receives events as signed webhooks. It is
// persisted, and known to every process on the store.
type Endpoint struct {
	// ID is its subscriber id: letters, digits, "_" and "-", at most 128.
	// Empty: PutEndpoint makes one, "ep_" and a UUIDv7.
	ID string
	// Tenant is whose events it receives: exactly those of this tenant. The
	// empty tenant is that of events without one, not of all. It cannot change.
	Tenant string
	// URL is where to POST. [Config].Egress says which are allowed. It is
	// read when an attempt starts, so mending it mends what waits.
	URL string
	// Events are patterns of the types it receives: names, with "*" for one
	// segment and "**" for the rest, at most 64. Each must match a registered type.
	Events []string
	// Description is for people to read: one line, at most 1,024 bytes.
	Description string
	// Secret signs the requests. It is for import only, and zero when an
	// endpoint is read back. Zero: a new one is made for a new endpoint, and
	// an existing one keeps what it has. Another one than before becomes the
	// newest, and the one before signs beside it for 24 h; see
	// [Hooks.RotateSecret]. It is encrypted in the store if there is a
	// [Config].Keeper.
	Secret signer.Secret
	// Scheme is how the requests are signed. Empty: [SchemeHMAC]. When you change it,
	// the old key signs beside the new one for 24 h.
	Scheme Scheme
	// PublicKey is the newest one of a [SchemeEd25519] endpoint, to be given to its
	// owner. It is read only: what is put is ignored.
	PublicKey signer.PublicKey
	// Header is added to every request; at most 20 fields, 4 KiB in all. It
	// cannot replace what hooks sends itself. Its values are kept like Secret.
	Header Header
	// Raw sends an event's data alone as the body, without the envelope of
	// type and timestamp.
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
	// Retry is the waits between attempts, at most 50. Nil: [Config].Retry.
	Retry []time.Duration
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
	// SchemeEd25519 is a signature of a key pair. Receivers have the public key, with
	// which nobody can sign. The pair is generated here, and the private key never
	// leaves.
	SchemeEd25519 Scheme = "v1a"
)

// An endpoint is an [Endpoint] as it is recorded, with what signs its requests.
type endpoint struct {
	Endpoint
	keys []signingKey // newest first
	address
	policy retry.Policy // what Retry says; nil: [Config].Retry
	sender sender       // made by [Hooks.connect]

	record Record
	sealed []byte // the ciphertext in it; nil if it is in plain text
	closed error  // why that cannot be decrypted: keys and header are unknown
}

// An address is what follows from an endpoint's URL, made when the endpoint becomes known,
// because each attempt needs it.
type address struct {
	masked string   // for people; see [maskURL]
	tokens []string // see [urlTokens]
}

// PutEndpoint creates the endpoint, or changes the existing one with its ID to equal
// it; equal content writes nothing. It takes effect at once in this process, and
// within a second or so in others on the same store. What already waits for
// the endpoint is sent as it now says.
//
// What it returns is the endpoint as stored. Its Secret is set only if this
// call generated one: show it to the endpoint's owner now, because it cannot be read
// later. (If an error of the store leaves open whether the endpoint was
// created, call RotateSecret.) A Secret that is given becomes the newest one; the
// one before signs beside it for another 24 h, so that receivers can change over.
//
// Give a Secret once, to import it, and not with each start of the program: it would
// undo a rotation.
//
// Bad input is an [*InvalidError]. An endpoint whose secrets cannot be decrypted is
// [ErrUndecryptable], unless a Secret is given: that, and the Header with it, replaces what
// was there at once. Read back, such an endpoint has a Header with "***" for each
// value, which is refused. Without a [Config].Keeper nothing is written on a store
// that has encrypted endpoints: that is [ErrUndecryptable], too.
func (h *Hooks) PutEndpoint(ctx context.Context, e Endpoint) (Endpoint, error) {
	if err := checkContext(ctx); err != nil {
		return Endpoint{}, err
	}
	if e.ID == "" {
		e.ID = newID("ep_")
	}
	e.Scheme = cmp.Or(e.Scheme, SchemeHMAC)
	if err := h.checkEndpoint(e); err != nil {
		return Endpoint{}, err
	}
	e = e.clone()
	var made Endpoint
	err := untilWritten(e.Version, func() (err error) {
		made, err = h.putEndpoint(ctx, e)
		return err
	})
	return made, err
}

func (h *Hooks) putEndpoint(ctx context.Context, e Endpoint) (Endpoint, error) {
	if err := h.reload(ctx, nil); err != nil {
		return Endpoint{}, err
	}
	if _, ok := h.dir.listener(e.ID); ok {
		return Endpoint{}, invalid("Endpoint.ID", "%q is a handler's name; choose another", e.ID).because(ErrTaken)
	}
	if old := h.dir.endpoint(e.ID); old != nil && old.Tenant != e.Tenant {
		return Endpoint{}, invalid("Endpoint.Tenant", "%q belongs to tenant %q, and what waits for it too; choose another ID",
			e.ID, old.Tenant).because(ErrTaken)
	}
	old := h.dir.endpoint(e.ID)
	if old != nil && old.closed != nil && e.Secret.IsZero() {
		return Endpoint{}, fmt.Errorf("hooks: endpoint %q: %w", e.ID, old.closed)
	}
	if err := old.isAt(e.ID, e.Version); err != nil {
		return Endpoint{}, err
	}
	next, made := merge(old, e, h.now())
	if err := h.putEndpointRecord(ctx, old, next); err != nil {
		return Endpoint{}, err
	}
	return next.shown(made), nil
}

// merge returns the endpoint that putting e over old gives. old may be nil. Its keys carry
// over, and a Secret that is given becomes the newest. made reports that a key had to be
// generated.
func merge(old *endpoint, e Endpoint, at time.Time) (next *endpoint, made bool) {
	given := e.Secret
	e.Secret, e.PublicKey = signer.Secret{}, signer.PublicKey{}
	next = &endpoint{Endpoint: e}
	if old != nil {
		next.keys, next.PublicKey = slices.Clone(old.keys), old.PublicKey
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
	return &endpoint{Endpoint: e.Endpoint.clone(), keys: slices.Clone(e.keys)}
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

// Unsubscribe deletes an endpoint, or the record of a handler that no program
// has any more. What waits for it is canceled by the dispatcher. A subscriber
// that does not exist is [ErrNotFound]. A handler of this process is refused,
// because Run would record it again.
func (h *Hooks) Unsubscribe(ctx context.Context, id string) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if err := h.reload(ctx, nil); err != nil {
		return err
	}
	s := h.subscriber(id)
	r := s.record
	switch {
	case s.declared:
		return invalid("Subscriber", "%q is a handler of this program; remove it from the code first", id).because(ErrTaken)
	case r.Version == 0:
		return fmt.Errorf("hooks: unsubscribe %q: %w", id, ErrNotFound)
	}
	version, err := h.store.Put(ctx, h.now(), Record{Key: r.Key, Version: r.Version}, nil)
	if err != nil {
		return fmt.Errorf("hooks: unsubscribe %q: %w", id, err)
	}
	h.dir.update(edit{Record: Record{Key: r.Key, Version: version}})
	if d := h.dispatcher(); d != nil {
		d.lanes.Remove(id)
		d.lanes.Recheck()
	}
	return nil
}

// Endpoint returns an endpoint, without its Secret, or [ErrNotFound].
func (h *Hooks) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	if err := checkContext(ctx); err != nil {
		return Endpoint{}, err
	}
	if err := h.refresh(ctx, nil, staleAfter); err != nil {
		return Endpoint{}, err
	}
	e := h.dir.endpoint(id)
	if e == nil {
		return Endpoint{}, fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
	}
	return e.shown(false), nil
}

// Endpoints lists up to limit endpoints, without their Secrets, in the order
// of their ids, beginning after the id that is given. next is what to give for
// the page that follows, empty at the end. A limit that is not positive is 50.
func (h *Hooks) Endpoints(ctx context.Context, after string, limit int) (page []Endpoint, next string, err error) {
	if err := checkContext(ctx); err != nil {
		return nil, "", err
	}
	if err := h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, "", err
	}
	if limit <= 0 {
		limit = 50
	}
	known, more := h.dir.page(after, limit)
	for _, e := range known {
		page = append(page, e.shown(false))
	}
	if more {
		next = page[limit-1].ID
	}
	return page, next, nil
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
