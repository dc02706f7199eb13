package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverPeer is https://riverqueue.com on pgx, set up as its documentation
// recommends, but for one setting: with 64 workers its FetchCooldown of 100 ms
// would permit 640 deliveries a second. 5 ms limits nothing here; 1 ms, the least
// that it takes, makes it slower, for it announces new jobs as often.
var riverPeer = peer{name: "River", migrate: migrateRiver, open: openRiver}

const riverCooldown = 5 * time.Millisecond

// A riverJob has a payload as its arguments, and encodes nothing twice.
type riverJob struct{ payload []byte }

// Kind returns what River calls such jobs.
func (riverJob) Kind() string { return "webhook" }

// MarshalJSON returns the payload.
func (j riverJob) MarshalJSON() ([]byte, error) { return j.payload, nil }

// UnmarshalJSON takes the payload as the database returns it.
func (j *riverJob) UnmarshalJSON(b []byte) error {
	j.payload = bytes.Clone(b)
	return nil
}

var _ json.Unmarshaler = (*riverJob)(nil)

type riverWorker struct {
	river.WorkerDefaults[riverJob]
	sender *sender
}

// Work delivers a job.
func (w *riverWorker) Work(ctx context.Context, job *river.Job[riverJob]) error {
	return w.sender.post(ctx, "job_"+strconv.FormatInt(job.ID, 10), job.Args.payload)
}

type riverLibrary struct {
	pool   *pgxpool.Pool
	sender *sender
	client *river.Client[pgx.Tx]
}

func migrateRiver(ctx context.Context, b bench) error {
	pool, err := b.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func openRiver(ctx context.Context, b bench) (library, error) {
	pool, err := b.pool(ctx, func(c *pgxpool.Config) {
		if b.claimed != nil {
			c.ConnConfig.Tracer = fetchTracer{b.claimed}
		}
	})
	if err != nil {
		return nil, err
	}
	l := &riverLibrary{pool: pool, sender: newSender(b.receiver, b.secret)}
	kinds := river.NewWorkers()
	river.AddWorker(kinds, &riverWorker{sender: l.sender})
	l.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: riverCooldown,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		Workers:       kinds,
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return l, nil
}

func (l *riverLibrary) insert(ctx context.Context, payload []byte) error {
	_, err := l.client.Insert(ctx, riverJob{payload}, nil)
	return err
}

func (l *riverLibrary) start(ctx context.Context) error { return l.client.Start(ctx) }
func (l *riverLibrary) stop(ctx context.Context) error  { return l.client.Stop(ctx) }

func (l *riverLibrary) left(ctx context.Context) (n int, err error) {
	err = l.pool.QueryRow(ctx, `select count(*) from river_job where state <> 'completed'`).Scan(&n)
	return n, err
}

func (l *riverLibrary) close() error {
	l.sender.close()
	l.pool.Close()
	return nil
}
