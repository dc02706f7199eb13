package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// hooksPeer is this library on its PostgreSQL store, with one endpoint that gets
// the data alone as the body, as the peers send it.
var hooksPeer = peer{name: "hooks", migrate: migrateHooks, open: openHooks}

var webhook = hooks.EventType[json.RawMessage]{Name: "bench.webhook"}

type hooksLibrary struct {
	pool      *pgxpool.Pool
	transport *http.Transport
	hooks     *hooks.Hooks

	running sync.WaitGroup
	cancel  context.CancelFunc
	err     error // of Run
}

func migrateHooks(ctx context.Context, b bench) error {
	pool, err := b.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := postgres.New(pool, postgres.Config{})
	if err != nil {
		return err
	}
	return store.Migrate(ctx)
}

func openHooks(ctx context.Context, b bench) (_ library, err error) {
	l := &hooksLibrary{transport: newTransport()}
	if l.pool, err = b.pool(ctx); err != nil {
		return nil, err
	}
	if err := l.set(ctx, b); err != nil {
		l.pool.Close()
		return nil, err
	}
	return l, nil
}

func (l *hooksLibrary) set(ctx context.Context, b bench) error {
	store, err := postgres.New(l.pool, postgres.Config{})
	if err != nil {
		return err
	}
	var observed hooks.Store = store
	if b.claimed != nil {
		observed = observedStore{store, b.claimed, b.looked}
	}
	l.hooks, err = hooks.New(hooks.Config{
		Store:                 observed,
		Concurrency:           workers,
		SubscriberConcurrency: workers,
		Egress:                loopback,
		Transport:             l.transport,
	})
	if err != nil {
		return err
	}
	if err := l.hooks.Register(webhook); err != nil {
		return err
	}
	_, err = l.hooks.PutEndpoint(ctx, hooks.Endpoint{
		ID:     "receiver",
		URL:    b.receiver,
		Events: []string{webhook.Name},
		Secret: b.secret,
		Raw:    true,
	})
	return err
}

func (l *hooksLibrary) insert(ctx context.Context, payload []byte) error {
	_, err := l.hooks.Publish(ctx, webhook.New(payload))
	return err
}

func (l *hooksLibrary) start(ctx context.Context) error {
	ctx, l.cancel = context.WithCancel(ctx)
	l.running.Go(func() { l.err = l.hooks.Run(ctx) })
	return nil
}

func (l *hooksLibrary) stop(context.Context) error {
	l.cancel()
	l.running.Wait()
	return l.err
}

func (l *hooksLibrary) left(ctx context.Context) (n int, err error) {
	q := hooks.Query{
		Statuses: []hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending, hooks.Failed, hooks.Canceled},
		Limit:    1000,
	}
	for {
		page, next, err := l.hooks.Deliveries(ctx, q)
		if err != nil {
			return 0, err
		}
		n += len(page)
		if next == "" {
			return n, nil
		}
		q.Cursor = next
	}
}

func (l *hooksLibrary) close() error {
	l.transport.CloseIdleConnections()
	l.pool.Close()
	return nil
}
