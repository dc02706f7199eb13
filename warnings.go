package hooks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Warning is a condition that only the operator can mend.
type Warning struct {
	Code       WarningCode
	Subscriber string // its id; empty if it is about all of them
	Text       string // what is wrong and what to do, in a few sentences, without secrets
}

// A WarningCode says what a [Warning] is about. The codes stay as they are, so that
// programs can compare them.
type WarningCode string

const (
	// WarnPlainSecrets: there is no [Config].Keeper, and the store outlives the process.
	WarnPlainSecrets WarningCode = "plain-secrets"
	// WarnNotResealed: the endpoint was stored before there was a Keeper, in plain text,
	// or encrypted with a former key; see [Hooks.Reseal].
	WarnNotResealed WarningCode = "not-resealed"
	// WarnUndecryptable: the endpoint's secrets cannot be decrypted, and what is due for
	// it waits; see [ErrUndecryptable].
	WarnUndecryptable WarningCode = "undecryptable"
	// WarnFailing: the last three or more attempts of an endpoint or a handler failed, as
	// far as this process made them. The text says since when, the class of the last
	// failure, and when what waits is or was due. One success ends it.
	WarnFailing WarningCode = "failing"
	// WarnDisabled: the endpoint was disabled, and what is due for it is held. The text says
	// since when, why, until when, and when what waits begins to fail. See
	// [Hooks.DisableEndpoint].
	WarnDisabled WarningCode = "disabled"
	// WarnStoreWeakness: a setting makes the store's promises weaker; see [Weak].
	WarnStoreWeakness WarningCode = "store-weakness"
	// WarnNoHandler: deliveries have been due for more than five minutes for a handler
	// that this process does not have. Either no process has it, since it was renamed or
	// removed for example, or those that have it do not keep up.
	WarnNoHandler WarningCode = "no-handler"
)

// Health returns what the operator should mend; nothing, if all is well. If the store does
// not answer, it returns the store's error. It reads the subscribers, the backlog and the
// store's weaknesses, and costs the store a few milliseconds.
//
// That a subscriber fails is known from the attempts of Run and Flush of this Hooks since
// New. So a process that only publishes does not know it: call Health where you call Run.
func (h *Hooks) Health(ctx context.Context) ([]Warning, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := h.reload(ctx, nil); err != nil {
		return nil, err
	}
	if h.dir.reopen() {
		h.lookNow()
	}
	backlog, err := h.store.Backlog(ctx)
	if err != nil {
		return nil, fmt.Errorf("hooks: health: %w", err)
	}
	weaknesses, err := h.weaknesses(ctx)
	if err != nil {
		return nil, fmt.Errorf("hooks: health: the store's weaknesses: %w", err)
	}
	var list []Warning
	if h.storesPlain() {
		list = append(list, Warning{Code: WarnPlainSecrets, Text: plainSecrets})
	}
	for _, text := range weaknesses {
		list = append(list, Warning{Code: WarnStoreWeakness, Text: text})
	}
	for _, e := range h.dir.all() {
		if w, ok := h.sealWarning(e); ok {
			list = append(list, w)
		}
	}
	return slices.Concat(list, h.disabled(backlog), h.failing(backlog), h.withoutHandler(backlog)), nil
}

const plainSecrets = "The secrets and header values of endpoints lie in the store in plain text; set Config.Keeper."

// sealWarning returns what is wrong with how an endpoint is encrypted.
func (h *Hooks) sealWarning(e *endpoint) (w Warning, ok bool) {
	ring, isRing := h.cfg.Keeper.(KeyRing)
	switch {
	case e.closed != nil:
		return Warning{WarnUndecryptable, e.ID, fmt.Sprintf("What is due for it waits: %v.", e.closed)}, true
	case h.cfg.Keeper != nil && len(e.sealed) == 0:
		const text = "Its secrets lie in the store in plain text, although there is a Keeper; call Hooks.Reseal."
		return Warning{WarnNotResealed, e.ID, text}, true
	case isRing && !ring.Current(e.sealed):
		return Warning{WarnNotResealed, e.ID, "Its secrets are encrypted with a former key; call Hooks.Reseal."}, true
	}
	return w, false
}

// disabled returns a warning for each endpoint that is disabled.
func (h *Hooks) disabled(backlog []BacklogLane) (list []Warning) {
	due := dues(backlog)
	for _, e := range h.dir.all() {
		if s := h.subscriber(e.ID); s.obstacle == held && s.health.Why != notVerified {
			list = append(list, s.disabledWarning(due[e.ID]))
		}
	}
	return list
}

// dues returns the earliest Due of each subscriber in a backlog.
func dues(backlog []BacklogLane) map[string]time.Time {
	due := make(map[string]time.Time, len(backlog))
	for _, w := range backlog {
		due[w.Subscriber] = w.Due
	}
	return due
}

// failing returns a warning for each subscriber that fails.
func (h *Hooks) failing(backlog []BacklogLane) (list []Warning) {
	failing, due := h.reporter.failing(), dues(backlog)
	for _, id := range slices.Sorted(maps.Keys(failing)) {
		if !h.isDeleted(id) {
			list = append(list, Warning{WarnFailing, id, failing[id].describe(due[id], h.now())})
		}
	}
	return list
}

// waitsForHandler is how long deliveries may be due for a handler that is not of this
// process, before the operator is told: others may have a backlog.
const waitsForHandler = 5 * time.Minute

// withoutHandler returns a warning for each handler that nobody seems to have.
func (h *Hooks) withoutHandler(backlog []BacklogLane) (list []Warning) {
	for _, w := range backlog {
		if h.subscriber(w.Subscriber).obstacle != notHere || h.now().Sub(w.Due) <= waitsForHandler {
			continue
		}
		text := fmt.Sprintf("Its deliveries have been due since %s, and this process has no handler of that name. "+
			"If it was renamed or removed, call Hooks.DeleteHandler, which cancels what waits; else see to the process that has it.",
			w.Due.Format(time.RFC3339))
		list = append(list, Warning{WarnNoHandler, w.Subscriber, text})
	}
	return list
}

// describe says how a subscriber fails, for the operator. due is the earliest of what
// waits for it; zero: nothing does.
func (s streak) describe(due, at time.Time) string {
	last := s.class
	if last == "status" {
		last = fmt.Sprintf("status %d", s.code)
	}
	waits := "Nothing waits for it."
	switch {
	case due.After(at):
		waits = "What waits for it is tried again at " + due.Format(time.RFC3339) + "."
	case !due.IsZero():
		waits = "What waits for it has been due since " + due.Format(time.RFC3339) + "."
	}
	return fmt.Sprintf("Its last %d attempts failed, the first at %s, the last with %q. %s "+
		"Find out why with Hooks.Attempts; when it works again, Hooks.Replay repeats what failed for good.",
		s.failures, s.since.Format(time.RFC3339), last, waits)
}

// storesPlain reports whether secrets are stored in plain text, to stay.
func (h *Hooks) storesPlain() bool {
	_, ephemeral := optional[Ephemeral](h.store)
	return h.cfg.Keeper == nil && !ephemeral && h.dir.anyPlain()
}

// warnOfPlain tells the log once that secrets are stored in plain text.
func (h *Hooks) warnOfPlain() {
	if h.storesPlain() && !h.plain.Swap(true) {
		h.log.Warn("hooks: " + plainSecrets)
	}
}

// weaknessesWithin is how long the store may take to say what it is weak in.
const weaknessesWithin = 30 * time.Second

// weaknesses returns what the store is weak in, if it can tell. A store that does not
// return in time is left behind.
func (h *Hooks) weaknesses(ctx context.Context) ([]string, error) {
	weak, ok := optional[Weak](h.store)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, weaknessesWithin)
	defer cancel()
	var texts []string
	done := make(chan error, 1)
	go func() {
		var err error
		texts, err = weak.Weaknesses(ctx)
		done <- err
	}()
	select {
	case err := <-done:
		return texts, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// warnOfWeaknesses tells the log what the store is weak in, when Run begins.
func (h *Hooks) warnOfWeaknesses(ctx context.Context) {
	texts, err := h.weaknesses(ctx)
	for _, text := range texts {
		h.log.Warn("hooks: the store has a weakness", "weakness", text)
	}
	if err != nil && ctx.Err() == nil {
		h.log.Warn("hooks: the store cannot say what it is weak in", "error", err)
	}
}
