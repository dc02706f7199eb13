package sqlite

import (
	"fmt"
	"slices"

	"example.com/hooks"
)

// maxCounted bounds the rows that one count looks at, where it has to look at rows.
const maxCounted = 10_000

// ofTenant is the condition of the indexes of tenants.
const ofTenant = "tenant = ? AND tenant <> ''"

// eventPager returns the pager of a list of events.
func eventPager(q hooks.Query) pager {
	p := pager{table: "hooks_events", columns: eventColumns}
	var all part
	switch {
	case q.Event != "" || q.Key != "":
		all.add(q.Event != "", "id = ?", q.Event)
		all.add(q.Key != "", keySQL, q.Tenant, q.Key, q.Tenant, q.Key)
		p.filter.add(q.Tenant != "", "tenant = ?", q.Tenant)
	case q.Tenant != "":
		all.index = "hooks_events_tenant"
		all.add(true, ofTenant, q.Tenant)
	}
	p.parts = []part{all}
	p.filter.addCommon(q, "stored")
	return p
}

// keySQL is true of the event that has an idempotency key. One that was stored later under
// the same id may have another key, or none.
const keySQL = `id = (SELECT event_id FROM hooks_keys WHERE tenant = ? AND key = ?)
	AND tenant = ? AND idempotency_key = ?`

// deliveryPager returns the pager of a list or count of deliveries. If q names statuses, and not that of success, no
// other delivery is examined.
func deliveryPager(q hooks.Query) pager {
	p := pager{table: "hooks_deliveries", columns: deliveryColumns}
	if isLine(q) {
		p.parts = ofLine(q)
		p.filter.add(true, "status IN "+anyOf, list(numbers(q.Statuses)))
	} else if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, hooks.Succeeded) && q.Event == "" {
		for _, st := range slices.Compact(slices.Sorted(slices.Values(q.Statuses))) {
			p.parts = append(p.parts, ofStatus(st, q))
		}
	} else {
		p.parts = []part{ofAnyStatus(q)}
		p.filter.add(len(q.Statuses) > 0, "status IN "+anyOf, list(numbers(q.Statuses)))
	}
	p.filter.add(q.OrderingKey != "" && !isLine(q), "ordering_key = ? AND tenant = ?", q.OrderingKey, q.Tenant)
	p.filter.add(q.Tenant != "" && (q.Event != "" || q.Subscriber != ""), "tenant = ?", q.Tenant)
	p.filter.add(len(q.Reasons) > 0, "reason IN "+anyOf, list(q.Reasons))
	p.filter.add(len(q.Errors) > 0, "error IN "+anyOf, list(q.Errors))
	p.filter.add(len(q.Codes) > 0, "code IN "+anyOf, list(numbers(q.Codes)))
	p.filter.addCommon(q, "created")
	return p
}

// isLine reports whether q selects of one line: unfinished deliveries of a subscriber, tenant
// and ordering key.
func isLine(q hooks.Query) bool {
	return q.OrderingKey != "" && q.Subscriber != "" && q.Event == "" && len(q.Statuses) > 0 &&
		!slices.ContainsFunc(q.Statuses, hooks.Status.Final)
}

// ofLine returns the deliveries of a line: those that are parked, and those that are not.
func ofLine(q hooks.Query) []part {
	var parts [2]part
	for parked := range parts {
		p := &parts[parked]
		p.index = "hooks_deliveries_line"
		p.add(true, "subscriber = ? AND tenant = ? AND ordering_key = ?", q.Subscriber, q.Tenant, q.OrderingKey)
		p.add(true, fmt.Sprintf("parked = %d AND status <= 3 AND ordering_key <> ''", parked))
	}
	return parts[:]
}

// ofStatus returns the deliveries of a status other than success: of the subscriber of q, or
// else of its tenant, or all. The index of leases is not in the order of seq, but leases are
// few.
func ofStatus(st hooks.Status, q hooks.Query) (p part) {
	p.add(true, fmt.Sprintf("status = %d", st)) // literals, because the indexes are partial
	p.index = "hooks_deliveries_status"
	switch {
	case q.Subscriber != "":
		p.index += "_subscriber"
		p.add(true, "subscriber = ?", q.Subscriber)
	case q.Tenant != "":
		p.index += "_tenant"
		p.add(true, ofTenant, q.Tenant)
	}
	if st == hooks.Sending {
		p.index = "hooks_deliveries_leased"
		p.add(true, "parked IN (0, 1)")
		return p
	}
	p.add(true, "status <> 3 AND status <> 4")
	return p
}

// ofAnyStatus returns the deliveries of the event, subscriber or tenant of q, or all.
func ofAnyStatus(q hooks.Query) (p part) {
	switch {
	case q.Event != "":
		p.add(true, "event_id = ?", q.Event)
		p.add(q.Subscriber != "", "subscriber = ?", q.Subscriber)
	case q.Subscriber != "":
		p.index = "hooks_deliveries_subscriber"
		p.add(true, "subscriber = ?", q.Subscriber)
	case q.Tenant != "":
		p.index = "hooks_deliveries_tenant"
		p.add(true, ofTenant, q.Tenant)
	}
	return p
}

func numbers[T ~int | ~uint8](values []T) (list []int64) {
	for _, v := range values {
		list = append(list, int64(v))
	}
	return list
}

// count returns the statement that says how many rows it has looked at, one more than the
// bound at most, and how many of these match. Where nothing is left to filter, most is the
// bound.
func (p pager) count(most int) (query string, args []any) {
	if len(p.filter.terms) == 0 {
		query, args = p.union("1", condition{})
		return fmt.Sprintf(`SELECT n, n FROM (SELECT count(*) AS n FROM (%s LIMIT %d))`, query, most+1), args
	}
	query, args = p.union("tenant, ordering_key, type, status, reason, error, code, created", condition{})
	return fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE %s) FROM (%s LIMIT %d)`,
		p.filter.all(), query, maxCounted+1), slices.Concat(p.filter.args, args)
}
