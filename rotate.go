package hooks

import (
	"context"
	"fmt"
	"time"

	"example.com/hooks/signer"
)

const (
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 30 * day
	mostKeys       = 5 // that sign one request, however often they are changed
)

// A Rotation says how to change what an endpoint's requests are signed with. The zero
// Rotation generates a new secret or key pair; the one before signs beside it for another
// 24 h, so that receivers can change over.
type Rotation struct {
	// Secret becomes the newest one. Zero: one is generated. If the endpoint's Scheme is
	// [SchemeEd25519], leave it zero: a key pair is generated.
	Secret signer.Secret
	// Overlap is how long the secret or key pair that was the newest until now signs
	// beside the new one, at most 30 days; older ones keep the end that they already had.
	// Zero means 24 h. If one of them has leaked, give a negative Overlap: it ends all of
	// them now.
	Overlap time.Duration
	// Version is the Version of the Endpoint that you have read. If somebody has changed
	// the endpoint since, RotateSecret returns [ErrConflict], so a form that is sent twice
	// rotates once. Zero rotates whatever is there.
	Version int64
}

// RotateSecret changes what the requests of an endpoint are signed with, from the
// next attempt on in this process, and within a second or so in others. It returns
// the endpoint as PutEndpoint does: the Secret is set if this call generated it, and
// cannot be read later; PublicKey is the new one if its Scheme is [SchemeEd25519].
//
// At most five secrets or key pairs sign at a time: a sixth one ends the oldest. If
// r.Secret is the newest one already, it stays the newest, and a negative Overlap ends the
// others. If an error of the store leaves open whether the rotation was written, call it
// again: a secret that was generated and never shown ends with the overlap of that call.
//
// An id that does not exist is [ErrNotFound], and a bad r is an [*InvalidError]. An endpoint
// whose secrets cannot be decrypted is [ErrUndecryptable], unless Overlap is negative: that
// discards the secrets and the headers that cannot be decrypted. Then put the Header again.
func (v *view) RotateSecret(ctx context.Context, id string, r Rotation) (Endpoint, error) {
	if err := v.check(ctx); err != nil {
		return Endpoint{}, err
	}
	if r.Overlap > maxOverlap {
		return Endpoint{}, invalid("Rotation.Overlap", "%v: at most 30 days, and zero for 24 h", r.Overlap)
	}
	orDefault(&r.Overlap, defaultOverlap)
	var rotated Endpoint
	err := untilWritten(r.Version, func() (err error) {
		rotated, err = v.rotateSecret(ctx, id, r)
		return err
	})
	return rotated, err
}

func (v *view) rotateSecret(ctx context.Context, id string, r Rotation) (Endpoint, error) {
	if err := v.h.reload(ctx, nil); err != nil {
		return Endpoint{}, err
	}
	old := v.endpoint(id)
	unreadable := v.h.dir.whyUnreadable(id)
	switch {
	case unreadable != nil && (v.all || old != nil):
		return Endpoint{}, unreadable
	case old == nil:
		return Endpoint{}, fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
	case old.closed != nil && r.Overlap > 0:
		return Endpoint{}, fmt.Errorf("hooks: endpoint %q: %w; a negative Overlap gives up what is encrypted", id, old.closed)
	case old.Scheme == SchemeEd25519 && !r.Secret.IsZero():
		return Endpoint{}, errNoImport("Rotation.Secret")
	}
	if err := old.isAt(id, r.Version); err != nil {
		return Endpoint{}, err
	}
	next := old.copy()
	if old.closed != nil {
		next.Header = nil // its values are lost
	}
	newest := signingKey{secret: r.Secret}
	if r.Secret.IsZero() {
		newest = newKey(old.Scheme)
	}
	next.use(newest, v.h.now(), r.Overlap)
	if err := v.h.putEndpointRecord(ctx, old, next); err != nil {
		return Endpoint{}, err
	}
	return next.shown(r.Secret.IsZero()), nil
}

func errNoImport(field string) error {
	return invalid(field, "the endpoint signs with Ed25519; its key pair is made here, and the private key never leaves")
}

// A signingKey signs requests: a shared secret, or a key pair.
type signingKey struct {
	secret signer.Secret
	pair   signer.KeyPair
	until  time.Time // when it stops; zero: never
}

func newKey(s Scheme) signingKey {
	if s == SchemeEd25519 {
		return signingKey{pair: signer.NewKeyPair()}
	}
	return signingKey{secret: signer.NewSecret()}
}

func (k signingKey) equal(other signingKey) bool {
	return k.secret.Equal(other.secret) && k.pair.Equal(other.pair)
}

func (k signingKey) signs(at time.Time) bool { return k.until.IsZero() || at.Before(k.until) }

// use makes newest the first of the keys that sign, and forgets those that have
// ended. The first one so far signs for as long as overlap says, and if that is
// negative none of the others does.
func (e *endpoint) use(newest signingKey, at time.Time, overlap time.Duration) {
	keys := []signingKey{newest}
	for i, k := range e.keys {
		if i == 0 {
			k.until = at.Add(overlap)
		}
		if overlap > 0 && !k.equal(newest) && k.signs(at) && len(keys) < mostKeys {
			keys = append(keys, k)
		}
	}
	e.keys = keys
	e.PublicKey = newest.pair.Public()
}

// signer returns what signs at a time.
func (e *endpoint) signer(at time.Time) (s signer.Signer) {
	for _, k := range e.keys {
		switch {
		case !k.signs(at):
		case k.secret.IsZero():
			s.KeyPairs = append(s.KeyPairs, k.pair)
		default:
			s.Secrets = append(s.Secrets, k.secret)
		}
	}
	return s
}
