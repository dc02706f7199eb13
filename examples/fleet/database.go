package main

import (
	"context"
	"errors"

	"example.com/hooks/internal/pgserver"
)

var errNoServer = errors.New("there is no PostgreSQL 15 or later on this machine:" +
	" install it (Debian: apt install postgresql)," +
	" or name a database with -db postgres://user:password@host/name")

// database returns the URL of the database to use: the one that is named, else
// one of a server that lives until stop is called.
func database(ctx context.Context, named string) (url string, stop func() error, err error) {
	if named != "" {
		return named, func() error { return nil }, nil
	}
	server, err := pgserver.Start(ctx, pgserver.Config{})
	if errors.Is(err, pgserver.ErrNotInstalled) {
		return "", nil, errNoServer
	}
	if err != nil {
		return "", nil, err
	}
	return server.URL("postgres"), server.Stop, nil
}
