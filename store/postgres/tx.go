package postgres

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
)

// Tx returns the part of the store that works inside the application's own
// transaction tx, for [hooks.Hooks.PublishTx]. What it writes is visible, and
// delivered, when tx commits, and never was when it rolls back. Call
// [hooks.Hooks.Wake] after the commit, so that delivery begins at once: the database
// tells nobody of it.
//
// The store adds to tx the rows of events and deliveries and nothing else: no NOTIFY,
// no lock but those of rows, no setting. So tx commits as fast as before, and may be
// prepared for a two-phase commit.
//
// Publishing an event or idempotency key that another transaction has published
// and not yet committed waits for that one. An isolation level above READ
// COMMITTED may make it a serialization failure, as with any insert; see
// [ErrSerialization]. After an error, the end of a context included, roll tx back;
// only [hooks.ErrNotFound] and what was refused before leave it as it was.
func (s *Store) Tx(tx pgx.Tx) hooks.Tx { return appTx{s, pgxSession{tx, appMark}} }

// SQLTx is [Store.Tx] for a transaction of database/sql, with any driver for
// PostgreSQL. What it returns asks the server once for client_encoding, before its first
// statement. With another one than UTF8 the server would store other characters than it is
// given, so that is a [*hooks.InvalidError], and tx is as it was.
func (s *Store) SQLTx(tx *sql.Tx) hooks.Tx { return appTx{s, sqlSession{tx, new(atomic.Bool)}} }

// An appTx is the store inside a transaction of the application's. It is a
// [hooks.Clock] too, so that no second connection is needed while the
// application holds one.
type appTx struct {
	store *Store
	in    session
}

var _ hooks.Clock = appTx{}

// Enqueue is [hooks.Tx]'s.
func (a appTx) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	receipts, err := a.store.enqueueIn(ctx, a.in, now, entries)
	return receipts, explain(ctx, "enqueue", err)
}

// Records is [hooks.Tx]'s.
func (a appTx) Records(ctx context.Context, since int64) (list []hooks.Record, err error) {
	err = a.read(ctx, statement{recordsSQL, []any{since}, func(r row) error {
		rec, err := scanRecord(r)
		list = append(list, rec)
		return err
	}})
	return list, explain(ctx, "records", err)
}

// Now is [hooks.Clock]'s.
func (a appTx) Now(ctx context.Context) (now time.Time, err error) {
	err = a.read(ctx, statement{clockSQL, nil, func(r row) (err error) {
		now, err = scanTime(r)
		return err
	}})
	return now, explain(ctx, "clock", err)
}

func (a appTx) read(ctx context.Context, st statement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.in.run(ctx, a.store, st)
}
