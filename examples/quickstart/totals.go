package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/hooks"
)

// totals are what a run has come to.
type totals struct {
	published int // orders
	resumed   int // deliveries that a former run had left
	left      int // deliveries that this one leaves
	failed    int // deliveries that have failed although the tour replays those
	rows      []row
}

// A row sets what hooks did for a subscriber against what the subscriber saw.
type row struct {
	subscriber string
	tally

	signed               bool // false for a function, which has no signatures to verify
	verified, duplicates int  // events, by webhook-id, and how many came again
}

// totals adds up what has happened.
func (d *demo) totals(ctx context.Context) (t totals, err error) {
	if t.left, err = d.count(ctx, unfinished...); err != nil {
		return t, err
	}
	if d.toured { // else the next run replays them
		if t.failed, err = d.count(ctx, hooks.Failed); err != nil {
			return t, err
		}
	}
	t.resumed = d.resumed
	t.published = d.timeline.orders()
	t.rows = append(t.rows, row{subscriber: "mailer", tally: d.timeline.count("mailer")})
	for _, r := range d.receivers {
		verified, duplicates := r.verified()
		t.rows = append(t.rows, row{r.name, d.timeline.count(r.name), true, verified, duplicates})
	}
	return t, nil
}

// check returns an error unless the receivers verified exactly as many events
// as hooks says it delivered to them, and no delivery has failed for good.
func (t totals) check() error {
	var errs []error
	for _, r := range t.rows {
		if r.signed && r.verified != r.succeeded {
			errs = append(errs, fmt.Errorf("%s verified %d events, but %d deliveries succeeded", r.subscriber, r.verified, r.succeeded))
		}
	}
	if t.failed > 0 {
		errs = append(errs, fmt.Errorf("%d deliveries have failed for good", t.failed))
	}
	return errors.Join(errs...)
}

const cells = "%-10s%9v%10v%8v%7v%9v%9v%11v\n"

// print writes the totals as a table.
func (t totals) print(out io.Writer) {
	fmt.Fprintf(out, "\n"+cells, "", "attempts", "succeeded", "retried", "failed", "replayed", "verified", "duplicates")
	sum := row{subscriber: "all", signed: true}
	for _, r := range t.rows {
		r.print(out)
		sum.add(r)
	}
	sum.print(out)
	fmt.Fprintf(out, "\nOrders published: %d. Deliveries resumed: %d, left for the next run: %d.\n",
		t.published, t.resumed, t.left)
}

func (r row) print(out io.Writer) {
	var verified, duplicates any = "-", "-"
	if r.signed {
		verified, duplicates = r.verified, r.duplicates
	}
	fmt.Fprintf(out, cells, r.subscriber, r.attempts, r.succeeded, r.retried, r.failed, r.replayed, verified, duplicates)
}

func (r *row) add(o row) {
	r.attempts += o.attempts
	r.succeeded += o.succeeded
	r.retried += o.retried
	r.failed += o.failed
	r.replayed += o.replayed
	r.verified += o.verified
	r.duplicates += o.duplicates
}
