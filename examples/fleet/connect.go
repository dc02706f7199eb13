package main

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/keeper"
	"example.com/hooks/store/postgres"
)

// An Order is the data of the events.
type Order struct {
	Number  int    `json:"number"`
	Account string `json:"account,omitempty"` // empty: of nobody in particular
}

// OrderPlaced is the event of this application.
var OrderPlaced = hooks.NewEventType[Order]("order.placed")

// schema is where the tables are.
const schema = "hooks_fleet"

// connect sets up hooks as every process of an application does, whether it
// publishes or dispatches. The pool is to be closed when hooks is no longer used.
func connect(ctx context.Context, url string, c hooks.Config) (*hooks.Hooks, *pgxpool.Pool, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	h, err := open(ctx, pool, c)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return h, pool, nil
}

func open(ctx context.Context, pool *pgxpool.Pool, c hooks.Config) (*hooks.Hooks, error) {
	store, err := postgres.New(pool, postgres.Config{Schema: schema})
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil { // all may try at once
		return nil, err
	}
	if c.Keeper, err = keeper.Parse(os.Getenv(keysVariable)); err != nil {
		return nil, err
	}
	c.Store = store
	h, err := hooks.New(c)
	if err != nil {
		return nil, err
	}
	return h, h.Register(OrderPlaced)
}

// makeKey makes the key that encrypts the receivers' secrets in the database, for
// this process and those that it will start. A real fleet is given its keys like its
// other secrets.
func makeKey() error {
	key, err := keeper.NewKey("demo")
	if err != nil {
		return err
	}
	return os.Setenv(keysVariable, key.Reveal())
}
