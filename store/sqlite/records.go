package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"example.com/hooks"
)

const (
	versionSQL = `SELECT iif(data IS NULL, 0, version) FROM hooks_records WHERE key = ?`
	putSQL     = `INSERT INTO hooks_records (key, version, data) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET version = excluded.version, data = excluded.data`
	recordsSQL = `SELECT key, version, data FROM hooks_records WHERE version > ? ORDER BY version`
)

// Put implements [hooks.Store]. When an entry of emit cannot be enqueued, it returns
// [hooks.ErrNotFound] and has changed nothing at all.
func (s *Store) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (version int64, err error) {
	version, err = write(ctx, &s.writer, "put "+r.Key, func(t *tx) (int64, error) {
		current, err := t.current(r)
		if err != nil || !current {
			return 0, err
		}
		version, err := t.next()
		if err != nil {
			return 0, err
		}
		if _, err := t.exec(putSQL, r.Key, version, contents(r.Data)); err != nil {
			return 0, err
		}
		_, err = t.enqueue(now, emit)
		return version, err
	})
	if err == nil && version == 0 {
		return 0, hooks.ErrConflict
	}
	return version, err
}

// current reports whether r.Version is still the version of its key.
func (t *tx) current(r hooks.Record) (bool, error) {
	var version int64
	err := t.row(versionSQL, []any{r.Key}, &version)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return r.Version == version, err
}

// contents of a deleted record are NULL.
func contents(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	return data
}

// Records implements [hooks.Tx].
func (s *Store) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	return read(ctx, s, "records", scanRecord, recordsSQL, since)
}

func scanRecord(rows *sql.Rows) (r hooks.Record, err error) {
	err = rows.Scan(&r.Key, &r.Version, &r.Data)
	return r, err
}
