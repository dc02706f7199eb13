package main

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// An Order is a row of the shop's own table, and the data of its event.
type Order struct {
	ID   string `json:"id"`
	Item string `json:"item"`
}

// OrderPlaced is the event of this shop.
var OrderPlaced = hooks.EventType[Order]{Name: "order.placed"}

// event returns the event that tells of an order. Its ID is the order's, so
// that it can be found again.
func (o Order) event() hooks.Event {
	ev := OrderPlaced.New(o)
	ev.ID = "order-" + o.ID
	return ev
}

var errSoldOut = errors.New("sold out")

// checkStock stands for all that may go wrong between publishing and commit.
func (o Order) checkStock() error {
	if o.Item == "Da Hong Pao" {
		return errSoldOut
	}
	return nil
}

// A shop keeps orders in a table of its own and announces them.
type shop struct {
	pool  *pgxpool.Pool
	db    *sql.DB // the same connections, for code that uses database/sql
	store *postgres.Store
	hooks *hooks.Hooks

	mu     sync.Mutex     // guards what follows
	mailed map[string]int // by order
}

// openShop makes the tables that are missing, and the shop. Its owner closes it.
func openShop(ctx context.Context, url string) (*shop, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	s := &shop{pool: pool, db: stdlib.OpenDBFromPool(pool), mailed: make(map[string]int)}
	if err := s.open(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *shop) open(ctx context.Context) (err error) {
	if s.store, err = postgres.New(s.pool, postgres.Config{Schema: "outbox_hooks"}); err != nil {
		return err
	}
	if err := s.store.Migrate(ctx); err != nil {
		return err
	}
	if _, err := s.pool.Exec(ctx, tables); err != nil {
		return err
	}
	if s.hooks, err = hooks.New(hooks.Config{Store: s.store}); err != nil {
		return err
	}
	if err := s.hooks.Register(OrderPlaced); err != nil {
		return err
	}
	return s.hooks.Subscribe(OrderPlaced.Handler("mailer", s.mail))
}

const tables = `
	CREATE SCHEMA IF NOT EXISTS outbox_shop;
	CREATE TABLE IF NOT EXISTS outbox_shop.orders (id text PRIMARY KEY, item text NOT NULL)`

func (s *shop) close() {
	s.db.Close()
	s.pool.Close()
}

// mail is the subscriber. A real one talks to a mail server, and returns its
// errors to be called again later.
func (s *shop) mail(_ context.Context, _ hooks.Event, o Order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mailed[o.ID]++
	return nil
}
