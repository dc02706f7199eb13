package hooks

import "time"

// SetWall makes h read the machine's clock by a function. Call it before all else.
func (h *Hooks) SetWall(wall func() time.Time) { h.wall = wall }
