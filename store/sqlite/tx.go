package sqlite

import (
	"context"
	"database/sql"
	"time"

	"example.com/hooks"
)

// A tx is a transaction that writes: one of the store's own, or the
// application's. A write is never left halfway, so no context interrupts it.
type tx struct {
	sql      *sql.Tx
	prepared map[string]*sql.Stmt // the store's; none in the application's transaction
	stmts    map[string]*sql.Stmt // those of this transaction, by their text

	begun, seq int64 // the last number given when it began, and now; 0: not read
}

func newTx(t *sql.Tx, prepared map[string]*sql.Stmt) *tx {
	return &tx{sql: t, prepared: prepared, stmts: map[string]*sql.Stmt{}}
}

// stmt returns the statement that query is, prepared once a connection, or
// once in the application's transaction.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if st, ok := t.stmts[query]; ok {
		return st, nil
	}
	var st *sql.Stmt
	if p, ok := t.prepared[query]; ok {
		st = t.sql.StmtContext(context.Background(), p)
	} else {
		var err error
		if st, err = t.sql.PrepareContext(context.Background(), query); err != nil {
			return nil, err
		}
	}
	t.stmts[query] = st
	return st, nil
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	st, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	st, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

// row reads a single row into dest; [sql.ErrNoRows] if there is none.
func (t *tx) row(query string, args []any, dest ...any) error {
	st, err := t.stmt(query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(context.Background(), args...).Scan(dest...)
}

// close gives back the statements of a transaction that goes on without us.
func (t *tx) close() {
	for _, st := range t.stmts {
		_ = st.Close() // the transaction's end would do it too
	}
}

const (
	// As the first statement of a deferred transaction this takes the write
	// lock, waiting for it like BEGIN IMMEDIATE, and changes nothing.
	lockSQL = `UPDATE hooks_meta SET seq = seq WHERE id = 0`
	seqSQL  = `SELECT seq FROM hooks_meta WHERE id = 1`
	saveSQL = `UPDATE hooks_meta SET seq = ? WHERE id = 1`
)

// lock makes the transaction one that writes, before it reads anything.
func (t *tx) lock() error {
	_, err := t.exec(lockSQL)
	return err
}

// next returns a number above all that were given before.
func (t *tx) next() (int64, error) {
	if t.begun == 0 && t.seq == 0 {
		if err := t.row(seqSQL, nil, &t.begun); err != nil {
			return 0, err
		}
		t.seq = t.begun
	}
	t.seq++
	return t.seq, nil
}

// mark makes the transaction one that others take notice of.
func (t *tx) mark() (err error) {
	if t.seq == t.begun {
		_, err = t.next()
	}
	return err
}

// save keeps the last number given.
func (t *tx) save() error {
	if t.seq == t.begun {
		return nil
	}
	_, err := t.exec(saveSQL, t.seq)
	return err
}

// writes and reads are the statements that are prepared once a connection.
var (
	writes = []string{
		lockSQL, seqSQL, saveSQL,
		eventSQL, holderSQL, takeSQL, heardSQL, addEventSQL, addSQL, parkLastSQL,
		dueSQL, leaseSQL, eventsSQL,
		overwriteSQL, placeSQL, moveSQL, headSQL, nextSQL, parkSQL, addAttemptSQL,
		versionSQL, putSQL,
		pruneDoneSQL, pruneFailedSQL, pruneAttemptsSQL, pruneEventSQL, pruneUnheardSQL, pruneKeysSQL,
		pruneMinutesSQL, minuteSQL, putMinuteSQL, eraseEventSQL, eraseAttemptsSQL,
		voidSQL,
	}
	reads = []string{seqSQL, backlogSQL, attemptsSQL, recordsSQL, minutesSQL}
)

func prepare(db *sql.DB, queries []string) (map[string]*sql.Stmt, error) {
	prepared := make(map[string]*sql.Stmt, len(queries))
	for _, q := range queries {
		st, err := db.Prepare(q)
		if err != nil {
			return nil, err
		}
		prepared[q] = st
	}
	return prepared, nil
}

// Tx returns the part of the store that works inside the application's own
// transaction tx, for [hooks.Hooks.PublishTx]. Events are there, and are
// delivered, once tx commits; if it rolls back, they never were. tx may belong
// to any *sql.DB of this package's driver on the same file.
//
// Transactions begin deferred unless the DSN says otherwise. Such a transaction
// that has read fails with [ErrDeferred] at once if anybody has written since.
// Open the database with _txlock=immediate, or publish first and read afterwards.
//
// The dispatcher of this store notices the commit within about 20 ms; after
// [hooks.Hooks.Wake] it does so at once.
func (s *Store) Tx(tx *sql.Tx) hooks.Tx { return appTx{s, tx} }

// An appTx is the store inside a transaction of the application's.
type appTx struct {
	store *Store
	sql   *sql.Tx
}

// Enqueue implements [hooks.Tx]. On an error the transaction stands as before, and
// may go on.
func (a appTx) Enqueue(
	ctx context.Context, now time.Time, entries []hooks.Entry,
) ([]hooks.Receipt, error) {
	var receipts []hooks.Receipt
	err := a.do(ctx, "enqueue", func(t *tx) (err error) {
		if receipts, err = t.enqueue(now, entries); err != nil {
			return err
		}
		return t.save()
	})
	if err != nil {
		return nil, err
	}
	a.store.watch.expect()
	return receipts, nil
}

// Records implements [hooks.Tx]. It takes the write lock, for it is the beginning
// of a publishing, and a transaction that only reads could write no more when
// somebody else has.
func (a appTx) Records(ctx context.Context, since int64) (records []hooks.Record, err error) {
	err = a.do(ctx, "records", func(t *tx) (err error) {
		rows, err := t.query(recordsSQL, since)
		if err != nil {
			return err
		}
		records, err = scan(rows, scanRecord)
		return err
	})
	return records, err
}

// do runs f between a savepoint and its release, so that it is done whole or
// not at all.
func (a appTx) do(ctx context.Context, verb string, f func(*tx) error) error {
	if a.sql == nil {
		return &hooks.InvalidError{Field: "tx", Problem: "it is nil; give Store.Tx what db.BeginTx returns"}
	}
	if err := check(ctx); err != nil {
		return err
	}
	leave, err := a.store.writer.enter(verb)
	if err != nil {
		return err
	}
	defer leave()
	t := newTx(a.sql, nil)
	defer t.close()
	err = a.savepoint(t, f)
	return explain(verb, adviseTimeout(context.Background(), a.sql, err))
}

func (a appTx) savepoint(t *tx, f func(*tx) error) error {
	if err := t.lock(); err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := a.sql.ExecContext(ctx, "SAVEPOINT hooks"); err != nil {
		return err
	}
	err := f(t)
	if err != nil {
		_, _ = a.sql.ExecContext(ctx, "ROLLBACK TO hooks") // fails only if all is rolled back already
	}
	if _, releaseErr := a.sql.ExecContext(ctx, "RELEASE hooks"); err == nil {
		err = releaseErr
	}
	return err
}
