package main

import (
	"context"
)

// placeOrder saves an order and its event, with pgx.
func (s *shop) placeOrder(ctx context.Context, o Order) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx) // nothing, after the commit

	const insert = `INSERT INTO outbox_shop.orders (id, item) VALUES ($1, $2)`
	if _, err := tx.Exec(ctx, insert, o.ID, o.Item); err != nil {
		return err
	}
	if _, err := s.hooks.PublishTx(ctx, s.store.Tx(tx), o.event()); err != nil {
		return err
	}
	if err := o.checkStock(); err != nil {
		return err // the order and its event are gone
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	s.hooks.Wake(ctx) // deliver it now
	return nil
}
