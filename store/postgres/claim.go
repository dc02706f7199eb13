package postgres

import (
	"context"
	"slices"
	"time"

	"example.com/hooks"
)

// Claim is [hooks.Store]'s. Of deliveries with an ordering key it parks those that
// are blocked, some thousands at a time; so it may return fewer than there are. What
// another dispatcher is claiming is passed over. If ctx ends while it is at work,
// what it has leased is given back.
func (s *Store) Claim(ctx context.Context, now time.Time, lanes []hooks.Lane) ([]hooks.Entry, error) {
	lanes = slices.DeleteFunc(slices.Clone(lanes), func(l hooks.Lane) bool { return l.Max <= 0 })
	if len(lanes) == 0 {
		return nil, ctx.Err()
	}
	caller := ctx
	entries, err := detached(ctx, func(ctx context.Context) ([]hooks.Entry, error) {
		return s.claim(ctx, caller, now, lanes)
	}, func(leased []hooks.Entry) { s.giveBack(now, leased) })
	return entries, explain(ctx, "claim", err)
}

// giveBack ends leases that nobody has: the deliveries are due again.
func (s *Store) giveBack(now time.Time, leased []hooks.Entry) {
	var changes []hooks.Change
	for _, e := range leased {
		for _, d := range e.Deliveries {
			d.Status, d.Due = hooks.Pending, now
			if d.Attempts > 0 {
				d.Status = hooks.Retrying
			}
			changes = append(changes, hooks.Change{Delivery: d})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = s.update(ctx, now, changes) // or else they end by themselves
}

const (
	lanesTable = `unnest($1::pg_catalog.text[], $2::int[], $3::pg_catalog.timestamptz[], $4::pg_catalog.timestamptz[], $6::pg_catalog.timestamptz[], $7::bigint[])
		WITH ORDINALITY AS l (subscriber, most, before, lease_until, from_due, from_seq, lane)`
	isDue = ` d.due <= l.before AND d.status <= 3 AND (d.status <> 3 OR d.due <= $5::pg_catalog.timestamptz) `
	lease = ` status = 3, parked = false, lost = d.lost + (d.status = 3)::int, token = d.token + 1 `

	deliveryColumnsSQL = `d.seq, d.event_id, d.subscriber, d.type, d.tenant, d.ordering_key, d.status, d.reason,
		d.due, d.run, d.attempts, d.lost, d.token, d.created, d.updated, d.code, d.error`
	eventColumnsSQL = `e.seq, e.id, e.type, e.tenant, e.time, e.ordering_key, e.idempotency_key, e.deliver_at,
		e.expires_at, e.metadata, e.fanout, e.data`

	// claimSQL leases what is due and has no ordering key. What is due and has one it
	// only lists, with a status that no delivery has, so that nobody has to look again:
	// beside a held snapshot looking is what a claim costs, see [bounds].
	claimSQL = `WITH due AS MATERIALIZED (
			SELECT c.*, l.lane, l.lease_until FROM ` + lanesTable + ` CROSS JOIN LATERAL (
				SELECT d.ctid AS place, d.due, d.seq, d.tenant, d.ordering_key FROM hooks.deliveries d
				WHERE d.subscriber = l.subscriber AND (d.due, d.seq) >= (l.from_due, l.from_seq)
					AND NOT d.parked AND ` + isDue + `
				ORDER BY d.due, d.seq LIMIT l.most FOR UPDATE SKIP LOCKED) AS c
		), leased AS (
			UPDATE hooks.deliveries d SET due = due.lease_until, ` + lease + `
			FROM due WHERE d.ctid = due.place AND due.ordering_key = ''
			RETURNING due.lane, due.due AS was, d.*
		)
		SELECT d.lane, d.was, ` + deliveryColumnsSQL + `, ` + eventColumnsSQL + `
		FROM leased d CROSS JOIN LATERAL (SELECT * FROM hooks.events e WHERE e.id = d.event_id LIMIT 1) AS e
		UNION ALL
		SELECT m.lane, m.due, m.seq, '', '', '', m.tenant, m.ordering_key, 0::smallint, '',
			m.due, 0, 0, 0, 0::bigint, m.due, m.due, 0, '',
			0::bigint, '', '', '', m.due, '', '', NULL::pg_catalog.timestamptz, NULL::pg_catalog.timestamptz, NULL::pg_catalog.json, 0, NULL::pg_catalog.bytea
		FROM due m WHERE m.ordering_key <> ''`
)

// parkings is how often one claim looks again after it has set something aside.
const parkings = 10

// claim leases until the lanes are full, nothing stands in the way any more, or the
// caller has gone.
func (s *Store) claim(ctx, caller context.Context, now time.Time, lanes []hooks.Lane) ([]hooks.Entry, error) {
	found := gathering{next: newNextRow()}
	for _, l := range lanes {
		found.room = append(found.room, l.Max)
	}
	s.bounds.told(now)
	for range parkings {
		parked, err := s.claimOnce(ctx, now, lanes, &found)
		if err != nil {
			return nil, err
		}
		if parked == 0 || slices.Max(found.room) <= 0 || caller.Err() != nil {
			break
		}
	}
	entries := found.entries()
	s.bounds.wrote(entries, nil)
	return entries, nil
}

// claimOnce leases what has no ordering key, and then the first of each line that
// it has met on the way. It returns how many it has parked.
func (s *Store) claimOnce(ctx context.Context, now time.Time, lanes []hooks.Lane, found *gathering) (parked int, err error) {
	var subscribers []string
	var before, until []time.Time
	for _, l := range lanes {
		subscribers = append(subscribers, l.Subscriber)
		before = append(before, l.Before)
		until = append(until, l.LeaseUntil)
	}
	dues, seqs := s.bounds.of(now, subscribers)
	args := []any{subscribers, slices.Clone(found.room), before, until, now, dues, seqs}
	had := *found
	err = s.submit(ctx, func() []statement {
		*found = had.clone()
		return []statement{{claimSQL, args, found.add}}
	})
	met := found.lines(lanes)
	if err == nil && len(met.keys) > 0 {
		parked, err = s.claimLines(ctx, met, now, found)
	}
	return parked, err
}

// maxLines is how many lines one transaction locks, for the server's table of locks
// is the application's too. What has no place is met again.
const maxLines = 200

// metLines are the lines that a claim has met, each once, as columns.
type metLines struct {
	seqs []int64 // of the deliveries that were met

	lane                       []int
	subscribers, tenants, keys []string
	before, until              []time.Time
}

const (
	metTable = `unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[], $4::pg_catalog.timestamptz[], $6::pg_catalog.timestamptz[], $7::bigint[])
		AS l (subscriber, tenant, key, before, lease_until, lane)`
	// firstInLine is what goes next: the one in flight, or else the first.
	firstInLine = `coalesce(
			(SELECT d.seq FROM hooks.deliveries d WHERE ` + inLine + ` AND d.status = 3 LIMIT 1),
			least(
				(SELECT d.seq FROM hooks.deliveries d
				WHERE ` + inLine + ` AND d.status < 3 AND NOT d.parked ORDER BY d.seq + 0 LIMIT 1),
				(SELECT d.seq FROM hooks.deliveries d
				WHERE ` + inLine + ` AND d.status < 3 AND d.parked ORDER BY d.seq + 0 LIMIT 1)))`

	claimFirstSQL = `WITH line AS MATERIALIZED (SELECT l.*, ` + firstInLine + ` AS seq FROM ` + metTable + `
		), first AS MATERIALIZED (
			SELECT l.*, d.place, d.due AS was FROM line l CROSS JOIN LATERAL (
				SELECT d.ctid AS place, d.due FROM hooks.deliveries d
				WHERE d.seq = l.seq LIMIT 1 FOR UPDATE SKIP LOCKED) AS d
			WHERE l.seq = ANY($8::bigint[])
		), leased AS (
			UPDATE hooks.deliveries d SET due = l.lease_until, ` + lease + `
			FROM first l WHERE d.ctid = l.place AND ` + isDue + `
			RETURNING l.lane, l.was, d.*
		)
		SELECT d.lane, d.was, ` + deliveryColumnsSQL + `, ` + eventColumnsSQL + `
		FROM leased d CROSS JOIN LATERAL (SELECT * FROM hooks.events e WHERE e.id = d.event_id LIMIT 1) AS e`
	// parkSQL parks what the first of each line blocks. It bounds what one claim
	// writes; the next one parks more. IS FALSE keeps the planner from the index of
	// Claim, which is for other rows.
	parkSQL = `UPDATE hooks.deliveries SET parked = true WHERE (parked OR status > 2) IS FALSE AND ctid = ANY(ARRAY(
		SELECT blocked.place FROM (
			SELECT l.*, ` + firstInLine + ` AS first FROM ` + linesSQL + `
		) AS l CROSS JOIN LATERAL (
			SELECT d.ctid AS place FROM hooks.deliveries d
			WHERE ` + inLine + ` AND d.status < 3 AND NOT d.parked AND d.seq <> l.first
			ORDER BY d.seq + 0 LIMIT 1000 FOR UPDATE SKIP LOCKED
		) AS blocked LIMIT 2000)) RETURNING 1`
)

// claimLines leases those that were met and are the first of their line, and
// parks what these block. Lines that others have locked are left to them.
func (s *Store) claimLines(ctx context.Context, met metLines, now time.Time, found *gathering) (parked int, err error) {
	had := *found
	err = again(ctx, func() error {
		*found, parked = had.clone(), 0
		return s.inTx(ctx, shortly, func(to session) error {
			ours, err := met.lock(ctx, s, to)
			if err != nil || len(ours.keys) == 0 {
				return err
			}
			count := func(row) error { parked++; return nil }
			return to.run(ctx, s,
				statement{claimFirstSQL, append(ours.names(), ours.before, now, ours.until, ours.lane, met.seqs), found.add},
				statement{parkSQL, ours.names(), count})
		})
	})
	return parked, err
}

// lock locks what it can of the lines until the transaction ends, and returns that.
func (m *metLines) lock(ctx context.Context, s *Store, in session) (ours metLines, err error) {
	err = in.run(ctx, s, statement{tryLinesSQL, m.names(), func(r row) error {
		var ord int
		if err := r.Scan(&ord); err != nil {
			return err
		}
		i := ord - 1
		ours.lane = append(ours.lane, m.lane[i])
		ours.subscribers = append(ours.subscribers, m.subscribers[i])
		ours.tenants = append(ours.tenants, m.tenants[i])
		ours.keys = append(ours.keys, m.keys[i])
		ours.before = append(ours.before, m.before[i])
		ours.until = append(ours.until, m.until[i])
		return nil
	}})
	return ours, err
}

func (m *metLines) names() []any { return []any{m.subscribers, m.tenants, m.keys} }
