package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"example.com/hooks"
)

// A timeline prints how the fleet stands, second by second.
type timeline struct {
	out    io.Writer
	began  time.Time
	second *time.Ticker
}

func newTimeline(out io.Writer) *timeline {
	return &timeline{out, time.Now(), time.NewTicker(time.Second)}
}

// next waits for the next second.
func (t *timeline) next(ctx context.Context) error {
	select {
	case <-t.second.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const (
	above   = "%6s%11s%22s%16s%20s\n"
	columns = "%6v%11v    %6v%6v%6v    %4v%4v%4v    %8v%8v\n"
)

// heading begins the table; its time begins too.
func (t *timeline) heading() {
	fmt.Fprintf(t.out, "\n"+above, "", "events", "deliveries made by", "under way in", "in the store")
	fmt.Fprintf(t.out, columns, "time", "published", "A", "B", "C", "A", "B", "C", "waiting", "leased")
	t.began = time.Now()
	t.second.Reset(time.Second)
}

// line prints how the fleet stands.
func (t *timeline) line(f *fleet, unfinished []hooks.Delivery) {
	cells := []any{t.at(time.Now()), len(f.record.events())}
	for _, name := range names {
		w, known := f.record.worker(name)
		cells = append(cells, dash(known, w.made))
	}
	for _, name := range names {
		w, _ := f.record.worker(name)
		cells = append(cells, dash(f.runs(name), len(w.underWay)))
	}
	leased := 0
	for _, d := range unfinished {
		if d.Status == hooks.Sending {
			leased++
		}
	}
	fmt.Fprintf(t.out, columns, append(cells, len(unfinished)-leased, leased)...)
}

// dash returns n, or a dash if there is nothing to count.
func dash(is bool, n int) string {
	if !is {
		return "-"
	}
	return fmt.Sprint(n)
}

// say prints a remark, of one line or several.
func (t *timeline) say(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n        ")
	fmt.Fprintf(t.out, "%6s  %s\n", t.at(time.Now()), text)
}

// at returns a moment as the seconds since the beginning.
func (t *timeline) at(m time.Time) string {
	return fmt.Sprintf("%.0f s", m.Sub(t.began).Seconds())
}

const introduction = `A publisher and two dispatchers, A and B, are processes of their own. They share
the tables of hooks, in %s.
Each event goes to three receivers: %s answers at once, %s after %v, and
%s refuses one request out of %d. Every second event belongs to one of %d accounts;
%s and %s want the events of an account in order.
`

// introduce says who takes part.
func (t *timeline) introduce(db string) {
	where := "a PostgreSQL server that lives as long as this program"
	if db != "" {
		where = "the schema " + schema + " of your database"
	}
	fmt.Fprintf(t.out, introduction, where, fast, slow, delay, moody, refuses, accounts, slow, moody)
}
