package hooks

import (
	"context"
	"errors"
	"time"
)

// A Store keeps events, deliveries and records. It decides nothing, and has nothing to do
// with HTTP, retries or signatures. Package storetest checks all that it must do.
//
// Applications do not call the methods of a Store: they give it to [New].
//
// # Words
//
// An event is stored once, with one delivery for each subscriber. A delivery
// is unfinished while it is [Pending], [Retrying] or [Sending], and final
// afterwards. A lease is a row with status Sending whose Due lies in the
// future; it ends by an Update, or by itself when Due has passed. The Token
// of a delivery is its fence: every change of the row increments it, and a
// change that names an older one alters nothing. Seq is a number that the store gives to
// each event and delivery, increasing in the order of writing; lists go by it, and claims
// do among deliveries that are due at the same time.
//
// # Rules for every method
//
//   - Methods are safe for concurrent use.
//   - Times come from the caller, in UTC, truncated to microseconds. A store reads no
//     clock, unless it is asked for the time as a [Clock].
//   - A write happens whole or not at all.
//   - A context that ends stops the waiting and not the write, which may still happen.
//   - An error that is one of the sentinels of this package, or an [*InvalidError], is
//     certain: nothing was changed. Any other error means that the outcome is unknown,
//     and the caller repeats the call.
//   - A store reads its own writes: what a method that returned has written, every later
//     call sees.
//   - Slices and maps that a store returns belong to the caller, except [Event].Data,
//     which nobody may alter.
//   - A store does not modify its arguments. A caller does not modify them until the
//     call returns, and after an error never, because the store may still be reading
//     them.
//
// # Writing a store
//
// [Query.Position], [Query.PageSize], [Cursor], [GroupByEvent] and [Delivery.Released] are
// the parts of the contract that are the same in every store. Run storetest from the
// beginning, and write the methods in the order in which its rules turn green:
//
//  1. Enqueue, Events and Deliveries: write all entries or none, and list by Seq.
//  2. Claim, Update and Backlog: leases and their fence, one index (subscriber, due, seq)
//     of what is unfinished.
//  3. Put and Records: compare-and-set, and versions in the order of commits.
//  4. Attempts and Prune.
//  5. OrderingKey: one delivery of a line at a time.
//  6. Tx, if applications have transactions to publish in; then the optional interfaces.
//
// # Optional interfaces
//
// [Exclusive], [Ephemeral], [Waker], [Clock], [Weak] and [Reporter] say what more a store
// can do. [Hooks] looks for each on the Store, and if the Store does not have it, on what
// its method Unwrap() Store returns, as [net/http.ResponseController] does. So a store
// that wraps another one, to count calls for example, hides nothing of it.
type Store interface {
	Tx

	// Claim leases deliveries that are due, in each lane by Due, then by Seq:
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
	Claim(ctx context.Context, now time.Time, lanes []ClaimLane) ([]Entry, error)

	// Update writes deliveries back: outcomes, replays, cancellations, leases
	// given back.
	//
	//   - It writes Status, Reason, Due, Run, Attempts, Lost, Updated, Code and Error as
	//     they are in the change, and increments Token.
	//   - A Run higher than the row's gives the row a new Seq, higher than all others.
	//   - A change whose Token is not the row's, or that has no row, is stale: it changes
	//     nothing, and Update returns the delivery's id. These are in the order of changes.
	Update(ctx context.Context, now time.Time, changes []Change) (stale []DeliveryID, err error)

	// Backlog lists the subscribers with unfinished deliveries, and when Claim could next
	// lease one of theirs: at its Due, or when its lease ends. Deliveries that wait for
	// another one of their ordering key do not count once Claim has met them. It costs a
	// seek per subscriber, never a scan.
	//
	// For as long as Claim may miss something, Backlog may return a Due in the future that
	// is too early, or leave out a subscriber of whom nothing is due yet.
	Backlog(ctx context.Context) ([]BacklogLane, error)

	// Put writes a record.
	//
	//   - If the version of its key is not r.Version any more, Put returns [ErrConflict].
	//     Version 0 means that the record does not exist, or is deleted.
	//   - Empty Data deletes the record and leaves a tombstone, which Records returns.
	//   - The entries of emit are enqueued in the same write, by the rules of Enqueue. If
	//     one of them cannot be, the record is not written either.
	Put(ctx context.Context, now time.Time, r Record, emit []Entry) (version int64, err error)

	// Events and Deliveries list by Seq, newest first unless q says otherwise. A page may
	// be short, even empty, because a store bounds what one call examines. Only an empty
	// next says that there is no more. A Cursor that no page returned is an
	// [*InvalidError].
	Events(ctx context.Context, q Query) (page []Event, next string, err error)
	Deliveries(ctx context.Context, q Query) (page []Delivery, next string, err error)

	// Attempts lists the attempts of a delivery, oldest first, over all its
	// runs. A delivery that does not exist has none.
	Attempts(ctx context.Context, id DeliveryID) ([]Attempt, error)

	// Prune removes what c says: at most c.Limit final deliveries with their attempts, the
	// events that no delivery refers to any more, keys and minutes. It also erases the
	// events of c.Erase that are not erased yet: it sets Erased to c.Now, Data to null,
	// and Metadata, and the Header and Body of their attempts, to nil.
	//
	// n is how many deliveries, events, keys and minutes it removed, and how many events
	// it erased. If n is 0, nothing is left to do.
	Prune(ctx context.Context, c Cutoffs) (n int, err error)
}

// A Tx is the part of a Store that works inside the application's own transaction. A
// store has a method that returns one for a transaction, by convention with the name Tx;
// give that to [Hooks.PublishTx].
type Tx interface {
	// Enqueue saves all entries or none, and has saved them when it returns
	// nil. An event whose ID is stored already, or whose IdempotencyKey is
	// taken in its tenant until after now, is a duplicate: nothing of it is
	// written, and its Receipt says so. Receipts are in the order of entries.
	// The store sets Seq, and writes everything else as it is in the entries.
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
	// Now returns the present time, in any time zone. In a transaction it does not return
	// the time at which the transaction began. Hooks takes the result to be the time half
	// way between call and return.
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

// A Reporter store counts deliveries, and keeps counters of attempts by minute. With
// another store, [Hooks] counts by reading pages, to 1,000, and has no [Minute] to show.
// Optional.
type Reporter interface {
	// Count returns how many deliveries match q, N being most if there are more. It looks at
	// the same fields of q as Deliveries does, but not at Limit, Cursor and OldestFirst.
	//
	// A store may bound what one call examines, as lists do, but to no less than 10,000
	// deliveries. If it ends for that reason, N is what it has found so far, and More is set.
	Count(ctx context.Context, q Query, most int) (Count, error)
	// AddMinutes adds to the counters of the same Start and Subscriber. While Run runs, it
	// is called every ten seconds if there were attempts, with a row or two for each
	// subscriber that had some. After an error nobody repeats the call, so that the numbers
	// of these rows are lost.
	AddMinutes(ctx context.Context, ms []Minute) error
	// Minutes returns the counters whose Start is at or after q.From and before q.To, by
	// Start: those of q.Subscriber, or those of all together if that is empty.
	Minutes(ctx context.Context, q Query) ([]Minute, error)
}

// A Minute counts the attempts that ended in one minute, of all subscribers together; or
// those that ended in five minutes, of one subscriber.
type Minute struct {
	Start      time.Time `json:"start"`
	Subscriber string    `json:"subscriber,omitempty"` // empty: all of them
	Succeeded  int       `json:"succeeded"`
	Failed     int       `json:"failed"`
	// Took counts attempts by how long they took: up to 1, 2, 5, 10, 20, 50, 100, 200,
	// 500, 1,000, 2,000 and 5,000 ms, and longer.
	Took [13]int `json:"took"`
}

// Errors of every store, and so of the methods of [Hooks] that call it; errors.Is finds
// them. A call that returned one of them has changed nothing.
var (
	// ErrConflict: somebody else has changed the endpoint, record or delivery.
	ErrConflict = errors.New("hooks: changed meanwhile; read it again")
	// ErrLocked: the store is [Exclusive], and Run or Flush of another Hooks has it.
	ErrLocked = errors.New("hooks: another process runs the dispatcher of this store; stop it, or use PostgreSQL")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("hooks: store is closed")
	// ErrTooNew: a later version of this library wrote the store. Nothing in it was
	// changed.
	ErrTooNew = errors.New("hooks: store was written by a newer version of hooks; upgrade this program")
	// ErrForeign: the database holds something else. Nothing in it was changed.
	ErrForeign = errors.New("hooks: not a hooks store")
	// ErrNotFound: there is no such event, delivery or subscriber, or a [Tenant] may not
	// see it.
	ErrNotFound = errors.New("hooks: not found")
)

// An Entry is an event and deliveries of it.
type Entry struct {
	Event      Event
	Deliveries []Delivery
	// KeyUntil is when another event may have the same IdempotencyKey. Without a key it
	// is zero.
	KeyUntil time.Time
	// Add says that the event is stored already. Enqueue adds those of Deliveries that it
	// does not have. An unknown event is [ErrNotFound].
	Add bool
}

// A Receipt says what became of one event.
type Receipt struct {
	// EventID is the event's ID. For a duplicate it is that of the event stored already. A
	// [Tenant] gets an empty one instead of another event's ID, if it is not shown that event
	// or publishes in a transaction.
	EventID string `json:"event_id"`
	// Deliveries is how many deliveries were written. For a duplicate it is 0. A [Tenant]
	// is told of those to endpoints only.
	Deliveries int `json:"deliveries"`
	// Duplicate reports that nothing was written because this event, or another one
	// with its idempotency key, is stored already.
	Duplicate bool `json:"duplicate,omitempty"`
}

// A ClaimLane is one subscriber's part of a Claim.
type ClaimLane struct {
	Subscriber string
	Max        int // how many deliveries at most
	// Before is the latest Due to take. It may lie in the future, to take scheduled
	// deliveries too; running leases, with status Sending and Due after now, are never
	// taken.
	Before     time.Time
	LeaseUntil time.Time // when the leases end
}

// A BacklogLane is one subscriber's part of the Backlog.
type BacklogLane struct {
	Subscriber string
	Due        time.Time // the earliest
}

// A Change is a delivery as Update shall write it.
type Change struct {
	Delivery Delivery // with the Token that was read
	Attempt  *Attempt // is added to the delivery's; nil when nothing was sent
	// Emit is enqueued in the same write, unless the change is stale. If an entry cannot
	// be, Update returns the error and has changed nothing.
	Emit []Entry
}

// A Record is a versioned value that Hooks keeps in the store, such as an endpoint or a
// handler. A store does not look into Data.
type Record struct {
	Key     string // such as "endpoint/crm" or "handler/audit"
	Version int64  // unique in the store, increasing in the order of commits
	Data    []byte // nil when deleted
}

// A Query selects what a list returns: rows that match all of its fields. A zero field
// matches any row. The list's doc names the fields that it looks at. If another field is
// set, [Hooks] returns an [*InvalidError], because a list that ignored a condition would
// return too much. So it does if a value cannot be: a Status that does not exist, a From or
// To outside of the years 1 to 9998, a text that is longer than 128 bytes (a key: 256), is
// not UTF-8 or has a control character, or more than 64 values of one field.
//
// Without Statuses a Query selects what has succeeded, too: an [ActionReplay] then sends that
// again.
//
// In a Store, Events and Deliveries look at Tenant, Types, From, To, OldestFirst, Limit and
// Cursor; Events also at Event and Key, Deliveries also at Event, Subscriber, OrderingKey,
// Statuses, Reasons, Errors and Codes.
type Query struct {
	Event      string `json:"event,omitempty"` // an event's id
	Subscriber string `json:"subscriber,omitempty"`
	Tenant     string `json:"tenant,omitempty"`
	// OrderingKey matches deliveries of exactly this Tenant that have the key. A store finds
	// the unfinished ones of a Subscriber without looking at others.
	OrderingKey string `json:"ordering_key,omitempty"`
	// Types, Statuses, Reasons, Errors and Codes match any of their values. Types are names,
	// or patterns such as "invoice.*", which Hooks turns into names for the Store. Errors are
	// classes of failure, see [Attempt]; an empty one matches deliveries without one. Codes
	// are HTTP statuses; 0 matches deliveries whose last attempt got no response.
	Types    []string `json:"types,omitempty"`
	Statuses []Status `json:"statuses,omitempty"`
	Reasons  []Reason `json:"reasons,omitempty"`
	Errors   []string `json:"errors,omitempty"`
	Codes    []int    `json:"codes,omitempty"`
	// States match endpoints that have any of them, as this process knows it.
	States []EndpointState `json:"states,omitempty"`
	// Key is an IdempotencyKey. It matches the event of exactly this Tenant that has the
	// key. When the window has ended, it still does so until another event takes the key
	// or Prune removes it.
	Key         string    `json:"key,omitempty"`
	From        time.Time `json:"from,omitzero"` // stored at or after
	To          time.Time `json:"to,omitzero"`   // stored before
	OldestFirst bool      `json:"oldest_first,omitempty"`
	Limit       int       `json:"-"` // rows a page at most; 0 or less: 50
	Cursor      string    `json:"-"` // next of the page before; empty: the first page
}

// Cutoffs say what Prune removes and erases. A zero time removes nothing.
type Cutoffs struct {
	// Done removes succeeded and canceled deliveries that have been final since before it,
	// and events without deliveries that were stored before it.
	Done    time.Time
	Failed  time.Time // removes failed deliveries that have been final since before it
	Keys    time.Time // removes idempotency keys whose time ended before it
	Minutes time.Time // removes counters of a [Reporter] that start before it
	Erase   []string  // ids of events to erase, at most 100; unknown ones are passed over
	Now     time.Time // the time of the erasing
	// Limit is how many deliveries to remove at most, and how many keys, minutes and
	// events without deliveries. It does not bound Erase.
	Limit int
}
