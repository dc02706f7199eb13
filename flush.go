package hooks

import (
	"context"
	"errors"
	"fmt"
)

var errStopped = errors.New("hooks: flush: Run ended before all that was due was tried")

// flush waits until nothing is due in the store, and nothing is held here.
func (d *dispatcher) flush(ctx context.Context) error {
	select {
	case <-d.lanes.Idle():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		if err := d.failed(); err != nil {
			return fmt.Errorf("%w: %w", errStopped, err)
		}
		return errStopped
	}
}
