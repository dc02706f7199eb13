package postgres

import (
	"context"
	"slices"
	"time"

	"example.com/hooks"
)

// Update is [hooks.Store]'s. Calls that come at the same time share a
// transaction, with each other and with those of Enqueue.
func (s *Store) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	s.bounds.told(now)
	return s.update(ctx, now, changes)
}

// update is Update, at a time that need not be the present.
func (s *Store) update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	o := &op{now: now, changes: changes}
	err := s.writer.submit(ctx, o)
	s.bounds.wrote(nil, changes)
	if err != nil {
		return nil, explain(ctx, "update", err)
	}
	s.bounds.freed(o.freed())
	return o.stale(), nil
}

// A change that names no ordering key, of a delivery that has one, is stale: its
// line would not be locked. Which key it names does not matter.
//
// ANY(ARRAY[...]) says the same as the value alone, but the planner cannot begin the
// join with it at the other end, and read all deliveries while the table is so young
// that it seems all but empty; so long as no other index serves for all rows and
// begins with subscriber or token. The whole condition is looked at again when the row
// was changed by a transaction that had to be waited for.
func updateStatement(input, seq string) string {
	return input + `changed AS (
		UPDATE hooks.deliveries d
		SET status = i.status, reason = i.reason, due = i.due, run = i.run, attempts = i.attempts, lost = i.lost,
			updated = i.updated, code = i.code, error = i.error, token = d.token + 1,
			parked = d.parked AND i.status < 3 AND i.run = d.run, seq = ` + seq + `
		FROM input i
		WHERE d.event_id = ANY(ARRAY[i.event_id]) AND d.subscriber = i.subscriber AND d.token = i.token
			AND (d.ordering_key = '' OR i.ordered)
		RETURNING i.*
	), noted AS (
		INSERT INTO hooks.attempts (event_id, subscriber, run, number, token, start,
			dns, connect, tls, wait, took, url, code, error, retry_after, header, body, body_cut, instance)
		SELECT event_id, subscriber, attempt_run, number, attempt_token, start,
			dns, connect, tls, wait, took, url, attempt_code, failure, retry_after,
			nullif(header, '')::pg_catalog.json, nullif(body, ''), body_cut, instance
		FROM changed WHERE tried
	)
	SELECT ord FROM changed`
}

var (
	changesSQL = `WITH input AS ` + changeInput.table(1) + `, `

	updateSQL = updateStatement(changesSQL,
		`CASE WHEN i.run > d.run THEN pg_catalog.nextval('hooks.deliveries_seq_seq') ELSE d.seq END`)
	// replaySQL is for changes that may be replays: these go to the end of the line
	// in their order.
	replaySQL = updateStatement(changesSQL+`moved AS MATERIALIZED (
			SELECT m.ord, pg_catalog.nextval('hooks.deliveries_seq_seq') AS seq FROM (
				SELECT i.ord FROM input i WHERE i.run > (SELECT d.run FROM hooks.deliveries d
					WHERE d.event_id = i.event_id AND d.subscriber = i.subscriber AND d.token = i.token)
				ORDER BY i.ord) AS m
		), `, `coalesce((SELECT m.seq FROM moved m WHERE m.ord = i.ord), d.seq)`)
)

// A line is the unfinished deliveries of one subscriber, tenant and ordering key.
//
// Those of them that wait for another one are parked: no claim looks at them, and
// Backlog does not count them. A claim parks what it meets; an Update frees the
// first of the line, unless something of the line is in flight, whose end will.
// Both lock the line first, in a statement of its own, so that the next statement
// sees what the other has done. Else a claim could park a delivery behind one
// that has just ended, and nobody would ever free it.
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

	// Always in the same order, so that two transactions cannot each have a line
	// that the other wants. The words set our locks apart from the application's.
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

// A revision is a change on its way into the database.
type revision struct {
	*hooks.Change
	applied bool
	freed   *[]hooks.Waiting // by this change and those that share its statements
}

func revisions(changes []hooks.Change) []revision {
	list := make([]revision, len(changes))
	for i := range changes {
		list[i].Change = &changes[i]
	}
	return list
}

// revise returns the statements that write changes. Those of the same delivery
// come one after the other, so that the later one is stale.
func revise(list []revision) (sts []statement) {
	for len(list) > 0 {
		n := distinct(list)
		sts = append(sts, reviseWave(list[:n])...)
		list = list[n:]
	}
	return sts
}

// distinct returns how many of the first changes are of different deliveries.
func distinct(list []revision) int {
	seen := make(map[hooks.DeliveryID]bool, min(len(list), usualGroup))
	for i := range list {
		id := list[i].Delivery.DeliveryID
		if seen[id] {
			return i
		}
		seen[id] = true
	}
	return len(list)
}

func reviseWave(list []revision) []statement {
	sql := updateSQL
	freed := new([]hooks.Waiting)
	for i := range list {
		list[i].applied, list[i].freed = false, freed
		if list[i].Delivery.Run > 1 {
			sql = replaySQL
		}
	}
	sts := []statement{{sql, changeInput.args(list), func(r row) error {
		var ord int
		err := r.Scan(&ord)
		if err == nil {
			list[ord-1].applied = true
		}
		return err
	}}}
	if args, ok := ordered(list); ok {
		sts = append(sts, statement{freeSQL, args, func(r row) error {
			var w hooks.Waiting
			err := r.Scan(&w.Subscriber, &w.Due)
			*freed = append(*freed, w)
			return err
		}})
	}
	return sts
}

// ordered returns the ids of the deliveries that have an ordering key, as columns.
func ordered(list []revision) (args []any, ok bool) {
	var events, subscribers []string
	for i := range list {
		if d := &list[i].Delivery; d.OrderingKey != "" {
			events, subscribers = append(events, d.Event), append(subscribers, d.Subscriber)
		}
	}
	return []any{events, subscribers}, len(events) > 0
}

// lockThem returns the statement that locks the lines of what is to be changed,
// until the transaction ends; none if there are none.
func lockThem(list []revision) []statement {
	if args, ok := ordered(list); ok {
		return []statement{{lockLinesOfSQL, args, nil}}
	}
	return nil
}

// updateIn writes changes in a session, and then what the applied ones emit.
func (s *Store) updateIn(ctx context.Context, to session, now time.Time, list []revision) error {
	if err := to.run(ctx, s, append(lockThem(list), revise(list)...)...); err != nil {
		return err
	}
	var emitted []hooks.Entry
	for i := range list {
		if list[i].applied {
			emitted = append(emitted, list[i].Emit...)
		}
	}
	_, err := s.enqueueIn(ctx, to, now, emitted)
	return err
}

// emits reports whether changes take more than statements that can be sent at
// once.
func emits(changes []hooks.Change) bool {
	return slices.ContainsFunc(changes, func(c hooks.Change) bool { return len(c.Emit) > 0 })
}

// frees reports whether changes leave a delivery for others to make.
func frees(now time.Time, changes []hooks.Change) bool {
	return slices.ContainsFunc(changes, func(c hooks.Change) bool {
		return c.Delivery.Status < hooks.Sending && !c.Delivery.Due.After(now) || waiting(c.Emit)
	})
}
