package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// Count is [hooks.Reporter]'s. What is unfinished or failed it finds by an index that has
// nothing else. Otherwise it examines all deliveries, of one event or subscriber if q names
// one, until it has found most.
func (s *Store) Count(ctx context.Context, q hooks.Query, most int) (n int, err error) {
	if most <= 0 {
		return 0, ctx.Err()
	}
	p := pager{table: "hooks.deliveries d", row: "d"}
	parts := []string{"true"}
	if areUnfinished(q.Statuses) {
		p.addUnfinished(q)
		parts = []string{"d.status <= 3 AND NOT d.parked", "d.status < 3 AND d.ordering_key <> '' AND d.parked"}
	} else {
		p.addDeliveries(q)
	}
	for i, part := range parts {
		terms := slices.Concat([]string{part}, p.source, p.filter)
		parts[i] = fmt.Sprintf("(SELECT 1 FROM %s WHERE %s LIMIT %d)", p.table, strings.Join(terms, " AND "), most)
	}
	query := `SELECT pg_catalog.count(*) FROM (` + strings.Join(parts, " UNION ALL ") + `) AS found`
	_, err = rows(ctx, s, "count", query, p.args, func(r batch.Row) (struct{}, error) {
		return struct{}{}, r.Scan(&n)
	})
	return min(n, most), err
}

// areUnfinished reports whether statuses select unfinished deliveries only, and not just
// those that are being sent.
func areUnfinished(statuses []hooks.Status) bool {
	return len(statuses) > 0 && !slices.Equal(statuses, []hooks.Status{hooks.Sending}) &&
		!slices.ContainsFunc(statuses, hooks.Status.Final)
}

// addUnfinished adds the conditions of unfinished deliveries. They are written for the
// indexes of claims and of lines, which together have all of these.
func (p *pager) addUnfinished(q hooks.Query) {
	if q.Event != "" {
		p.source = append(p.source, "d.event_id = "+p.arg(q.Event))
	}
	if q.Subscriber != "" {
		p.source = append(p.source, "d.subscriber = "+p.arg(q.Subscriber))
	}
	p.filter = append(p.filter, p.ofStatuses(q.Statuses))
	p.addOutcomes(q)
	p.addCommon(q, "created")
}
