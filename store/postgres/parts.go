package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// maxCounted bounds the rows that one count looks at, where it has to look at rows.
const maxCounted = 10_000

// addEvents adds the conditions of a list of events.
func (p *pager) addEvents(q hooks.Query) {
	all := part{seq: "e.seq"}
	if q.Event != "" || q.Key != "" {
		all.seq = "(0 + e.seq)" // no index has this order, and it is one event
	}
	if q.Event != "" {
		all.terms = append(all.terms, "e.id = "+p.arg(q.Event))
	}
	if q.Key != "" {
		all.terms = append(all.terms, p.ofKey(q))
	}
	if len(all.terms) == 0 && q.Tenant != "" {
		all = p.ofTenant(q.Tenant)
		q.Tenant = ""
	}
	p.parts, p.partArgs = []part{all}, len(p.args)
	p.addCommon(q, "stored")
}

// ofKey returns the condition of the event that has an idempotency key. Another one that
// was stored later under the same id does not have it.
func (p *pager) ofKey(q hooks.Query) string {
	tenant, key := p.arg(q.Tenant), p.arg(q.Key)
	return "e.id = (SELECT k.event_id FROM hooks.keys k WHERE k.tenant = " + tenant + " AND k.key = " + key +
		") AND e.tenant = " + tenant + " AND e.idempotency_key = " + key
}

// ofTenant returns the rows of a tenant.
func (p *pager) ofTenant(tenant string) part {
	return part{[]string{fmt.Sprintf("%s.tenant = %s AND %[1]s.tenant <> ''", p.row, p.arg(tenant))}, p.row + ".seq"}
}

// addDeliveries adds the conditions of a list of deliveries. If q names statuses, and not
// that of success, no other delivery is examined.
func (p *pager) addDeliveries(q hooks.Query) {
	tenant := q.Tenant
	switch {
	case isLine(q):
		p.addLine(q)
		q.OrderingKey, q.Tenant = "", ""
	case len(q.Statuses) > 0 && !slices.Contains(q.Statuses, hooks.Succeeded) && q.Event == "":
		p.addStatuses(q)
		q.Statuses = nil
		if q.Subscriber == "" {
			q.Tenant = ""
		}
	case q.Event == "" && q.Subscriber == "" && q.Tenant != "":
		p.parts = []part{p.ofTenant(q.Tenant)}
		q.Tenant = ""
	default:
		p.parts = []part{p.ofAny(q)}
	}
	p.partArgs = len(p.args)
	if q.OrderingKey != "" {
		p.filter = append(p.filter, "d.ordering_key = "+p.arg(q.OrderingKey)+" AND d.tenant = "+p.arg(tenant))
	}
	p.addOutcomes(q)
	p.addCommon(q, "created")
}

// isLine reports whether q selects of one line: unfinished deliveries of a subscriber, tenant
// and ordering key.
func isLine(q hooks.Query) bool {
	return q.OrderingKey != "" && q.Subscriber != "" && q.Event == "" && len(q.Statuses) > 0 &&
		!slices.ContainsFunc(q.Statuses, hooks.Status.Final)
}

// addLine adds the parts of a line, each written for its index: what is in flight, and of
// what waits those that are parked and those that are not.
func (p *pager) addLine(q hooks.Query) {
	line := fmt.Sprintf("d.subscriber = %s AND d.tenant = %s AND d.ordering_key = %s AND d.ordering_key <> ''",
		p.arg(q.Subscriber), p.arg(q.Tenant), p.arg(q.OrderingKey))
	p.parts = []part{
		{[]string{line, "d.status < 3", "d.parked"}, "d.seq + 0"},
		{[]string{line, "d.status < 3", "NOT d.parked"}, "d.seq + 0"},
		{[]string{line, "d.status = 3"}, "(0 + d.seq)"},
	}
}

// ofAny returns the deliveries of the event or subscriber of q, or all. It is written for
// the index that serves: of one event the primary key, of a subscriber the one of lists.
// Those of an event are few, and no index has them in an order that is written like theirs.
func (p *pager) ofAny(q hooks.Query) part {
	all := part{seq: "d.seq"}
	switch {
	case q.Event != "":
		all.seq = "(0 + d.seq)"
		all.terms = append(all.terms, "d.event_id = "+p.arg(q.Event))
		if q.Subscriber != "" {
			all.terms = append(all.terms, "d.subscriber = "+p.arg(q.Subscriber))
		}
	case q.Subscriber != "":
		all.terms = append(all.terms, "d.subscriber || '' = "+p.arg(q.Subscriber))
	}
	return all
}

// addStatuses adds a part for each status of q: of its subscriber, or else of its tenant, or
// all. Statuses are literals, because their indexes are partial, with the condition of the
// index. Leases of one subscriber or tenant have no index, because leases are few.
func (p *pager) addStatuses(q hooks.Query) {
	var whose []string
	switch {
	case q.Subscriber != "":
		whose = []string{"d.subscriber = " + p.arg(q.Subscriber)}
	case q.Tenant != "":
		whose = p.ofTenant(q.Tenant).terms
	}
	for _, st := range slices.Compact(slices.Sorted(slices.Values(q.Statuses))) {
		term := fmt.Sprintf("d.status = %d AND d.status + 0 <> 4", st)
		if whose != nil && st != hooks.Sending {
			term += " AND d.status + 0 <> 3"
		}
		p.parts = append(p.parts, part{append([]string{term}, whose...), "d.seq"})
	}
}

// addOutcomes adds what no index serves.
func (p *pager) addOutcomes(q hooks.Query) {
	if len(q.Statuses) > 0 {
		list := make([]int16, len(q.Statuses))
		for i, st := range q.Statuses {
			list[i] = int16(st)
		}
		p.filter = append(p.filter, "d.status = ANY("+p.arg(list)+"::smallint[])")
	}
	if len(q.Reasons) > 0 {
		list := make([]string, len(q.Reasons))
		for i, r := range q.Reasons {
			list[i] = string(r)
		}
		p.filter = append(p.filter, "d.reason = ANY("+p.arg(list)+"::pg_catalog.text[])")
	}
	if len(q.Errors) > 0 {
		p.filter = append(p.filter, "d.error = ANY("+p.arg(q.Errors)+"::pg_catalog.text[])")
	}
	if len(q.Codes) > 0 {
		p.filter = append(p.filter, "d.code = ANY("+p.arg(q.Codes)+"::pg_catalog.int8[])")
	}
}

func (p *pager) addCommon(q hooks.Query, stored string) {
	if q.Tenant != "" {
		p.filter = append(p.filter, p.row+".tenant = "+p.arg(q.Tenant))
	}
	if len(q.Types) > 0 {
		p.filter = append(p.filter, p.row+".type = ANY("+p.arg(q.Types)+"::pg_catalog.text[])")
	}
	if !q.From.IsZero() {
		p.filter = append(p.filter, p.row+"."+stored+" >= "+p.arg(q.From)+"::pg_catalog.timestamptz")
	}
	if !q.To.IsZero() {
		p.filter = append(p.filter, p.row+"."+stored+" < "+p.arg(q.To)+"::pg_catalog.timestamptz")
	}
}

// Count implements [hooks.Reporter]. Where an index does not select all that q does, it
// looks at no more than 10,000 deliveries.
func (s *Store) Count(ctx context.Context, q hooks.Query, most int) (c hooks.Count, err error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	most = max(most, 0)
	p := pager{table: "hooks.deliveries", row: "d"}
	p.addDeliveries(q)
	var looked int
	_, err = rows(ctx, s, "count", p.count(most), p.args, func(r batch.Row) (struct{}, error) {
		return struct{}{}, r.Scan(&looked, &c.N)
	})
	c.More = c.N > most || looked > maxCounted && len(p.filter) > 0
	c.N = min(c.N, most)
	return c, err
}

// count returns the statement that says how many rows it has looked at, one more than the
// bound at most, and how many of these match. Where nothing is left to filter, most is the
// bound.
func (p *pager) count(most int) string {
	filter := p.filter
	if p.filter = nil; len(filter) == 0 {
		limit := "LIMIT " + strconv.Itoa(most+1)
		return fmt.Sprintf(`SELECT pg_catalog.count(*), pg_catalog.count(*) FROM (SELECT FROM (%s) AS parts %s) AS found`, p.union("", limit), limit)
	}
	limit := "LIMIT " + strconv.Itoa(maxCounted+1)
	query := fmt.Sprintf(`SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE %s) FROM (SELECT * FROM (%s) AS parts %s) AS d`,
		strings.Join(filter, " AND "), p.union("d.*, ", limit), limit)
	p.filter = filter
	return query
}
