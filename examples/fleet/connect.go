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
var OrderPlaced = hooks.EventType[Order]{Name: "order.placed"}

// schema is where the tables are.
const schema = "hooks_fleet"

// A place is the database of a fleet, and the key that encrypts the receivers'
// secrets in it. A real fleet is given both like its other secrets.
type place struct{ url, key string }

func newPlace(url string) (place, error) {
	key, err := keeper.NewKey("demo")
	return place{url, key.Reveal()}, err
}

// The variables that tell a process its place: not arguments, which all users of the
// machine could read.
const (
	urlVariable = "FLEET_DATABASE"
	keyVariable = "FLEET_KEY"
)

func (p place) environ() []string {
	return []string{urlVariable + "=" + p.url, keyVariable + "=" + p.key}
}

func placeOfProcess() place { return place{os.Getenv(urlVariable), os.Getenv(keyVariable)} }

// connect sets up hooks as every process of an application does, whether it
// publishes or dispatches. The pool is to be closed when hooks is no longer used.
func connect(ctx context.Context, p place, c hooks.Config) (h *hooks.Hooks, pool *pgxpool.Pool, err error) {
	if c.Keeper, err = keeper.Parse(p.key); err != nil {
		return nil, nil, err
	}
	if pool, err = pgxpool.New(ctx, p.url); err != nil {
		return nil, nil, err
	}
	if h, err = open(ctx, pool, c); err != nil {
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
	c.Store = store
	h, err := hooks.New(c)
	if err != nil {
		return nil, err
	}
	return h, h.Register(OrderPlaced)
}
