package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks/signer"
)

// What happens beside reports: publishedPerSecond by one library while another one, on
// connections of its own, delivers; and meanwhile readers, each in a transaction that
// keeps its snapshot, one after the other but overlapping. With -for 10m each of them
// reads for 2 minutes.
const (
	publishedPerSecond = 800
	readers            = 3
	mostSlower         = 2                // the 99th percentile of claims beside the readers, as a multiple
	patienceAtTheEnd   = 10 * time.Second // for what is under way when the last is published
)

// phases are when something happens: before the first reader, beside one, after the last.
var phases = []string{"before", "beside", "after"}

// A snapshotRun is one peer at work beside the readers.
type snapshotRun struct {
	name   string
	length time.Duration
	phase  atomic.Int32

	mu      sync.Mutex // guards what follows
	claims  [3][]time.Duration
	looks   [3][]time.Duration // at the backlog, before claims, if the peer does that
	waits   [3][]time.Duration // from the insert to the receiver, by phase of the receipt
	sent    []time.Time        // by payload
	backlog int                // when the last payload was inserted
	left    int                // some time later
}

// claimed notes how long a claim has taken.
func (r *snapshotRun) claimed(began time.Time) { r.note(&r.claims, began) }

// looked notes how long a look at the backlog has taken.
func (r *snapshotRun) looked(began time.Time) { r.note(&r.looks, began) }

func (r *snapshotRun) note(list *[3][]time.Duration, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.phase.Load()
	list[p] = append(list[p], time.Since(began))
}

// received notes that a payload has come.
func (r *snapshotRun) received(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.phase.Load()
	r.waits[p] = append(r.waits[p], time.Since(r.sent[i]))
}

// compareSnapshots prints how hooks and River fare beside readers, and returns an error
// if hooks has left something, or its claims have become too slow.
func compareSnapshots(ctx context.Context, s *server, length time.Duration, out, progress io.Writer) error {
	receiver, err := newReceiver(signer.NewSecret())
	if err != nil {
		return err
	}
	defer receiver.close()
	var runs []*snapshotRun
	for _, p := range []peer{hooksPeer, riverPeer} {
		fmt.Fprintf(progress, "snapshot: %s, %v\n", p.name, length)
		r := &snapshotRun{name: p.name, length: length}
		if err := r.run(ctx, s, p, receiver); err != nil {
			return fmt.Errorf("%s beside readers: %w", p.name, err)
		}
		runs = append(runs, r)
	}
	printSnapshots(out, length, runs)
	return runs[0].judge()
}

// judge returns an error if too much was left or claims have become too slow.
func (r *snapshotRun) judge() (err error) {
	if r.left > 0 {
		err = fmt.Errorf("%s left %d deliveries", r.name, r.left)
	}
	if len(r.claims[0]) == 0 || len(r.claims[1]) == 0 {
		return errors.Join(err, fmt.Errorf("%s has not claimed both before the readers and beside them", r.name))
	}
	without, with := quantile(r.claims[0], 0.99), quantile(r.claims[1], 0.99)
	if with > mostSlower*without {
		err = errors.Join(err, fmt.Errorf("%s claims within %v beside readers (99th percentile), and %v without; want at most %d times that",
			r.name, with, without, mostSlower))
	}
	return err
}

// run has one peer publish and deliver in a database of its own.
func (r *snapshotRun) run(ctx context.Context, s *server, p peer, to *receiver) (err error) {
	b, drop, err := s.newBench(ctx, bench{receiver: to.url, secret: to.verify.Secrets[0]})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := p.migrate(ctx, b); err != nil {
		return err
	}
	publisher, err := p.open(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.close()) }()
	b.claimed, b.looked = r.claimed, r.looked
	worker, err := p.open(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, worker.close()) }()
	if err := worker.start(ctx); err != nil {
		return err
	}
	n := int(r.length.Seconds() * publishedPerSecond)
	r.sent = make([]time.Time, n)
	t := to.expect(n, r.received)
	err = r.work(ctx, b, publisher, t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, worker.stop(ctx))
}

// work publishes beside the readers, and counts what has not come in the end.
func (r *snapshotRun) work(ctx context.Context, b bench, publisher library, t *tally) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reading sync.WaitGroup
	reading.Go(func() {
		if err := r.read(ctx, b); err != nil {
			cancel(err)
		}
	})
	if err := r.publish(ctx, publisher); err != nil {
		return err
	}
	r.backlog = t.missing()
	waiting, stop := context.WithTimeout(ctx, patienceAtTheEnd)
	defer stop()
	_ = t.wait(waiting) // what has not come is counted
	r.left = t.missing()
	reading.Wait()
	return context.Cause(ctx)
}

// publish inserts payloads at the rate that is asked for, or as fast as it can.
func (r *snapshotRun) publish(ctx context.Context, publisher library) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	for range publishers {
		group.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(r.sent); i = next.Add(1) - 1 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / publishedPerSecond))):
				}
				r.mu.Lock()
				r.sent[i] = time.Now()
				r.mu.Unlock()
				if err := publisher.insert(ctx, payload(int(i))); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// read holds snapshots: each for a fifth of the time, the next beginning when a sixth
// of all has passed.
func (r *snapshotRun) read(ctx context.Context, b bench) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	each, apart := r.length/5, r.length/6
	failed := make(chan error, readers)
	if err := sleep(ctx, each); err != nil {
		return nil
	}
	r.phase.Store(1)
	for i := range readers {
		go func() {
			err := sleep(ctx, time.Duration(i)*apart)
			if err == nil {
				err = hold(ctx, b.database, each)
			}
			failed <- err
		}()
	}
	for range readers {
		if err := <-failed; err != nil && ctx.Err() == nil {
			return err
		}
	}
	r.phase.Store(2)
	return nil
}

// hold keeps a snapshot for a time.
func hold(ctx context.Context, database string, length time.Duration) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{`begin isolation level repeatable read`, `select count(*) from pg_class`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return sleep(ctx, length)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func printSnapshots(out io.Writer, length time.Duration, runs []*snapshotRun) {
	fmt.Fprintf(out, "\nsnapshot: %d a second for %v, published by one process and delivered by another, beside %d readers of %v;\n"+
		"milliseconds (median and 99th percentile) of claims, of looks before them, and from insert to receipt\n",
		publishedPerSecond, length, readers, length/5)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\treaders\tclaims\tmedian\tp99\t÷ before\tlooks\tmedian\tp99\tto receipt\tp99\tbacklog\tleft\t\n")
	for _, r := range runs {
		for p, phase := range phases {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t", r.name, phase, len(r.claims[p]), ms(r.claims[p], 0.5), ms(r.claims[p], 0.99), r.slower(p))
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t", len(r.looks[p]), ms(r.looks[p], 0.5), ms(r.looks[p], 0.99), ms(r.waits[p], 0.5), ms(r.waits[p], 0.99))
			if p == len(phases)-1 {
				fmt.Fprintf(w, "%d\t%d\t\n", r.backlog, r.left)
			} else {
				fmt.Fprint(w, "\t\t\n")
			}
		}
	}
	w.Flush()
}

// slower sets the 99th percentile of claims in a phase against that in the first.
func (r *snapshotRun) slower(phase int) string {
	if len(r.claims[phase]) == 0 || len(r.claims[0]) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f×", float64(quantile(r.claims[phase], 0.99))/float64(quantile(r.claims[0], 0.99)))
}

// ms returns a quantile in milliseconds, or a dash if there are no values.
func ms(values []time.Duration, share float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", quantile(values, share).Seconds()*1000)
}
