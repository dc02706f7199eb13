package hooks

import (
	"slices"
	"strings"
)

// A routes finds the subscribers whose patterns match an event type. It is a tree of the
// patterns' segments: each node has the patterns that begin alike, without that beginning.
// A look-up follows the segments of the type, and "*" beside each of them, so that
// subscribers with other patterns cost nothing, however many they are. Only patterns that
// begin as the type does, and end otherwise, cost a step for each of their beginnings.
//
// The zero value has no patterns. A tree depends only on the patterns that are in it now,
// not on those that were: remove leaves no empty node or map behind.
type routes struct {
	here map[string]bool    // subscribers with a pattern that ends here; whether Ordered
	rest map[string]bool    // the same for a pattern that ends with "**" here
	next map[string]*routes // the other patterns, by their next segment, which may be "*"
}

// A match is a subscriber that receives an event.
type match struct {
	id      string
	ordered bool
}

// add adds a pattern of a subscriber. All patterns of a subscriber have the same ordered.
func (r *routes) add(pattern, id string, ordered bool) {
	segment, tail, more := strings.Cut(pattern, ".")
	if segment == "**" {
		insert(&r.rest, id, ordered)
		return
	}
	child := r.next[segment]
	if child == nil {
		child = new(routes)
		insert(&r.next, segment, child)
	}
	if more {
		child.add(tail, id, ordered)
	} else {
		insert(&child.here, id, ordered)
	}
}

// remove removes a pattern of a subscriber. It does nothing if there is no such pattern.
func (r *routes) remove(pattern, id string) {
	segment, tail, more := strings.Cut(pattern, ".")
	if segment == "**" {
		discard(&r.rest, id)
		return
	}
	child := r.next[segment]
	switch {
	case child == nil:
		return
	case more:
		child.remove(tail, id)
	default:
		discard(&child.here, id)
	}
	if child.empty() {
		discard(&r.next, segment)
	}
}

func (r *routes) empty() bool { return r.here == nil && r.rest == nil && r.next == nil }

// matches appends the subscribers whose patterns match a type, as appendMatches does. For
// the library's own types these are patterns that begin with "hooks.".
func (r *routes) matches(list []match, typ string) []match {
	if r == nil || !isOwn(typ) {
		return r.appendMatches(list, typ)
	}
	own, tail, _ := strings.Cut(typ, ".")
	return r.next[own].appendMatches(list, tail)
}

// appendMatches appends the subscribers whose patterns match the rest of a type, in no
// order. One with several such patterns may appear several times. A nil tree has none.
func (r *routes) appendMatches(list []match, typ string) []match {
	if r == nil {
		return list
	}
	list = appendAll(list, r.rest)
	segment, tail, more := strings.Cut(typ, ".")
	for _, key := range [...]string{segment, "*"} {
		child := r.next[key]
		switch {
		case child == nil:
		case more:
			list = child.appendMatches(list, tail)
		default:
			list = appendAll(list, child.here)
		}
	}
	return list
}

func appendAll(list []match, subscribers map[string]bool) []match {
	for id, ordered := range subscribers {
		list = append(list, match{id, ordered})
	}
	return list
}

// unique sorts matches by id and returns each id once. If an endpoint and a handler were
// given the same id, as two processes can do at once, the event goes to it in order if
// either of them is Ordered.
func unique(list []match) []match {
	slices.SortFunc(list, func(a, b match) int {
		switch c := strings.Compare(a.id, b.id); {
		case c != 0 || a.ordered == b.ordered:
			return c
		case a.ordered:
			return -1
		default:
			return 1
		}
	})
	return slices.CompactFunc(list, func(a, b match) bool { return a.id == b.id })
}

// insert sets a value in a map that is nil while it is empty.
func insert[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[key] = v
}

// discard deletes a key from a map that is nil while it is empty. Dropping an empty map
// matters because a map of Go keeps its memory when keys are deleted.
func discard[V any](m *map[string]V, key string) {
	if delete(*m, key); len(*m) == 0 {
		*m = nil
	}
}
