package batch

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Arrays are sent as the driver would encode the same values.
func TestArraysAreAsTheDriverEncodesThem(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("elsewhere", 3600))
	for _, c := range []struct {
		name  string
		array array
		typ   uint32
	}{
		{"text", column1(Text, "", "a", "ü\n", strings.Repeat("long", 100)), pgtype.TextArrayOID},
		{"timestamptz", column1(Timestamptz, at, time.Time{}, at.AddDate(7900, 0, 0), time.Unix(-1, 999_999_999)), pgtype.TimestamptzArrayOID},
		{"boolean", column1(Boolean, true, false), pgtype.BoolArrayOID},
		{"smallint", column1(Smallint, 0, -2, 1<<15-1), pgtype.Int2ArrayOID},
		{"int", column1(Integer, 0, -3, 1<<31-1), pgtype.Int4ArrayOID},
		{"bigint", column1(Bigint, 0, -4, 1<<63-1), pgtype.Int8ArrayOID},
		{"bytea", column1(Bytea, nil, []byte{}, []byte{0, 255}, []byte("json")), pgtype.ByteaArrayOID},
		{"no text", column1[string](Text), pgtype.TextArrayOID},
		{"no bytea", column1[[]byte](Bytea), pgtype.ByteaArrayOID},
		{"no bigint", column1[int64](Bigint), pgtype.Int8ArrayOID},
	} {
		before := []byte("before")
		want, err := pgtype.NewMap().Encode(c.typ, pgx.BinaryFormatCode, c.array.slice(), bytes.Clone(before))
		if got := c.array.binary(before); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v is sent as\n%x; want, as the driver does (error %v),\n%x", c.name, c.array.slice(), got, err, want)
		}
	}
}

// column1 returns an array of values, as a column of rows that are nothing else.
func column1[V any](kind func(string, func(*V) V) Column[V], values ...V) array {
	c := kind("c", func(v *V) V { return *v })
	return &arrayOf[V]{&c, values}
}
