package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// A load is what stands in a store beside the deliveries that are claimed.
type load struct {
	name     string
	finished int // deliveries to the same subscriber
	dead     int // deliveries to another one, due, that nobody claims
}

var loads = []load{
	{name: "nothing"},
	{name: "1,000,000 finished", finished: 1_000_000},
	{name: "200,000 due of a dead endpoint", dead: 200_000},
}

const (
	samples = 500
	atATime = 20  // deliveries in a claim and in an update
	dearest = 1.5 // what both may cost, as a multiple of what they cost under the cheapest load
)

// A claimant measures the store under one load.
type claimant struct {
	load
	pool  *pgxpool.Pool
	store *postgres.Store
	drop  func() error
	next  int // event

	claims, updates, both []time.Duration
}

// compareClaims prints what a claim and an update cost under the loads, and
// returns an error if they cost too much under one of them.
func compareClaims(ctx context.Context, s *server, out, progress io.Writer) error {
	claimants, err := measureClaims(ctx, s, loads, samples, progress)
	if err != nil {
		return err
	}
	printClaims(out, claimants)
	for _, c := range claimants {
		if ratio := c.ratio(claimants); ratio > dearest {
			err = errors.Join(err, fmt.Errorf("beside %s, a claim and an update cost %.2f times what they can; want at most %v",
				c.name, ratio, dearest))
		}
	}
	return err
}

// measureClaims has the loads take turns.
func measureClaims(ctx context.Context, s *server, loads []load, samples int, progress io.Writer) (claimants []*claimant, err error) {
	defer func() {
		for _, c := range claimants {
			err = errors.Join(err, c.close())
		}
	}()
	for _, l := range loads {
		fmt.Fprintf(progress, "claims: fill a store: %s\n", l.name)
		c, err := newClaimant(ctx, s, l)
		if err != nil {
			return claimants, err
		}
		claimants = append(claimants, c)
	}
	for i := range samples + samples/10 {
		for _, c := range claimants {
			if err := c.sample(ctx, i >= samples/10); err != nil { // the first ones warm up
				return claimants, err
			}
		}
	}
	return claimants, nil
}

func newClaimant(ctx context.Context, s *server, l load) (c *claimant, err error) {
	b, drop, err := s.newBench(ctx, bench{})
	if err != nil {
		return nil, err
	}
	c = &claimant{load: l, drop: drop}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.pool, err = b.pool(ctx); err != nil {
		return c, err
	}
	if c.store, err = postgres.New(c.pool, postgres.Config{}); err != nil {
		return c, err
	}
	if err := c.store.Migrate(ctx); err != nil {
		return c, err
	}
	return c, c.fill(ctx)
}

func (c *claimant) close() error {
	if c.pool != nil {
		c.pool.Close()
	}
	return c.drop()
}

// now returns the time as stores keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// entries makes n events with a delivery each that is due.
func (c *claimant) entries(n int, subscriber string, data []byte) []hooks.Entry {
	at := now()
	entries := make([]hooks.Entry, n)
	for i := range entries {
		c.next++
		id := "evt_" + strconv.Itoa(c.next)
		entries[i] = hooks.Entry{
			Event: hooks.Event{ID: id, Type: "bench.webhook", Time: at, Data: data},
			Deliveries: []hooks.Delivery{{
				DeliveryID: hooks.DeliveryID{Event: id, Subscriber: subscriber},
				Type:       "bench.webhook",
				Status:     hooks.Pending,
				Due:        at,
				Run:        1,
				Created:    at,
				Updated:    at,
			}},
		}
	}
	return entries
}

// sample publishes some deliveries, then claims them and writes their outcomes
// back. It keeps how long these two took, if asked to.
func (c *claimant) sample(ctx context.Context, keep bool) error {
	if _, err := c.store.Enqueue(ctx, now(), c.entries(atATime, "alive", payload(0))); err != nil {
		return err
	}
	claimed, updated, err := c.deliver(ctx, atATime)
	if err != nil || !keep {
		return err
	}
	c.claims, c.updates, c.both = append(c.claims, claimed), append(c.updates, updated), append(c.both, claimed+updated)
	return nil
}

// deliver claims n deliveries and says that they succeeded.
func (c *claimant) deliver(ctx context.Context, n int) (claimed, updated time.Duration, err error) {
	at := now()
	began := time.Now()
	entries, err := c.store.Claim(ctx, at, []hooks.ClaimLane{
		{Subscriber: "alive", Max: n, Before: at, LeaseUntil: at.Add(time.Minute)},
	})
	claimed = time.Since(began)
	if err != nil {
		return 0, 0, err
	}
	if len(entries) != n {
		return 0, 0, fmt.Errorf("beside %s Claim found %d deliveries of %d", c.name, len(entries), n)
	}
	changes := make([]hooks.Change, n)
	for i, e := range entries {
		changes[i] = success(e.Deliveries[0], at)
	}
	began = time.Now()
	stale, err := c.store.Update(ctx, at, changes)
	updated = time.Since(began)
	if len(stale) > 0 {
		err = errors.Join(err, fmt.Errorf("beside %s Update found %d changes stale", c.name, len(stale)))
	}
	return claimed, updated, err
}

// success is the outcome of a delivery.
func success(d hooks.Delivery, at time.Time) hooks.Change {
	d.Status, d.Due, d.Updated, d.Attempts, d.Code = hooks.Succeeded, at, at, 1, http.StatusNoContent
	return hooks.Change{Delivery: d, Attempt: &hooks.Attempt{
		Run: 1, Number: 1, Token: d.Token, Start: at, Took: time.Millisecond,
		URL: "http://127.0.0.1", Code: http.StatusNoContent, Instance: "bench",
	}}
}

// fill brings in the load: a delivery made by the store, cloned.
func (c *claimant) fill(ctx context.Context) error {
	subscriber, n := "alive", c.finished
	if c.dead > 0 {
		subscriber, n = "dead", c.dead
	}
	if _, err := c.store.Enqueue(ctx, now(), c.entries(1, subscriber, []byte("{}"))); err != nil {
		return err
	}
	if c.dead == 0 {
		if _, _, err := c.deliver(ctx, 1); err != nil {
			return err
		}
	}
	for _, sql := range cloneSQL {
		if _, err := c.pool.Exec(ctx, sql, n); err != nil {
			return err
		}
	}
	_, err := c.pool.Exec(ctx, `vacuum analyze`)
	return err
}

// cloneSQL makes many rows of the only one of each table, whatever columns it
// has, but for those that must differ. They come before it in every order.
var cloneSQL = []string{
	`insert into hooks.events select clone.* from hooks.events one, generate_series(1, $1::int) i,
		lateral jsonb_populate_record(one, jsonb_build_object('id', 'evt_clone_' || i, 'seq', -i)) clone`,
	`insert into hooks.deliveries select clone.* from hooks.deliveries one, generate_series(1, $1::int) i,
		lateral jsonb_populate_record(one, jsonb_build_object('event_id', 'evt_clone_' || i, 'seq', -i,
			'due', one.due - i * interval '1 ms', 'updated', one.updated - i * interval '1 ms')) clone`,
	`insert into hooks.attempts select clone.* from hooks.attempts one, generate_series(1, $1::int) i,
		lateral jsonb_populate_record(one, jsonb_build_object('event_id', 'evt_clone_' || i, 'id', -i)) clone`,
}

// ratio sets the median against that of the cheapest load: an empty store is one
// more in which a statement can be planned badly.
func (c *claimant) ratio(all []*claimant) float64 {
	cheapest := quantile(c.both, 0.5)
	for _, other := range all {
		cheapest = min(cheapest, quantile(other.both, 0.5))
	}
	return float64(quantile(c.both, 0.5)) / float64(cheapest)
}

// quantile returns the value that a share of the values, which may not be none,
// do not exceed.
func quantile(values []time.Duration, share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func printClaims(out io.Writer, claimants []*claimant) {
	fmt.Fprintf(out, "\nclaims: Store.Claim of %d and Store.Update of %d, in milliseconds (median and 95th percentile), by turns\n", atATime, atATime)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "beside\tclaim\tp95\tupdate\tp95\tboth ÷ cheapest\t\n")
	for _, c := range claimants {
		fmt.Fprint(w, c.name, "\t")
		for _, values := range [][]time.Duration{c.claims, c.updates} {
			for _, share := range []float64{0.5, 0.95} {
				fmt.Fprintf(w, "%.3f\t", quantile(values, share).Seconds()*1000)
			}
		}
		fmt.Fprintf(w, "%.2f×\t\n", c.ratio(claimants))
	}
	w.Flush()
}
