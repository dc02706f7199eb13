package hooks

import (
	"context"
	"fmt"
)

// A Warning is a condition that works against the operator and that only he can
// mend.
type Warning struct {
	Code     string // stable, one of the constants below
	Endpoint string // its id; empty if it is about all of them
	Text     string // what is wrong and what to do, in a sentence or two, without secrets
}

// The codes of warnings.
const (
	// PlainSecrets: there is no [Config].Keeper, and the store outlives the process.
	PlainSecrets = "plain-secrets"
	// NotResealed: the endpoint was stored before there was a Keeper, in plain text,
	// or encrypted with a former key; see [Hooks.Reseal].
	NotResealed = "not-resealed"
	// SealedEndpoint: the endpoint's secrets cannot be decrypted, and what is due for
	// it waits; see [ErrSealed].
	SealedEndpoint = "sealed-endpoint"
)

// Health says whether the store answers, with its error, and of what else the
// operator should know: nothing, if all is well. It reads the subscribers and the
// backlog, and costs the store a few milliseconds.
func (h *Hooks) Health(ctx context.Context) ([]Warning, error) {
	if err := h.reload(ctx, nil); err != nil {
		return nil, err
	}
	if h.dir.reopen() {
		h.Wake()
	}
	if _, err := h.store.Backlog(ctx); err != nil {
		return nil, fmt.Errorf("hooks: health: %w", err)
	}
	var list []Warning
	if h.storesPlain() {
		list = append(list, Warning{Code: PlainSecrets, Text: plainSecrets})
	}
	for _, id := range h.dir.endpointIDs("") {
		if w, ok := h.sealWarning(id); ok {
			list = append(list, w)
		}
	}
	return list, nil
}

const plainSecrets = "The secrets and header values of endpoints lie in the store in plain text; set Config.Keeper."

// sealWarning returns what is wrong with how an endpoint is encrypted.
func (h *Hooks) sealWarning(id string) (w Warning, ok bool) {
	e := h.dir.endpoint(id)
	ring, isRing := h.cfg.Keeper.(KeyRing)
	switch {
	case e == nil: // deleted meanwhile
		return w, false
	case e.closed != nil:
		return Warning{SealedEndpoint, id, fmt.Sprintf("What is due for it waits: %v.", e.closed)}, true
	case h.cfg.Keeper != nil && len(e.sealed) == 0:
		const text = "Its secrets lie in the store in plain text, although there is a Keeper; call Hooks.Reseal."
		return Warning{NotResealed, id, text}, true
	case isRing && !ring.Current(e.sealed):
		return Warning{NotResealed, id, "Its secrets are encrypted with a former key; call Hooks.Reseal."}, true
	}
	return w, false
}

// storesPlain reports whether secrets are stored in plain text, to stay.
func (h *Hooks) storesPlain() bool {
	_, ephemeral := h.store.(Ephemeral)
	return h.cfg.Keeper == nil && !ephemeral && h.dir.anyPlain()
}

// warnOfPlain tells the log once that secrets are stored in plain text.
func (h *Hooks) warnOfPlain() {
	if h.storesPlain() {
		h.plain.Do(func() { h.log.Warn("hooks: " + plainSecrets) })
	}
}
