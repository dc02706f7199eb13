package hooks

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// matches returns the subscribers that receive an event of a tenant and type, sorted by id,
// each of them once. A private one is for handlers only.
func (dir *directory) matches(tenant, typ string, private bool) (list []match) {
	dir.mu.RLock()
	if g := dir.endpoints.tenants[tenant]; g != nil && !private {
		list = g.routes.matches(list, typ)
	}
	list = dir.routes.matches(list, typ)
	dir.mu.RUnlock()
	return unique(list)
}

// lookUp returns what the directory knows of a subscriber: its endpoint, which the caller
// must not change, or nil; its handler, of this process or from a record; the endpoint's
// health record, or nil; and whether the subscriber was deleted. deleted is false for an
// id that no subscriber ever had.
func (dir *directory) lookUp(id string) (e *endpoint, l listener, known *health, deleted bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	e = dir.endpoints.byID[id]
	l, isHandler := dir.handlers[id] // a handler may have the id of a deleted endpoint
	if e != nil {
		known = dir.healthOf(e)
	}
	return e, l, known, dir.former[id] != 0 && !isHandler && e == nil
}

// kinds are what an id is or has been: the two kinds of subscribers, after each other.
type kinds uint8

const (
	wasEndpoint kinds = 1 << iota
	wasHandler
)

// wasOnlyEndpoint reports whether an id is or was that of an endpoint, and never that of a
// handler.
func (dir *directory) wasOnlyEndpoint(id string) bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	_, isHandler := dir.handlers[id] // it may have no record yet
	return dir.former[id] == wasEndpoint && !isHandler
}

// wasEver reports whether an id is or was that of a subscriber of a kind, as far as records
// tell.
func (dir *directory) wasEver(id string, k kinds) bool {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.former[id]&k != 0
}

// endpoint returns the endpoint with an id, or nil. The caller must not change it.
func (dir *directory) endpoint(id string) *endpoint {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.byID[id]
}

// page returns at most limit endpoints of a tenant whose ids follow after, sorted by id,
// and reports whether there are more. The empty tenant stands for all. The caller must not
// change them.
func (dir *directory) page(tenant, after string, limit int) (page []*endpoint, more bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.page(tenant, after, limit)
}

// since returns what the endpoint with an id has as since, and zero if there is none.
func (dir *directory) since(id string) time.Time {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return dir.endpoints.since[id]
}

// count returns how many endpoints a tenant has.
func (dir *directory) count(tenant string) int {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	if g := dir.endpoints.tenants[tenant]; g != nil {
		return g.n
	}
	return 0
}

// all returns all endpoints, sorted by id. The caller must not change them.
func (dir *directory) all() []*endpoint {
	all, _ := dir.page("", "", math.MaxInt)
	return all
}

// listener returns the handler with a name, of this process or from a record.
func (dir *directory) listener(name string) (listener, bool) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	l, ok := dir.handlers[name]
	return l, ok
}

// handlerInfos returns what is known of the handlers, sorted by name.
func (dir *directory) handlerInfos() []HandlerInfo {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	infos := make([]HandlerInfo, 0, len(dir.handlers))
	for _, name := range slices.Sorted(maps.Keys(dir.handlers)) {
		l := dir.handlers[name]
		infos = append(infos, HandlerInfo{name, slices.Clone(l.Events), l.Ordered, l.local != nil})
	}
	return infos
}

// isEndpoint reports whether an endpoint has this id.
func (dir *directory) isEndpoint(id string) bool { return dir.endpoint(id) != nil }

// whyUnreadable returns why the last version of an endpoint's record could not be read, or
// nil. What is known of the endpoint is then older, and must not be written over it.
func (dir *directory) whyUnreadable(id string) error {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	if err := dir.unreadable["endpoint/"+id]; err != nil {
		return fmt.Errorf("hooks: the record of endpoint %q cannot be read: %w", id, err)
	}
	return nil
}
