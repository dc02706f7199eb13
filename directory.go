package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A directory is what this process knows of the subscribers on the store: the
// handlers of its own, and what the store's records say of endpoints and of
// handlers elsewhere. What is published goes by a reading younger than
// staleAfter; the dispatcher's loop reads with each poll.
type directory struct {
	log    *slog.Logger
	keeper Keeper // may be nil

	mu sync.RWMutex // guards what follows

	version   int64            // up to which all records were applied
	seen      map[string]int64 // by key, the version applied; deleted ones too
	asked     time.Time        // when the last reading began
	endpoints map[string]*endpoint
	tenants   map[string]map[string]*endpoint // the same, by tenant and id
	handlers  map[string]listener             // recorded, and those of this process
	deleted   map[string]bool                 // subscribers with a tombstone
	closed    map[string]*endpoint            // those that could not be decrypted
}

const staleAfter = time.Second

// An endpoint is an [Endpoint] as it is recorded, with what signs its requests.
type endpoint struct {
	Endpoint
	keys []signingKey // newest first

	record Record
	sealed []byte // the ciphertext in it; nil if it is in plain text
	closed error  // why that cannot be decrypted: keys and header are unknown
}

// A listener is what publishing must know of a handler.
type listener struct {
	Events  patterns
	Ordered bool

	local  bool // of this process: the code is the truth, not the record
	record Record
}

func newDirectory(log *slog.Logger, k Keeper) *directory {
	return &directory{
		log:       log,
		keeper:    k,
		seen:      make(map[string]int64),
		endpoints: make(map[string]*endpoint),
		tenants:   make(map[string]map[string]*endpoint),
		handlers:  make(map[string]listener),
		deleted:   make(map[string]bool),
		closed:    make(map[string]*endpoint),
	}
}

// refresh reads what has changed on the store, if the last reading is as old as
// that or older; in tx, the application's transaction, if that is not nil. Several
// callers may read at once; what they apply is the same.
func (h *Hooks) refresh(ctx context.Context, tx Tx, old time.Duration) error {
	if h.dir.age() < old && !h.behind() {
		return nil
	}
	return h.reload(ctx, tx)
}

// reload reads what has changed on the store: its clock, and the subscribers.
func (h *Hooks) reload(ctx context.Context, tx Tx) error {
	if err := h.sync(ctx, tx); err != nil {
		return err
	}
	src, current := Tx(h.store), true
	if tx != nil { // it may show what was when it began, and does not count
		src, current = tx, false
	}
	err := h.dir.read(ctx, src, current)
	if h.dir.hasEndpoints() {
		h.warnOfPlain()
	}
	return err
}

// age returns how long ago the last reading began.
func (dir *directory) age() time.Duration {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return time.Since(dir.asked)
}

// read reads what has changed. A current reading is one that has seen all that
// was committed when it began.
func (dir *directory) read(ctx context.Context, src Tx, current bool) error {
	dir.mu.RLock()
	since := dir.version
	dir.mu.RUnlock()
	asked := time.Now()
	records, err := src.Records(ctx, since)
	if err != nil {
		return fmt.Errorf("hooks: read subscribers: %w", err)
	}
	edits := make([]edit, len(records))
	for i, r := range records {
		edits[i] = dir.parse(r)
	}
	opened := dir.reopen()
	dir.mu.Lock()
	defer dir.mu.Unlock()
	for _, e := range edits {
		dir.apply(e)
	}
	for _, e := range opened {
		dir.applyOpened(e)
	}
	if current {
		dir.asked = asked
	}
	return nil
}

// An edit is a record with what it says of an endpoint, if it is one's.
type edit struct {
	Record
	endpoint *endpoint // nil if it is deleted, or not an endpoint
	err      error     // why it cannot be read
}

// parse reads a record. dir.mu is not held, for a Keeper may take its time.
func (dir *directory) parse(r Record) (e edit) {
	e.Record = r
	if kind, id, _ := strings.Cut(r.Key, "/"); kind == "endpoint" {
		e.endpoint, e.err = unseal(dir.keeper, id, r)
	}
	return e
}

// reopen tries again to decrypt what could not be, and returns what can be now.
func (dir *directory) reopen() (opened []*endpoint) {
	dir.mu.RLock()
	closed := slices.Collect(maps.Values(dir.closed))
	dir.mu.RUnlock()
	for _, c := range closed {
		if e, err := unseal(dir.keeper, c.ID, c.record); err == nil && e.closed == nil {
			opened = append(opened, e)
		}
	}
	return opened
}

// applyOpened takes an endpoint in that could not be decrypted before, unless it
// has changed meanwhile. dir.mu is held.
func (dir *directory) applyOpened(e *endpoint) {
	if c := dir.closed[e.ID]; c != nil && c.record.Version == e.record.Version {
		dir.setEndpoint(e.ID, e)
		dir.log.Info("hooks: an endpoint's secrets can be decrypted again", "endpoint", e.ID)
	}
}

// update applies a record that this process has written.
func (dir *directory) update(r Record) {
	e := dir.parse(r)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	version := dir.version
	dir.apply(e)
	dir.version = version // records of others may come before it
}

// apply takes a record in, unless a newer one of its key is known. One that
// cannot be read is left out, for it must not stop everything else. dir.mu is
// held.
func (dir *directory) apply(r edit) {
	kind, id, _ := strings.Cut(r.Key, "/")
	err := r.err
	switch {
	case r.Version <= dir.seen[r.Key], err != nil:
	case kind == "endpoint":
		dir.setEndpoint(id, r.endpoint)
	case kind == "handler":
		err = dir.applyHandler(id, r.Record)
	}
	if err != nil {
		dir.log.Error("hooks: a subscriber's record cannot be read, and stays as it was known", "key", r.Key, "error", err)
	}
	dir.seen[r.Key] = max(dir.seen[r.Key], r.Version)
	dir.version = max(dir.version, r.Version)
}

// setEndpoint makes e the endpoint with an id; nil deletes it. dir.mu is held.
func (dir *directory) setEndpoint(id string, e *endpoint) {
	if old := dir.endpoints[id]; old != nil {
		delete(dir.tenants[old.Tenant], id)
		delete(dir.endpoints, id)
	}
	delete(dir.closed, id)
	dir.deleted[id] = e == nil
	if e == nil {
		return
	}
	if e.closed != nil {
		dir.closed[id] = e
		dir.log.Error("hooks: an endpoint waits for its key, and what is due for it too",
			"endpoint", id, "error", e.closed)
	}
	dir.endpoints[id] = e
	if dir.tenants[e.Tenant] == nil {
		dir.tenants[e.Tenant] = make(map[string]*endpoint)
	}
	dir.tenants[e.Tenant][id] = e
}

func (dir *directory) applyHandler(name string, r Record) error {
	l := dir.handlers[name]
	if len(r.Data) == 0 && !l.local {
		delete(dir.handlers, name)
		dir.deleted[name] = true
		return nil
	}
	if len(r.Data) > 0 && !l.local {
		if err := json.Unmarshal(r.Data, &l); err != nil {
			return err
		}
		dir.deleted[name] = false
	}
	l.record = r
	dir.handlers[name] = l
	return nil
}

// addLocal takes in a handler of this process.
func (dir *directory) addLocal(s Handler) {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	l := dir.handlers[s.Name]
	l.Events, l.Ordered, l.local = s.Events, s.Ordered, true
	dir.handlers[s.Name] = l
	delete(dir.deleted, s.Name)
}

// A match is a subscriber that receives an event.
type match struct {
	id      string
	ordered bool
}

// matches lists the subscribers of an event, by id.
func (dir *directory) matches(tenant, typ string) []match {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	var ms []match
	for id, e := range dir.tenants[tenant] {
		if patterns(e.Events).match(typ) {
			ms = append(ms, match{id, e.Ordered})
		}
	}
	for name, l := range dir.handlers {
		if l.Events.match(typ) {
			ms = append(ms, match{name, l.Ordered})
		}
	}
	slices.SortFunc(ms, func(a, b match) int { return cmp.Compare(a.id, b.id) })
	return ms
}

// isOthers reports whether a delivery's subscriber is now an endpoint of another
// tenant, who must not see it.
func (dir *directory) isOthers(d Delivery) bool {
	e := dir.endpoint(d.Subscriber)
	return e != nil && e.Tenant != d.Tenant
}

// endpoint returns the endpoint, which is not to be altered, or nil.
func (dir *directory) endpoint(id string) *endpoint {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints[id]
}

// endpointIDs lists the ids after one, in order.
func (dir *directory) endpointIDs(after string) []string {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	ids := slices.Sorted(maps.Keys(dir.endpoints))
	i, _ := slices.BinarySearch(ids, after+"\x00")
	return ids[i:]
}

func (dir *directory) listener(name string) (listener, bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	l, ok := dir.handlers[name]
	return l, ok
}

// isClosed reports whether an endpoint's secrets cannot be decrypted.
func (dir *directory) isClosed(id string) bool {
	e := dir.endpoint(id)
	return e != nil && e.closed != nil
}

func (dir *directory) hasEndpoints() bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return len(dir.endpoints) > 0
}

// isEndpoint reports whether an endpoint has this id.
func (dir *directory) isEndpoint(id string) bool { return dir.endpoint(id) != nil }

// isDeleted reports whether a subscriber was deleted, and not merely never
// heard of.
func (dir *directory) isDeleted(id string) bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.deleted[id]
}
