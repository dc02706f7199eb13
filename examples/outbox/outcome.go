package main

import (
	"context"
	"fmt"

	"example.com/hooks"
)

// An outcome is what there is to be found of an order.
type outcome struct {
	row    bool // in the shop's table
	event  bool // in the store
	mailed int  // calls of the subscriber
}

// look waits until everything that is due has been delivered, and then looks
// for an order everywhere.
func (s *shop) look(ctx context.Context, o Order) (found outcome, err error) {
	if err := s.hooks.Flush(ctx); err != nil {
		return found, err
	}
	const query = `SELECT EXISTS (SELECT FROM outbox_shop.orders WHERE id = $1)`
	if err := s.pool.QueryRow(ctx, query, o.ID).Scan(&found.row); err != nil {
		return found, err
	}
	events, _, err := s.hooks.Events(ctx, hooks.Query{Event: o.event().ID})
	if err != nil {
		return found, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return outcome{found.row, len(events) > 0, s.mailed[o.ID]}, nil
}

// check returns an error unless all of the order is there, or nothing of it.
func (found outcome) check(committed bool) error {
	want := outcome{}
	if committed {
		want = outcome{row: true, event: true, mailed: 1}
	}
	if found != want {
		return fmt.Errorf("found %+v; want %+v", found, want)
	}
	return nil
}

// cells are the last columns of the table.
func (found outcome) cells() string {
	return fmt.Sprintf("%-7s  %-9s  %s", yes(found.row), yes(found.event), yes(found.mailed > 0))
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}
