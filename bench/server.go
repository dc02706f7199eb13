package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/hooks/internal/pgserver"
)

// A server is the PostgreSQL that all peers work on.
type server struct {
	private    *pgserver.Server // nil when it is not ours
	postmaster string           // the id of its first process; empty when it is not ours
	url        func(database string) string
	control    *pgx.Conn // to a database of no peer
	statements bool      // they can be counted
	counting   bool      // they are, in databases made from now on, which takes its time
	databases  int       // made so far
}

// startServer starts a server that is as durable as one in production. No
// checkpoint falls into a measure but those that are asked for.
func startServer(ctx context.Context) (*server, error) {
	settings := map[string]string{
		"max_wal_size":             "8GB",
		"checkpoint_timeout":       "1h",
		"shared_preload_libraries": "pg_stat_statements",
	}
	private, err := pgserver.Start(ctx, pgserver.Config{Durable: true, Settings: settings})
	if err != nil && !errors.Is(err, pgserver.ErrNotInstalled) && ctx.Err() == nil {
		delete(settings, "shared_preload_libraries") // of the contrib modules, which may not be there
		private, err = pgserver.Start(ctx, pgserver.Config{Durable: true, Settings: settings})
	}
	if err != nil {
		return nil, err
	}
	s := &server{private: private, url: private.URL}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	const pid = `select split_part(pg_read_file('postmaster.pid'), chr(10), 1)`
	if err := s.control.QueryRow(ctx, pid).Scan(&s.postmaster); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// useServer uses one that runs already, by the URL of any database on it.
func useServer(ctx context.Context, text string) (*server, error) {
	base, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	s := &server{url: func(database string) string {
		u := *base
		u.Path = "/" + database
		return u.String()
	}}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) connect(ctx context.Context) (err error) {
	if s.control, err = pgx.Connect(ctx, s.url("postgres")); err != nil {
		return err
	}
	_, err = s.control.Exec(ctx, `create extension if not exists pg_stat_statements`)
	if err == nil {
		_, err = s.control.Exec(ctx, `select from pg_stat_statements limit 1`)
	}
	if _, ok := errors.AsType[*pgconn.PgError](err); ok {
		return nil // it is not installed, or not loaded
	}
	s.statements = err == nil
	return err
}

func (s *server) close() (err error) {
	if s.control != nil {
		err = s.control.Close(context.Background())
	}
	if s.private != nil {
		err = errors.Join(err, s.private.Stop())
	}
	return err
}

// newBench makes an empty database for b, and returns what drops it.
func (s *server) newBench(ctx context.Context, b bench) (_ bench, drop func() error, err error) {
	s.databases++
	b.name = fmt.Sprintf("hooks_bench_%d_%d", os.Getpid(), s.databases)
	b.database = s.url(b.name)
	drop = func() error {
		_, err := s.control.Exec(context.WithoutCancel(ctx), `drop database `+b.name+` with (force)`)
		return err
	}
	if _, err = s.control.Exec(ctx, `create database `+b.name); err != nil || s.counting || !s.statements {
		return b, drop, err
	}
	_, err = s.control.Exec(ctx, `alter database `+b.name+` set pg_stat_statements.track = none`)
	return b, drop, err
}

// machine says what it all runs on.
func (s *server) machine(ctx context.Context) (string, error) {
	var version string
	if err := s.control.QueryRow(ctx, `show server_version`).Scan(&version); err != nil {
		return "", err
	}
	version, _, _ = strings.Cut(version, " ")
	var line strings.Builder
	fmt.Fprintf(&line, "%d cores, %s %s/%s, PostgreSQL %s:",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, version)
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes", "shared_buffers"} {
		var value string
		if err := s.control.QueryRow(ctx, `show `+setting).Scan(&value); err != nil {
			return "", err
		}
		fmt.Fprintf(&line, " %s=%s", setting, value)
	}
	return line.String(), nil
}
