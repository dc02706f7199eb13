package sqlite

import (
	"context"
	"time"
)

const (
	eraseEventSQL = `UPDATE hooks_events SET data = CAST('null' AS BLOB), metadata = NULL, erased = ?
		WHERE id = ? AND erased = 0`
	eraseAttemptsSQL = `UPDATE hooks_attempts SET header = NULL, body = NULL WHERE event_id = ?`
)

// erase erases the events with these ids that are stored and not erased yet, and counts
// them. What they held is overwritten with zeros where it lies in the file. Earlier moves
// of a row may have left parts of it elsewhere; VACUUM removes those.
func (t *tx) erase(ids []string, now time.Time) (n int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	restore, err := t.overwriteFreed()
	if err != nil {
		return 0, err
	}
	defer restore()
	for _, id := range ids {
		erased, err := t.exec(eraseEventSQL, micros(now), id)
		if err != nil {
			return 0, err
		}
		if erased == 0 {
			continue
		}
		if _, err := t.exec(eraseAttemptsSQL, id); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// overwriteFreed makes SQLite overwrite with zeros what the transaction deletes, until
// restore is called. It costs more writing, so that Prune and the rest do without.
func (t *tx) overwriteFreed() (restore func(), err error) {
	ctx := context.Background()
	var before string
	if err := t.sql.QueryRowContext(ctx, "PRAGMA secure_delete").Scan(&before); err != nil {
		return nil, err
	}
	if before == "2" {
		before = "FAST" // as the pragma reads what it writes as 2
	}
	_, err = t.sql.ExecContext(ctx, "PRAGMA secure_delete = ON")
	return func() { _, _ = t.sql.ExecContext(ctx, "PRAGMA secure_delete = "+before) }, err
}
