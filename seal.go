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
// not decrypt. The bytes belong to the caller. An error of Encrypt is that of the
// call that had something to write. An error of Decrypt makes the endpoint wait;
// while Run runs, it is tried again every second or so until it succeeds. Neither
// may quote the plain text, and a panic, which counts as an error, may not either. Methods are called from several goroutines at a time.
//
// Decrypt is called when an endpoint's record is read for the first time or has
// changed, and whoever reads waits for it, Publish included: a Keeper that asks a
// service should answer within milliseconds, and bound the time itself.
//
// A Keeper may call methods of the [Hooks] that it belongs to, because none calls it
// while holding a lock. The exceptions are those that read endpoints, which would call
// it again without end: Publish, PublishBatch, PublishTx, PutEndpoint, Endpoint,
// Endpoints, RotateSecret, Unsubscribe, Reseal, Health, Run and Flush.
type Keeper interface {
	Encrypt(plaintext, associated []byte) (ciphertext []byte, err error)
	Decrypt(ciphertext, associated []byte) (plaintext []byte, err error)
}

// A KeyRing is a Keeper with several keys, of which one encrypts. It can tell which
// ciphertexts were made with that one: [Hooks.Reseal] leaves these alone. Optional.
type KeyRing interface {
	Keeper
	Current(ciphertext []byte) bool
}

// ErrSealed reports an endpoint whose secrets cannot be read: there is no Keeper, or
// not with the key that they were encrypted with, or what decrypts is not for this
// version of hooks.
var ErrSealed = errors.New("hooks: the endpoint's secrets cannot be decrypted")

// A recordedEndpoint is an endpoint's record, in JSON. Its Secret and the values of its
// Header hide themselves: what they are stands in the private part.
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
	return json.Marshal(recordedEndpoint{Endpoint: e.Endpoint, Private: e.private()})
}

func (e *endpoint) private() *private { return &private{revealKeys(e.keys), e.Header} }

// seal returns the record of e, and notes the ciphertext in e.
func (h *Hooks) seal(e *endpoint) ([]byte, error) {
	k := h.cfg.Keeper
	if k == nil && h.dir.anySealed() {
		return nil, fmt.Errorf("hooks: endpoint %q: %w", e.ID, errNoKeeper)
	}
	if k == nil {
		return e.plain()
	}
	plain, err := json.Marshal(e.private())
	if err != nil {
		return nil, err
	}
	if e.sealed, err = k.Encrypt(plain, []byte(e.ID)); err != nil {
		return nil, fmt.Errorf("hooks: encrypt the secrets of endpoint %q: %w", e.ID, err)
	}
	return json.Marshal(recordedEndpoint{Endpoint: e.Endpoint, Sealed: e.sealed})
}

// errNoKeeper is that of a process which cannot read ciphertexts, and so is not to
// write plain text among them.
var errNoKeeper = fmt.Errorf("%w: set Config.Keeper, as the other processes on the store have it", ErrSealed)

// unseal reads the record of an endpoint; nil if it is deleted. known is the
// endpoint as it was known, or nil. One whose private part cannot be read is known by
// its public part, so that it gets its deliveries.
func unseal(k Keeper, id string, r Record, known *endpoint) (*endpoint, error) {
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
	if known != nil && known.closed == nil && len(e.sealed) > 0 && bytes.Equal(known.sealed, e.sealed) {
		e.keys, e.Header = known.keys, known.Header
		return e, nil
	}
	e.closed = e.open(k, rec.Private)
	return e, nil
}

// open takes in the private part of an endpoint, plain if it is in plain text. What
// it looks like does not get into an error.
func (e *endpoint) open(k Keeper, plain *private) (err error) {
	switch {
	case len(e.sealed) > 0 && k == nil:
		return errNoKeeper
	case len(e.sealed) > 0:
		plain, err = decrypt(k, e.ID, e.sealed)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSealed, err)
	}
	if plain == nil || len(plain.Keys) == 0 {
		return fmt.Errorf("%w: the record holds none", ErrSealed)
	}
	if e.keys, err = parseKeys(plain.Keys); err != nil {
		return fmt.Errorf("%w: %w", ErrSealed, err)
	}
	e.Header = plain.Header
	return nil
}

func decrypt(k Keeper, id string, sealed []byte) (*private, error) {
	plain, err := k.Decrypt(sealed, []byte(id))
	if err != nil {
		return nil, err
	}
	p := new(private)
	if json.Unmarshal(plain, p) != nil {
		return nil, errors.New("what the Keeper returned is not what it was given")
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
	if next.record, err = h.writeRecord(ctx, h.store, "endpoint/"+next.ID, was, data); err != nil {
		return err
	}
	h.dir.update(edit{Record: next.record, endpoint: next})
	h.lookNow() // it may have waited for its key
	return nil
}

// Reseal encrypts anew, with the key that [Config].Keeper encrypts with, what the store
// holds in plain text, from before there was a Keeper, or under another key, and
// returns how many endpoints it wrote. Run it once when every process encrypts with
// the new key; then the old one can go. It takes one endpoint after the other, may be interrupted,
// repeated, and run beside everything else. Endpoints that cannot be decrypted are
// left as they are; the error, joined, names each of them and wraps [ErrSealed].
func (h *Hooks) Reseal(ctx context.Context) (n int, err error) {
	if err := checkContext(ctx); err != nil {
		return 0, err
	}
	if h.cfg.Keeper == nil {
		return 0, invalid("Config.Keeper", "it is nil; set it to what shall encrypt, such as keeper.New returns")
	}
	if err := h.reload(ctx, nil); err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range h.dir.all() {
		wrote := false
		err := untilWritten(func() (err error) {
			wrote, err = h.reseal(ctx, e.ID)
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
	err = h.writeEndpoint(ctx, e, e.copy())
	if errors.Is(err, ErrConflict) {
		if failed := h.reload(ctx, nil); failed != nil {
			return false, failed
		}
	}
	return err == nil, err
}

// isCurrent reports whether a Keeper says that it encrypted with its present key.
func isCurrent(k Keeper, sealed []byte) bool {
	ring, ok := k.(KeyRing)
	return ok && len(sealed) > 0 && ring.Current(sealed)
}
