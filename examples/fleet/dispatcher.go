package main

import (
	"context"

	"example.com/hooks"
	"example.com/hooks/egress"
)

// dispatch is the program of a process that delivers, beside any number of
// others. When ctx ends it takes no new work, finishes what is under way, and
// gives back what it has leased; only a kill leaves leases behind.
func dispatch(ctx context.Context, p place, name string) error {
	h, pool, err := connect(ctx, p, hooks.Config{
		Instance: name,
		Egress:   loopback,
		Trace: hooks.Trace{
			Started: func(ctx context.Context, d hooks.Delivery) context.Context {
				tell(started, d.Event, d.Subscriber, d.OrderingKey)
				return ctx
			},
			Finished: func(_ context.Context, d hooks.Delivery, _ hooks.Attempt) {
				tell(d.Status.String(), d.Event, d.Subscriber)
			},
		},
	})
	if err != nil {
		return err
	}
	defer pool.Close()
	tell(ready)
	return h.Run(ctx)
}

// loopback lets webhooks go to this machine: for development only.
var loopback = egress.Policy{AllowHTTP: true, AllowLoopback: true}
