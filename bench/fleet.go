package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// A fleet is one Hooks that publishes in transactions, and others that deliver what it
// has published, each with connections of its own, as in processes of their own.
type fleet struct {
	way
	pool      *pgxpool.Pool
	store     *postgres.Store
	publisher *hooks.Hooks
	others    []*hooks.Hooks
	stores    []*postgres.Store // of others
	pools     []*pgxpool.Pool   // all

	running sync.WaitGroup
	cancel  context.CancelFunc

	mu        sync.Mutex // guards what follows
	err       error      // of Run or Wait
	commits   map[string]time.Time
	attempted map[string]time.Time
}

// openFleet sets up an empty database. A flush of the log takes delay more.
func openFleet(ctx context.Context, b bench, w way, delay time.Duration) (_ *fleet, err error) {
	f := &fleet{way: w, commits: make(map[string]time.Time), attempted: make(map[string]time.Time)}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if f.publisher, f.store, err = f.open(ctx, b, delay); err != nil {
		return nil, err
	}
	f.pool = f.pools[0]
	if err := f.store.Migrate(ctx); err != nil {
		return nil, err
	}
	if _, err := f.pool.Exec(ctx, ordersSQL); err != nil {
		return nil, err
	}
	for range dispatchers {
		h, s, err := f.open(ctx, b, 0)
		if err != nil {
			return nil, err
		}
		f.others, f.stores = append(f.others, h), append(f.stores, s)
	}
	return f, nil
}

// open returns one Hooks of the fleet, and its store.
func (f *fleet) open(ctx context.Context, b bench, delay time.Duration) (*hooks.Hooks, *postgres.Store, error) {
	c, err := pgxpool.ParseConfig(b.database)
	if err != nil {
		return nil, nil, err
	}
	c.MaxConns = connections
	delayed(c, delay)
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	f.pools = append(f.pools, pool)
	s, err := postgres.New(pool, postgres.Config{PollOnly: f.poll})
	if err != nil {
		return nil, nil, err
	}
	h, err := hooks.New(hooks.Config{Store: s, Concurrency: workers, SubscriberConcurrency: workers})
	if err != nil {
		return nil, nil, err
	}
	if err := h.Register(webhook); err != nil {
		return nil, nil, err
	}
	return h, s, h.Subscribe(hooks.Handler{Name: "handler", Events: []string{"**"}, Func: f.attempt})
}

func (f *fleet) attempt(_ context.Context, ev hooks.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempted[ev.ID] = time.Now()
	return nil
}

func (f *fleet) committed(event string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits[event] = time.Now()
}

// start has the dispatchers work, as many as here in the process that publishes; or only
// listen. It returns when they do, and what is prepared once is prepared.
func (f *fleet) start(ctx context.Context, work bool, here int) error {
	running, cancel := context.WithCancel(ctx)
	f.cancel = cancel
	var listening sync.WaitGroup
	for i := range f.others {
		switch {
		case work && i < here:
			f.running.Go(func() { f.failed(f.publisher.Run(running)) })
		case work:
			f.running.Go(func() { f.failed(f.others[i].Run(running)) })
		case !f.poll:
			listening.Add(1)
			f.running.Go(func() {
				f.failed(f.stores[i].Wait(running)) // which connects
				listening.Done()
				f.listen(running, f.stores[i])
			})
		}
	}
	listening.Wait()
	if err := f.commitAll(ctx, publishers, nil); err != nil || !work {
		return err
	}
	_, err := f.delays(ctx, publishers)
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.commits)
	clear(f.attempted)
	return err
}

func (f *fleet) listen(ctx context.Context, s *postgres.Store) {
	for ctx.Err() == nil {
		if err := s.Wait(ctx); ctx.Err() == nil {
			f.failed(err)
		}
	}
}

func (f *fleet) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

// delays waits until n events have been attempted, and returns how long after its
// commit each was.
func (f *fleet) delays(ctx context.Context, n int) (list delays, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		f.mu.Lock()
		if len(f.attempted) >= n {
			defer f.mu.Unlock()
			break
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not all of %d events were attempted: %w", n, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	for id, at := range f.commits {
		list = append(list, max(f.attempted[id].Sub(at), 0)) // it may begin before the answer to COMMIT is read
	}
	return list, nil
}

// close ends everything.
func (f *fleet) close() error {
	if f.cancel != nil {
		f.cancel()
	}
	f.running.Wait()
	for _, p := range f.pools {
		p.Close()
	}
	return f.err
}
