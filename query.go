package hooks

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The fields of Query that a list, or a kind of [Action], looks at. A field that it is not
// named for here is refused.
var (
	ofEvents     = fields{"Event", "Key", "Tenant", "Types", "From", "To", "OldestFirst", "Limit", "Cursor"}
	ofDeliveries = fields{
		"Event", "Subscriber", "Tenant", "OrderingKey", "Types", "Statuses", "Reasons", "Errors", "Codes", "From", "To",
		"OldestFirst", "Limit", "Cursor",
	}
	ofEndpoints = fields{"Tenant", "States", "Limit", "Cursor"}
	ofActivity  = fields{"Subscriber", "From", "To"}
	ofBacklog   = fields{"Subscriber", "Tenant", "Limit", "Cursor"}
	ofActions   = fields{"Tenant", "Limit", "Cursor"}
	ofDecisions = fields{ // replay, cancel
		"Event", "Subscriber", "Tenant", "OrderingKey", "Types", "Statuses", "Reasons", "Errors", "Codes", "From", "To",
	}
	ofBackfill = fields{"Subscriber", "Tenant", "Types", "From", "To"}
	ofErase    = fields{"Event", "Key", "Tenant", "Types", "From", "To"}
)

// fields are names of fields of Query.
type fields []string

// check refuses a query with a field that the list does not look at: ignored in silence,
// it would select too much.
func (looksAt fields) check(q Query) error {
	v := reflect.ValueOf(q)
	for i := range v.NumField() {
		name, value := v.Type().Field(i).Name, v.Field(i)
		isZero := value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0
		if !isZero && !slices.Contains(looksAt, name) {
			return invalid("Query."+name, "this call does not look at it; leave it empty (it looks at %s)", strings.Join(looksAt, ", "))
		}
	}
	return nil
}

// query returns q as the store is asked it: of the view's tenant, and with the exact names
// of types.
func (v *view) query(q Query, looksAt fields) (Query, error) {
	err := cmp.Or(looksAt.check(q), q.check())
	if err != nil {
		return q, err
	}
	if q.Tenant, err = v.own("Query.Tenant", q.Tenant); err != nil {
		return q, err
	}
	q.From, q.To = micro(q.From), micro(q.To) // as stores are given times
	q.Types, err = v.expand(q.Types)
	return q, err
}

// maxValues is how many values each of Statuses, Reasons and Errors may have.
const maxValues = 64

// check refuses what no row can match, or what is too large to keep in an action's record.
func (q Query) check() error {
	for _, s := range q.Statuses {
		if s == 0 || int(s) >= len(states) {
			return invalid("Query.Statuses", "%d is no status; give some of pending, retrying, sending, succeeded, failed, canceled", uint8(s))
		}
	}
	for field, n := range map[string]int{"Statuses": len(q.Statuses), "Reasons": len(q.Reasons), "Errors": len(q.Errors), "Codes": len(q.Codes), "States": len(q.States)} {
		if n > maxValues {
			return invalid("Query."+field, "%d values; at most %d", n, maxValues)
		}
	}
	for _, code := range q.Codes {
		if code < 0 || code > 999 {
			return invalid("Query.Codes", "%d is no HTTP status; give numbers from 100 to 999, or 0 for no response", code)
		}
	}
	for _, s := range q.States {
		if !slices.Contains(endpointStates, s) {
			return invalid("Query.States", "%q is no state; give some of %v", s, endpointStates)
		}
	}
	for _, r := range q.Reasons {
		if err := checkText("Query.Reasons", string(r), maxName); err != nil {
			return err
		}
	}
	for _, e := range q.Errors {
		if err := checkText("Query.Errors", e, maxName); err != nil {
			return err
		}
	}
	for field, t := range map[string]time.Time{"Query.From": q.From, "Query.To": q.To} {
		if t.Year() < 1 || !t.Before(farFuture) {
			return invalid(field, "%v: give a time of the years 1 to 9998, or the zero time for no limit", t)
		}
	}
	return cmp.Or(
		checkText("Query.Event", q.Event, maxName),
		checkText("Query.Subscriber", q.Subscriber, maxName),
		checkText("Query.Tenant", q.Tenant, maxName),
		checkText("Query.Key", q.Key, maxKey),
		checkText("Query.OrderingKey", q.OrderingKey, maxKey),
	)
}

// expand returns the names of the types that patterns match. The operator's exact names
// need not be registered, because events may be older than the program.
func (v *view) expand(ps []string) ([]string, error) {
	if len(ps) == 0 {
		return nil, nil
	}
	if len(ps) > maxPatterns {
		return nil, invalid("Query.Types", "%d patterns; at most %d", len(ps), maxPatterns)
	}
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	names := make(map[string]bool)
	for _, p := range ps {
		if err := pattern(p).check("Query.Types"); err != nil {
			return nil, err
		}
		if v.all && !strings.Contains(p, "*") {
			names[p] = true
			continue
		}
		matches := v.h.matching(pattern(p), audience(v.all))
		if len(matches) == 0 {
			return nil, v.h.noMatch("Query.Types", p, customers)
		}
		for _, name := range matches {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// types returns the names of all types that exist for the view.
func (v *view) types() []string {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	return append(v.h.matching("**", audience(v.all)), v.h.matching("hooks.**", audience(v.all))...)
}
