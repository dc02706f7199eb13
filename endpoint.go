package hooks

import (
	"time"

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
	// Ed25519 signs the requests with a key pair instead of a Secret (v1a of
	// Standard Webhooks): receivers have the public key, with which nobody can
	// sign. The pair is generated here, and the private key never leaves. When you
	// change this field, the old key signs beside the new one for 24 h.
	Ed25519 bool
	// PublicKey is the newest one of an Ed25519 endpoint, to be given to its
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
}
