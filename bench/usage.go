package main

import (
	"context"
	"errors"
	"time"
)

// A usage is what was used up to a moment, or between two.
type usage struct {
	process    time.Duration // CPU time of this process: the peer, who inserts, and the receiver
	server     time.Duration // CPU time of PostgreSQL; zero when it cannot be had
	wal        int64         // bytes written ahead
	statements int64         // executed in the peer's database; zero when nobody counts
}

func (u usage) since(before usage) usage {
	return usage{
		process:    u.process - before.process,
		server:     u.server - before.server,
		wal:        u.wal - before.wal,
		statements: u.statements - before.statements,
	}
}

// usage returns what was used so far.
func (s *server) usage(ctx context.Context, b bench) (u usage, err error) {
	if s.counting {
		err = s.control.QueryRow(ctx, `
			select coalesce(sum(calls), 0)::bigint
			from pg_stat_statements s join pg_database d on d.oid = s.dbid
			where d.datname = $1`, b.name).Scan(&u.statements)
	}
	if err != nil {
		return u, err
	}
	err = s.control.QueryRow(ctx, `select (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&u.wal)
	if err != nil {
		return u, err
	}
	if s.private != nil {
		if u.server, err = serverTime(s.postmaster); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return u, err
		}
	}
	u.process, err = processTime()
	return u, err
}

// transactions are those of a database, as PostgreSQL counts them.
type transactions struct{ commits, rollbacks int64 }

func (t transactions) since(before transactions) transactions {
	return transactions{t.commits - before.commits, t.rollbacks - before.rollbacks}
}

// settle waits until nobody is connected to the database, for a connection
// tells its transactions at the latest when it ends, and makes a checkpoint, so
// that what follows pays for no page image that it did not cause.
func (s *server) settle(ctx context.Context, b bench) (t transactions, err error) {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for connected := 1; connected > 0; {
		err := s.control.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = $1`, b.name).Scan(&connected)
		if err != nil {
			return t, err
		}
		<-poll.C
	}
	if _, err := s.control.Exec(ctx, `checkpoint`); err != nil {
		return t, err
	}
	err = s.control.QueryRow(ctx, `select xact_commit, xact_rollback from pg_stat_database where datname = $1`, b.name).
		Scan(&t.commits, &t.rollbacks)
	return t, err
}
