package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"maragu.dev/goqite"
)

// goqitePeer is the PostgreSQL flavour of https://www.goqite.com. One goroutine
// receives for all workers, as in goqite's own jobs.Runner: with two the server
// has to refuse every other transaction, and 64 that receive for themselves
// come to a quarter of the speed. Unlike the Runner it tries again at once what
// was refused, and polls every millisecond when there is nothing.
var goqitePeer = peer{name: "goqite", migrate: migrateGoqite, open: openGoqite}

const goqitePoll = time.Millisecond

// goqiteSchema creates the table, for goqite has no migration.
//
//go:embed goqite.sql
var goqiteSchema string

type goqiteLibrary struct {
	db     *sql.DB
	queue  *goqite.Queue
	sender *sender

	running sync.WaitGroup
	cancel  context.CancelCauseFunc // with what a worker could not mend
	cause   func() error
}

func migrateGoqite(ctx context.Context, b bench) error {
	db, err := sql.Open("pgx", b.database)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, goqiteSchema)
	return errors.Join(err, db.Close())
}

func openGoqite(_ context.Context, b bench) (library, error) {
	db, err := sql.Open("pgx", b.database)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return &goqiteLibrary{
		db: db,
		queue: goqite.New(goqite.NewOpts{
			DB:        db,
			Name:      "webhooks",
			SQLFlavor: goqite.SQLFlavorPostgreSQL,
			Timeout:   time.Minute,
		}),
		sender: newSender(b.receiver, b.secret),
	}, nil
}

func (l *goqiteLibrary) insert(ctx context.Context, payload []byte) error {
	return again(func() error { return l.queue.Send(ctx, goqite.Message{Body: payload}) })
}

// again calls f until the server does not refuse its transaction: goqite's are
// serializable, which leaves it to the caller to repeat them.
func again(f func() error) error {
	const serializationFailure, deadlockDetected = "40001", "40P01"
	for {
		err := f()
		refusal, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || refusal.Code != serializationFailure && refusal.Code != deadlockDetected {
			return err
		}
	}
}

func (l *goqiteLibrary) start(ctx context.Context) error {
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.cause = func() error { return context.Cause(ctx) }
	messages := make(chan *goqite.Message)
	l.running.Go(func() {
		defer close(messages)
		l.receive(ctx, messages)
	})
	for range workers {
		l.running.Go(func() {
			for m := range messages {
				l.deliver(context.WithoutCancel(ctx), m)
			}
		})
	}
	return nil
}

// receive hands messages to the workers until ctx ends.
func (l *goqiteLibrary) receive(ctx context.Context, messages chan<- *goqite.Message) {
	poll := time.NewTicker(goqitePoll)
	defer poll.Stop()
	for ctx.Err() == nil {
		var m *goqite.Message
		err := again(func() (err error) {
			m, err = l.queue.Receive(context.WithoutCancel(ctx))
			return err
		})
		switch {
		case err != nil:
			l.cancel(err)
		case m != nil:
			messages <- m
		default:
			<-poll.C
		}
	}
}

func (l *goqiteLibrary) deliver(ctx context.Context, m *goqite.Message) {
	err := l.sender.post(ctx, string(m.ID), m.Body)
	if err == nil {
		err = again(func() error { return l.queue.Delete(ctx, m.ID) })
	}
	if err != nil {
		l.cancel(err)
	}
}

var errStopped = errors.New("stopped")

func (l *goqiteLibrary) stop(context.Context) error {
	l.cancel(errStopped)
	l.running.Wait()
	if err := l.cause(); !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

func (l *goqiteLibrary) left(ctx context.Context) (n int, err error) {
	err = l.db.QueryRowContext(ctx, `select count(*) from goqite`).Scan(&n)
	return n, err
}

func (l *goqiteLibrary) close() error {
	l.sender.close()
	return l.db.Close()
}
