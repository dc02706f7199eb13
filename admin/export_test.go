package admin

import (
	"time"

	"example.com/hooks"
)

// A Route is a row of the table of routes, for tests that are made from it.
type Route struct {
	Method, Path string
	Level        Level
	Action       string
	Operator     bool
}

// Routes returns the table of routes.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, rt := range routes {
		list[i] = Route{rt.method, rt.path, rt.level, rt.action, rt.operator}
	}
	return list
}

// A Column is a column of a chart, for tests.
type Column struct {
	Start    time.Time
	Attempts int
	Pending  bool
}

// ColumnsOf returns the columns of a chart.
func ColumnsOf(ms []hooks.Minute, now time.Time, span time.Duration, n int) (list []Column) {
	for _, c := range columnsOf(ms, now, span, n) {
		list = append(list, Column{c.Start, c.Attempts(), c.Pending})
	}
	return list
}

// NewChart draws an hour.
func NewChart(ms []hooks.Minute, now time.Time, height int) struct{ OK, Bad string } {
	c := newChart("", columnsOf(ms, now, time.Minute, 60), height)
	return struct{ OK, Bad string }{c.OK, c.Bad}
}

// Normalise returns the message of a failure as groups have it.
func Normalise(text string) string { return normalise(text) }

// MessageIn returns what a response says.
func MessageIn(body []byte) string { return messageIn(body) }

// A Difference is one place in which two JSON values differ.
type Difference struct{ Place, Old, New string }

// DiffJSON returns where two texts of JSON differ. ok is false if one of them is no JSON.
func DiffJSON(a, b string) (list []Difference, ok bool) {
	old, ok := readJSON([]byte(a))
	now, ok2 := readJSON([]byte(b))
	if !ok || !ok2 {
		return nil, false
	}
	for _, d := range diffJSON(old, now) {
		list = append(list, Difference{d.Place, d.Old, d.New})
	}
	return list, true
}

// DiffLines returns the lines of two texts, each with its sign before it.
func DiffLines(a, b string) (lines []string) {
	for _, l := range diffLines(a, b) {
		lines = append(lines, l.Sign+l.Text)
	}
	return lines
}
