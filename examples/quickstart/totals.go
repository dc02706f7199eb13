package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// totals are what a run has come to.
type totals struct {
	published int // orders
	resumed   int // deliveries that a former run had left
	left      int // deliveries that this one leaves
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
	if t.left, err = d.unfinished(ctx); err != nil {
		return t, err
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
// as hooks says it delivered to them, and no delivery has failed.
func (t totals) check() error {
	var errs []error
	for _, r := range t.rows {
		if r.signed && r.verified != r.succeeded {
			errs = append(errs, fmt.Errorf("%s verified %d events, but %d deliveries succeeded", r.subscriber, r.verified, r.succeeded))
		}
		if r.failed > 0 {
			errs = append(errs, fmt.Errorf("%d deliveries to %s failed", r.failed, r.subscriber))
		}
	}
	return errors.Join(errs...)
}

const cells = "%-10s%10v%11v%9v%8v%10v%12v\n"

// print writes the totals as a table.
func (t totals) print(out io.Writer) {
	fmt.Fprintf(out, "\n"+cells, "", "attempts", "succeeded", "retried", "failed", "verified", "duplicates")
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
	fmt.Fprintf(out, cells, r.subscriber, r.attempts, r.succeeded, r.retried, r.failed, verified, duplicates)
}

func (r *row) add(o row) {
	r.attempts += o.attempts
	r.succeeded += o.succeeded
	r.retried += o.retried
	r.failed += o.failed
	r.verified += o.verified
	r.duplicates += o.duplicates
}
