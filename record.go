package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"example.com/hooks/signer"
)

// revealKeys returns signing keys in plain text.
func revealKeys(keys []signingKey) []keyForm {
	list := make([]keyForm, len(keys))
	for i, k := range keys {
		list[i] = keyForm{k.secret.Reveal() + k.pair.Reveal(), k.until} // one of them is zero
	}
	return list
}

// parseKeys undoes revealKeys.
func parseKeys(list []keyForm) (keys []signingKey, err error) {
	for _, r := range list {
		k := signingKey{until: r.Until}
		if k.secret, err = signer.ParseSecret(r.Key); err != nil {
			k.pair, err = signer.ParseKeyPair(r.Key)
		}
		if err != nil {
			return nil, errors.New("a key is neither a secret nor a key pair")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// plain returns the record that e has if there is no Keeper. Two endpoints are equal if
// these records are.
func (e *endpoint) plain() ([]byte, error) {
	return json.Marshal(endpointRecord{Form: recordForm, endpointForm: e.form(), Since: e.since, UnverifiedSince: e.unverifiedSince, Private: e.private()})
}

// private returns the private part of e.
func (e *endpoint) private() *privateForm { return &privateForm{revealKeys(e.keys), e.Header} }

// seal returns the record of e, encrypted if there is a Keeper. It sets e.sealed.
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
	return json.Marshal(endpointRecord{Form: recordForm, endpointForm: e.form(), Since: e.since, UnverifiedSince: e.unverifiedSince, Sealed: e.sealed})
}

// unseal returns the endpoint that a record describes, or nil if it was deleted. known is
// the endpoint of the same id that the directory has now, or nil; if its ciphertext is the
// same, unseal decrypts nothing. If the private part cannot be decrypted, unseal returns
// the public part, with closed set, so that events still get deliveries for the endpoint.
func unseal(k Keeper, id string, r Record, known *endpoint) (*endpoint, error) {
	if len(r.Data) == 0 {
		return nil, nil
	}
	rec, err := parseEndpoint(r.Data)
	if err != nil {
		return nil, err
	}
	if rec.ID != id {
		return nil, fmt.Errorf("it is that of %q", rec.ID)
	}
	e := &endpoint{Endpoint: rec.endpoint(), since: rec.Since, unverifiedSince: rec.UnverifiedSince, record: r, sealed: rec.Sealed}
	if known != nil && known.closed == nil && len(e.sealed) > 0 && bytes.Equal(known.sealed, e.sealed) {
		e.keys, e.Header = known.keys, known.Header
		return e, nil
	}
	e.closed = e.open(k, rec.Private)
	return e, nil
}

// open sets the keys and the header of an endpoint from its private part: from plain, or
// by decrypting e.sealed. No error quotes the private part.
func (e *endpoint) open(k Keeper, plain *privateForm) (err error) {
	switch {
	case len(e.sealed) > 0 && k == nil:
		return errNoKeeper
	case len(e.sealed) > 0:
		plain, err = decrypt(k, e.ID, e.sealed)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUndecryptable, err)
	}
	if plain == nil || len(plain.Keys) == 0 {
		return fmt.Errorf("%w: the record holds none", ErrUndecryptable)
	}
	if e.keys, err = parseKeys(plain.Keys); err != nil {
		return fmt.Errorf("%w: %w", ErrUndecryptable, err)
	}
	e.Header = plain.Header
	return nil
}

// decrypt returns the private part of the endpoint with an id.
func decrypt(k Keeper, id string, sealed []byte) (*privateForm, error) {
	plain, err := k.Decrypt(sealed, []byte(id))
	if err != nil {
		return nil, err
	}
	p := new(privateForm)
	if json.Unmarshal(plain, p) != nil {
		return nil, errors.New("what the Keeper returned is not what it was given")
	}
	return p, nil
}

// untilWritten calls write, which reads a record and writes it. It calls write again, ten
// times at most, while the error is [ErrConflict]: another process has written the record
// between the two. If the caller wants to change one version only, it does not.
func untilWritten(version int64, write func() error) (err error) {
	const tries = 10
	for range tries {
		if err = write(); version != 0 || !errors.Is(err, ErrConflict) {
			break
		}
	}
	return err
}

// putRecord writes v, in JSON, over the record was, and emit in the same write, unless the
// records are equal. It tells the directory.
func (h *Hooks) putRecord(ctx context.Context, store Store, key string, was Record, v any, emit []Entry) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("hooks: record %s: %w", key, err)
	}
	if bytes.Equal(data, was.Data) {
		return nil
	}
	r, err := h.writeRecord(ctx, store, key, was, data, emit)
	if err == nil {
		h.dir.update(edit{Record: r})
	}
	return err
}

// writeRecord writes data over the record was, and emit in the same write. It returns the
// new record.
func (h *Hooks) writeRecord(ctx context.Context, store Store, key string, was Record, data []byte, emit []Entry) (r Record, err error) {
	r = Record{Key: key, Version: was.Version, Data: data}
	if len(was.Data) == 0 {
		r.Version = 0 // the record was deleted, or there was none
	}
	if r.Version, err = store.Put(ctx, h.now(), r, emit); err != nil {
		return r, fmt.Errorf("hooks: record %s: %w", key, err)
	}
	return r, nil
}

// putEndpointRecord writes next over old, unless they are equal. old is the endpoint that
// next was made from, or nil if next is new.
func (h *Hooks) putEndpointRecord(ctx context.Context, old, next *endpoint) error {
	if old != nil && old.closed == nil {
		was, err := old.plain()
		if err != nil {
			return err
		}
		is, err := next.plain()
		if err != nil {
			return err
		}
		if bytes.Equal(was, is) {
			next.record = old.record
			return nil
		}
	}
	return h.writeEndpoint(ctx, old, next)
}

// writeEndpoint writes next over old even if they are equal, as Reseal needs. It tells the
// directory and wakes the dispatcher.
func (h *Hooks) writeEndpoint(ctx context.Context, old, next *endpoint) error {
	var was Record
	if old != nil {
		was = old.record
	}
	data, err := h.seal(next)
	if err != nil {
		return err
	}
	if next.record, err = h.writeRecord(ctx, h.store, "endpoint/"+next.ID, was, data, nil); err != nil {
		return err
	}
	h.dir.update(edit{Record: next.record, endpoint: next})
	h.lookNow() // deliveries may have waited for the endpoint's key
	return nil
}

// deleteRecord deletes the record of a subscriber. It tells the directory and the
// dispatcher, which cancels what waits for the subscriber.
func (h *Hooks) deleteRecord(ctx context.Context, id string, r Record) error {
	version, err := h.store.Put(ctx, h.now(), Record{Key: r.Key, Version: r.Version}, nil)
	if err != nil {
		return fmt.Errorf("hooks: delete %q: %w", id, err)
	}
	h.dir.update(edit{Record: Record{Key: r.Key, Version: version}})
	if d := h.dispatcher(); d != nil {
		d.lanes.Remove(id)
		d.lanes.Recheck()
	}
	return nil
}
