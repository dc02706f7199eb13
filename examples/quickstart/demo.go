package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/store/sqlite"
)

// options are the flags.
type options struct {
	orders  int
	once    bool
	timeout time.Duration
	db      string
}

// A demo is the shop with all that it needs to be seen at work.
type demo struct {
	options
	timeline  *timeline
	log       *slog.Logger // what hooks tells an operator; its lines are too long for the timeline
	hooks     *hooks.Hooks
	shop      *server
	receivers []*receiver
	resumed   int  // deliveries that a former run has left
	toured    bool // the tour is over, and all that failed was replayed
}

// run shows the shop until the tour is over, or ctx ends. Its error says what
// was not as promised; the totals are there in any case.
func run(ctx context.Context, o options, out io.Writer) (t totals, err error) {
	store, err := sqlite.Open(o.db)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := alone(ctx, store); err != nil {
		return t, err
	}
	log, err := os.OpenFile(o.db+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return t, err
	}
	defer log.Close()
	d := &demo{options: o, timeline: newTimeline(out), log: slog.New(slog.NewTextHandler(log, nil))}
	defer d.close()
	if err := d.open(ctx, store); err != nil {
		return t, err
	}
	err = d.deliver(ctx)
	t, countErr := d.totals(context.WithoutCancel(ctx))
	t.print(out)
	err = errors.Join(err, countErr, t.check())
	if o.once && t.left > 0 {
		err = errors.Join(err, fmt.Errorf("%d deliveries are left; the next run with -db %s makes them", t.left, o.db))
	}
	if err != nil {
		return t, err
	}
	fmt.Fprintln(out, "The receivers verified as many events as hooks says it delivered.")
	return t, nil
}

// alone refuses to begin while another shop runs on the store: each would point
// the endpoints at receivers of its own.
func alone(ctx context.Context, store hooks.Exclusive) error {
	unlock, err := store.Lock(ctx, time.Now())
	if err != nil {
		return err
	}
	return unlock()
}

// open sets up hooks as every application does: event types, then subscribers.
func (d *demo) open(ctx context.Context, store hooks.Store) (err error) {
	keys, err := readKeys(d.db + ".key")
	if err != nil {
		return err
	}
	d.hooks, err = hooks.New(hooks.Config{
		Store:  store,
		Logger: d.log,
		Keeper: keys,
		Trace:  d.timeline.trace(),
		Egress: egress.Policy{AllowHTTP: true, AllowLoopback: true}, // for development only
	})
	if err != nil {
		return err
	}
	if err := d.hooks.Register(OrderPlaced); err != nil {
		return err
	}
	if err := d.hooks.Subscribe(OrderPlaced.Handler("mailer", mailReceipt)); err != nil {
		return err
	}
	for _, r := range []*receiver{
		newReceiver("crm", 0, 1),
		newReceiver("warehouse", 2, 0),
		newReceiver("bank", 0, 0),
	} {
		if err := d.connect(ctx, r); err != nil {
			return err
		}
	}
	if d.resumed, err = d.count(ctx, unfinished...); err != nil {
		return err
	}
	d.timeline.resume(d.resumed)
	routes, err := shop{d.hooks}.routes()
	if err != nil {
		return err
	}
	d.shop, err = serve(routes)
	return err
}

// connect starts a receiver and makes it an endpoint. Every run has new ports
// and new secrets: what waits for an endpoint is sent as it is by then.
func (d *demo) connect(ctx context.Context, r *receiver) (err error) {
	if r.server, err = serve(r); err != nil {
		return err
	}
	d.receivers = append(d.receivers, r)
	_, err = d.hooks.PutEndpoint(ctx, hooks.Endpoint{
		ID:     r.name,
		URL:    r.server.URL + "/hooks",
		Events: []string{"order.*"},
		Secret: r.secret,
		Retry:  impatient,
	})
	return err
}

// impatient is a schedule for onlookers. Without one, the retries of an event
// are spread over three days.
var impatient = []time.Duration{
	200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
	time.Second, time.Second, time.Second, time.Second, time.Second,
}

// deliver runs the dispatcher while the tour lasts.
func (d *demo) deliver(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	var runErr error
	running.Go(func() {
		runErr = d.hooks.Run(ctx)
		cancel(runErr)
	})
	running.Go(func() { d.timeline.report(ctx) })
	err := d.tour(ctx)
	d.shop.stop() // no more orders
	cancel(nil)   // Run finishes what is under way
	running.Wait()
	if runErr != nil {
		return runErr
	}
	return err
}

// close stops the receivers.
func (d *demo) close() {
	for _, r := range d.receivers {
		r.server.stop()
	}
}

// The statuses of deliveries that are not final.
var unfinished = []hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending}

// count counts the deliveries with one of these statuses.
func (d *demo) count(ctx context.Context, statuses ...hooks.Status) (n int, err error) {
	err = d.each(ctx, func(hooks.DeliveryID) error { n++; return nil }, statuses...)
	return n, err
}

// each calls f for every delivery with one of these statuses.
func (d *demo) each(ctx context.Context, f func(hooks.DeliveryID) error, statuses ...hooks.Status) error {
	q := hooks.Query{Statuses: statuses}
	for {
		page, next, err := d.hooks.Deliveries(ctx, q)
		if err != nil {
			return err
		}
		for _, delivery := range page {
			if err := f(delivery.DeliveryID); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		q.Cursor = next
	}
}
