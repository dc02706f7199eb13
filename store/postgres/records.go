package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
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

// Put implements [hooks.Store]. Dispatchers that listen hear of it at once. While it waits for
// somebody's open transaction that has written an event or idempotency key of emit, other
// calls of Put wait behind it; after about three seconds it is [ErrTimeout].
func (s *Store) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (version int64, err error) {
	s.told(now)
	version, err = detached(ctx, func(ctx context.Context) (version int64, err error) {
		if len(emit) == 0 {
			version, err = s.put(ctx, r)
		} else {
			version, err = s.putAndEmit(ctx, now, r, emit)
		}
		s.herald.written(err)
		return version, err
	}, nil)
	s.bounds.Wrote(emit, nil)
	if errors.Is(err, hooks.ErrConflict) {
		return 0, hooks.ErrConflict
	}
	return version, explain(ctx, "put "+r.Key, err)
}

// put writes a record.
func (s *Store) put(ctx context.Context, r hooks.Record) (version int64, err error) {
	err = s.submit(ctx, func() []batch.Statement {
		version = 0
		return putStatements(r, &version)
	})
	if err == nil && version == 0 {
		return 0, hooks.ErrConflict
	}
	return version, err
}

// putAndEmit writes a record, and if it does, entries. It locks the row of hooks.meta
// before it writes events, as migrations do.
func (s *Store) putAndEmit(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (version int64, err error) {
	err = batch.Again(ctx, func() error {
		return s.inTx(ctx, long, func(to batch.Session) error {
			version = 0
			if err := to.Run(ctx, putStatements(r, &version)...); err != nil {
				return err
			}
			if version == 0 {
				return hooks.ErrConflict
			}
			_, err := enqueueIn(ctx, to, now, emit)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// putStatements return the statements that write a record. Its new version is 0 if it was
// not written, because it has another one than r.
func putStatements(r hooks.Record, version *int64) []batch.Statement {
	data := r.Data
	if len(data) == 0 {
		data = nil // deleted
	}
	return []batch.Statement{
		{SQL: nextVersionSQL},
		{SQL: putSQL, Args: []any{r.Key, data, r.Version}, Each: func(r batch.Row) error { return r.Scan(version) }},
	}
}

// Records implements [hooks.Tx].
func (s *Store) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	return rows(ctx, s, "records", recordsSQL, []any{since}, scanRecord)
}

func scanRecord(r batch.Row) (rec hooks.Record, err error) {
	var data *string
	if err = r.Scan(&rec.Key, &rec.Version, &data); err == nil && data != nil {
		rec.Data, err = hex.DecodeString(*data)
	}
	return rec, err
}
