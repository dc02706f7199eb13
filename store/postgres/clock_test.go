package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// The store's clock is the database's, in UTC.
func TestNow(t *testing.T) {
	s := open(t)
	before := time.Now()
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The server may be another machine's.
	if now.Before(before.Add(-time.Minute)) || now.After(time.Now().Add(time.Minute)) || now.Location() != time.UTC {
		t.Errorf("Now() = %v; want about %v, in UTC", now, before.UTC())
	}
}

// In a transaction it goes on, where now() would stand still.
func TestNowInATransaction(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	s := storeOn(t, pool)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) // it has done nothing
	sqlTx, err := sqlDB(t, config).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer sqlTx.Rollback() // the same
	for name, in := range map[string]hooks.Tx{"Tx": s.Tx(tx), "SQLTx": s.SQLTx(sqlTx)} {
		clock, ok := in.(hooks.Clock)
		if !ok {
			t.Fatalf("%s is no Clock", name)
		}
		first, err := clock.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, err := clock.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !second.After(first) || second.Location() != time.UTC {
			t.Errorf("%s: Now() = %v, and then %v; want it to go on, in UTC", name, first, second)
		}
	}
}

// PublishTx asks the transaction at hand for the time, for there may be no second
// connection to be had.
func TestPublishTxNeedsOneConnection(t *testing.T) {
	pool := poolOn(t, database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	s := storeOn(t, pool)
	h := publishing(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.PublishTx(ctx, s.Tx(tx), invoicePaid.New(invoice{1})); err != nil {
		t.Errorf("PublishTx on the pool's only connection = %v; want nil", err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

// An hourAhead is a store whose database is an hour ahead of this machine.
type hourAhead struct{ *postgres.Store }

// Now implements [hooks.Clock].
func (s hourAhead) Now(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Now(ctx)
	return now.Add(time.Hour), err
}

// Everything is dated by the store's clock, leases above all: a process whose own
// clock is an hour slow takes none that runs.
func TestDatedByTheStoresClock(t *testing.T) {
	s := open(t)
	h, err := hooks.New(hooks.Config{Store: hourAhead{s}, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(invoicePaid); err != nil {
		t.Fatal(err)
	}
	leased := make(chan hooks.Delivery, 1)
	err = h.Subscribe(invoicePaid.Handler("audit", func(ctx context.Context, _ hooks.Event, _ invoice) error {
		d, _ := hooks.DeliveryFrom(ctx)
		leased <- d
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(time.Hour - time.Minute)
	r := mustPublish(t, h, invoicePaid.New(invoice{1})) // claimed from the store, for nothing runs yet
	running(t, h)
	d := soon(t, leased, "the handler")
	if d.Created.Before(ahead) || d.Due.Before(ahead) {
		t.Errorf("the delivery is of %v and leased until %v; want an hour ahead of %v", d.Created, d.Due, time.Now())
	}
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	attempts, err := s.Attempts(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "audit"})
	if err != nil || len(attempts) != 1 || attempts[0].Start.Before(ahead) {
		t.Errorf("Attempts = %v, %v; want one, an hour ahead of %v", attempts, err, time.Now())
	}
}
