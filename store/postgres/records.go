package postgres

import (
	"context"
	"encoding/hex"
	"time"

	"example.com/hooks"
)

const (
	// The row is locked until the transaction ends: versions commit in their order.
	nextVersionSQL = `UPDATE hooks.meta SET record_version = record_version + 1 WHERE one`
	putSQL         = `INSERT INTO hooks.records (key, version, data)
		SELECT $1, m.record_version, $2 FROM hooks.meta m
		WHERE m.one AND $3 = coalesce((SELECT CASE WHEN r.data IS NULL THEN 0 ELSE r.version END
			FROM hooks.records r WHERE r.key = $1), 0)
		ON CONFLICT (key) DO UPDATE SET version = excluded.version, data = excluded.data
		RETURNING version`
	// In the application's transaction a bytea may be written in two ways. A text that
	// is null, of a record that was deleted, gives nil.
	recordsSQL = `SELECT key, version, pg_catalog.encode(data, 'hex') FROM hooks.records WHERE version > $1 ORDER BY version`
)

// Put is [hooks.Store]'s. Dispatchers that listen hear of it at once.
func (s *Store) Put(ctx context.Context, _ time.Time, r hooks.Record) (version int64, err error) {
	data := r.Data
	if len(data) == 0 {
		data = nil // deleted
	}
	version, err = detached(ctx, func(ctx context.Context) (version int64, err error) {
		err = s.submit(ctx, func() []statement {
			version = 0
			return []statement{
				{nextVersionSQL, nil, nil},
				{putSQL, []any{r.Key, data, r.Version}, func(r row) error { return r.Scan(&version) }},
			}
		})
		return version, err
	}, nil)
	switch {
	case err != nil:
		return 0, explain(ctx, "put "+r.Key, err)
	case version == 0:
		return 0, hooks.ErrConflict
	}
	s.herald.owe()
	return version, nil
}

// Records is [hooks.Tx]'s.
func (s *Store) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	return rows(ctx, s, "records", recordsSQL, []any{since}, scanRecord)
}

func scanRecord(r row) (rec hooks.Record, err error) {
	var data *string
	if err = r.Scan(&rec.Key, &rec.Version, &data); err == nil && data != nil {
		rec.Data, err = hex.DecodeString(*data)
	}
	return rec, err
}

// clockSQL is a number, because a time is written in as many ways as DateStyle has.
const clockSQL = `SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000.0)::bigint`

// Now is [hooks.Clock]'s: the database's time.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	times, err := rows(ctx, s, "clock", clockSQL, nil, scanTime)
	if err != nil {
		return time.Time{}, err
	}
	s.bounds.told(times[0])
	return times[0], nil
}

func scanTime(r row) (t time.Time, err error) {
	var micros int64
	err = r.Scan(&micros)
	return time.UnixMicro(micros).UTC(), err
}
