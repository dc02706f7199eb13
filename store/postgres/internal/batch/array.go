package batch

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// An array is an argument that becomes an array only when it is sent. So the values are
// not copied into a slice first.
type array interface {
	// slice returns the array as drivers take it.
	slice() any
	// binary appends the array as the server's array_recv reads it: the number of
	// dimensions, that there are no nulls, the elements' type, their number, the first
	// index, and then each element behind its length.
	binary(buf []byte) []byte
}

// asSlices returns arguments as drivers take them.
func asSlices(args []any) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		if a, ok := arg.(array); ok {
			arg = a.slice()
		}
		list[i] = arg
	}
	return list
}

// A kind is a type of column, whose values are Vs. No value is null, because with
// array_nulls off the server takes NULL in an array for a text. A statement makes null of
// the value that stands for it, see [Input.Stored].
type kind[V any] struct {
	typ    string
	oid    uint32
	append func(buf []byte, v V) []byte
}

// Text is a column of texts. They must be valid UTF-8 without the zero character.
func Text[T any](name string, f func(*T) string) Column[T] {
	return newColumn(name, kind[string]{"pg_catalog.text", pgtype.TextOID, appendText}, f)
}

// JSON is a column of JSON, which f returns as a text. An empty text is stored as null.
func JSON[T any](name string, f func(*T) string) Column[T] {
	c := Text(name, f)
	c.stored = "nullif(" + name + ", '')::pg_catalog.json"
	return c
}

// Timestamptz is a column of times.
func Timestamptz[T any](name string, f func(*T) time.Time) Column[T] {
	return newColumn(name, kind[time.Time]{"pg_catalog.timestamptz", pgtype.TimestamptzOID, appendTime}, f)
}

// TimeOrNull is a column of times, of which the zero time is stored as null.
func TimeOrNull[T any](name string, f func(*T) time.Time) Column[T] {
	c := Timestamptz(name, f)
	c.stored = "nullif(" + name + ", '0001-01-01 00:00:00+00')"
	return c
}

// Boolean is a column of booleans.
func Boolean[T any](name string, f func(*T) bool) Column[T] {
	return newColumn(name, kind[bool]{"boolean", pgtype.BoolOID, appendBool}, f)
}

// Smallint is a column of integers with two bytes.
func Smallint[T any](name string, f func(*T) int16) Column[T] {
	return newColumn(name, kind[int16]{"smallint", pgtype.Int2OID, appendInt16}, f)
}

// Integer is a column of integers with four bytes.
func Integer[T any](name string, f func(*T) int32) Column[T] {
	return newColumn(name, kind[int32]{"int", pgtype.Int4OID, appendInt32}, f)
}

// Bigint is a column of integers with eight bytes.
func Bigint[T any](name string, f func(*T) int64) Column[T] {
	return newColumn(name, kind[int64]{"bigint", pgtype.Int8OID, appendInt64}, f)
}

// Bytea is a column of bytes. An empty value is stored as null.
func Bytea[T any](name string, f func(*T) []byte) Column[T] {
	c := newColumn(name, kind[[]byte]{"pg_catalog.bytea", pgtype.ByteaOID, appendBytes}, func(row *T) []byte {
		if b := f(row); b != nil {
			return b
		}
		return []byte{} // the driver would send nil as null
	})
	c.stored = "nullif(" + name + ", '')"
	return c
}

// newColumn returns a column of a kind. f returns the value of a row.
func newColumn[T, V any](name string, k kind[V], f func(*T) V) Column[T] {
	return Column[T]{
		name: name, typ: k.typ, stored: name,
		slice: func(rows []T) any {
			values := make([]V, len(rows))
			for i := range rows {
				values[i] = f(&rows[i])
			}
			return values
		},
		binary: func(buf []byte, rows []T) []byte { return appendArray(buf, k, rows, f) },
	}
}

func appendArray[T, V any](buf []byte, k kind[V], rows []T, f func(*T) V) []byte {
	for _, n := range [...]uint32{1, 0, k.oid, uint32(len(rows)), 1} {
		buf = binary.BigEndian.AppendUint32(buf, n)
	}
	for i := range rows {
		v, at := f(&rows[i]), len(buf)
		buf = append(buf, 0, 0, 0, 0)
		buf = k.append(buf, v)
		binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4))
	}
	return buf
}

func appendText(buf []byte, s string) []byte  { return append(buf, s...) }
func appendBytes(buf []byte, b []byte) []byte { return append(buf, b...) }
func appendInt16(buf []byte, n int16) []byte  { return binary.BigEndian.AppendUint16(buf, uint16(n)) }

func appendInt32(buf []byte, n int32) []byte { return binary.BigEndian.AppendUint32(buf, uint32(n)) }

func appendInt64(buf []byte, n int64) []byte { return binary.BigEndian.AppendUint64(buf, uint64(n)) }

func appendBool(buf []byte, b bool) []byte {
	if b {
		return append(buf, 1)
	}
	return append(buf, 0)
}

// appendTime writes microseconds since the year 2000, PostgreSQL's epoch.
func appendTime(buf []byte, t time.Time) []byte {
	const epoch = 946_684_800 // in seconds of Unix
	return appendInt64(buf, t.UnixMicro()-epoch*1e6)
}
