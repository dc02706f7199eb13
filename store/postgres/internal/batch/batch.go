// Package batch sends transactions to PostgreSQL, each in one round trip, however many
// rows they write. It knows how statements travel and nothing of what they say.
//
// A [Statement] is a text with arguments, and a function that takes its rows.
// There are three ways to send some:
//
//   - [Run] sends a transaction on a connection and waits for the answer. [Write] and
//     [View] make a transaction of statements.
//   - A [Pipeline] sends the next transaction while the server does the one before.
//   - A [Session] is a transaction that stays open between statements, of pgx or of
//     database/sql: the application's own, or one that decides by what it has read.
//
// Many rows are one statement, with an array for each column. An [Input] lists the
// columns of a Go type, makes the arguments of a list of such values, and writes the
// SQL that turns the arrays into rows again.
//
// Statements are written for one schema. Whoever sends them passes a function, text,
// that returns a statement as the server gets it.
package batch

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// A Statement is one that a transaction runs.
type Statement struct {
	SQL  string
	Args []any           // may have columns of an [Input]
	Each func(Row) error // is called with each row; nil if there are none
}

// A Row is one row of an answer, as [pgx.Rows] and [sql.Rows] have it.
type Row interface {
	Scan(dest ...any) error
}

// Run sends the statements of a transaction in one round trip and waits for the answer.
// After an error the connection is in no transaction, or closed.
func Run(ctx context.Context, conn *pgx.Conn, list []Statement, text func(string) string) error {
	err := send(ctx, conn, list, text)
	if err != nil && !conn.IsClosed() {
		_, rollbackErr := conn.Exec(ctx, `ROLLBACK`)
		err = errors.Join(err, rollbackErr)
	}
	return err
}

// A sender is a connection or a transaction of pgx.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// send sends statements in one round trip, by the driver's own batches.
func send(ctx context.Context, to sender, list []Statement, text func(string) string) error {
	b := &pgx.Batch{}
	for _, st := range list {
		b.Queue(text(st.SQL), asSlices(st.Args)...).Query(func(rows pgx.Rows) error { return read(rows, st.Each) })
	}
	return to.SendBatch(ctx, b).Close()
}

// read calls f with each row, and closes them.
func read(rows pgx.Rows, f func(Row) error) error {
	defer rows.Close()
	for f != nil && rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

// SQLState returns the SQLSTATE that the server, or a standby for it, has answered with,
// by whatever driver. It is empty if the error does not come from a server.
func SQLState(err error) string {
	var said interface{ SQLState() string }
	if errors.As(err, &said) && len(said.SQLState()) == 5 {
		return said.SQLState()
	}
	return ""
}
