package hooks

import (
	"math"
	"strconv"
	"time"
)

// This file has rules of the [Store] contract that do not depend on how a store keeps
// its rows. They are for those who write one.

// defaultLimit is how many rows a page has if its Query does not say.
const defaultLimit = 50

// Position is for stores. It returns the number at which the page of q begins: the rows of
// the page have a Seq below that number, the highest first, or with OldestFirst a Seq above
// it, the lowest first. If q has no Cursor, every row is there. A Cursor that the function
// [Cursor] did not return is an [*InvalidError].
func (q Query) Position() (bound int64, err error) {
	switch {
	case q.Cursor == "" && q.OldestFirst:
		return 0, nil
	case q.Cursor == "":
		return math.MaxInt64, nil
	}
	bound, err = strconv.ParseInt(q.Cursor, 10, 64)
	if err != nil || bound <= 0 {
		return 0, &InvalidError{
			Field:   "Query.Cursor",
			Problem: strconv.Quote(q.Cursor) + ": give what the page before returned as next",
			Err:     err,
		}
	}
	return bound, nil
}

// PageSize is for stores. It returns how many rows the page of q has at most: Limit, or 50
// if Limit is not positive, but never more than most, the store's own bound.
func (q Query) PageSize(most int) int {
	if q.Limit <= 0 {
		return min(defaultLimit, most)
	}
	return min(q.Limit, most)
}

// Cursor is for stores. It returns what a list returns as next, after a page whose last row
// has the number seq. A store that ends a page because it has examined enough rows gives
// the number of the last row that it examined.
func Cursor(seq int64) string { return strconv.FormatInt(seq, 10) }

// Released is for stores. It returns d as it is when its lease has ended without an
// outcome: Retrying if it has Attempts, otherwise Pending, and due at now. It changes
// nothing else. If the lease was not given back but ended by itself, the caller increments
// Lost.
func (d Delivery) Released(now time.Time) Delivery {
	d.Status, d.Due = d.waiting(), now
	return d
}

// GroupByEvent is for stores. It returns deliveries as [Store].Claim does: one entry for
// each event, in the order in which the events come first in list, with its deliveries in
// the order of list. Of each Event only the ID is set. The entries use the memory of list.
func GroupByEvent(list []Delivery) []Entry {
	entries := make([]Entry, 0, len(list))
	place := make(map[string]int, len(list))
	for i, d := range list {
		if at, ok := place[d.Event]; ok {
			entries[at].Deliveries = append(entries[at].Deliveries, d)
			continue
		}
		place[d.Event] = len(entries)
		entries = append(entries, Entry{Event: Event{ID: d.Event}, Deliveries: list[i : i+1 : i+1]})
	}
	return entries
}
