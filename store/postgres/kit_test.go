package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/internal/pgserver"
	"example.com/hooks/store/postgres"
)

// The server that all tests share: the one that HOOKS_TEST_POSTGRES names, or one
// of our own, that lives as long as the tests.
var shared struct {
	sync.Once
	server *pgserver.Server
	config *pgx.ConnConfig
	err    error

	poolerOnce sync.Once
	pooler     *pgserver.Pooler // before that server
	poolerErr  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.pooler != nil {
		if err := shared.pooler.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// server returns how to connect to the shared server's database of maintenance,
// where a template for all others has been made.
func server(t testing.TB) *pgx.ConnConfig {
	t.Helper()
	shared.Do(func() { shared.config, shared.err = startShared() })
	if errors.Is(shared.err, pgserver.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.config.Copy()
}

// pooled returns how to connect to a database of the shared server through PgBouncer,
// in transaction mode.
func pooled(t testing.TB, config *pgx.ConnConfig) *pgx.ConnConfig {
	t.Helper()
	shared.poolerOnce.Do(func() {
		shared.pooler, shared.poolerErr = pgserver.StartPooler(context.Background(), pgserver.PoolerConfig{
			Host: config.Host, Port: config.Port, User: config.User, Password: config.Password,
		})
	})
	if errors.Is(shared.poolerErr, pgserver.ErrNoPooler) && os.Getenv("CI") == "" {
		t.Skip(shared.poolerErr)
	}
	if shared.poolerErr != nil {
		t.Fatal(shared.poolerErr)
	}
	config = config.Copy()
	config.Host, config.Port, config.TLSConfig, config.Fallbacks = "127.0.0.1", shared.pooler.Port, nil, nil
	return config
}

func startShared() (*pgx.ConnConfig, error) {
	ctx := context.Background()
	url := os.Getenv("HOOKS_TEST_POSTGRES")
	if url == "" {
		var err error
		if shared.server, err = pgserver.Start(ctx, pgserver.Config{
			Settings: map[string]string{"max_prepared_transactions": "10"},
		}); err != nil {
			return nil, err
		}
		url = shared.server.URL("postgres")
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	return config, makeTemplate(ctx, config)
}

// makeTemplate makes the database that each test has a copy of.
func makeTemplate(ctx context.Context, config *pgx.ConnConfig) error {
	if err := create(ctx, config, template, "template0"); err != nil {
		return err
	}
	c, err := pgxpool.ParseConfig("")
	if err != nil {
		return err
	}
	c.ConnConfig = config.Copy()
	c.ConnConfig.Database = template
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return err
	}
	defer pool.Close()
	s, err := postgres.New(pool, postgres.Config{})
	if err != nil {
		return err
	}
	return s.Migrate(ctx)
}

var template = "hooks_template_" + strings.ToLower(rand.Text()[:8])

func create(ctx context.Context, config *pgx.ConnConfig, name, from string) error {
	return exec(ctx, config, "CREATE DATABASE "+name+" TEMPLATE "+from+" ENCODING UTF8")
}

// exec runs a statement on a connection of its own.
func exec(ctx context.Context, config *pgx.ConnConfig, sql string, args ...any) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// database returns how to connect to a database of the test's own, which has the
// tables already.
func database(t testing.TB) *pgx.ConnConfig {
	t.Helper()
	return copyOf(t, template)
}

func copyOf(t testing.TB, from string) *pgx.ConnConfig {
	t.Helper()
	config := server(t)
	name := "hooks_test_" + strings.ToLower(rand.Text()[:12])
	if err := create(t.Context(), config, name, from); err != nil {
		t.Fatal(err)
	}
	if shared.server == nil { // ours goes with all it has, at once
		t.Cleanup(func() { dropDatabase(t, config, name) })
	}
	own := config.Copy()
	own.Database = name
	return own
}

func dropDatabase(t testing.TB, config *pgx.ConnConfig, name string) {
	t.Helper()
	if err := exec(context.Background(), config, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		t.Errorf("drop the test's database: %v", err)
	}
}

// poolOn connects to a database, until the test ends.
func poolOn(t testing.TB, config *pgx.ConnConfig, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	c, err := pgxpool.ParseConfig("")
	if err != nil {
		t.Fatal(err)
	}
	c.ConnConfig = config.Copy()
	c.MaxConns = 16
	for _, f := range change {
		f(c)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// storeOn is a store on a pool.
func storeOn(t testing.TB, pool *pgxpool.Pool) *postgres.Store {
	t.Helper()
	s, err := postgres.New(pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open returns an empty store.
func open(t testing.TB) *postgres.Store {
	t.Helper()
	return storeOn(t, poolOn(t, database(t)))
}

// ownServer starts a server for one test, which may stop it, and returns how to
// connect to a database there that has the tables.
func ownServer(t *testing.T, c pgserver.Config) (*pgserver.Server, *pgx.ConnConfig) {
	t.Helper()
	s, err := pgserver.Start(t.Context(), c)
	if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := pgx.ParseConfig(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if err := storeOn(t, poolOn(t, config)).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, config
}

// at is a moment some seconds after that at which tests of the store alone begin.
func at(seconds int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC).
		Add(time.Duration(seconds) * time.Second)
}

// entry is an event with deliveries that are due at once.
func entry(id string, subscribers ...string) hooks.Entry {
	e := hooks.Entry{Event: hooks.Event{
		ID: id, Type: "invoice.paid", Time: at(0), Data: []byte(`{"id":"` + id + `"}`),
	}}
	for _, s := range subscribers {
		e.Deliveries = append(e.Deliveries, hooks.Delivery{
			DeliveryID: hooks.DeliveryID{Event: id, Subscriber: s}, Type: e.Event.Type,
			Status: hooks.Pending, Due: at(0), Run: 1, Created: at(0), Updated: at(0),
		})
	}
	return e
}

// keyed gives e an idempotency key that is taken until a time.
func keyed(e hooks.Entry, key string, until time.Time) hooks.Entry {
	e.Event.IdempotencyKey, e.KeyUntil = key, until
	return e
}

// enqueue stores entries, of which each is to be stored or known.
func enqueue(to hooks.Tx, entries ...hooks.Entry) error {
	_, err := to.Enqueue(context.Background(), at(0), entries)
	return err
}

// mustEnqueue is enqueue in a test that cannot go on without.
func mustEnqueue(t testing.TB, to hooks.Tx, entries ...hooks.Entry) {
	t.Helper()
	if err := enqueue(to, entries...); err != nil {
		t.Fatal(err)
	}
}

// mustExec runs a statement in the test's database.
func mustExec(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// value is the one that a query returns.
func value[T any](t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// soon takes the next value of a channel, and fails the test if none comes.
func soon[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("%s: nothing came within a minute", what)
		panic("unreachable")
	}
}
