package hooks

import (
	"maps"
	"slices"
	"strings"
)

// A roster is the endpoints that a directory knows. It keeps them so that a question
// about all of them, about a page of them, or about who receives an event, costs the
// same however many others there are. The directory's mutex guards it.
type roster struct {
	byID    map[string]*endpoint
	byTopic map[topic]map[string]*endpoint // the same, by what they receive and id
	closed  map[string]*endpoint           // those whose secrets could not be decrypted, by id
	sealed  int                            // those whose secrets are encrypted
	ids     []string                       // in order, as of the last call of sort
	changed []string                       // ids that came or went since then
}

// A topic is all events of a tenant whose types begin with a segment, or, if that is
// "*", all that some pattern selects without naming the first segment.
type topic struct{ tenant, segment string }

// topics returns those that an endpoint receives events of, some maybe twice.
func (e *endpoint) topics() []topic {
	list := make([]topic, len(e.Events))
	for i, p := range e.Events {
		segment, _, _ := strings.Cut(p, ".")
		if segment == "**" {
			segment = "*"
		}
		list[i] = topic{e.Tenant, segment}
	}
	return list
}

func newRoster() roster {
	return roster{
		byID:    make(map[string]*endpoint),
		byTopic: make(map[topic]map[string]*endpoint),
		closed:  make(map[string]*endpoint),
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
	e.address = address{maskURL(e.URL), urlTokens(e.URL)}
	r.byID[id] = e
	for _, t := range e.topics() {
		if r.byTopic[t] == nil {
			r.byTopic[t] = make(map[string]*endpoint)
		}
		r.byTopic[t][id] = e
	}
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
	for _, t := range old.topics() {
		delete(r.byTopic[t], id)
		if len(r.byTopic[t]) == 0 {
			delete(r.byTopic, t)
		}
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

// matches lists the endpoints that receive events of a tenant and type, in no order, and
// some maybe twice. It looks only at those with a pattern that begins as the type does,
// or with "*".
func (r *roster) matches(tenant, typ string) (ms []match) {
	first, _, _ := strings.Cut(typ, ".")
	for _, segment := range []string{first, "*"} {
		for id, e := range r.byTopic[topic{tenant, segment}] {
			if patterns(e.Events).match(typ) {
				ms = append(ms, match{id, e.Ordered})
			}
		}
	}
	return ms
}
