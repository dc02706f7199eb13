package postgres

import (
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
)

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

// suitsApp is suits for a transaction of the application's. Those of our own set the
// encoding; with another one than the driver's the server would store other characters
// than it is given.
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
