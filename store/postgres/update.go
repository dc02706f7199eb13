package postgres

import (
	"context"
	"slices"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// Update implements [hooks.Store]. Calls that come at the same time share a
// transaction, with each other and with those of Enqueue.
func (s *Store) Update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	s.told(now)
	return s.update(ctx, now, changes)
}

// update is Update, at a time that need not be the present.
func (s *Store) update(ctx context.Context, now time.Time, changes []hooks.Change) ([]hooks.DeliveryID, error) {
	o := &op{now: now, changes: changes}
	err := s.writer.submit(ctx, o)
	s.bounds.Wrote(nil, changes)
	if err != nil {
		return nil, explain(ctx, "update", err)
	}
	s.bounds.Freed(o.freed())
	return o.stale(), nil
}

// updateStatement returns the statement that writes changes and their attempts. input is
// its WITH clause so far, seq the number that a delivery gets.
//
// A change of a delivery that has an ordering key is stale if it names none, because then
// nobody has locked the line. Which key it names does not matter.
//
// = ANY(ARRAY[x]) equals = x, but keeps the planner from driving the join from
// hooks.deliveries, which it would scan whole as long as its statistics say that it is
// empty. This holds only while no other index starts with subscriber or token. If the
// statement has to wait for a transaction that changes the row, the server checks the
// whole condition again.
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
	changesSQL = `WITH input AS ` + changeInput.Table(1) + `, `

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

// A revision is a change on its way into the database.
type revision struct {
	*hooks.Change
	applied bool
	freed   *[]hooks.BacklogLane // by this change and those that share its statements
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
func revise(list []revision) (sts []batch.Statement) {
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

func reviseWave(list []revision) []batch.Statement {
	sql := updateSQL
	freed := new([]hooks.BacklogLane)
	for i := range list {
		list[i].applied, list[i].freed = false, freed
		if list[i].Delivery.Run > 1 {
			sql = replaySQL
		}
	}
	sts := []batch.Statement{{SQL: sql, Args: changeInput.Args(list), Each: func(r batch.Row) error {
		var ord int
		err := r.Scan(&ord)
		if err == nil {
			list[ord-1].applied = true
		}
		return err
	}}}
	if args, ok := ordered(list); ok {
		sts = append(sts, batch.Statement{SQL: freeSQL, Args: args, Each: func(r batch.Row) error {
			var w hooks.BacklogLane
			err := r.Scan(&w.Subscriber, &w.Due)
			*freed = append(*freed, w)
			return err
		}})
	}
	return sts
}

// updateIn writes changes in a session, and then what the applied ones emit.
func updateIn(ctx context.Context, to batch.Session, now time.Time, list []revision) error {
	if err := to.Run(ctx, append(lockLines(list), revise(list)...)...); err != nil {
		return err
	}
	var emitted []hooks.Entry
	for i := range list {
		if list[i].applied {
			emitted = append(emitted, list[i].Emit...)
		}
	}
	_, err := enqueueIn(ctx, to, now, emitted)
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
