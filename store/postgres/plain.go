package postgres

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// plain returns arguments as every driver of database/sql takes them: arrays in
// PostgreSQL's own notation, which their casts in the statement read.
func plain(args []any) []any {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = literal(a)
	}
	return list
}

func literal(arg any) any {
	switch a := arg.(type) {
	case []string:
		return array(a, quote)
	case []*string:
		return array(a, orNone(quote))
	case []time.Time:
		return array(a, timestamp)
	case []*time.Time:
		return array(a, orNone(timestamp))
	case []bool:
		return array(a, strconv.FormatBool)
	case []int16:
		return array(a, number)
	case []int32:
		return array(a, number)
	case []int64:
		return array(a, number)
	case [][]byte:
		return array(a, bytea)
	}
	return arg
}

func array[T any](list []T, text func(T) string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range list {
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

func orNone[T any](text func(T) string) func(*T) string {
	return func(p *T) string {
		if p == nil {
			return "NULL"
		}
		return text(*p)
	}
}

func timestamp(t time.Time) string { return quote(t.UTC().Format("2006-01-02 15:04:05.999999Z07:00")) }

func number[T int16 | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func bytea(b []byte) string {
	if b == nil {
		return "NULL"
	}
	return quote(`\x` + hex.EncodeToString(b))
}
