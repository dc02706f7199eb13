package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// Errors that tell what ails the database. [errors.Is] finds them in what the
// methods of a [Store] return, and [errors.As] the driver's own error, such as a
// [*pgconn.PgError], beside them. When the cause is gone the store works again,
// without being made anew.
//
// After one of them it is unknown whether the write happened. Repeat the call with
// the same ids: what is stored already is not stored twice.
var (
	// ErrUnavailable: no connection could be had, or the one in use was lost. The
	// server is not there, is starting or stopping, or has no connection free; or
	// the pool has none.
	ErrUnavailable = errors.New("the database cannot be reached; check that it runs," +
		" its address, max_connections and the pool's MaxConns")
	// ErrNoTables: the tables are not there.
	ErrNoTables = errors.New("the tables of hooks are not there; call Migrate, or run its scripts," +
		" and check Config.Schema")
	// ErrReadOnly: the server is a standby, or the role or database read-only.
	ErrReadOnly = errors.New("the database is read-only; connect to the primary" +
		" (target_session_attrs=read-write)")
	// ErrPermission: the role may not use the tables.
	ErrPermission = errors.New("the role may not use the tables of hooks;" +
		" grant it usage of the schema, and all privileges on its tables and sequences")
	// ErrTimeout: somebody's transaction has held a lock for too long. In the application's
	// transaction: statement_timeout or lock_timeout has ended a statement.
	ErrTimeout = errors.New("a statement or a lock took too long; look for transactions" +
		" that stay open, and at statement_timeout")
	// ErrSerialization: other transactions stood in the way, and trying again did
	// not help; or, in the application's transaction, it has to be run again.
	ErrSerialization = errors.New("the transaction conflicts with another one; run it again")
	// ErrFull: the server has no space left, or no memory.
	ErrFull = errors.New("the database has no space or memory left; free some and try again")
)

// errPooler is not exported, because it is for whoever sets up a program.
var errPooler = errors.New("a pooler or the server refused what the driver sent; behind a pooler in transaction" +
	" mode set Config.PollOnly, add default_query_exec_mode=exec to the connection string," +
	" and have the pooler ignore parameters that the string sets (PgBouncer: ignore_startup_parameters)")

// causes are the SQLSTATEs that an error stands for, by their first five
// characters or first two, which are their class.
// https://www.postgresql.org/docs/15/errcodes-appendix.html
var causes = map[string]error{
	"08":    ErrUnavailable, // connection exception
	"08P01": errPooler,      // protocol violation
	"26000": errPooler,      // a prepared statement is not there
	"42P05": errPooler,      // or is there already
	"53300": ErrUnavailable, // too many connections
	"57P01": ErrUnavailable, // shutdown, or pg_terminate_backend
	"57P02": ErrUnavailable, // crash of another process
	"57P03": ErrUnavailable, // starting up
	"57P05": ErrUnavailable, // idle session timeout
	"3F000": ErrNoTables,    // no such schema
	"42P01": ErrNoTables,    // no such table
	"42703": ErrNoTables,    // no such column: of an older version
	"23502": ErrNoTables,    // or one that only an older version writes
	"25006": ErrReadOnly,
	"42501": ErrPermission,
	"57014": ErrTimeout, // statement_timeout, or canceled
	"55P03": ErrTimeout, // lock_timeout
	"25P03": ErrTimeout, // idle_in_transaction_session_timeout
	"25P04": ErrTimeout, // transaction_timeout
	"40":    ErrSerialization,
	"53":    ErrFull,
	"58":    ErrFull, // the operating system's errors
}

// explain wraps err with what was being done, and with its cause when that is
// known. The end of ctx, the caller's, stays what it is.
func explain(ctx context.Context, verb string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		return ended
	}
	if cause := causeOf(err); cause != nil {
		return fmt.Errorf("postgres: %s: %w: %w", verb, cause, err)
	}
	return fmt.Errorf("postgres: %s: %w", verb, err)
}

// causeOf returns which of this package's errors err stands for, or nil.
func causeOf(err error) error {
	if code := batch.SQLState(err); code != "" {
		if cause, ok := causes[code]; ok {
			return cause
		}
		return causes[code[:2]]
	}
	var dial *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.Is(err, puddle.ErrClosedPool):
		return hooks.ErrClosed
	case errors.As(err, &dial), errors.As(err, &network), pgconn.SafeToRetry(err), pgconn.Timeout(err),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		return ErrUnavailable
	}
	return nil
}

// isLocked reports whether a lock did not come in time.
func isLocked(err error) bool { return batch.SQLState(err) == "55P03" }

// isDuplicate reports whether a row is there already.
func isDuplicate(err error) bool { return batch.SQLState(err) == "23505" }

// blames reports whether one of a group's members may be what the error is about,
// and not the database's state. A lock may come later, even if there is only one.
func blames(err error, members int) bool {
	cause := causeOf(err)
	return isLocked(err) || members > 1 && (cause == nil || cause == ErrTimeout)
}

// suitsApp returns a [*hooks.InvalidError] if statements cannot be sent in a transaction
// of the application's. Our own set the encoding. With another one than the driver's the
// server would store other characters than it is given.
func (s *Store) suitsApp(tx pgx.Tx) error {
	if r := reflect.ValueOf(tx); !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
		return noTx("pgxpool.Pool.Begin")
	}
	conn := tx.Conn()
	if conn == nil { // the transaction is of a kind of its own, and cannot tell
		return nil
	}
	if err := isUTF8(conn.PgConn().ParameterStatus("client_encoding")); err != nil {
		return err
	}
	return s.suits(conn)
}

// suits returns a [*hooks.InvalidError] if the driver refuses to write on a connection,
// as it does in the simple protocol with some settings.
func (s *Store) suits(conn *pgx.Conn) error {
	if !s.simple {
		return nil
	}
	if err := hasSetting(conn, "standard_conforming_strings", "on"); err != nil {
		return err
	}
	return hasSetting(conn, "client_encoding", "UTF8")
}

// isUTF8 returns an error unless an encoding is the driver's. UNICODE is the server's
// other name of UTF8, which it repeats if it was set so.
func isUTF8(encoding string) error {
	if encoding == "UTF8" || encoding == "UNICODE" {
		return nil
	}
	return wrongSetting("client_encoding", encoding, "UTF8")
}

// hasSetting returns an error unless the server has told that a setting is as wanted.
func hasSetting(conn *pgx.Conn, name, want string) error {
	if got := conn.PgConn().ParameterStatus(name); got != want {
		return wrongSetting(name, got, want)
	}
	return nil
}

func wrongSetting(name, got, want string) error {
	return &hooks.InvalidError{
		Field: "pool",
		Problem: fmt.Sprintf("its connections have %s = %q, as their role or database says;"+
			" add %[1]s=%[3]s to the connection string", name, got, want),
	}
}

func noTx(from string) error {
	return &hooks.InvalidError{Field: "tx", Problem: "it is nil; give what " + from + " returns"}
}
