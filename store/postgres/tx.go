package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
)

// Tx returns the part of the store that works inside the application's own
// transaction tx, for [hooks.Hooks.PublishTx]. What it writes is visible, and
// delivered, when tx commits, and never was when it rolls back. Dispatchers that
// listen hear of the commit at once; call [hooks.Hooks.Wake] after it all the same,
// for it costs nothing.
//
// The announcement is a NOTIFY. Transactions that have one commit one after the
// other, in the whole server, and cannot be prepared for a two-phase commit; with
// [Config].PollOnly there is none.
//
// Publishing an event or idempotency key that another transaction has published
// and not yet committed waits for that one. An isolation level above READ
// COMMITTED may make it a serialization failure, as with any insert; see
// [ErrSerialization]. After an error, the end of a context included, roll tx back;
// only [hooks.ErrNotFound] and what was refused before leave it as it was.
func (s *Store) Tx(tx pgx.Tx) hooks.Tx { return appTx{s, pgxSession{tx, appMark}} }

// SQLTx is [Store.Tx] for a transaction of database/sql, with any driver for
// PostgreSQL.
func (s *Store) SQLTx(tx *sql.Tx) hooks.Tx { return appTx{s, sqlSession{tx}} }

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
	var news []statement
	if waiting(entries) && !a.store.pollOnly {
		news = append(news, a.store.announcement("")) // our own dispatcher is to hear of it too
	}
	receipts, err := a.store.enqueueIn(ctx, a.in, now, entries, news...)
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
