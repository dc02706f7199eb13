package hooks

import "time"

// SetWall makes h read the machine's clock by a function. Call it before all else.
func SetWall(h *Hooks, wall func() time.Time) { h.wall = wall }
