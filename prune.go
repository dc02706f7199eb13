package hooks

import (
	"context"
	"fmt"
	"time"
)

// Prune removes events and deliveries that are older than the retention. It removes them in
// small steps, and returns when nothing is left to remove. It also removes actions that have
// finished 90 days ago. Run does the same every hour.
// If this process notices that the clock was set forward, Prune ignores that for a day, so
// that a wrong clock removes nothing.
func (h *Hooks) Prune(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	return h.prune(ctx, h.store)
}

func (h *Hooks) prune(ctx context.Context, store Store) error {
	if err := h.sync(ctx, store); err != nil {
		return err
	}
	for {
		at := h.prunable()
		n, err := store.Prune(ctx, Cutoffs{
			Done:    at.Add(-h.cfg.Retention),
			Failed:  at.Add(-h.cfg.FailedRetention),
			Keys:    at,
			Minutes: at.Add(-keepMinutes),
			Limit:   pruneStep,
		})
		if err != nil {
			return fmt.Errorf("hooks: prune: %w", err)
		}
		if n == 0 {
			return h.pruneActions(ctx, store, at)
		}
	}
}

const (
	pruneFirst = time.Minute // after Run begins: some programs never live for an hour
	pruneEvery = time.Hour
	pruneStep  = 500 // rows in a call, so that other callers do not wait long for the store
)

// prune prunes the store a minute after Run has begun, and then every hour.
func (d *dispatcher) prune(ctx context.Context) {
	retry := backoff{report: d.h.storeError}
	for wait := pruneFirst; ; wait = pruneEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		for err := d.h.prune(ctx, d.store); err != nil; err = d.h.prune(ctx, d.store) {
			if retry.wait(ctx, err); ctx.Err() != nil {
				return
			}
		}
		retry.reset()
	}
}
