package main

import (
	"context"
)

// placeOrderSQL saves an order and its event, with database/sql.
func (s *shop) placeOrderSQL(ctx context.Context, o Order) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing, after the commit

	const insert = `INSERT INTO outbox_shop.orders (id, item) VALUES ($1, $2)`
	if _, err := tx.ExecContext(ctx, insert, o.ID, o.Item); err != nil {
		return err
	}
	if _, err := s.hooks.PublishTx(ctx, s.store.SQLTx(tx), o.event()); err != nil {
		return err
	}
	if err := o.checkStock(); err != nil {
		return err // the order and its event are gone
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.hooks.Wake(ctx) // deliver it now
	return nil
}
