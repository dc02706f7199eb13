// Command bench compares hooks on PostgreSQL with its peers, libraries that keep
// work in PostgreSQL too: River and goqite.
//
//	go run ./bench                         # all, on a server of its own
//	go run ./bench -n 20000 -rounds 5      # longer
//	go run ./bench -only hooks,River       # some of the peers
//	go run ./bench -claims                 # only what a claim costs in a full store
//	go run ./bench -snapshot               # only what happens beside long reports
//	go run ./bench -snapshot -for 90s      # the same, in less time
//	go run ./bench -notify                 # only what transactions cost that publish
//
// All do the same. What is inserted is 1 KiB of JSON, one row at a time, from 16
// goroutines; up to 64 deliver at once, with a POST that carries a Standard
// Webhooks signature to a receiver in this process, which verifies it, counts it
// and answers 200; what is delivered is marked as done. Nothing counts before it
// is on disk. The peers take turns, each measure has a database of its own, and
// each peer may have 32 connections; the settings that are a peer's own stand in
// the file of its name, with the reason. Ratios are taken within a round, for
// rounds on a busy machine differ by more than the peers do. Statements are counted
// in a short round before the others, for that makes the server slower.
//
// The exit status is 1 if a peer lost or duplicated work, or if what a claim costs
// hooks depends on what else is in the store: a million finished deliveries, say; with
// -snapshot, if hooks leaves something undone or claims take more than twice as long
// beside the reports; with -notify, if telling others after the commit makes
// transactions slower.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.com/hooks/signer"
)

// options are the flags.
type options struct {
	n, rounds int
	url, only string
	claims    bool
	snapshot  bool
	length    time.Duration
	notify    bool
	timeout   time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 5_000, "how many `deliveries` a measure has")
	flag.IntVar(&o.rounds, "rounds", 3, "how many times each peer has its turn")
	flag.StringVar(&o.url, "url", "", "the `URL` of a PostgreSQL server to use, as superuser; else one is started")
	flag.StringVar(&o.only, "only", "", "the `peers` to measure, such as hooks,River; else all")
	flag.BoolVar(&o.claims, "claims", false, "measure only what claims cost")
	flag.BoolVar(&o.snapshot, "snapshot", false, "measure only what happens beside transactions that keep their snapshots")
	flag.DurationVar(&o.length, "for", 10*time.Minute, "how long -snapshot lets each of the peers work")
	flag.BoolVar(&o.notify, "notify", false, "measure only transactions that publish, and how soon it is delivered")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long one measure of one peer may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program at once
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run prints the results to out, and what it is about to progress.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	s, err := openServer(ctx, o.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	machine, err := s.machine(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, machine)
	if o.snapshot {
		return compareSnapshots(ctx, s, o.length, out, progress)
	}
	if o.notify {
		return compareNotify(ctx, s, o, out, progress)
	}
	if !o.claims {
		c := &comparison{options: o, peers: chosen}
		err := c.run(ctx, s, progress)
		c.print(out)
		if err != nil {
			return err
		}
	}
	if o.claims || o.only == "" {
		return compareClaims(ctx, s, out, progress)
	}
	return nil
}

func openServer(ctx context.Context, url string) (*server, error) {
	if url != "" {
		return useServer(ctx, url)
	}
	return startServer(ctx)
}

// choose returns the peers of these names, in the order of all.
func choose(names string) (chosen []peer, err error) {
	if names == "" {
		return peers, nil
	}
	var known []string
	for _, p := range peers {
		known = append(known, p.name)
		for name := range strings.SplitSeq(names, ",") {
			if strings.EqualFold(name, p.name) {
				chosen = append(chosen, p)
			}
		}
	}
	if len(chosen) < strings.Count(names, ",")+1 {
		return nil, fmt.Errorf("-only %s: the peers are %s", names, strings.Join(known, ", "))
	}
	return chosen, nil
}

// A comparison has the peers take turns.
type comparison struct {
	options
	peers   []peer
	counted round // a short one in which statements were counted, which takes time
	rounds  []round
}

// A round is the results of all peers, by the names of measure and peer.
type round map[[2]string]result

var errTooSlow = errors.New("the work was not done in time (see -timeout)")

// countedAtMost is how many deliveries a measure has when statements are counted.
const countedAtMost = 2000

// run adds the rounds, those that were completed in any case.
func (c *comparison) run(ctx context.Context, s *server, progress io.Writer) error {
	r, err := newReceiver(signer.NewSecret())
	if err != nil {
		return err
	}
	defer r.close()
	if s.statements {
		fmt.Fprintln(progress, "counting statements")
		s.counting = true
		c.counted, err = c.round(ctx, s, r, min(c.n, countedAtMost), io.Discard)
		s.counting = false
		if err != nil {
			return fmt.Errorf("count statements: %w", err)
		}
	}
	for i := range c.options.rounds {
		fmt.Fprintf(progress, "round %d\n", i+1)
		results, err := c.round(ctx, s, r, c.n, progress)
		if err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		c.rounds = append(c.rounds, results)
	}
	return nil
}

// round has each peer take each measure, with n deliveries.
func (c *comparison) round(ctx context.Context, s *server, r *receiver, n int, progress io.Writer) (round, error) {
	results := make(round)
	for _, m := range measures {
		for _, p := range c.peers {
			name := [2]string{m.name, p.name}
			ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTooSlow)
			res, err := m.take(ctx, s, p, r, n)
			cancel()
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", m.name, p.name, err)
			}
			if counted := c.counted[name]; counted.n > 0 {
				res.sent = counted.each(counted.used.statements)
			}
			fmt.Fprintf(progress, "  %s %s: %.0f/s\n", m.name, p.name, res.perSecond())
			results[name] = res
		}
	}
	return results, nil
}
