package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Keeper encrypts what must not lie in a store in plain text: the secrets of
// endpoints and the values of their headers. Package keeper has one; a key
// management service may stand behind another.
//
// associated is authenticated and not encrypted, as in [crypto/cipher.AEAD]: it is
// the endpoint's id, so that a ciphertext which was moved to another endpoint does
// not decrypt. The bytes belong to the caller. An error of Decrypt makes the
// endpoint wait until it succeeds, and is tried again every second or so; an error
// of Encrypt is that of the call that had something to write. Neither may quote the
// plain text. Methods are called from several goroutines at a time.
//
// A Keeper with several keys may have a method Current(ciphertext []byte) bool,
// which says that the newest one was used: [Hooks.Reseal] leaves these alone.
type Keeper interface {
	Encrypt(plaintext, associated []byte) (ciphertext []byte, err error)
	Decrypt(ciphertext, associated []byte) (plaintext []byte, err error)
}

// ErrSealed reports an endpoint whose secrets cannot be read: there is no Keeper,
// or not with the key that they were encrypted with.
var ErrSealed = errors.New("hooks: the endpoint's secrets cannot be decrypted")

// A recordedEndpoint is an endpoint's record, in JSON.
type recordedEndpoint struct {
	Endpoint
	Private *private `json:",omitempty"` // without a Keeper
	Sealed  []byte   `json:",omitempty"` // with one: the same, encrypted
}

// The private part of an endpoint.
type private struct {
	Keys   []recordedKey // newest first
	Header map[string]string
}

// A recordedKey is a signing key in plain text.
type recordedKey struct {
	Key   string
	Until time.Time // when it stops signing; zero: never
}

// plain returns the record that e has without a Keeper: endpoints are equal if
// theirs are.
func (e *endpoint) plain() ([]byte, error) {
	return json.Marshal(recordedEndpoint{Endpoint: e.public(), Private: e.private()})
}

// public is what may be read by whoever has the store.
func (e *endpoint) public() Endpoint {
	public := e.Endpoint
	public.Header = nil
	return public
}

func (e *endpoint) private() *private { return &private{revealKeys(e.keys), e.Header} }

// seal returns the record of e.
func (h *Hooks) seal(e *endpoint) ([]byte, error) {
	k := h.cfg.Keeper
	if k == nil {
		return e.plain()
	}
	plain, err := json.Marshal(e.private())
	if err != nil {
		return nil, err
	}
	sealed, err := k.Encrypt(plain, []byte(e.ID))
	if err != nil {
		return nil, fmt.Errorf("hooks: encrypt the secrets of endpoint %q: %w", e.ID, err)
	}
	return json.Marshal(recordedEndpoint{Endpoint: e.public(), Sealed: sealed})
}

// unseal reads the record of an endpoint; nil if it is deleted. One that cannot be
// decrypted is known by its public part, so that it gets its deliveries.
func unseal(k Keeper, id string, r Record) (*endpoint, error) {
	if len(r.Data) == 0 {
		return nil, nil
	}
	var rec recordedEndpoint
	if err := json.Unmarshal(r.Data, &rec); err != nil {
		return nil, err
	}
	if rec.ID != id {
		return nil, fmt.Errorf("it is that of %q", rec.ID)
	}
	e := &endpoint{Endpoint: rec.Endpoint, record: r, sealed: rec.Sealed}
	if len(rec.Sealed) > 0 {
		rec.Private, e.closed = open(k, id, rec.Sealed)
	}
	if rec.Private == nil {
		return e, nil
	}
	var err error
	e.Header = rec.Private.Header
	e.keys, err = parseKeys(rec.Private.Keys)
	return e, err
}

// open decrypts the private part of an endpoint. What the plain text looks like does
// not get into an error.
func open(k Keeper, id string, sealed []byte) (*private, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: set Config.Keeper", ErrSealed)
	}
	plain, err := k.Decrypt(sealed, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	p := new(private)
	if json.Unmarshal(plain, p) != nil {
		return nil, fmt.Errorf("%w: what the Keeper returned is not what it was given", ErrSealed)
	}
	return p, nil
}

// putEndpointRecord writes next over old, the endpoint that it was made from, which
// may be nil, unless they are equal.
func (h *Hooks) putEndpointRecord(ctx context.Context, old, next *endpoint) error {
	if old != nil && old.closed == nil {
		was, err := old.plain()
		if err != nil {
			return err
		}
		if is, err := next.plain(); err != nil || bytes.Equal(was, is) {
			return err
		}
	}
	return h.writeEndpoint(ctx, old, next)
}

// writeEndpoint is putEndpointRecord if they are equal, too.
func (h *Hooks) writeEndpoint(ctx context.Context, old, next *endpoint) error {
	var was Record
	if old != nil {
		was = old.record
	}
	data, err := h.seal(next)
	if err != nil {
		return err
	}
	return h.writeRecord(ctx, "endpoint/"+next.ID, was, data)
}

// Reseal encrypts with the newest key of [Config].Keeper what the store holds in
// plain text, from before there was a Keeper, or under another key, and returns how
// many endpoints it wrote. Run it once when every process has the new key; then the
// old one can go. It takes one endpoint after the other, may be interrupted,
// repeated, and run beside everything else. Endpoints that cannot be decrypted are
// left as they are; the error, joined, names each of them and wraps [ErrSealed].
func (h *Hooks) Reseal(ctx context.Context) (n int, err error) {
	if h.cfg.Keeper == nil {
		return 0, invalid("Config.Keeper", "it is nil; set it to what shall encrypt, such as keeper.New returns")
	}
	if err := h.reload(ctx, nil); err != nil {
		return 0, err
	}
	var errs []error
	for _, id := range h.dir.endpointIDs("") {
		wrote := false
		err := untilWritten(func() (err error) {
			wrote, err = h.reseal(ctx, id)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return n, ctx.Err()
		case err != nil:
			errs = append(errs, err)
		case wrote:
			n++
		}
	}
	return n, errors.Join(errs...)
}

func (h *Hooks) reseal(ctx context.Context, id string) (wrote bool, err error) {
	e := h.dir.endpoint(id)
	switch {
	case e == nil: // deleted meanwhile
		return false, nil
	case e.closed != nil:
		return false, fmt.Errorf("hooks: endpoint %q: %w", id, e.closed)
	case isCurrent(h.cfg.Keeper, e.sealed):
		return false, nil
	}
	err = h.writeEndpoint(ctx, e, e)
	if errors.Is(err, ErrConflict) {
		if failed := h.reload(ctx, nil); failed != nil {
			return false, failed
		}
	}
	return err == nil, err
}

// isCurrent reports whether a Keeper says that it encrypted with its newest key.
func isCurrent(k Keeper, sealed []byte) bool {
	c, ok := k.(interface{ Current(ciphertext []byte) bool })
	return ok && len(sealed) > 0 && c.Current(sealed)
}
