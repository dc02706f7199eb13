package pgserver

import "context"

// Debian is the pattern of directories that Start looks into.
const Debian = debian

// Find returns the paths of initdb and pg_ctl.
func Find(pattern string) (initdb, pgctl string, err error) {
	p, err := find(pattern)
	return p.initdb, p.pgctl, err
}

// StartOn is Start with its choice of ports.
func StartOn(ctx context.Context, c Config, nextPort func() int) (*Server, error) {
	return start(ctx, c, nextPort)
}
