package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/hooks/retry"
	"example.com/hooks/signer"
)

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
// [ErrSealed], unless a Secret is given: that, and the Header with it, replaces what
// was there at once. Read back, such an endpoint has a Header with "***" for each
// value, which is refused. Without a [Config].Keeper nothing is written on a store
// that has encrypted endpoints: that is [ErrSealed], too.
func (h *Hooks) PutEndpoint(ctx context.Context, e Endpoint) (Endpoint, error) {
	if err := checkContext(ctx); err != nil {
		return Endpoint{}, err
	}
	if e.ID == "" {
		e.ID = newID("ep_")
	}
	if err := h.checkEndpoint(e); err != nil {
		return Endpoint{}, err
	}
	e = e.clone()
	var made Endpoint
	err := untilWritten(func() (err error) {
		made, err = h.putEndpoint(ctx, e)
		return err
	})
	return made, err
}

// untilWritten repeats a read and a write of a record that others write too.
func untilWritten(write func() error) (err error) {
	const tries = 10
	for range tries {
		if err = write(); !errors.Is(err, ErrConflict) {
			break
		}
	}
	return err
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
	next, fresh := succeed(old, e, h.now())
	if err := h.putEndpointRecord(ctx, old, next); err != nil {
		return Endpoint{}, err
	}
	return next.shown(fresh), nil
}

// succeed returns the endpoint that e makes of old, which may be nil, and whether
// its newest key was made up.
func succeed(old *endpoint, e Endpoint, at time.Time) (next *endpoint, fresh bool) {
	given := e.Secret
	e.Secret, e.PublicKey = signer.Secret{}, signer.PublicKey{}
	next = &endpoint{Endpoint: e}
	if old != nil {
		next.keys, next.PublicKey = slices.Clone(old.keys), old.PublicKey
	}
	switch {
	case !given.IsZero():
		next.use(signingKey{secret: given}, at, defaultOverlap)
	case len(next.keys) == 0, old.Ed25519 != e.Ed25519:
		next.use(newKey(e.Ed25519), at, defaultOverlap)
		return next, true
	}
	return next, false
}

// putRecord writes v over the record it was made from, unless they are equal.
func (h *Hooks) putRecord(ctx context.Context, store Store, key string, was Record, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("hooks: record %s: %w", key, err)
	}
	if bytes.Equal(data, was.Data) {
		return nil
	}
	r, err := h.writeRecord(ctx, store, key, was, data)
	if err == nil {
		h.dir.update(edit{Record: r})
	}
	return err
}

// writeRecord writes data over a record, and returns the new one.
func (h *Hooks) writeRecord(ctx context.Context, store Store, key string, was Record, data []byte) (r Record, err error) {
	r = Record{Key: key, Version: was.Version, Data: data}
	if len(was.Data) == 0 {
		r.Version = 0 // deleted, or never there
	}
	if r.Version, err = store.Put(ctx, h.now(), r); err != nil {
		return r, fmt.Errorf("hooks: record %s: %w", key, err)
	}
	return r, nil
}

// putHandler records a handler of this process, so that others publish to it.
func (h *Hooks) putHandler(ctx context.Context, store *boundedStore, s Handler) error {
	return untilWritten(func() error { return h.putListener(ctx, store, s) })
}

func (h *Hooks) putListener(ctx context.Context, store *boundedStore, s Handler) error {
	if err := h.reload(ctx, store); err != nil {
		return err
	}
	if h.dir.isEndpoint(s.Name) {
		return invalid("Handler.Name", "%q is an endpoint's id; choose another", s.Name).because(ErrTaken)
	}
	l, _ := h.dir.listener(s.Name)
	l.Events, l.Ordered = s.Events, s.Ordered
	return h.putRecord(ctx, store, "handler/"+s.Name, l.record, l)
}

// Unsubscribe deletes an endpoint, or the record of a handler that no program
// has any more. What waits for it is canceled by the dispatcher. A subscriber
// that does not exist is [ErrNotFound]; a handler of this process is refused,
// for it would be recorded again.
func (h *Hooks) Unsubscribe(ctx context.Context, id string) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if err := h.reload(ctx, nil); err != nil {
		return err
	}
	r := Record{}
	if e := h.dir.endpoint(id); e != nil {
		r = e.record
	} else if l, ok := h.dir.listener(id); ok {
		if l.local {
			return invalid("Subscriber", "%q is a handler of this program; remove it from the code first", id).because(ErrTaken)
		}
		r = l.record
	}
	if r.Version == 0 {
		return fmt.Errorf("hooks: unsubscribe %q: %w", id, ErrNotFound)
	}
	version, err := h.store.Put(ctx, h.now(), Record{Key: r.Key, Version: r.Version})
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
	return e.Endpoint.clone(), nil
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
		page = append(page, e.Endpoint.clone())
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
	case len(e.Retry) > maxWaits:
		return invalid("Endpoint.Retry", "%d waits; at most %d", len(e.Retry), maxWaits)
	}
	if err := retry.Schedule(e.Retry).Validate(); err != nil {
		return invalid("Endpoint.Retry", "%v", err).because(err)
	}
	if _, err := h.cfg.Egress.CheckURL(e.URL); err != nil {
		return invalid("Endpoint.URL", "%v", err).because(err)
	}
	if err := checkText("Endpoint.Tenant", e.Tenant, maxName); err != nil {
		return err
	}
	if err := checkText("Endpoint.Description", e.Description, 1024); err != nil {
		return err
	}
	if err := e.Header.check(); err != nil {
		return err
	}
	if e.Ed25519 && !e.Secret.IsZero() {
		return errNoImport("Endpoint.Secret")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.checkPatterns("Endpoint.Events", e.Events)
}
