package batch

import (
	"fmt"
	"strings"
)

// An Input is the columns of rows that go to the server, each row made of a T. The
// argument of a column is one array with its values.
type Input[T any] []Column[T]

// A Column has a value for each row. [Text] and its neighbours make one.
type Column[T any] struct {
	name, typ string
	stored    string                            // what is stored of it, in SQL
	slice     func([]T) any                     // the values as drivers take them
	binary    func(buf []byte, rows []T) []byte // the same, as the server takes them
}

// Names returns the columns as a list.
func (in Input[T]) Names() string {
	return in.list(func(c Column[T]) string { return c.name })
}

// Stored returns, as a list, what a statement stores of each column: the column, or an
// expression that makes null of the value that stands for it.
func (in Input[T]) Stored() string {
	return in.list(func(c Column[T]) string { return c.stored })
}

func (in Input[T]) list(f func(Column[T]) string) string {
	var list []string
	for _, c := range in {
		list = append(list, f(c))
	}
	return strings.Join(list, ", ")
}

// Args returns one argument for each column, with the values of rows. It reads rows
// only when the statement is sent, so they must not change before that.
func (in Input[T]) Args(rows []T) []any {
	args, arrays := make([]any, len(in)), make([]arrayOf[T], len(in))
	for i := range in {
		arrays[i] = arrayOf[T]{&in[i], rows}
		args[i] = &arrays[i]
	}
	return args
}

// Table returns the rows as a table in SQL. The statement's argument with the number
// first is that of the first column. A column ord numbers the rows from 1.
//
// Each unnest stands in the list of columns, because in FROM it costs the server three
// times as much: there the rows of each are put aside first. And it is named with the
// schema, which an unnest of several arrays in FROM does not need: PostgreSQL itself makes
// pg_catalog.unnest of each, and has no other way to write it.
func (in Input[T]) Table(first int) string {
	var list []string
	for i, c := range in {
		list = append(list, fmt.Sprintf("pg_catalog.unnest($%d::%s[]) AS %s", first+i, c.typ, c.name))
	}
	ord := fmt.Sprintf("pg_catalog.generate_subscripts($%d::%s[], 1) AS ord", first, in[0].typ)
	return "(SELECT " + strings.Join(append(list, ord), ", ") + ")"
}

// An arrayOf is the values of one column. It makes the array when that is sent, see
// [array].
type arrayOf[T any] struct {
	column *Column[T]
	rows   []T
}

func (a *arrayOf[T]) slice() any               { return a.column.slice(a.rows) }
func (a *arrayOf[T]) binary(buf []byte) []byte { return a.column.binary(buf, a.rows) }
