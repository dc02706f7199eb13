package postgres

import (
	"time"

	"example.com/hooks/store/postgres/internal/batch"
)

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
