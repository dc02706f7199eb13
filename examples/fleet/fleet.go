package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/signer"
)

// A fleet is the processes that share a database, and the receivers of what
// they send.
type fleet struct {
	place     place
	record    *record
	pool      *pgxpool.Pool
	hooks     *hooks.Hooks // to look into the store; this process does not deliver
	receivers []*receiver
	servers   []*server
	processes []*process
}

const (
	fast, slow, moody = "crm", "warehouse", "bank"

	delay   = 200 * time.Millisecond // of slow
	refuses = 8                      // moody, one request out of so many
	timeout = time.Second            // of an attempt; leases, and so this program, depend on it
)

// assemble makes the tables that are missing, and the receivers. The owner of a
// fleet closes it.
func assemble(ctx context.Context, url string) (f *fleet, err error) {
	f = &fleet{record: newRecord()}
	if f.place, err = newPlace(url); err != nil {
		return nil, err
	}
	if f.hooks, f.pool, err = connect(ctx, f.place, hooks.Config{Egress: loopback}); err != nil {
		return nil, err
	}
	if err := f.open(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *fleet) open(ctx context.Context) error {
	if err := f.lock(ctx); err != nil {
		return err
	}
	for _, r := range []*receiver{
		{name: fast},
		{name: slow, delay: delay, ordered: true},
		{name: moody, refuses: refuses, ordered: true},
	} {
		if err := f.connect(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// lock refuses to begin while another fleet is shown on the same database: each
// would point the endpoints at receivers of its own.
func (f *fleet) lock(ctx context.Context) error {
	conn, err := f.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	alone := false
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('example hooks_fleet'))`).Scan(&alone)
	if err == nil && !alone {
		err = errTwo
	}
	return err
}

var errTwo = errors.New("another fleet is shown on this database; wait for its end, or name another one with -db")

// connect starts a receiver and makes it an endpoint.
func (f *fleet) connect(ctx context.Context, r *receiver) error {
	r.secret = signer.NewSecret()
	s, err := serve(r)
	if err != nil {
		return err
	}
	f.servers = append(f.servers, s)
	f.receivers = append(f.receivers, r)
	_, err = f.hooks.PutEndpoint(ctx, hooks.Endpoint{
		ID:      r.name,
		URL:     s.URL,
		Events:  []string{"order.*"},
		Secret:  r.secret,
		Ordered: r.ordered,
		Timeout: timeout,
		Retry:   impatient,
	})
	return err
}

// impatient is a schedule for onlookers. Without one, the retries of an event
// are spread over three days.
var impatient = []time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second,
	time.Second, 2 * time.Second, 2 * time.Second, 5 * time.Second, 5 * time.Second,
}

// dispatcher starts one.
func (f *fleet) dispatcher(name string) error {
	return f.start(name, dispatcherRole, name)
}

// publisher starts the only one.
func (f *fleet) publisher(events int, over time.Duration) error {
	return f.start(publisherRole, "-n", fmt.Sprint(events), publisherRole, over.String())
}

func (f *fleet) start(name string, args ...string) error {
	p, err := start(name, f.place, f.record.listen(name), args...)
	if err != nil {
		return err
	}
	f.processes = append(f.processes, p)
	return nil
}

// kill ends a process as a crash does.
func (f *fleet) kill(name string) {
	for i, p := range f.processes {
		if p.name == name {
			p.kill()
			f.processes = append(f.processes[:i], f.processes[i+1:]...)
			return
		}
	}
}

// runs reports whether a process has been started and has not ended.
func (f *fleet) runs(name string) bool {
	for _, p := range f.processes {
		if p.name == name {
			return !p.over()
		}
	}
	return false
}

// check returns an error if a process has ended that should not have.
func (f *fleet) check() error {
	for _, p := range f.processes {
		if p.over() && (p.err != nil || p.name != publisherRole) {
			return fmt.Errorf("%s ended by itself: %v", p.name, p.err)
		}
	}
	return nil
}

// stop tells all processes to finish what they have begun, and waits for them.
func (f *fleet) stop() error {
	for _, p := range f.processes {
		p.terminate()
	}
	var errs []error
	for _, p := range f.processes {
		errs = append(errs, p.wait(30*time.Second)) // they drain for 20 s at most
	}
	f.processes = nil
	return errors.Join(errs...)
}

// close stops what still runs.
func (f *fleet) close() error {
	err := f.stop()
	for _, s := range f.servers {
		s.stop()
	}
	f.pool.Close()
	return err
}

// unfinished returns the deliveries that are not final.
func (f *fleet) unfinished(ctx context.Context) ([]hooks.Delivery, error) {
	return f.deliveries(ctx, hooks.Pending, hooks.Retrying, hooks.Sending)
}

// deliveries returns all with one of the statuses.
func (f *fleet) deliveries(ctx context.Context, statuses ...hooks.Status) (all []hooks.Delivery, err error) {
	for q := (hooks.Query{Statuses: statuses, Limit: 1000}); ; {
		page, next, err := f.hooks.Deliveries(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		q.Cursor = next
	}
}
