package sqlite

import (
	"context"
	"database/sql"
	"time"

	"example.com/hooks"
)

const (
	pruneDoneSQL = `DELETE FROM hooks_deliveries WHERE seq IN (
		SELECT seq FROM hooks_deliveries WHERE status IN (4, 6) AND updated < ? ORDER BY updated LIMIT ?)
		RETURNING event_id, subscriber`
	pruneFailedSQL = `DELETE FROM hooks_deliveries WHERE seq IN (
		SELECT seq FROM hooks_deliveries WHERE status = 5 AND updated < ? ORDER BY updated LIMIT ?)
		RETURNING event_id, subscriber`
	pruneAttemptsSQL = `DELETE FROM hooks_attempts WHERE event_id = ? AND subscriber = ?`
	pruneEventSQL    = `DELETE FROM hooks_events WHERE id = ?1
		AND NOT EXISTS (SELECT 1 FROM hooks_deliveries WHERE event_id = ?1)`
	pruneUnheardSQL = `DELETE FROM hooks_events WHERE seq IN (
		SELECT seq FROM hooks_events WHERE unheard = 1 AND stored < ? ORDER BY stored LIMIT ?)`
	pruneKeysSQL = `DELETE FROM hooks_keys WHERE (tenant, key) IN (
		SELECT tenant, key FROM hooks_keys WHERE until < ? ORDER BY until LIMIT ?)`
)

// Prune implements [hooks.Store]. A limit that is not positive removes nothing, but does not
// keep p.Erase from being erased. What is erased is overwritten with zeros in the file;
// parts of it that earlier moves of a row have left behind stay until a VACUUM.
func (s *Store) Prune(ctx context.Context, p hooks.Cutoffs) (n int, err error) {
	if p.Limit <= 0 {
		p = hooks.Cutoffs{Erase: p.Erase, Now: p.Now}
	}
	return write(ctx, &s.writer, "prune", func(t *tx) (int, error) { return t.prune(p) })
}

func (t *tx) prune(p hooks.Cutoffs) (n int, err error) {
	done, doneEvents, err := t.pruneFinal(pruneDoneSQL, p.Done, p.Limit)
	if err != nil {
		return 0, err
	}
	failed, failedEvents, err := t.pruneFinal(pruneFailedSQL, p.Failed, p.Limit-done)
	if err != nil {
		return 0, err
	}
	unheard, err := t.pruneBefore(pruneUnheardSQL, p.Done, p.Limit)
	if err != nil {
		return 0, err
	}
	keys, err := t.pruneBefore(pruneKeysSQL, p.Keys, p.Limit)
	if err != nil {
		return 0, err
	}
	minutes, err := t.pruneBefore(pruneMinutesSQL, p.Minutes, p.Limit)
	if err != nil {
		return 0, err
	}
	erased, err := t.erase(p.Erase, p.Now)
	return done + doneEvents + failed + failedEvents + unheard + keys + minutes + erased, err
}

func (t *tx) pruneBefore(query string, before time.Time, limit int) (int, error) {
	if before.IsZero() {
		return 0, nil
	}
	n, err := t.exec(query, micros(before), limit)
	return int(n), err
}

// pruneFinal removes deliveries, and with each its attempts, and its event if
// it was the last one.
func (t *tx) pruneFinal(
	query string, before time.Time, limit int,
) (deliveries, events int, err error) {
	if before.IsZero() || limit <= 0 {
		return 0, 0, nil
	}
	rows, err := t.query(query, micros(before), limit)
	if err != nil {
		return 0, 0, err
	}
	gone, err := scan(rows, func(rows *sql.Rows) (id hooks.DeliveryID, err error) {
		err = rows.Scan(&id.Event, &id.Subscriber)
		return id, err
	})
	if err != nil {
		return 0, 0, err
	}
	for _, id := range gone {
		if _, err := t.exec(pruneAttemptsSQL, id.Event, id.Subscriber); err != nil {
			return 0, 0, err
		}
		n, err := t.exec(pruneEventSQL, id.Event)
		if err != nil {
			return 0, 0, err
		}
		events += int(n)
	}
	return len(gone), events, nil
}
