package hooks

import (
	"maps"
	"slices"
)

// A roster holds the endpoints of a directory. These questions cost the same however many
// endpoints there are besides the ones in the answer: which of them receive an event,
// which are on a page, and whether any is encrypted. The directory's mutex guards it.
type roster struct {
	byID          map[string]*endpoint
	tenants       map[string]*routes   // the patterns, by tenant; no tree is empty
	undecryptable map[string]*endpoint // those whose secrets could not be decrypted, by id
	sealed        int                  // how many have their secrets encrypted
	ids           []string             // sorted, as of the last call of sort
	changed       []string             // ids that were added or removed since then
}

func newRoster() roster {
	return roster{
		byID:          make(map[string]*endpoint),
		tenants:       make(map[string]*routes),
		undecryptable: make(map[string]*endpoint),
	}
}

// set makes e the endpoint with an id. If e is nil, it deletes the endpoint. The caller
// calls sort after the last of several changes.
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
	e.address = address{maskURL(e.URL), urlTokens(e.URL)}
	r.byID[id] = e
	for _, p := range e.Events {
		if r.tenants[e.Tenant] == nil {
			r.tenants[e.Tenant] = new(routes)
		}
		r.tenants[e.Tenant].add(p, id, e.Ordered)
	}
	if e.closed != nil {
		r.undecryptable[id] = e
	}
	if len(e.sealed) > 0 {
		r.sealed++
	}
}

// remove removes old, the present endpoint with an id.
func (r *roster) remove(id string, old *endpoint) {
	delete(r.byID, id)
	delete(r.undecryptable, id)
	if tree := r.tenants[old.Tenant]; tree != nil { // nil: it had no patterns
		for _, p := range old.Events {
			tree.remove(p, id)
		}
		if tree.empty() {
			delete(r.tenants, old.Tenant)
		}
	}
	if len(old.sealed) > 0 {
		r.sealed--
	}
}

// sort brings ids up to date. It inserts a new id by moving the ids that follow it, which
// takes some 30 µs among 100,000. If many ids have changed, as when the program starts,
// it sorts all of them, because that is faster.
func (r *roster) sort() {
	const few = 512
	if len(r.changed) > few {
		r.ids = slices.Sorted(maps.Keys(r.byID))
		r.changed = nil
	}
	for _, id := range r.changed {
		i, listed := slices.BinarySearch(r.ids, id)
		switch exists := r.byID[id] != nil; {
		case exists && !listed:
			r.ids = slices.Insert(r.ids, i, id)
		case !exists && listed:
			r.ids = slices.Delete(r.ids, i, i+1)
		}
	}
	r.changed = nil
}

// page returns at most limit endpoints whose ids follow after, sorted by id, and reports
// whether there are more.
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
