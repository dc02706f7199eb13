package hooks

import (
	"context"
	"errors"
	"fmt"
)

// A Keeper encrypts what must not be in a store in plain text: the secrets of endpoints and
// the values of their headers. Package keeper has one. An application may write another,
// which asks a key management service for example.
//
//   - associated is authenticated and not encrypted, as in [crypto/cipher.AEAD]. It is the
//     endpoint's id, so that a ciphertext that was moved to another endpoint does not decrypt.
//   - A Keeper does not keep or change the bytes that it gets.
//   - An error of Encrypt is returned by the method that wanted to write, such as
//     PutEndpoint. Nothing is written.
//   - An error of Decrypt makes the endpoint wait. While Run runs, Decrypt is called again
//     every second or so until it succeeds.
//   - No error may quote the plain text. A panic counts as an error, and may not quote it
//     either.
//   - Methods are called from several goroutines at a time.
//
// Decrypt is called when the record of an endpoint is read for the first time or has
// changed. Whoever reads the record waits for Decrypt, Publish included. So a Keeper that
// asks a service should answer within milliseconds, and must bound the time itself.
//
// A Keeper may call methods of the [Hooks] that it belongs to, because no method calls it
// while holding a lock. It must not call those that read endpoints, because they would
// call the Keeper again without end: Publish, PublishBatch, PublishTx, PutEndpoint,
// Endpoint, Endpoints, DeleteEndpoint, RotateSecret, DisableEndpoint, EnableEndpoint,
// EndpointHealth, Handlers, DeleteHandler, Backlog, Replay, SendTest, Request,
// ExplainEvent, ExplainDelivery, Reseal, Health, Run and Flush, and any method of a
// [Tenant].
type Keeper interface {
	Encrypt(plaintext, associated []byte) (ciphertext []byte, err error)
	Decrypt(ciphertext, associated []byte) (plaintext []byte, err error)
}

// A KeyRing is a Keeper with several keys, one of which encrypts. Current reports whether a
// ciphertext was made with that key; [Hooks.Reseal] does not write such endpoints again. A
// Keeper need not be a KeyRing.
type KeyRing interface {
	Keeper
	Current(ciphertext []byte) bool
}

// ErrUndecryptable reports an endpoint whose secrets cannot be read. There is no Keeper, the
// Keeper lacks the key that they were encrypted with, or another version of hooks has
// written them in a form that this one cannot read.
var ErrUndecryptable = errors.New("hooks: the endpoint's secrets cannot be decrypted")

// errNoKeeper is the error of a process without a Keeper on a store with encrypted
// secrets. It cannot read them, and must not write plain text beside them.
var errNoKeeper = fmt.Errorf("%w: set Config.Keeper, as the other processes on the store have it", ErrUndecryptable)

// Reseal encrypts the secrets of all endpoints with the key that [Config].Keeper encrypts
// with: those that are in plain text, because there was no Keeper when they were written,
// and those that were encrypted with another key. It returns how many endpoints it wrote.
// Call it once when every process encrypts with the new key; then the old key can go.
//
// Reseal takes one endpoint after the other. It may be interrupted and repeated, and run
// beside everything else. It does not change endpoints that cannot be decrypted. Its error
// names each of them, is joined by [errors.Join], and wraps [ErrUndecryptable].
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
		err := untilWritten(0, func() (err error) {
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

// reseal is Reseal for one endpoint. It reports whether it wrote the endpoint.
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

// isCurrent reports whether sealed was encrypted with the present key of a Keeper, as far as
// the Keeper can tell.
func isCurrent(k Keeper, sealed []byte) bool {
	ring, ok := k.(KeyRing)
	return ok && len(sealed) > 0 && ring.Current(sealed)
}
