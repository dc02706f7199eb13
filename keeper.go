package hooks

import (
	"context"
	"errors"
	"fmt"
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

// errNoKeeper is that of a process which cannot read ciphertexts, and so is not to
// write plain text among them.
var errNoKeeper = fmt.Errorf("%w: set Config.Keeper, as the other processes on the store have it", ErrSealed)

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
