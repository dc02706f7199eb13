package batch

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// asLiterals returns arguments as every driver of database/sql takes them. Arrays become
// texts in PostgreSQL's own notation, which the casts in the statement read.
func asLiterals(args []any) []any {
	literals := make([]any, len(args))
	for i, arg := range asSlices(args) {
		literals[i] = literal(arg)
	}
	return literals
}

func literal(arg any) any {
	switch a := arg.(type) {
	case []string:
		return list(a, quote)
	case []time.Time:
		return list(a, timestamp)
	case []bool:
		return list(a, strconv.FormatBool)
	case []int16:
		return list(a, number)
	case []int32:
		return list(a, number)
	case []int64:
		return list(a, number)
	case [][]byte:
		return list(a, hexadecimal)
	}
	return arg
}

func list[T any](values []T, text func(T) string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(text(v))
	}
	b.WriteByte('}')
	return b.String()
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quote(s string) string { return `"` + escape.Replace(s) + `"` }

func timestamp(t time.Time) string { return quote(t.UTC().Format("2006-01-02 15:04:05.999999Z07:00")) }

func number[T int16 | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func hexadecimal(b []byte) string { return quote(`\x` + hex.EncodeToString(b)) }
