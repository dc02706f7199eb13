package postgres

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// Tx returns the part of the store that works inside the application's own
// transaction tx, for [hooks.Hooks.PublishTx]. Events are there, and are delivered,
// once tx commits; if it rolls back, they never were. Call
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
func (s *Store) Tx(tx pgx.Tx) hooks.Tx {
	return appTx{pgxTx{batch.Pgx(tx, s.appText), tx, s}}
}

// SQLTx is [Store.Tx] for a transaction of database/sql, with any driver for PostgreSQL.
// Before the first statement it asks the server for client_encoding. With another one than
// UTF8 the server would store other characters than it is given, so PublishTx returns a
// [*hooks.InvalidError] then, and has written nothing.
func (s *Store) SQLTx(tx *sql.Tx) hooks.Tx {
	return appTx{sqlTx{batch.SQL(tx, s.appText), tx, new(atomic.Bool)}}
}

// appText returns a statement as it is sent in the application's transactions. Its text
// differs from that in our own, because a connection keeps the plan of a text, and these
// transactions are planned with other settings.
func (s *Store) appText(sql string) string {
	return "/* in the application's transaction */ " + s.text(sql)
}

// An appTx is the store inside a transaction of the application's. It is a
// [hooks.Clock] too, so that no second connection is needed while the
// application holds one.
type appTx struct{ in batch.Session }

var _ hooks.Clock = appTx{}

// Enqueue implements [hooks.Tx].
func (a appTx) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	receipts, err := enqueueIn(ctx, a.in, now, entries)
	return receipts, explain(ctx, "enqueue", err)
}

// Records implements [hooks.Tx].
func (a appTx) Records(ctx context.Context, since int64) (list []hooks.Record, err error) {
	err = a.read(ctx, batch.Statement{SQL: recordsSQL, Args: []any{since}, Each: func(r batch.Row) error {
		rec, err := scanRecord(r)
		list = append(list, rec)
		return err
	}})
	return list, explain(ctx, "records", err)
}

// Now implements [hooks.Clock].
func (a appTx) Now(ctx context.Context) (now time.Time, err error) {
	err = a.read(ctx, batch.Statement{SQL: clockSQL, Each: func(r batch.Row) (err error) {
		now, err = scanTime(r)
		return err
	}})
	return now, explain(ctx, "clock", err)
}

func (a appTx) read(ctx context.Context, st batch.Statement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.in.Run(ctx, st)
}

// A pgxTx is a session that refuses a transaction in which statements cannot be sent.
type pgxTx struct {
	batch.Session
	tx    pgx.Tx
	store *Store
}

func (p pgxTx) Run(ctx context.Context, list ...batch.Statement) error {
	if err := p.store.suitsApp(p.tx); err != nil {
		return err
	}
	return p.Session.Run(ctx, list...)
}

// A sqlTx is a pgxTx of database/sql. Its driver does not tell the encoding, so the server
// is asked, before the first statement.
type sqlTx struct {
	batch.Session
	tx    *sql.Tx
	suits *atomic.Bool // the encoding is known to be UTF8
}

func (q sqlTx) Run(ctx context.Context, list ...batch.Statement) error {
	if q.tx == nil {
		return noTx("sql.DB.BeginTx")
	}
	if err := q.suitsApp(ctx); err != nil {
		return err
	}
	return q.Session.Run(ctx, list...)
}

// encodingSQL reads the encoding in which the server takes what the driver sends.
const encodingSQL = `SELECT pg_catalog.current_setting('client_encoding')`

func (q sqlTx) suitsApp(ctx context.Context) error {
	if q.suits.Load() {
		return nil
	}
	var encoding string
	if err := q.tx.QueryRowContext(ctx, encodingSQL).Scan(&encoding); err != nil {
		return err
	}
	if err := isUTF8(encoding); err != nil {
		return err
	}
	q.suits.Store(true)
	return nil
}

// clockSQL is a number, because a time is written in as many ways as DateStyle has.
const clockSQL = `SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000.0)::bigint`

// Now implements [hooks.Clock]: the database's time.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	times, err := rows(ctx, s, "clock", clockSQL, nil, scanTime)
	if err != nil {
		return time.Time{}, err
	}
	s.told(times[0])
	return times[0], nil
}

func scanTime(r batch.Row) (t time.Time, err error) {
	var micros int64
	err = r.Scan(&micros)
	return time.UnixMicro(micros).UTC(), err
}

// told records the present time by the callers' clock.
func (s *Store) told(now time.Time) { s.bounds.Told(now, time.Now()) }

const (
	// patience is how long a call waits for a connection, and a transaction for the
	// server. Then the call gives up, and its outcome is unknown.
	patience = 30 * time.Second
	// afterwards is how long a call outlasts its context to learn what it did. So what a
	// claim has leased when a dispatcher stops can be given back.
	afterwards = time.Second
	// shortly is how long a transaction waits for a lock if others wait for that
	// transaction. Only somebody's transaction that stays open holds a lock for longer.
	shortly = "100ms"
	// long is the same for a transaction for which only its caller waits.
	long = "3s"
)

// transact runs the statements of a transaction in a single round trip.
func (s *Store) transact(ctx context.Context, conn *pgxpool.Conn, list []batch.Statement) error {
	if err := s.suits(conn.Conn()); err != nil {
		return err
	}
	return batch.Run(ctx, conn.Conn(), list, s.text)
}

// inTx runs f in a transaction of the store's own.
func (s *Store) inTx(ctx context.Context, lock string, f func(batch.Session) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := s.suits(tx.Conn()); err != nil {
			return err
		}
		in := batch.Pgx(tx, s.text)
		if err := in.Run(ctx, batch.Settings(lock)); err != nil {
			return err
		}
		return f(in)
	})
}

// submit runs statements in a transaction of their own. If the server gave it up because
// of another one, prepare is called again, so that the rows go to a new place.
func (s *Store) submit(ctx context.Context, prepare func() []batch.Statement) error {
	return batch.Again(ctx, func() error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		return s.transact(ctx, conn, batch.Write(long, prepare()))
	})
}

// rows runs a query in a transaction that only reads, and returns what each returns for
// its rows.
func rows[T any](ctx context.Context, s *Store, verb, sql string, args []any, each func(batch.Row) (T, error)) (list []T, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := s.pool.Acquire(limited)
	if err != nil {
		return nil, explain(ctx, verb, err)
	}
	defer conn.Release()
	err = s.transact(limited, conn, batch.View(batch.Statement{SQL: sql, Args: args, Each: func(r batch.Row) error {
		v, err := each(r)
		list = append(list, v)
		return err
	}}))
	if err != nil {
		return nil, explain(ctx, verb, err)
	}
	return list, nil
}

// detached calls f with a context that does not end with ctx, and waits for it. If ctx
// ends before f has returned, f goes on to its end. What it then returns without an error
// goes to orphaned, unless that is nil.
func detached[T any](ctx context.Context, f func(context.Context) (T, error), orphaned func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	if err := ctx.Err(); err != nil {
		return answer{}.value, err
	}
	answers, gone := make(chan answer), make(chan struct{})
	defer close(gone)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		v, err := f(ctx)
		select {
		case answers <- answer{v, err}:
		case <-gone:
			if err == nil && orphaned != nil {
				orphaned(v)
			}
		}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	select { // f may return in a moment, and then its outcome is known
	case a := <-answers:
		return a.value, a.err
	case <-time.After(afterwards):
		return answer{}.value, ctx.Err()
	}
}
