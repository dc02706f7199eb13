package hooks

import (
	"maps"
	"slices"
)

// A roster is the endpoints that a directory knows. It keeps them so that a question
// about all of them, or about a page of them, costs the same however many there are.
// The directory's mutex guards it.
type roster struct {
	byID     map[string]*endpoint
	byTenant map[string]map[string]*endpoint // the same, by tenant and id
	closed   map[string]*endpoint            // those whose secrets could not be decrypted, by id
	sealed   int                             // those whose secrets are encrypted
	ids      []string                        // in order, as of the last call of sort
	changed  []string                        // ids that came or went since then
}

func newRoster() roster {
	return roster{
		byID:     make(map[string]*endpoint),
		byTenant: make(map[string]map[string]*endpoint),
		closed:   make(map[string]*endpoint),
	}
}

// set makes e the endpoint with an id; nil deletes it. Call sort afterwards, once for
// all changes.
func (r *roster) set(id string, e *endpoint) {
	old := r.byID[id]
	if (old == nil) != (e == nil) {
		r.changed = append(r.changed, id)
	}
	if old != nil {
		r.remove(id, old)
	}
	if e == nil {
		return
	}
	r.byID[id] = e
	if r.byTenant[e.Tenant] == nil {
		r.byTenant[e.Tenant] = make(map[string]*endpoint)
	}
	r.byTenant[e.Tenant][id] = e
	if e.closed != nil {
		r.closed[id] = e
	}
	if len(e.sealed) > 0 {
		r.sealed++
	}
}

func (r *roster) remove(id string, old *endpoint) {
	delete(r.byID, id)
	delete(r.closed, id)
	delete(r.byTenant[old.Tenant], id)
	if len(r.byTenant[old.Tenant]) == 0 {
		delete(r.byTenant, old.Tenant)
	}
	if len(old.sealed) > 0 {
		r.sealed--
	}
}

// sort brings ids up to date. An id is put in its place by moving those that follow it,
// which takes some 30 µs among 100,000. When many ids have changed, as when the
// program starts, sorting all of them once is faster.
func (r *roster) sort() {
	const few = 512
	if len(r.changed) > few {
		r.ids = slices.Sorted(maps.Keys(r.byID))
		r.changed = nil
	}
	for _, id := range r.changed {
		i, listed := slices.BinarySearch(r.ids, id)
		switch known := r.byID[id] != nil; {
		case known && !listed:
			r.ids = slices.Insert(r.ids, i, id)
		case !known && listed:
			r.ids = slices.Delete(r.ids, i, i+1)
		}
	}
	r.changed = nil
}

// page returns the endpoints that follow an id, in the order of their ids, at most
// limit of them; and whether there are more.
func (r *roster) page(after string, limit int) (page []*endpoint, more bool) {
	i, listed := slices.BinarySearch(r.ids, after)
	if listed {
		i++
	}
	ids := r.ids[i:]
	page = make([]*endpoint, min(limit, len(ids)))
	for i := range page {
		page[i] = r.byID[ids[i]]
	}
	return page, len(ids) > len(page)
}
