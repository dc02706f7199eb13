package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A statement is one that a transaction runs, and who takes its rows.
type statement struct {
	sql  string // for the default schema
	args []any
	each func(row) error // called with each row; nil if there are none
}

// A row is one of an answer, as [pgx.Rows] and [sql.Rows] have it.
type row interface {
	Scan(dest ...any) error
}

// The settings hold for one transaction of our own.
//
// sameSQL makes it independent of those that a role or a database has. What is sent
// and read as text has one form; and what is given up for its time is so by us, after
// patience.
//
// settingsSQL are for what writes. Statements are planned once, and not anew for each
// number of rows; and since that may be when the tables are nearly empty, they are to be
// read by an index and in its order, and never whole. What cannot be looks dear enough
// to compile, which it is not. And a process that dies or freezes between two
// statements does not keep its locks.
const (
	beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED`
	viewSQL  = `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY`

	sameSQL = `SELECT pg_catalog.set_config('client_encoding', 'UTF8', true), pg_catalog.set_config('DateStyle', 'ISO', true),
		pg_catalog.set_config('bytea_output', 'hex', true), pg_catalog.set_config('statement_timeout', '0', true)`
	settingsSQL = sameSQL + `,
		pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_hashjoin', 'off', true),
		pg_catalog.set_config('enable_mergejoin', 'off', true), pg_catalog.set_config('enable_bitmapscan', 'off', true),
		pg_catalog.set_config('enable_sort', 'off', true), pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
		pg_catalog.set_config('jit', 'off', true), pg_catalog.set_config('lock_timeout', $1, true),
		pg_catalog.set_config('idle_in_transaction_session_timeout', '30s', true)`
	commitSQL = `COMMIT`
)

const (
	// patience is how long a call waits for a connection, and a transaction for the
	// server, before it is given up and its outcome unknown.
	patience = 30 * time.Second
	// shortly is how long a transaction may wait for a lock if others wait for it;
	// only somebody's transaction that stays open can keep one from it for longer.
	shortly = "100ms"
	// long is the same for one that nobody waits for but its caller.
	long = "3s"
)

// whole returns a transaction of statements, each of which waits for a lock no
// longer than lock says.
func whole(lock string, list []statement) []statement {
	return slices.Concat([]statement{{sql: beginSQL}, {sql: settingsSQL, args: []any{lock}}}, list, []statement{{sql: commitSQL}})
}

// view returns a transaction of a statement that only reads, with a plan of its own.
func view(st statement) []statement {
	return []statement{{sql: viewSQL}, {sql: sameSQL}, st, {sql: commitSQL}}
}

// transact runs the statements of a transaction in a single round trip.
func (s *Store) transact(ctx context.Context, conn *pgxpool.Conn, list []statement) error {
	if err := s.suits(conn.Conn()); err != nil {
		return err
	}
	b := &pgx.Batch{}
	for _, st := range list {
		addTo(b, s.text(st.sql), st)
	}
	err := conn.SendBatch(ctx, b).Close()
	if err != nil && !conn.Conn().IsClosed() {
		_, rollbackErr := conn.Exec(ctx, `ROLLBACK`)
		err = errors.Join(err, rollbackErr)
	}
	return err
}

func addTo(b *pgx.Batch, text string, st statement) {
	b.Queue(text, given(st.args)...).Query(func(rows pgx.Rows) error { return read(rows, st.each) })
}

// A session is a transaction that goes on between statements: the
// application's, or one of our own that has to decide between two of them.
type session interface {
	run(ctx context.Context, s *Store, list ...statement) error
}

// A pgxSession is a session of pgx. It sends all statements at once.
type pgxSession struct {
	pgx.Tx
	// mark begins each statement's text. A connection keeps the plan of a text,
	// and the application's transactions are planned with other settings.
	mark string
}

// appMark is that of the application's transactions.
const appMark = "/* in the application's transaction */ "

func (p pgxSession) run(ctx context.Context, s *Store, list ...statement) error {
	if err := s.suitsApp(p.Tx); err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, st := range list {
		addTo(b, p.mark+s.text(st.sql), st)
	}
	return p.SendBatch(ctx, b).Close()
}

// A sqlSession is a session of database/sql, with whatever driver.
type sqlSession struct {
	*sql.Tx
	suits *atomic.Bool // the transaction's encoding is known to be UTF8
}

// encodingSQL asks what the server takes the driver's characters for.
const encodingSQL = `SELECT pg_catalog.current_setting('client_encoding')`

func (q sqlSession) run(ctx context.Context, s *Store, list ...statement) error {
	if q.Tx == nil {
		return noTx("sql.DB.BeginTx")
	}
	if err := q.suitsApp(ctx); err != nil {
		return err
	}
	for _, st := range list {
		if err := q.runOne(ctx, appMark+s.text(st.sql), st); err != nil {
			return err
		}
	}
	return nil
}

// suitsApp is [Store.suitsApp] for a driver that cannot be asked. It asks the server,
// before the first statement of a session.
func (q sqlSession) suitsApp(ctx context.Context) error {
	if q.suits.Load() {
		return nil
	}
	var encoding string
	if err := q.QueryRowContext(ctx, encodingSQL).Scan(&encoding); err != nil {
		return err
	}
	if err := isUTF8(encoding); err != nil {
		return err
	}
	q.suits.Store(true)
	return nil
}

func (q sqlSession) runOne(ctx context.Context, text string, st statement) error {
	rows, err := q.QueryContext(ctx, text, plain(st.args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() && st.each != nil {
		if err := st.each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// inTx runs f in a transaction of its own.
func (s *Store) inTx(ctx context.Context, lock string, f func(session) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := s.suits(tx.Conn()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, settingsSQL, lock); err != nil {
			return err
		}
		return f(pgxSession{Tx: tx})
	})
}

// submit runs statements in a transaction of their own. If the server gave it up
// because of others they are prepared anew, with room for other rows.
func (s *Store) submit(ctx context.Context, prepare func() []statement) error {
	return again(ctx, func() error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		return s.transact(ctx, conn, whole(long, prepare()))
	})
}

// detached calls f with a context that does not end with ctx, and waits for it. If
// ctx ends before, f goes on, whole, and what it returns goes to orphaned, if that
// is not nil.
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
	select { // it is done in a moment, and then its outcome is known
	case a := <-answers:
		return a.value, a.err
	case <-time.After(afterwards):
		return answer{}.value, ctx.Err()
	}
}

// afterwards is how long a call may outlast its context to know what it did: what
// a claim has leased when a dispatcher stops can then be given back.
const afterwards = time.Second
