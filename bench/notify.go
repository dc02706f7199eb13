package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A way is how dispatchers learn of what transactions of the application's publish.
type way struct {
	name string
	poll bool // they only poll
	wake bool // by Wake, after the commit
	inTx bool // by a NOTIFY in the transaction, which hooks does not do
}

var ways = []way{
	{name: "nobody is told", poll: true},
	{name: "Wake after the commit", wake: true},
	{name: "NOTIFY in the transaction", inTx: true},
}

// A setting is what commits are measured under.
type setting struct {
	name  string
	delay time.Duration // added to each flush of the log, as a standby that is waited for would
	part  int           // of the commits that are asked for, one in so many is measured
	work  bool          // the dispatchers deliver; else they listen only
}

var settings = []setting{
	{name: "4 listen", part: 1},
	{name: "4 listen, a flush takes 6 ms more", delay: 6 * time.Millisecond, part: 5},
	{name: "4 deliver", part: 1, work: true},
}

const (
	dispatchers = 4
	slowest     = 0.95 // commits a second with Wake, as a multiple of those of which nobody is told, while others listen
)

// notifyRates are commits a second, by setting, way and round.
type notifyRates map[string]map[string][]float64

// compareNotify prints what telling others costs those who commit, and how soon what
// they commit is attempted. It returns an error if Wake makes commits slower.
func compareNotify(ctx context.Context, s *server, o options, out, progress io.Writer) error {
	rates, err := measureNotify(ctx, s, o, progress)
	if err != nil {
		return err
	}
	printNotify(out, rates)
	for _, set := range settings {
		if ratio := rates.ratio(set, ways[1]); !set.work && ratio < slowest {
			err = errors.Join(err, fmt.Errorf("%s: with Wake there are %.2f times as many commits as without; want %v at least",
				set.name, ratio, slowest))
		}
	}
	return errors.Join(err, compareDelays(ctx, s, o, out, progress))
}

// measureNotify has the ways take turns.
func measureNotify(ctx context.Context, s *server, o options, progress io.Writer) (notifyRates, error) {
	rates := make(notifyRates)
	for round := range o.rounds {
		fmt.Fprintf(progress, "notify: round %d\n", round+1)
		for _, set := range settings {
			if rates[set.name] == nil {
				rates[set.name] = make(map[string][]float64)
			}
			for _, w := range ways {
				rate, err := commitRate(ctx, s, set, w, max(o.n/set.part, publishers))
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", set.name, w.name, err)
				}
				fmt.Fprintf(progress, "  %s, %s: %.0f/s\n", set.name, w.name, rate)
				rates[set.name][w.name] = append(rates[set.name][w.name], rate)
			}
		}
	}
	return rates, nil
}

// commitRate measures n commits, in a database of their own.
func commitRate(ctx context.Context, s *server, set setting, w way, n int) (rate float64, err error) {
	b, drop, err := s.newBench(ctx, bench{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	f, err := openFleet(ctx, b, w, set.delay)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.start(ctx, set.work, 0); err != nil {
		return 0, err
	}
	began := time.Now()
	err = f.commitAll(ctx, n, nil)
	return float64(n) / time.Since(began).Seconds(), err
}

// commitAll commits n transactions, several at once. If pace is not nil, each waits
// for a tick of it.
func (f *fleet) commitAll(ctx context.Context, n int, pace <-chan time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range publishers {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if pace != nil {
					<-pace
				}
				if err := f.commit(ctx, payload(int(i))); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

const (
	ordersSQL = `CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data jsonb)`
	orderSQL  = `INSERT INTO orders (data) VALUES ($1)`
	// It costs no further round trip.
	notifySQL = `INSERT INTO orders (data) SELECT $1 FROM pg_notify('hooks_hooks', '')`
)

// commit saves a row of the application's and an event in one transaction.
func (f *fleet) commit(ctx context.Context, data []byte) error {
	tx, err := f.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx) // nothing, after the commit
	insert := orderSQL
	if f.way.inTx {
		insert = notifySQL
	}
	if _, err := tx.Exec(ctx, insert, data); err != nil {
		return err
	}
	receipts, err := f.publisher.PublishTx(ctx, f.store.Tx(tx), webhook.New(data))
	if err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	f.committed(receipts[0].EventID)
	if f.way.wake {
		f.publisher.Wake(ctx)
	}
	return nil
}

// ratio is the median of what a way reaches of the first one, by round.
func (r notifyRates) ratio(set setting, w way) float64 {
	var ratios []float64
	for i, rate := range r[set.name][w.name] {
		ratios = append(ratios, rate/r[set.name][ways[0].name][i])
	}
	return median(ratios)
}

func printNotify(out io.Writer, rates notifyRates) {
	fmt.Fprintf(out, "\ntransactions that save a row and publish, from %d goroutines; medians of %d rounds\n",
		publishers, len(rates[settings[0].name][ways[0].name]))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []string{"commits a second, while"}
	for _, set := range settings {
		head = append(head, set.name, "")
	}
	fmt.Fprintln(w, strings.Join(head, "\t")+"\t")
	for _, way := range ways {
		cells := []string{way.name}
		for _, set := range settings {
			cells = append(cells, fmt.Sprintf("%.0f", median(rates[set.name][way.name])), fmt.Sprintf("%.2f×", rates.ratio(set, way)))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t")+"\t")
	}
	w.Flush()
}

// delays are sorted.
type delays []time.Duration

func (d delays) at(share float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[int(share*float64(len(d)-1))]
}

// delayed sets how long a flush of the log takes, for all connections of a pool.
func delayed(c *pgxpool.Config, delay time.Duration) {
	if delay > 0 {
		c.ConnConfig.RuntimeParams["commit_delay"] = fmt.Sprint(delay.Microseconds())
		c.ConnConfig.RuntimeParams["commit_siblings"] = "0"
	}
}

// compareDelays prints how long after a commit its event is attempted.
func compareDelays(ctx context.Context, s *server, o options, out, progress io.Writer) error {
	fmt.Fprintf(out, "\nfrom commit to attempt, of %d a second; %d dispatchers\n", commitsPerSecond, dispatchers)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tp50\tp95\t")
	for _, c := range []struct {
		name string
		way  way
		here int // dispatchers in the process that publishes
	}{
		{"one in the process that publishes, Wake", way{wake: true}, 1},
		{"one in the process that publishes, no Wake", way{}, 1},
		{"all in other processes, Wake", way{wake: true}, 0},
		{"all in other processes, no Wake", way{}, 0},
	} {
		fmt.Fprintf(progress, "notify: %s\n", c.name)
		d, err := measureDelays(ctx, s, c.way, c.here, max(o.n/5, publishers))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(w, "%s\t%.1f ms\t%.1f ms\t\n", c.name, milliseconds(d.at(0.5)), milliseconds(d.at(0.95)))
	}
	return w.Flush()
}

const commitsPerSecond = 100

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measureDelays commits n transactions, one after the other, and returns how long each
// event waited for its attempt.
func measureDelays(ctx context.Context, s *server, w way, here, n int) (d delays, err error) {
	b, drop, err := s.newBench(ctx, bench{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	f, err := openFleet(ctx, b, w, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.start(ctx, true, here); err != nil {
		return nil, err
	}
	pace := time.NewTicker(time.Second / commitsPerSecond)
	defer pace.Stop()
	if err := f.commitAll(ctx, n, pace.C); err != nil {
		return nil, err
	}
	d, err = f.delays(ctx, n)
	slices.Sort(d)
	return d, err
}
