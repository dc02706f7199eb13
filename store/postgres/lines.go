package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// A line is the unfinished deliveries of one subscriber, tenant and ordering key.
//
// Those that wait for another one are parked: no claim looks at them, and Backlog does
// not count them. A claim parks the blocked deliveries that it meets. An Update frees the
// first of the line, unless one of the line is in flight, because the Update that ends that
// one frees the next.
//
// Both lock the line first, in a statement of its own, so that their next statement sees
// what the other has done. Else a claim could park a delivery behind one that has just
// ended, and nobody would ever free it.
type line struct{ subscriber, tenant, key string }

const (
	inLine = ` d.subscriber = l.subscriber AND d.tenant = l.tenant AND d.ordering_key = l.key AND d.ordering_key <> '' `

	// linesOfSQL are the lines that deliveries belong to.
	linesOfSQL = ` (SELECT DISTINCT d.subscriber, d.tenant, d.ordering_key AS key
		FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) AS i (event_id, subscriber) CROSS JOIN LATERAL (
			SELECT d.* FROM hooks.deliveries d
			WHERE d.event_id = i.event_id AND d.subscriber = i.subscriber AND d.ordering_key <> '' LIMIT 1
		) AS d) AS l `
	linesSQL = ` unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[]) AS l (subscriber, tenant, key) `

	// Lines are locked in the order of their ids, so that two transactions cannot each
	// have a line that the other wants. The word in lineID sets our locks apart from the
	// application's.
	lineID         = ` pg_catalog.hashtextextended('hooks ' || l.subscriber || pg_catalog.chr(1) || l.tenant || pg_catalog.chr(1) || l.key, 0) `
	lockLinesOfSQL = `SELECT pg_catalog.pg_advisory_xact_lock(id) FROM (
		SELECT DISTINCT ` + lineID + ` AS id FROM ` + linesOfSQL + ` ORDER BY id) AS locks`
	tryLinesSQL = `SELECT l.ord FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[]) WITH ORDINALITY
		AS l (subscriber, tenant, key, ord) WHERE pg_catalog.pg_try_advisory_xact_lock(` + lineID + `)`

	freeSQL = `UPDATE hooks.deliveries SET parked = false WHERE parked AND ctid = ANY(ARRAY(
		SELECT first.place FROM ` + linesOfSQL + ` CROSS JOIN LATERAL (
			SELECT d.ctid AS place, d.seq FROM hooks.deliveries d
			WHERE ` + inLine + ` AND d.status < 3 AND d.parked ORDER BY d.seq + 0 LIMIT 1
		) AS first
		WHERE (SELECT d.seq FROM hooks.deliveries d WHERE ` + inLine + ` AND d.status = 3 LIMIT 1) IS NULL
		AND (SELECT d.seq FROM hooks.deliveries d
			WHERE ` + inLine + ` AND d.status < 3 AND NOT d.parked AND d.seq + 0 < first.seq LIMIT 1) IS NULL))
		RETURNING subscriber, due`
)

// lockLines returns the statement that locks the lines of deliveries that are changed,
// until the transaction ends. It returns none if none of them has an ordering key.
func lockLines(list []revision) []batch.Statement {
	if args, ok := ordered(list); ok {
		return []batch.Statement{{SQL: lockLinesOfSQL, Args: args}}
	}
	return nil
}

// ordered returns the ids of the deliveries that have an ordering key, as two columns. ok
// is false if there are none.
func ordered(list []revision) (args []any, ok bool) {
	var events, subscribers []string
	for i := range list {
		if d := &list[i].Delivery; d.OrderingKey != "" {
			events, subscribers = append(events, d.Event), append(subscribers, d.Subscriber)
		}
	}
	return []any{events, subscribers}, len(events) > 0
}

// maxLines is how many lines one claim locks at most, because the server's table of locks
// is the application's too. The next claim meets the other lines again.
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
	// firstInLine is the seq of the delivery that goes next: the one in flight, or else
	// the first of the line.
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
	// parkSQL parks what the first of each line blocks, at most 2,000 deliveries. The next
	// claim parks more. IS FALSE keeps the planner from the index of claims, which has
	// other rows.
	parkSQL = `UPDATE hooks.deliveries SET parked = true WHERE (parked OR status > 2) IS FALSE AND ctid = ANY(ARRAY(
		SELECT blocked.place FROM (
			SELECT l.*, ` + firstInLine + ` AS first FROM ` + linesSQL + `
		) AS l CROSS JOIN LATERAL (
			SELECT d.ctid AS place FROM hooks.deliveries d
			WHERE ` + inLine + ` AND d.status < 3 AND NOT d.parked AND d.seq <> l.first
			ORDER BY d.seq + 0 LIMIT 1000 FOR UPDATE SKIP LOCKED
		) AS blocked LIMIT 2000)) RETURNING 1`
)

// claimLines leases those deliveries that a claim has met and that are the first of their
// line, and parks what these block. It returns how many it has parked. It passes over
// lines that others have locked.
func (s *Store) claimLines(ctx context.Context, met metLines, now time.Time, found *gathering) (parked int, err error) {
	had := *found
	err = batch.Again(ctx, func() error {
		*found, parked = had.clone(), 0
		return s.inTx(ctx, shortly, func(to batch.Session) error {
			ours, err := met.lock(ctx, to)
			if err != nil || len(ours.keys) == 0 {
				return err
			}
			count := func(batch.Row) error { parked++; return nil }
			return to.Run(ctx,
				batch.Statement{SQL: claimFirstSQL, Args: append(ours.names(), ours.before, now, ours.until, ours.lane, met.seqs), Each: found.add},
				batch.Statement{SQL: parkSQL, Args: ours.names(), Each: count})
		})
	})
	return parked, err
}

// lock locks those of the lines that nobody else has locked, until the transaction ends,
// and returns them.
func (m *metLines) lock(ctx context.Context, in batch.Session) (ours metLines, err error) {
	err = in.Run(ctx, batch.Statement{SQL: tryLinesSQL, Args: m.names(), Each: func(r batch.Row) error {
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

// A meeting is a delivery that is due and has an ordering key. claimSQL lists it and does
// not lease it.
type meeting struct {
	lane int // the number of the claim's lane, from 1
	due  time.Time
	seq  int64
	line line
}

// lines returns the lines of what a claim has met, oldest first. It counts only as many
// deliveries as their lanes still have room for.
func (g *gathering) lines(lanes []hooks.ClaimLane) (m metLines) {
	slices.SortFunc(g.met, func(a, b meeting) int {
		return cmp.Or(cmp.Compare(a.lane, b.lane), a.due.Compare(b.due), cmp.Compare(a.seq, b.seq))
	})
	room, seen := slices.Clone(g.room), make(map[line]bool)
	for _, met := range g.met {
		l := lanes[met.lane-1]
		met.line.subscriber = l.Subscriber
		if room[met.lane-1]--; room[met.lane-1] < 0 {
			continue
		}
		m.seqs = append(m.seqs, met.seq)
		if seen[met.line] || len(m.keys) == maxLines {
			continue
		}
		seen[met.line] = true
		m.lane = append(m.lane, met.lane)
		m.subscribers = append(m.subscribers, l.Subscriber)
		m.tenants = append(m.tenants, met.line.tenant)
		m.keys = append(m.keys, met.line.key)
		m.before = append(m.before, l.Before)
		m.until = append(m.until, l.LeaseUntil)
	}
	return m
}
