package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"example.com/hooks"
)

// publish is the program of a process that publishes and never calls Run: n
// events, spread evenly over a time.
func publish(ctx context.Context, p place, n int, over time.Duration) error {
	h, pool, err := connect(ctx, p, hooks.Config{})
	if err != nil {
		return err
	}
	defer pool.Close()
	batch := rand.Text()[:6]
	pace := time.NewTicker(over / time.Duration(n))
	defer pace.Stop()
	for i := range n {
		if i > 0 && !wait(ctx, pace.C) {
			return nil
		}
		o := Order{Number: i}
		if i%2 == 0 {
			o.Account = fmt.Sprintf("account-%02d", i/2%accounts)
		}
		ev := OrderPlaced.New(o)
		ev.ID = fmt.Sprintf("%s-%05d", batch, i)
		ev.OrderingKey = o.Account // empty: in any order
		if err := publishSurely(ctx, h, ev); err != nil {
			return err
		}
		tell(published, ev.ID)
	}
	return nil
}

// accounts is how many ordering keys there are.
const accounts = 20

// publishSurely returns nil when an event is stored. Of an error that is no
// refusal it is unknown whether the event was stored before it; so the same
// event is published again, with the same ID, and will not be there twice.
func publishSurely(ctx context.Context, h *hooks.Hooks, ev hooks.Event) error {
	for {
		_, err := h.Publish(ctx, ev)
		if err == nil {
			return nil
		}
		if _, refused := errors.AsType[*hooks.InvalidError](err); refused {
			return err
		}
		slog.Warn("publish; trying again", "event", ev.ID, "error", err)
		if !wait(ctx, time.After(time.Second)) {
			return ctx.Err()
		}
	}
}

// wait returns false if ctx ends first.
func wait(ctx context.Context, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}
