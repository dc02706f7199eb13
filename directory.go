package hooks

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A directory is what this process knows of the subscribers: its own handlers, and the
// endpoints and other processes' handlers that the store has records of. Publish reads the
// changed records first if the last reading is older than staleAfter. The dispatcher's
// loop reads them with each poll.
type directory struct {
	log     *slog.Logger
	keeper  Keeper          // may be nil
	connect func(*endpoint) // makes what attempts at an endpoint need

	mu sync.RWMutex // guards what follows

	version    int64            // all records up to this version were applied
	applied    map[string]int64 // the version applied last, by key; also of deleted records
	unreadable map[string]error // by key: records whose last version could not be read; nil: none
	readAt     time.Time        // when the last current reading began
	endpoints  roster
	handlers   map[string]listener // of this process, and those that have a record
	routes     routes              // the patterns of handlers
	former     map[string]kinds    // what each id has been, as far as records tell
	health     map[string]*health  // of endpoints that have a health record, by id
	until      time.Time           // no disabling ends by itself before; zero: none does
	actions    map[string]*action  // by id

	undecryptable chan struct{} // wakes [dispatcher.reopen]; holds one
	ending        chan struct{} // wakes [dispatcher.endDisablings]; holds one
	acting        chan struct{} // wakes [dispatcher.carryOut], because an action has changed; holds one
}

const staleAfter = time.Second

func newDirectory(log *slog.Logger, k Keeper, connect func(*endpoint)) *directory {
	return &directory{
		log:       log,
		keeper:    k,
		connect:   connect,
		applied:   make(map[string]int64),
		endpoints: newRoster(),
		handlers:  make(map[string]listener),
		former:    make(map[string]kinds),
		health:    make(map[string]*health),

		undecryptable: make(chan struct{}, 1),
		ending:        make(chan struct{}, 1),
		acting:        make(chan struct{}, 1),
	}
}

// refresh calls reload if the last reading is maxAge old or older, or the store's clock
// must be read. Several callers may do so at once: all of them apply the same records.
func (h *Hooks) refresh(ctx context.Context, tx Tx, maxAge time.Duration) error {
	if h.dir.age() < maxAge && !h.clockIsStale() {
		return nil
	}
	return h.reload(ctx, tx)
}

// reload reads the store's clock, and the records of subscribers that have changed. It
// reads the records in tx if tx is not nil: the application's transaction, or the
// dispatcher's [boundedStore].
func (h *Hooks) reload(ctx context.Context, tx Tx) error {
	if err := h.sync(ctx, tx); err != nil {
		return err
	}
	src, current := Tx(h.store), true
	if tx != nil {
		src = tx
		// The application's transaction may see an old snapshot, so that reading in it
		// does not make the directory fresh.
		_, current = tx.(*boundedStore)
	}
	err := h.dir.read(ctx, src, current)
	h.warnOfPlain()
	return err
}

// age returns how long ago the last current reading began.
func (dir *directory) age() time.Duration {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return time.Since(dir.readAt)
}

// read reads the records that have changed. A reading is current if it has seen all that
// was committed when it began.
func (dir *directory) read(ctx context.Context, src Tx, current bool) error {
	dir.mu.RLock()
	since := dir.version
	dir.mu.RUnlock()
	began := time.Now()
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
		dir.readAt = began
	}
	dir.mu.Unlock()
	dir.report(edits)
	return nil
}

// An edit is a changed record, and the endpoint that it describes.
type edit struct {
	Record
	endpoint *endpoint // nil if it was deleted, or the record is a handler's
	err      error     // why the record cannot be read
	isNew    bool      // the directory did not have this version of the record before
}

// parse reads a record. It does not hold dir.mu, because a Keeper may be slow.
func (dir *directory) parse(r Record) (e edit) {
	e.Record = r
	if kind, id, _ := strings.Cut(r.Key, "/"); kind == "endpoint" {
		e.endpoint, e.err = unseal(dir.keeper, id, r, dir.endpoint(id))
	}
	return e
}

// reopen tries again to decrypt the endpoints that could not be decrypted. It reports
// whether at least one of them can be decrypted now.
func (dir *directory) reopen() (opened bool) {
	dir.mu.RLock()
	list := slices.Collect(maps.Values(dir.endpoints.undecryptable))
	dir.mu.RUnlock()
	for _, old := range list {
		e, err := unseal(dir.keeper, old.ID, old.record, nil)
		if err != nil || e.closed != nil && e.closed.Error() == old.closed.Error() || !dir.replace(old, e) {
			continue
		}
		if e.closed != nil {
			dir.reportUndecryptable(e)
			continue
		}
		opened = true
		dir.log.Info("hooks: an endpoint's secrets can be decrypted again", "endpoint", old.ID)
	}
	return opened
}

// replace puts e in the place of old, an endpoint that could not be decrypted. It does
// nothing and reports false if the directory has another endpoint there by now.
func (dir *directory) replace(old, e *endpoint) bool {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if dir.endpoints.undecryptable[old.ID] != old {
		return false
	}
	dir.setEndpoint(old.ID, e)
	dir.endpoints.sort()
	return true
}

// anyUndecryptable reports whether there are endpoints that could not be decrypted.
func (dir *directory) anyUndecryptable() bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return len(dir.endpoints.undecryptable) > 0
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

// update applies a record that this process has written.
func (dir *directory) update(e edit) {
	edits := []edit{e}
	dir.mu.Lock()
	version := dir.version
	dir.apply(edits)
	// Keep the old version, because others may have written records with lower versions
	// that were not read yet.
	dir.version = version
	dir.mu.Unlock()
	dir.report(edits)
}

// apply applies each record unless the directory has a newer version of it. It sets isNew
// of those that it has applied, and err of those that it could not read. The latter change
// nothing, so that one bad record does not stop all others. The caller holds dir.mu, and
// calls report when it has released it.
func (dir *directory) apply(edits []edit) {
	for i := range edits {
		e := &edits[i]
		e.isNew = e.Version > dir.applied[e.Key]
		if e.isNew && e.err == nil {
			e.err = dir.applyOne(*e)
		}
		if e.isNew {
			delete(dir.unreadable, e.Key)
		}
		if e.isNew && e.err != nil {
			insert(&dir.unreadable, e.Key, e.err)
		}
		dir.applied[e.Key] = max(dir.applied[e.Key], e.Version)
		dir.version = max(dir.version, e.Version)
	}
	dir.endpoints.sort()
}

// applyOne applies one record. The caller holds dir.mu.
func (dir *directory) applyOne(e edit) error {
	switch kind, id, _ := strings.Cut(e.Key, "/"); kind {
	case "endpoint":
		dir.setEndpoint(id, e.endpoint)
	case "handler":
		return dir.applyHandler(id, e.Record)
	case "health":
		return dir.applyHealth(id, e.Record)
	case "action":
		return dir.applyAction(id, e.Record)
	}
	return nil
}

// report logs which records could not be read, and which endpoints could not be decrypted.
// The caller does not hold dir.mu, because a logger may call methods of Hooks.
func (dir *directory) report(edits []edit) {
	for _, e := range edits {
		switch {
		case !e.isNew:
		case e.err != nil:
			dir.log.Error("hooks: a record cannot be read, and stays as it was known", "key", e.Key, "error", e.err)
		case e.endpoint != nil && e.endpoint.closed != nil:
			dir.reportUndecryptable(e.endpoint)
		}
	}
}

func (dir *directory) reportUndecryptable(e *endpoint) {
	dir.log.Error("hooks: an endpoint waits for its key, and what is due for it too",
		"endpoint", e.ID, "error", e.closed)
}

// setEndpoint makes e the endpoint with an id. If e is nil, it deletes the endpoint. The
// caller holds dir.mu.
func (dir *directory) setEndpoint(id string, e *endpoint) {
	if e != nil {
		dir.connect(e)
	}
	dir.endpoints.set(id, e)
	dir.former[id] |= wasEndpoint
	if e != nil && e.closed != nil {
		select {
		case dir.undecryptable <- struct{}{}:
		default: // a signal is pending already
		}
	}
}

// applyHandler applies the record of a handler. A handler of this process keeps the
// patterns of its code, because another version of the program may have written the
// record. The caller holds dir.mu.
func (dir *directory) applyHandler(name string, r Record) error {
	l := dir.handlers[name]
	switch {
	case l.local != nil:
	case len(r.Data) == 0:
		dir.removeHandler(name)
		dir.former[name] |= wasHandler
		return nil
	default:
		l = listener{} // decoding into the old one would overwrite its patterns in place
		rec, err := parseHandler(r.Data)
		if err != nil {
			return err
		}
		l.Events, l.Ordered = rec.Events, rec.Ordered
	}
	l.record = r
	dir.former[name] |= wasHandler
	dir.setHandler(name, l)
	return nil
}

// addLocal adds a handler of this process.
func (dir *directory) addLocal(s *function) {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	record := dir.handlers[s.Name].record
	dir.setHandler(s.Name, listener{Events: s.Events, Ordered: s.Ordered, local: s, record: record})
}

// setHandler makes l the handler with a name. The caller holds dir.mu.
func (dir *directory) setHandler(name string, l listener) {
	dir.removeHandler(name)
	dir.handlers[name] = l
	for _, p := range l.Events {
		dir.routes.add(p, name, l.Ordered)
	}
}

// removeHandler removes the handler with a name, if there is one. The caller holds dir.mu.
func (dir *directory) removeHandler(name string) {
	for _, p := range dir.handlers[name].Events {
		dir.routes.remove(p, name)
	}
	delete(dir.handlers, name)
}
