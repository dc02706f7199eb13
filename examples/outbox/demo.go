package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"example.com/hooks/internal/pgserver"
)

// run shows the shop at work, on the database that is named or one of its own.
func run(ctx context.Context, named string, out io.Writer) (err error) {
	url, stop, err := pgserver.Use(ctx, named)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	s, err := openShop(ctx, url)
	if err != nil {
		return err
	}
	defer s.close()

	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	var runErr error
	running.Go(func() {
		runErr = s.hooks.Run(ctx)
		cancel(runErr)
	})
	err = s.tour(ctx, out)
	cancel(nil) // Run finishes what is under way
	running.Wait()
	if named != "" {
		fmt.Fprintln(out, "It stays in the database: see the schemas outbox_shop and outbox_hooks.")
	}
	return errors.Join(err, runErr)
}

const (
	heading = "%-12s  %-9s  %-21s  %-7s  %-9s  %s\n"
	line    = "%-12s  %-9s  %-21s  %s\n"
)

// tour places an order that is committed and one that is not, with each driver.
func (s *shop) tour(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, heading, "driver", "order", "transaction", "its row", "its event", "delivered")
	for _, step := range []struct {
		driver string
		place  func(context.Context, Order) error
		item   string
	}{
		{"pgx", s.placeOrder, "Assam"},
		{"pgx", s.placeOrder, "Da Hong Pao"},
		{"database/sql", s.placeOrderSQL, "Keemun"},
		{"database/sql", s.placeOrderSQL, "Da Hong Pao"},
	} {
		o := Order{ID: rand.Text()[:8], Item: step.item}
		err := step.place(ctx, o)
		if err != nil && !errors.Is(err, errSoldOut) {
			return err
		}
		found, lookErr := s.look(ctx, o)
		if lookErr != nil {
			return lookErr
		}
		fmt.Fprintf(out, line, step.driver, o.ID, ending(err), found.cells())
		if err := found.check(err == nil); err != nil {
			return fmt.Errorf("order %s: %w", o.ID, err)
		}
	}
	fmt.Fprintln(out, "\nAn order and its event are there both, or neither.")
	return nil
}

// ending says how a transaction ended.
func ending(err error) string {
	if err != nil {
		return "rolled back: " + err.Error()
	}
	return "committed"
}
