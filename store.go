package hooks

import (
	"context"
	"errors"
	"time"
)

// A Store keeps events, deliveries and records. [Hooks] decides, a Store
// remembers: it knows nothing of HTTP, retries or signatures, and the whole
// of its duty is checked by the suite in package storetest.
//
// # Words
//
// An event is stored once, with one delivery for each subscriber. A delivery
// is unfinished while it is [Pending], [Retrying] or [Sending], and final
// afterwards. A lease is a row with status Sending whose Due lies in the
// future; it ends by an Update, or by itself when Due has passed. The Token
// of a delivery is its fence: every change of the row increments it, and a
// change that names an older one alters nothing.
//
// # Rules for every method
//
// Methods are safe for concurrent use. Times come from the caller, in UTC,
// truncated to microseconds; a store never reads a clock, unless it is asked
// for the time as a [Clock]. The context only stops the waiting: a write
// happens whole or not at all, and one whose caller has gone may still happen.
// An error that is none of the sentinels of this package means that the
// outcome is unknown: the caller repeats the call. A store reads its own
// writes: what a method that returned has written, every later call sees.
// Slices and maps that a store returns belong to the caller, except
// [Event].Data, which nobody may alter. A store does not modify its arguments. A caller
// must not modify them until the call returns; after an error never, because the store
// may still be reading them.
//
// # Writing a store
//
// [Query.Position], [Query.PageSize], [Cursor], [GroupByEvent] and [Delivery.Released] are
// the parts of the contract that are the same in every store.
type Store interface {
	Tx

	// Claim leases deliveries that are due, oldest due first in each lane:
	// status Sending, Due at the lane's LeaseUntil, Token incremented. A
	// delivery whose earlier lease ended without an Update is due again, and
	// Lost counts that. The entries name no event twice: one event, the
	// deliveries leased of it.
	//
	// Of deliveries with an OrderingKey, those of one subscriber, tenant and
	// key are leased one at a time in order of Seq: none while an earlier one
	// is unfinished. A store may set blocked ones aside when they are written
	// or when a claim meets them; so a claim may return fewer than there are,
	// even none, and Backlog then tells whether something is still due.
	//
	// A store that others write to may look in vain for what they make due late: for
	// about half a minute at most, Claim and Backlog may miss a delivery that another
	// process, or a transaction of the application's, made claimable more than a second
	// after its Due. They never miss a lease that ends, nor what an Enqueue, Update or
	// Claim of the store itself has written that returned no error.
	//
	// Subscribers without deliveries, or that appear in no record, are no
	// error. A lane whose Max is not positive is passed over.
	Claim(ctx context.Context, now time.Time, lanes []Lane) ([]Entry, error)

	// Update writes deliveries back: outcomes, replays, cancellations, leases
	// given back. Written are Status, Reason, Due, Run, Attempts, Lost,
	// Updated, Code and Error, as they stand in the change; Token is
	// incremented; a Run higher than the row's gives it a new Seq, at the end
	// of the line. A change whose Token is not the row's, or that has no row,
	// changes nothing, and its delivery is returned, in the order of changes.
	Update(ctx context.Context, now time.Time, changes []Change) (stale []DeliveryID, err error)

	// Backlog lists the subscribers with unfinished deliveries and when Claim
	// could next lease one of theirs, ends of leases included; deliveries that
	// wait for another of their ordering key do not count once Claim has met
	// them. It costs a seek per subscriber, never a scan.
	//
	// Where Claim may miss something, see there, Backlog may for as long tell an
	// earlier Due in the future than there still is, or leave out a subscriber of whom
	// nothing is due yet.
	Backlog(ctx context.Context) ([]Waiting, error)

	// Put writes a record if the version of its key is still r.Version (0: it
	// does not exist, or is deleted), else it returns [ErrConflict]. Empty
	// Data deletes and leaves a tombstone, which Records shows.
	Put(ctx context.Context, now time.Time, r Record) (version int64, err error)

	// Events and Deliveries list newest first, by Seq. A page may be short,
	// even empty, for a store bounds what one call examines; only an empty
	// next says that there is no more. A Cursor that no page returned is an
	// [*InvalidError].
	Events(ctx context.Context, q Query) (page []Event, next string, err error)
	Deliveries(ctx context.Context, q Query) (page []Delivery, next string, err error)

	// Attempts lists the attempts of a delivery, oldest first, over all its
	// runs. A delivery that does not exist has none.
	Attempts(ctx context.Context, id DeliveryID) ([]Attempt, error)

	// Prune removes at most p.Limit final deliveries with their attempts, and
	// the events that no delivery refers to any more. It counts what it
	// removed, deliveries, events and keys; 0 says that it is done.
	Prune(ctx context.Context, p Prune) (n int, err error)
}

// A Tx is the part of a Store that works inside the application's own
// transaction. A store hands one out in a method of its own, by convention
// Tx, that takes the transaction it can work in.
type Tx interface {
	// Enqueue saves all entries or none, and has saved them when it returns
	// nil. An event whose ID is stored already, or whose IdempotencyKey is
	// taken in its tenant until after now, is a duplicate: nothing of it is
	// written, and its Receipt says so. Receipts are in the order of entries.
	// The store sets Seq, and keeps the rest as it is given.
	Enqueue(ctx context.Context, now time.Time, entries []Entry) ([]Receipt, error)

	// Records returns the records whose version is above since, by version.
	Records(ctx context.Context, since int64) ([]Record, error)
}

// An Exclusive store allows one dispatcher at a time. Optional.
type Exclusive interface {
	// Lock makes the caller the one dispatcher, or returns [ErrLocked] at
	// once. When it returns, every lease is void: its delivery is Pending, or
	// Retrying if it has Attempts, due at now, Lost and Token incremented. The
	// lock ends with unlock or with the process, however it ends. An error leaves
	// the caller without the lock.
	Lock(ctx context.Context, now time.Time) (unlock func() error, err error)
}

// An Ephemeral store keeps nothing beyond the process, nor on disk: secrets may lie
// in it in plain text. Optional.
type Ephemeral interface {
	Ephemeral()
}

// A Waker store tells dispatchers in other processes of each other's writes. Optional.
type Waker interface {
	// Wait blocks until another process may have made work due or changed a record, or
	// ctx ends. It returns after Enqueue, Update and Put of another store on the same
	// data, but not after this store's own. It may return more often.
	//
	// The store may tell of a write up to 100 ms late if it has told of another one
	// just before: [Hooks] looks several times after Wait has returned.
	Wait(ctx context.Context) error

	// Wake makes the Wait of others return, because a transaction of the application's
	// was committed that [Tx] has written in. It is called outside of any transaction,
	// seldom (see [Hooks.Wake]), and must not wait for other commits. A store whose Wait
	// sees such commits by itself does nothing.
	//
	// An error means that others may not have been told. Nobody repeats the call: they
	// find the work when they poll.
	Wake(ctx context.Context) error
}

// A Clock store tells the time that all machines which share it agree on, such
// as its database server's. [Hooks] then dates by it whatever a store is given
// and whatever is signed, and the clocks of the machines do not matter. Optional.
//
// It is asked about once a minute. The [Tx] of such a store may be a Clock too:
// then PublishTx asks there, and needs no second connection while the
// application's transaction holds one.
type Clock interface {
	// Now returns the present moment, in any time zone: also in a transaction,
	// not when that began. It is taken to be the time half way between call
	// and return.
	Now(ctx context.Context) (time.Time, error)
}

// A Weak store knows of settings that make its promises weaker, such as writes that a
// power cut may undo. [Hooks.Health] returns each as a [Warning], and the log is told
// of them when Run begins. Optional.
type Weak interface {
	// Weaknesses returns one text for each, in whole sentences: what is set, what that
	// puts at risk, and what to do. Operators read them, so they hold no secrets.
	// Nil means that there are none. What the store cannot find out, such as for want
	// of a privilege, is a weakness too; an error means that the store does not work,
	// and Health returns it. Weaknesses is called seldom and must cost little. It
	// returns when ctx ends; one that does not within 30 s is left behind.
	Weaknesses(ctx context.Context) ([]string, error)
}

// Errors of every store, beside the contract they belong to. They are
// certain: a call that returned one of them has changed nothing.
var (
	// ErrConflict: a record or delivery was changed by somebody else.
	ErrConflict = errors.New("hooks: changed meanwhile; read it again")
	// ErrLocked: an Exclusive store has a dispatcher already.
	ErrLocked = errors.New("hooks: another Run delivers from this store, and only one may; stop it, or only publish here")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("hooks: store is closed")
	// ErrTooNew: a later version of this library wrote the store, which was
	// left as it is.
	ErrTooNew = errors.New("hooks: store was written by a newer version of hooks; upgrade this program")
	// ErrForeign: the database holds something else, and was left as it is.
	ErrForeign = errors.New("hooks: not a hooks store")
	// ErrNotFound: there is no such event, delivery or subscriber.
	ErrNotFound = errors.New("hooks: not found")
)

// An Entry is an event and deliveries of it.
type Entry struct {
	Event      Event
	Deliveries []Delivery
	// KeyUntil ends the time in which the event's IdempotencyKey excludes
	// another event with the same one. Without a key it is zero.
	KeyUntil time.Time
	// Add says that the event is stored already, and that those deliveries
	// shall be added which it does not have. An unknown event is ErrNotFound.
	Add bool
}

// A Receipt says what became of one event.
type Receipt struct {
	// EventID is the event's, or the first event's when Duplicate.
	EventID string
	// Deliveries is how many were written for it; of a duplicate, none.
	Deliveries int
	// Duplicate reports that nothing was written because this event, or another one
	// with its idempotency key, is stored already.
	Duplicate bool
}

// A Lane is one subscriber's part of a Claim.
type Lane struct {
	Subscriber string
	Max        int       // how many deliveries at most
	Before     time.Time // the latest Due to take; it may lie in the future, to take scheduled ones too, but never running leases
	LeaseUntil time.Time // when the leases end
}

// A Waiting is one subscriber's part of the Backlog.
type Waiting struct {
	Subscriber string
	Due        time.Time // the earliest
}

// A Change is one delivery as it shall be.
type Change struct {
	Delivery Delivery // Token as it was read
	Attempt  *Attempt // appended; nil when nothing was sent
	Emit     []Entry  // enqueued in the same write, unless stale; if one fails, Update returns its error
}

// A Record is a versioned value of Hooks' own: an endpoint or a handler.
// Stores do not look inside.
type Record struct {
	Key     string // such as "endpoint/crm" or "handler/audit"
	Version int64  // unique in the store, increasing in the order of commits
	Data    []byte // nil when deleted
}

// A Query selects events or deliveries. Its zero fields select any; Events
// looks at Event, Tenant, Types, From, To, Limit and Cursor only.
type Query struct {
	Event      string // an event's id
	Subscriber string
	Tenant     string
	Types      []string  // exact names
	Statuses   []Status  // any of them
	From, To   time.Time // stored at or after From, before To
	Limit      int       // rows a page; not positive: 50
	Cursor     string    // next of the page before; empty: the newest
}

// A Prune says what may be forgotten. A zero time keeps everything.
type Prune struct {
	Done   time.Time // succeeded and canceled deliveries final before, and events stored before that nobody subscribed to
	Failed time.Time // failed deliveries final before
	Keys   time.Time // idempotency keys whose time ended before
	Limit  int       // deliveries at most, and as many keys and unsubscribed events
}
