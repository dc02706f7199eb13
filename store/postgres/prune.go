package postgres

import (
	"context"
	"time"

	"example.com/hooks"
)

// What another dispatcher is pruning is passed over.
const (
	pruneDoneSQL = `DELETE FROM hooks.deliveries WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.deliveries
		WHERE status IN (4, 6) AND updated < $1 ORDER BY updated LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING event_id, subscriber`
	pruneFailedSQL = `DELETE FROM hooks.deliveries WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.deliveries
		WHERE status = 5 AND updated < $1 ORDER BY updated LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING event_id, subscriber`
	pruneAttemptsSQL = `DELETE FROM hooks.attempts WHERE ctid = ANY(ARRAY(
		SELECT a.place FROM unnest($1::text[], $2::text[]) AS i (event_id, subscriber) CROSS JOIN LATERAL (
			SELECT a.ctid AS place FROM hooks.attempts a
			WHERE a.event_id = i.event_id AND a.subscriber = i.subscriber OFFSET 0) AS a))`
	// Whoever adds a delivery to an event holds it; only when it is ours does the
	// next statement see whether it has one.
	holdEventsSQL  = `SELECT id FROM hooks.events WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE`
	pruneEventsSQL = `DELETE FROM hooks.events e WHERE e.id = ANY($1::text[])
		AND (SELECT d.event_id FROM hooks.deliveries d WHERE d.event_id = e.id LIMIT 1) IS NULL RETURNING e.id`
	pruneUnheardSQL = `DELETE FROM hooks.events WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.events WHERE unheard AND stored < $1 ORDER BY stored LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING id`
	pruneKeysSQL = `DELETE FROM hooks.keys WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM hooks.keys WHERE until < $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING key`
)

// Prune is [hooks.Store]'s. A limit that is not positive removes nothing.
func (s *Store) Prune(ctx context.Context, p hooks.Prune) (int, error) {
	if p.Limit <= 0 {
		p = hooks.Prune{}
	}
	n, err := detached(ctx, func(ctx context.Context) (n int, err error) {
		err = again(ctx, func() error {
			return s.inTx(ctx, long, func(in session) error {
				c := cut{ctx: ctx, store: s, in: in}
				c.prune(p)
				n = c.n
				return c.err
			})
		})
		return n, err
	}, nil)
	return n, explain(ctx, "prune", err)
}

// A cut is one Prune at work. After an error it does nothing more.
type cut struct {
	ctx   context.Context
	store *Store
	in    session

	n                   int // rows removed
	events, subscribers []string
	err                 error
}

func (c *cut) prune(p hooks.Prune) {
	c.final(pruneDoneSQL, p.Done, p.Limit)
	c.final(pruneFailedSQL, p.Failed, p.Limit-len(c.events))
	if len(c.events) > 0 {
		c.run(
			statement{pruneAttemptsSQL, []any{c.events, c.subscribers}, nil},
			statement{holdEventsSQL, []any{c.events}, nil},
			statement{pruneEventsSQL, []any{c.events}, c.count})
	}
	c.before(pruneUnheardSQL, p.Done, p.Limit)
	c.before(pruneKeysSQL, p.Keys, p.Limit)
}

func (c *cut) run(list ...statement) {
	if c.err == nil {
		c.err = c.in.run(c.ctx, c.store, list...)
	}
}

func (c *cut) count(row) error {
	c.n++
	return nil
}

// final removes deliveries, and remembers which.
func (c *cut) final(sql string, before time.Time, limit int) {
	if before.IsZero() || limit <= 0 {
		return
	}
	c.run(statement{sql, []any{before, limit}, func(r row) error {
		var event, subscriber string
		err := r.Scan(&event, &subscriber)
		c.events, c.subscribers = append(c.events, event), append(c.subscribers, subscriber)
		c.n++
		return err
	}})
}

func (c *cut) before(sql string, before time.Time, limit int) {
	if !before.IsZero() {
		c.run(statement{sql, []any{before, limit}, c.count})
	}
}
