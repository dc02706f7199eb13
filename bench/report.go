package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A quantity is a column of the tables.
type quantity struct {
	name   string
	format string
	of     func(result) float64
}

func (r result) perSecond() float64 { return float64(r.n) / r.took.Seconds() }

func (r result) each(n int64) float64 { return float64(n) / float64(r.n) }

func (r result) per10000(d time.Duration) float64 { return d.Seconds() / float64(r.n) * 10_000 }

var (
	speed     = quantity{"per second", "%.0f", result.perSecond}
	processor = quantity{"CPU, both", "%.2f", func(r result) float64 { return r.per10000(r.used.process + r.used.server) }}
	wal       = quantity{"WAL bytes", "%.0f", func(r result) float64 { return r.each(r.used.wal) }}
	commits   = quantity{"commits", "%.2f", func(r result) float64 { return r.each(r.commits) }}
	rollbacks = quantity{"rollbacks", "%.2f", func(r result) float64 { return r.each(r.rollbacks) }}
	sent      = quantity{"statements", "%.2f", func(r result) float64 { return r.sent }}

	columns = []quantity{
		speed,
		{"CPU, here", "%.2f", func(r result) float64 { return r.per10000(r.used.process) }},
		{"CPU, server", "%.2f", func(r result) float64 { return r.per10000(r.used.server) }},
		processor, wal, commits, rollbacks, sent,
	}
	compared = []quantity{speed, processor, wal, commits, sent}
)

// print writes all that is known of the rounds.
func (c *comparison) print(out io.Writer) {
	if len(c.rounds) == 0 {
		return
	}
	fmt.Fprintf(out, "%d deliveries of 1 KiB a measure, %d inserting and %d delivering at once; medians of %d rounds by turns.\n"+
		"CPU in seconds per 10,000 deliveries, of this process (here) and of PostgreSQL (server); other columns per delivery.\n",
		c.n, publishers, workers, len(c.rounds))
	for _, m := range measures {
		fmt.Fprintf(out, "\n%s: %s\n", m.name, m.what)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		c.printPeers(w, m)
		c.printRatios(w, m)
		w.Flush()
	}
}

func (c *comparison) printPeers(w io.Writer, m measure) {
	fmt.Fprint(w, "\t")
	for _, q := range columns {
		fmt.Fprint(w, q.name, "\t")
	}
	fmt.Fprint(w, "rounds, per second\t\n")
	for _, p := range c.peers {
		fmt.Fprint(w, p.name, "\t")
		for _, q := range columns {
			fmt.Fprint(w, q.text(median(c.values(m, p, q))), "\t")
		}
		var rounds []string
		for _, v := range c.values(m, p, speed) {
			rounds = append(rounds, speed.text(v))
		}
		fmt.Fprint(w, strings.Join(rounds, " "), "\t\n")
	}
}

// printRatios sets the first peer, hooks, against each of the others.
func (c *comparison) printRatios(w io.Writer, m measure) {
	for _, other := range c.peers[1:] {
		fmt.Fprintf(w, "%s ÷ %s\t", c.peers[0].name, other.name)
		for _, q := range columns {
			var ratios []float64
			if slices.ContainsFunc(compared, func(c quantity) bool { return c.name == q.name }) {
				ratios = c.ratios(m, c.peers[0], other, q)
			}
			fmt.Fprint(w, quantity{format: "%.2f×"}.text(median(ratios)), "\t")
		}
		var rounds []string
		for _, v := range c.ratios(m, c.peers[0], other, speed) {
			rounds = append(rounds, fmt.Sprintf("%.2f×", v))
		}
		fmt.Fprint(w, strings.Join(rounds, " "), "\t\n")
	}
}

// values are those of a peer, by round.
func (c *comparison) values(m measure, p peer, q quantity) (values []float64) {
	for _, results := range c.rounds {
		values = append(values, q.of(results[[2]string{m.name, p.name}]))
	}
	return values
}

// ratios are those of two peers, by round; none where a quantity is unknown.
func (c *comparison) ratios(m measure, a, b peer, q quantity) (ratios []float64) {
	of := c.values(m, b, q)
	for i, v := range c.values(m, a, q) {
		if of[i] > 0 {
			ratios = append(ratios, v/of[i])
		}
	}
	return ratios
}

// text returns a value of the quantity, or a dash for one that is not known.
func (q quantity) text(value float64) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf(q.format, value)
}

// median returns 0 if there are no values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	switch n := len(sorted); {
	case n == 0:
		return 0
	case n%2 == 0:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	default:
		return sorted[n/2]
	}
}
