package postgres

import (
	"context"
	"sync"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// What another dispatcher is pruning is passed over. $3 is where to begin.
const (
	pruneDoneSQL = `DELETE FROM hooks.deliveries WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.deliveries
		WHERE status IN (4, 6) AND updated >= $3 AND updated < $1 ORDER BY updated LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING updated, event_id, subscriber`
	pruneFailedSQL = `DELETE FROM hooks.deliveries WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.deliveries
		WHERE status = 5 AND updated >= $3 AND updated < $1 ORDER BY updated LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING updated, event_id, subscriber`
	pruneAttemptsSQL = `DELETE FROM hooks.attempts WHERE ctid = ANY(ARRAY(
		SELECT a.place FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) AS i (event_id, subscriber) CROSS JOIN LATERAL (
			SELECT a.ctid AS place FROM hooks.attempts a
			WHERE a.event_id = i.event_id AND a.subscriber = i.subscriber OFFSET 0) AS a))`
	// Whoever adds a delivery to an event holds it; only when it is ours does the
	// next statement see whether it has one.
	holdEventsSQL  = `SELECT id FROM hooks.events WHERE id = ANY($1::pg_catalog.text[]) ORDER BY id FOR UPDATE`
	pruneEventsSQL = `DELETE FROM hooks.events e WHERE e.id = ANY($1::pg_catalog.text[])
		AND (SELECT d.event_id FROM hooks.deliveries d WHERE d.event_id = e.id LIMIT 1) IS NULL RETURNING e.id`
	pruneUnheardSQL = `DELETE FROM hooks.events WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.events WHERE unheard AND stored >= $3 AND stored < $1 ORDER BY stored LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING stored, id, ''`
	pruneKeysSQL = `DELETE FROM hooks.keys WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.keys WHERE until >= $3 AND until < $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING until, key, ''`
	pruneMinutesSQL = `DELETE FROM hooks.minutes WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.minutes WHERE start >= $3 AND start < $1 ORDER BY start LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING start, subscriber, ''`
)

// The kinds of rows that are pruned.
const (
	doneRows = iota
	failedRows
	unheardRows
	keyRows
	minuteRows
	kinds
)

// pruned are the times of the last rows that were removed, by kind, if there may be
// more. The next Prune goes on there, so that it need not read again the dead entries
// of all that the former ones have removed. Zero: from the beginning.
type pruned struct {
	mu    sync.Mutex // guards times
	times [kinds]time.Time
}

func (p *pruned) get() [kinds]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.times
}

func (p *pruned) set(times [kinds]time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times = times
}

// Prune implements [hooks.Store]. A limit that is not positive removes nothing, but does not
// keep p.Erase from being erased. What was removed or erased stays in the server's files
// until vacuum has been there, and in its WAL and backups.
func (s *Store) Prune(ctx context.Context, p hooks.Cutoffs) (int, error) {
	if p.Limit <= 0 {
		p = hooks.Cutoffs{Erase: p.Erase, Now: p.Now}
	}
	n, err := detached(ctx, func(ctx context.Context) (int, error) {
		var c cut
		err := batch.Again(ctx, func() error {
			return s.inTx(ctx, long, func(in batch.Session) error {
				c = cut{ctx: ctx, in: in, last: s.pruned.get()}
				c.prune(p)
				return c.err
			})
		})
		if err != nil {
			return 0, err
		}
		s.pruned.set(c.last)
		return c.n, nil
	}, nil)
	return n, explain(ctx, "prune", err)
}

// A cut is one Prune at work. After an error it does nothing more.
type cut struct {
	ctx context.Context
	in  batch.Session

	n                   int // rows removed, and events erased
	events, subscribers []string
	last                [kinds]time.Time // as in [pruned]
	err                 error
}

func (c *cut) prune(p hooks.Cutoffs) {
	final := func(event, subscriber string) {
		c.events, c.subscribers = append(c.events, event), append(c.subscribers, subscriber)
	}
	c.remove(doneRows, pruneDoneSQL, p.Done, p.Limit, final)
	c.remove(failedRows, pruneFailedSQL, p.Failed, p.Limit-len(c.events), final)
	if len(c.events) > 0 {
		c.run(
			batch.Statement{SQL: pruneAttemptsSQL, Args: []any{c.events, c.subscribers}},
			batch.Statement{SQL: holdEventsSQL, Args: []any{c.events}},
			batch.Statement{SQL: pruneEventsSQL, Args: []any{c.events}, Each: func(batch.Row) error { c.n++; return nil }})
	}
	none := func(string, string) {}
	c.remove(unheardRows, pruneUnheardSQL, p.Done, p.Limit, none)
	c.remove(keyRows, pruneKeysSQL, p.Keys, p.Limit, none)
	c.remove(minuteRows, pruneMinutesSQL, p.Minutes, p.Limit, none)
	c.erase(p.Erase, p.Now)
}

func (c *cut) run(list ...batch.Statement) {
	if c.err == nil {
		c.err = c.in.Run(c.ctx, list...)
	}
}

// remove removes up to limit rows of a kind that are older than before, and tells
// each which. It goes on where the last call has stopped. If it then finds less than
// it may remove it begins anew, for there may be something below.
func (c *cut) remove(kind int, sql string, before time.Time, limit int, each func(id, subscriber string)) {
	if before.IsZero() || limit <= 0 {
		return
	}
	n := 0
	for again := true; again && n < limit; {
		from := c.last[kind]
		again = !from.IsZero()
		c.last[kind] = time.Time{}
		c.run(batch.Statement{SQL: sql, Args: []any{before, limit - n, from}, Each: func(r batch.Row) error {
			var at time.Time
			var id, subscriber string
			err := r.Scan(&at, &id, &subscriber)
			if at.After(c.last[kind]) {
				c.last[kind] = at
			}
			n++
			each(id, subscriber)
			return err
		}})
	}
	if n < limit {
		c.last[kind] = time.Time{}
	}
	c.n += n
}

const (
	// Two transactions that erase the same events lock them in the same order.
	holdUnerasedSQL = `SELECT id FROM hooks.events WHERE id = ANY($1::pg_catalog.text[]) AND erased IS NULL
		ORDER BY id FOR NO KEY UPDATE`
	eraseEventsSQL = `UPDATE hooks.events SET data = 'null'::pg_catalog.bytea, metadata = NULL, erased = $2
		WHERE id = ANY($1::pg_catalog.text[])`
	eraseAttemptsSQL = `UPDATE hooks.attempts SET header = NULL, body = NULL WHERE ctid = ANY(ARRAY(
		SELECT a.place FROM pg_catalog.unnest($1::pg_catalog.text[]) AS i (event_id) CROSS JOIN LATERAL (
			SELECT a.ctid AS place FROM hooks.attempts a WHERE a.event_id = i.event_id OFFSET 0) AS a))`
)

// erase erases what events and the answers to them said. It passes over events that are
// not stored, or erased already.
func (c *cut) erase(events []string, now time.Time) {
	if len(events) == 0 {
		return
	}
	var held []string
	c.run(batch.Statement{SQL: holdUnerasedSQL, Args: []any{events}, Each: func(r batch.Row) error {
		var id string
		err := r.Scan(&id)
		held = append(held, id)
		return err
	}})
	c.n += len(held)
	c.run(
		batch.Statement{SQL: eraseEventsSQL, Args: []any{held, now}},
		batch.Statement{SQL: eraseAttemptsSQL, Args: []any{held}})
}
