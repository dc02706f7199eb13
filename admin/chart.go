package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// A chart shows attempts over a time: what succeeded as bars that go up, what failed as bars
// that go down, on one scale. It is drawn as two paths, and its words are HTML.
type chart struct {
	Name    string // what a screen reader calls it
	Columns []column
	// Width and Height are those of the drawing. A unit of height is a pixel; the width is
	// stretched to that of the page.
	Width, Height int
	OK, Bad, Base string // the paths of the bars, and of the line that they stand on
}

// A column is the attempts of one span of time.
type column struct {
	Start time.Time
	tally
	// Pending says that the counters of this time are not written yet. It is no zero.
	Pending bool
}

const (
	columnWidth = 10
	barWidth    = 8
	// leastOK and leastBad are how high a bar is at least, so that one attempt among
	// thousands shows.
	leastOK  = 1.0
	leastBad = 3.0
)

// writtenWithin is how long after an attempt its counter is in the store at the latest,
// while Run runs: it is written every ten seconds.
const writtenWithin = 15 * time.Second

// columnsOf adds up minutes in n columns of a span each. The last one has now in it.
// Minutes before the first column, or after now, are left out: a clock that was set back
// leaves some in the future.
func columnsOf(minutes []hooks.Minute, now time.Time, span time.Duration, n int) []column {
	columns := make([]column, n)
	first := now.UTC().Truncate(span).Add(-time.Duration(n-1) * span)
	for i := range columns {
		columns[i].Start = first.Add(time.Duration(i) * span)
	}
	for _, m := range minutes {
		if m.Start.Before(first) || m.Start.After(now) {
			continue
		}
		columns[int(m.Start.Sub(first)/span)].add(m)
	}
	for i := range columns {
		c := &columns[i]
		c.Pending = c.Attempts() == 0 && now.Before(c.Start.Add(span).Add(writtenWithin))
	}
	return columns
}

// newChart draws columns. height is that of the whole drawing.
func newChart(name string, columns []column, height int) chart {
	c := chart{Name: name, Columns: columns, Width: columnWidth * len(columns), Height: height}
	zero, scale := c.layOut()
	var ok, bad, base strings.Builder
	for i, col := range columns {
		left := i * columnWidth
		if !col.Pending {
			fmt.Fprintf(&base, "M%d %sh%d", left, pixels(zero), columnWidth)
		}
		left += (columnWidth - barWidth) / 2
		if col.Succeeded > 0 {
			drawBar(&ok, left, zero, -max(leastOK, scale*float64(col.Succeeded)))
		}
		if col.Failed > 0 {
			drawBar(&bad, left, zero, max(leastBad, scale*float64(col.Failed)))
		}
	}
	c.OK, c.Bad, c.Base = ok.String(), bad.String(), base.String()
	return c
}

// layOut returns where the line is from which bars go up and down, and how high one attempt
// is. All bars fit into the drawing, those at least as high as they must be included.
func (c chart) layOut() (zero, scale float64) {
	up, down := 0.0, 0.0
	for _, col := range c.Columns {
		up, down = max(up, float64(col.Succeeded)), max(down, float64(col.Failed))
	}
	height := float64(c.Height)
	if up+down == 0 {
		return height - 1, 0
	}
	scale = (height - 1) / (up + down)
	zero = 1 + scale*up
	if down > 0 {
		zero = min(zero, height-leastBad)
	}
	if up > 0 {
		zero = max(zero, leastOK)
		scale = min(scale, zero/up)
	}
	return min(zero, height-1), scale
}

// drawBar adds a bar to a path. A negative height goes up.
func drawBar(path *strings.Builder, left int, zero, height float64) {
	fmt.Fprintf(path, "M%d %sv%sh%dv%sz", left, pixels(zero), pixels(height), barWidth, pixels(-height))
}

// pixels writes a length for a path, with at most one digit after the point.
func pixels(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "0"
	}
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
}

// Sum returns all attempts of the chart.
func (c chart) Sum() (sum tally) {
	for _, col := range c.Columns {
		sum.join(col.tally)
	}
	return sum
}

// Busiest returns the column with the most attempts, the first of them.
func (c chart) Busiest() (most column) {
	for _, col := range c.Columns {
		if col.Attempts() > most.Attempts() {
			most = col
		}
	}
	return most
}

// Counted returns the columns that have attempts, for the table.
func (c chart) Counted() (list []column) {
	for _, col := range c.Columns {
		if col.Attempts() > 0 {
			list = append(list, col)
		}
	}
	return list
}

// Marks returns the starts of five columns, for the labels below the chart.
func (c chart) Marks() (marks []time.Time) {
	const n = 4
	if len(c.Columns) <= n {
		return nil
	}
	for i := range n + 1 {
		marks = append(marks, c.Columns[i*(len(c.Columns)-1)/n].Start)
	}
	return marks
}

// PendingFrom returns the start of the columns at the end whose counters are not written
// yet; zero if there are none.
func (c chart) PendingFrom() (from time.Time) {
	for i := len(c.Columns) - 1; i >= 0 && c.Columns[i].Pending; i-- {
		from = c.Columns[i].Start
	}
	return from
}

// An activity is a chart with its heading, and what the page says of the last hour.
type activity struct {
	chart
	ID    string // of its part of the page
	Title string
	Hour  tally
}

const chartHeight = 84

// overviewActivity draws the last hour: by the minute for the operator, whose counters are
// those of all subscribers together, and by five minutes for a tenant.
func (c *call) overviewActivity(minutes []hooks.Minute, now time.Time) activity {
	span, n, title := time.Minute, 60, "Attempts per minute, last 60 min"
	if !c.access.AllTenants {
		span, n, title = 5*time.Minute, 12, "Attempts per 5 min, last 60 min"
	}
	a := activity{ID: "activity", Title: title, Hour: tallySince(minutes, now.Add(-time.Hour))}
	a.chart = newChart(title, columnsOf(minutes, now, span, n), chartHeight)
	return a
}

// endpointActivity draws the last 24 hours of one endpoint.
func endpointActivity(minutes []hooks.Minute, now time.Time) activity {
	const title = "Attempts per 15 min, last 24 h"
	a := activity{ID: "activity", Title: title, Hour: tallySince(minutes, now.Add(-time.Hour))}
	a.chart = newChart(title, columnsOf(minutes, now, 15*time.Minute, 96), chartHeight)
	return a
}

// sparkline draws the last 24 hours of a row, by the hour.
func sparkline(minutes []hooks.Minute, now time.Time) chart {
	s := newChart("", columnsOf(minutes, now, time.Hour, 24), 18)
	sum := s.Sum()
	s.Name = fmt.Sprintf("Attempts by the hour: %s succeeded, %s failed", number(sum.Succeeded), number(sum.Failed))
	return s
}

// Words say what the chart shows, without the numbers that its key has.
func (a activity) Words() string {
	var words []string
	if most := a.Busiest(); most.Attempts() > 0 {
		words = append(words, fmt.Sprintf("Most at %s: %s.", most.Start.Format("15:04"), attemptsText(most.Attempts())))
	}
	if from := a.PendingFrom(); !from.IsZero() {
		words = append(words, fmt.Sprintf("What ended since %s is not counted yet.", from.Format("15:04")))
	}
	return strings.Join(words, " ")
}

func attemptsText(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return number(n) + " attempts"
}

// Label returns what a screen reader says of the drawing.
func (a activity) Label() string {
	sum := a.Sum()
	return fmt.Sprintf("%s: %s succeeded, %s failed. %s", a.Name, number(sum.Succeeded), number(sum.Failed), a.Words())
}
