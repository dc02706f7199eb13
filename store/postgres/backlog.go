package postgres

import (
	"context"

	"example.com/hooks"
)

const (
	isUnfinished = ` d.status <= 3 AND NOT d.parked `

	// backlogSQL goes from one subscriber to the next, with a seek for each.
	backlogSQL = `WITH RECURSIVE lanes (subscriber, due, seq) AS (
			(SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
				WHERE ` + isUnfinished + ` ORDER BY d.subscriber, d.due, d.seq LIMIT 1)
			UNION ALL
			SELECT n.* FROM lanes l CROSS JOIN LATERAL (
				SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
				WHERE d.subscriber > l.subscriber AND ` + isUnfinished + `
				ORDER BY d.subscriber, d.due, d.seq LIMIT 1) AS n
		)
		SELECT subscriber, due, seq FROM lanes`

	// nearBacklogSQL looks only at what is due near the present: of the subscribers
	// that have a bound from there on; and between any two of these, where there are
	// hardly any entries, from the bound of all others on.
	nearBacklogSQL = `WITH RECURSIVE known AS MATERIALIZED (
			SELECT * FROM unnest($1::pg_catalog.text[], $2::pg_catalog.timestamptz[], $3::bigint[]) AS k (subscriber, due, seq)
		), gaps AS MATERIALIZED (
			SELECT k.subscriber AS after, pg_catalog.lead(k.subscriber) OVER (ORDER BY k.subscriber) AS before
			FROM (SELECT '' AS subscriber UNION ALL SELECT subscriber FROM known) AS k
		), others (subscriber, due, seq, before) AS (
			SELECT n.*, l.before FROM gaps l CROSS JOIN LATERAL (` + nextInGapSQL + `) AS n
			UNION ALL
			SELECT n.*, l.before FROM (SELECT subscriber AS after, before FROM others) AS l
			CROSS JOIN LATERAL (` + nextInGapSQL + `) AS n
		)
		SELECT k.subscriber, first.due, first.seq FROM known k CROSS JOIN LATERAL (
			SELECT d.due, d.seq FROM hooks.deliveries d
			WHERE d.subscriber = k.subscriber AND (d.due, d.seq) >= (k.due, k.seq) AND d.due <= $5
				AND ` + isUnfinished + `
			ORDER BY d.due, d.seq LIMIT 1) AS first
		UNION ALL
		SELECT subscriber, due, seq FROM others`
	// nextInGapSQL finds the first subscriber in the gap l. The last gap has no end.
	nextInGapSQL = `(SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
			WHERE l.before IS NOT NULL AND d.subscriber > l.after AND d.subscriber < l.before
				AND d.due >= $4 AND d.due <= $5 AND ` + isUnfinished + `
			ORDER BY d.subscriber, d.due, d.seq LIMIT 1)
		UNION ALL
		(SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
			WHERE l.before IS NULL AND d.subscriber > l.after
				AND d.due >= $4 AND d.due <= $5 AND ` + isUnfinished + `
			ORDER BY d.subscriber, d.due, d.seq LIMIT 1)`

	// readSQL counts the entries of the index that this transaction has read. A clock
	// would not do: on a busy machine a cheap look takes long, too. It is 0 if the
	// server does not count (track_counts) or the index is not there.
	readSQL = `SELECT coalesce(pg_catalog.pg_stat_get_xact_tuples_returned(pg_catalog.to_regclass('hooks.deliveries_due')), 0)`
)

// Backlog is [hooks.Store]'s. Deliveries that wait for another of their ordering
// key do not count once a claim has met them. While dead rows cannot be cleaned up,
// it and Claim are late to find what others commit late, see [Store.Weaknesses].
func (s *Store) Backlog(ctx context.Context) ([]hooks.Waiting, error) {
	list, err := detached(ctx, s.backlog, nil)
	return list, explain(ctx, "backlog", err)
}

func (s *Store) backlog(ctx context.Context) (list []hooks.Waiting, err error) {
	if s.bounds.wantsTime() {
		_, _ = s.Now(ctx) // if it fails, the look is a whole one
	}
	l := s.bounds.begin()
	defer s.bounds.abandon(l)
	var found map[string]place
	var before, after int
	err = s.submit(ctx, func() []statement {
		found = make(map[string]place)
		add := func(r row) error {
			var subscriber string
			var at place
			err := r.Scan(&subscriber, &at.due, &at.seq)
			found[subscriber] = at
			return err
		}
		if !l.whole {
			return []statement{{nearBacklogSQL, []any{l.subscribers, l.from, l.seqs, l.others, l.reach()}, add}}
		}
		return []statement{
			{readSQL, nil, func(r row) error { return r.Scan(&before) }},
			{backlogSQL, nil, add},
			{readSQL, nil, func(r row) error { return r.Scan(&after) }},
		}
	})
	if err != nil {
		return nil, err
	}
	s.bounds.end(l, found, after-before-len(found))
	for subscriber, at := range found {
		list = append(list, hooks.Waiting{Subscriber: subscriber, Due: at.due.UTC()})
	}
	return list, nil
}
