package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
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
	log     *slog.Logger
	keeper  Keeper          // may be nil
	connect func(*endpoint) // makes what attempts at an endpoint need

	mu sync.RWMutex // guards what follows

	version   int64            // up to which all records were applied
	seen      map[string]int64 // by key, the version applied; deleted ones too
	asked     time.Time        // when the last reading began
	endpoints roster
	handlers  map[string]listener // recorded, and those of this process
	deleted   map[string]bool     // subscribers with a tombstone

	shut chan struct{} // there are closed ones; holds one
}

const staleAfter = time.Second

func newDirectory(log *slog.Logger, k Keeper, connect func(*endpoint)) *directory {
	return &directory{
		log:       log,
		keeper:    k,
		connect:   connect,
		seen:      make(map[string]int64),
		endpoints: newRoster(),
		handlers:  make(map[string]listener),
		deleted:   make(map[string]bool),
		shut:      make(chan struct{}, 1),
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

// reload reads what has changed on the store: its clock, and the subscribers; in tx,
// an application's transaction or the dispatcher's [boundedStore], if that is not nil.
func (h *Hooks) reload(ctx context.Context, tx Tx) error {
	if err := h.sync(ctx, tx); err != nil {
		return err
	}
	src, current := Tx(h.store), true
	if tx != nil { // the application's may show what was when it began, and does not count
		src = tx
		_, current = tx.(*boundedStore)
	}
	err := h.dir.read(ctx, src, current)
	h.warnOfPlain()
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
	dir.mu.Lock()
	dir.apply(edits)
	if current {
		dir.asked = asked
	}
	dir.mu.Unlock()
	dir.report(edits)
	return nil
}

// An edit is a record with what it says of an endpoint, if it is one's.
type edit struct {
	Record
	endpoint *endpoint // nil if it is deleted, or not an endpoint
	err      error     // why it cannot be read
	news     bool      // it was applied, and not known already
}

// parse reads a record. dir.mu is not held, for a Keeper may take its time.
func (dir *directory) parse(r Record) (e edit) {
	e.Record = r
	if kind, id, _ := strings.Cut(r.Key, "/"); kind == "endpoint" {
		e.endpoint, e.err = unseal(dir.keeper, id, r, dir.endpoint(id))
	}
	return e
}

// reopen tries again to decrypt what could not be, and reports whether something
// can be now.
func (dir *directory) reopen() (opened bool) {
	dir.mu.RLock()
	closed := slices.Collect(maps.Values(dir.endpoints.closed))
	dir.mu.RUnlock()
	for _, c := range closed {
		e, err := unseal(dir.keeper, c.ID, c.record, nil)
		if err != nil || e.closed != nil && e.closed.Error() == c.closed.Error() || !dir.replace(c, e) {
			continue
		}
		if e.closed != nil {
			dir.reportClosed(e)
			continue
		}
		opened = true
		dir.log.Info("hooks: an endpoint's secrets can be decrypted again", "endpoint", c.ID)
	}
	return opened
}

// replace makes e the endpoint that c is, unless that has changed meanwhile, and
// reports whether it did.
func (dir *directory) replace(c, e *endpoint) bool {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if dir.endpoints.closed[c.ID] != c {
		return false
	}
	dir.setEndpoint(c.ID, e)
	return true
}

// anyClosed reports whether there are endpoints that could not be decrypted.
func (dir *directory) anyClosed() bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return len(dir.endpoints.closed) > 0
}

// anySealed reports whether there are endpoints whose secrets are encrypted.
func (dir *directory) anySealed() bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.sealed > 0
}

// anyPlain reports whether there are endpoints whose secrets are in plain text.
func (dir *directory) anyPlain() bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.sealed < len(dir.endpoints.byID)
}

// update applies what this process has written.
func (dir *directory) update(e edit) {
	edits := []edit{e}
	dir.mu.Lock()
	version := dir.version
	dir.apply(edits)
	dir.version = version // records of others may come before it
	dir.mu.Unlock()
	dir.report(edits)
}

// apply takes in those records of which no newer one is known, and marks them as news.
// One that cannot be read changes nothing, because it must not stop everything else.
// dir.mu is held; report tells the log when it is free.
func (dir *directory) apply(edits []edit) {
	for i := range edits {
		e := &edits[i]
		e.news = e.Version > dir.seen[e.Key]
		if e.news && e.err == nil {
			e.err = dir.applyOne(*e)
		}
		dir.seen[e.Key] = max(dir.seen[e.Key], e.Version)
		dir.version = max(dir.version, e.Version)
	}
	dir.endpoints.sort()
}

// applyOne is apply for one record that is new and was read. dir.mu is held.
func (dir *directory) applyOne(e edit) error {
	switch kind, id, _ := strings.Cut(e.Key, "/"); kind {
	case "endpoint":
		dir.setEndpoint(id, e.endpoint)
	case "handler":
		return dir.applyHandler(id, e.Record)
	}
	return nil
}

// report tells the log what came of applying edits. dir.mu is not held, because a
// logger may call methods of Hooks.
func (dir *directory) report(edits []edit) {
	for _, e := range edits {
		switch {
		case !e.news:
		case e.err != nil:
			dir.log.Error("hooks: a subscriber's record cannot be read, and stays as it was known", "key", e.Key, "error", e.err)
		case e.endpoint != nil && e.endpoint.closed != nil:
			dir.reportClosed(e.endpoint)
		}
	}
}

func (dir *directory) reportClosed(e *endpoint) {
	dir.log.Error("hooks: an endpoint waits for its key, and what is due for it too",
		"endpoint", e.ID, "error", e.closed)
}

// setEndpoint makes e the endpoint with an id; nil deletes it. dir.mu is held.
func (dir *directory) setEndpoint(id string, e *endpoint) {
	if e != nil {
		dir.connect(e)
	}
	dir.endpoints.set(id, e)
	dir.deleted[id] = e == nil
	if e != nil && e.closed != nil {
		select {
		case dir.shut <- struct{}{}:
		default: // it is known
		}
	}
}

func (dir *directory) applyHandler(name string, r Record) error {
	l := dir.handlers[name]
	if len(r.Data) == 0 && l.local == nil {
		delete(dir.handlers, name)
		dir.deleted[name] = true
		return nil
	}
	if len(r.Data) > 0 && l.local == nil {
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
func (dir *directory) addLocal(s *function) {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	l := dir.handlers[s.Name]
	l.Events, l.Ordered, l.local = s.Events, s.Ordered, s
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
	ms := dir.endpoints.matches(tenant, typ)
	for name, l := range dir.handlers {
		if l.Events.match(typ) {
			ms = append(ms, match{name, l.Ordered})
		}
	}
	slices.SortFunc(ms, func(a, b match) int { return cmp.Compare(a.id, b.id) })
	return slices.Compact(ms)
}

// lookUp returns all that is known of a subscriber: its endpoint, which is not to be
// altered, or nil; its handler, if there is one here or elsewhere; and whether it was
// deleted, and not merely never heard of.
func (dir *directory) lookUp(id string) (e *endpoint, l listener, deleted bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	e = dir.endpoints.byID[id]
	l, isHandler := dir.handlers[id] // the id may have been an endpoint's before
	return e, l, dir.deleted[id] && !isHandler && e == nil
}

// endpoint returns the endpoint, which is not to be altered, or nil.
func (dir *directory) endpoint(id string) *endpoint {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.byID[id]
}

// page returns the endpoints that follow an id, in the order of their ids, at most
// limit of them; and whether there are more. They are not to be altered.
func (dir *directory) page(after string, limit int) (page []*endpoint, more bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.page(after, limit)
}

// all returns the endpoints in the order of their ids. They are not to be altered.
func (dir *directory) all() []*endpoint {
	all, _ := dir.page("", math.MaxInt)
	return all
}

func (dir *directory) listener(name string) (listener, bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	l, ok := dir.handlers[name]
	return l, ok
}

// isEndpoint reports whether an endpoint has this id.
func (dir *directory) isEndpoint(id string) bool { return dir.endpoint(id) != nil }
