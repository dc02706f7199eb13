package hooks

import (
	"context"
	"fmt"
	"time"
)

// Prune forgets what is older than the retention, in small steps, and returns
// when there is no more. Run does so every hour. A clock that this process saw being
// set forward is believed a day later, so that a wrong one makes nothing forgotten.
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
		n, err := store.Prune(ctx, Prune{
			Done:   at.Add(-h.cfg.Retention),
			Failed: at.Add(-h.cfg.FailedRetention),
			Keys:   at,
			Limit:  pruneStep,
		})
		if err != nil {
			return fmt.Errorf("hooks: prune: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

const (
	pruneFirst = time.Minute // after Run begins: some programs never live for an hour
	pruneEvery = time.Hour
	pruneStep  = 500 // rows a call, so that nobody waits long for the store
)

// prune forgets what is older than the retention, hour by hour.
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
