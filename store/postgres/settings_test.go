package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
	"example.com/hooks/store/storetest"
)

// countdownSQL makes all that writes fail, as other transactions would make it,
// for as long as a sequence is not above zero. A sequence does not roll back.
const countdownSQL = `CREATE SEQUENCE countdown MINVALUE -1000000;
	CREATE TABLE failure (code text);
	INSERT INTO failure VALUES ('40001');
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('countdown') <= 0 THEN
			RAISE EXCEPTION 'somebody stood in the way' USING ERRCODE = (SELECT code FROM failure);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON hooks.events FOR EACH STATEMENT EXECUTE FUNCTION fail();
	CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON hooks.deliveries FOR EACH STATEMENT EXECUTE FUNCTION fail();
	CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON hooks.records FOR EACH STATEMENT EXECUTE FUNCTION fail();
	CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON hooks.minutes FOR EACH STATEMENT EXECUTE FUNCTION fail()`

// script runs several statements.
func script(t *testing.T, config *pgx.ConnConfig, sql string) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// What the server gives up because of other transactions is tried again, and no
// caller sees it; but not for ever.
func TestSerializationFailures(t *testing.T) {
	config := database(t)
	script(t, config, countdownSQL)
	pool := poolOn(t, config)
	s := storeOn(t, pool)
	for _, code := range []string{"40001", "40P01"} {
		mustExec(t, pool, `UPDATE failure SET code = $1`, code)
		for _, m := range those(true) {
			mustExec(t, pool, `SELECT setval('countdown', -3)`) // the next is -2: 3 failures
			well(t, s, m)
		}
		for _, m := range those(true) {
			mustExec(t, pool, `SELECT setval('countdown', -1000000)`)
			ailing(t, s, postgres.ErrSerialization, code, m)
			tries := value[int](t, pool, `SELECT last_value FROM countdown`) + 1000000
			if tries < 2 || tries > 20 {
				t.Errorf("%s was tried %d times; want some, but not many", m.name, tries)
			}
		}
		mustExec(t, pool, `SELECT setval('countdown', 1)`)
		well(t, s, those(true)...)
	}
}

// Two processes that publish the same in opposite order block each other.
func TestBatchesThatCross(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	stores := []*postgres.Store{storeOn(t, pool), storeOn(t, poolOn(t, config))}
	const rounds, size = 2, 400
	for round := range rounds {
		batch := numbered(fmt.Sprint("evt_", round, "_"), size)
		crossed := slices.Clone(batch)
		slices.Reverse(crossed)
		var wg sync.WaitGroup
		for i, entries := range [][]hooks.Entry{batch, crossed} {
			wg.Go(func() {
				if err := enqueue(stores[i], entries...); err != nil {
					t.Errorf("Enqueue of what another publishes in opposite order = %v; want nil", err)
				}
			})
		}
		wg.Wait()
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries`); got != rounds*size {
		t.Errorf("there are %d deliveries; want %d", got, rounds*size)
	}
}

// levelsSQL notes the isolation level of every transaction that writes.
const levelsSQL = `CREATE TABLE levels (level text);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO levels VALUES (current_setting('transaction_isolation'));
		RETURN NULL;
	END $$;
	CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON hooks.events FOR EACH STATEMENT EXECUTE FUNCTION note();
	CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON hooks.deliveries FOR EACH STATEMENT EXECUTE FUNCTION note();
	CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON hooks.records FOR EACH STATEMENT EXECUTE FUNCTION note();
	CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON hooks.minutes FOR EACH STATEMENT EXECUTE FUNCTION note()`

// Whatever the database's default, the store's own transactions are READ
// COMMITTED: those that publish the same do not get into each other's way.
func TestIsolationLevels(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			config := database(t)
			alterDatabase(t, config, `SET default_transaction_isolation = '`+level+`'`)
			script(t, config, levelsSQL)
			pool := poolOn(t, config)
			if got := value[string](t, pool, `SHOW transaction_isolation`); got != level {
				t.Fatalf("the default is %s; want %s", got, level)
			}
			stores := []*postgres.Store{storeOn(t, pool), storeOn(t, poolOn(t, config))}
			publishTheSame(t, stores, 8, 25)
			well(t, stores[0], methods...)
			other := value[int](t, pool, `SELECT count(*) FROM levels WHERE level <> 'read committed'`)
			if other > 0 {
				t.Errorf("%d statements were run at another level; want none", other)
			}
			if got := value[int](t, pool, `SELECT count(*) FROM hooks.events WHERE id LIKE 'same%'`); got != 50 {
				t.Errorf("there are %d events; want 50", got)
			}
		})
	}
}

// publishTheSame has n goroutines publish the same ids and the same keys.
func publishTheSame(t *testing.T, stores []*postgres.Store, n, events int) {
	t.Helper()
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() {
			for i := range events {
				err := enqueue(stores[g%len(stores)],
					entry(fmt.Sprint("same_", i), "crm"),
					keyed(entry(fmt.Sprint("same_", i, "_of_", g), "crm"), fmt.Sprint("key_", i), at(60)))
				if err != nil {
					t.Errorf("Enqueue of what others publish = %v; want nil", err)
				}
			}
		})
	}
	wg.Wait()
}

// A transaction of the application's has the level that the application chose, and
// may have to be run again.
func TestTxThatCannotBeSerialized(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	h := publishing(t, s)
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		ev := invoicePaid.New(invoice{1})
		ev.ID = "evt_" + string(level[:4])
		try := func(before func()) error {
			return pgx.BeginTxFunc(t.Context(), pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SELECT count(*) FROM hooks.events`); err != nil {
					return err
				}
				before() // after what the transaction sees was settled
				_, err := h.PublishTx(t.Context(), s.Tx(tx), ev)
				return err
			})
		}
		if err := try(func() { mustPublish(t, h, ev) }); !errors.Is(err, postgres.ErrSerialization) {
			t.Errorf("PublishTx of what was published meanwhile, %s = %v; want ErrSerialization", level, err)
		}
		if err := try(func() {}); err != nil {
			t.Errorf("PublishTx in a transaction that is run again, %s = %v; want nil", level, err)
		}
	}
}

// Poolers such as PgBouncer need other modes than the driver's default; and who traces
// what is sent wants to see it all.
func TestExecModes(t *testing.T) {
	mode := func(m pgx.QueryExecMode) func(*pgxpool.Config) {
		return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = m }
	}
	for name, in := range map[string]func(*pgxpool.Config){
		"default":         func(*pgxpool.Config) {},
		"traced":          func(c *pgxpool.Config) { c.ConnConfig.Tracer = &tracer{} },
		"cache describe":  mode(pgx.QueryExecModeCacheDescribe),
		"exec":            mode(pgx.QueryExecModeExec),
		"simple protocol": mode(pgx.QueryExecModeSimpleProtocol),
	} {
		t.Run(name, func(t *testing.T) {
			s := storeOn(t, poolOn(t, database(t), in))
			checkRoundTrip(t, s)
			checkReports(t, s, s, name)
			well(t, s, methods...)
			storetest.RunTx(t, func(t *testing.T) (hooks.Store, func() storetest.Transaction) {
				pool := poolOn(t, database(t), in)
				s := storeOn(t, pool)
				return s, func() storetest.Transaction { return beginIn(t, s, pool) }
			})
		})
	}
}

// A tracer counts the statements that it is told of.
type tracer struct{ n atomic.Int32 }

var _ pgx.BatchTracer = (*tracer)(nil)

func (*tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (*tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (tr *tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { tr.n.Add(1) }

func (*tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// A tracer is told of the statements that store an event.
func TestATracerSeesWhatIsWritten(t *testing.T) {
	var told tracer
	s := storeOn(t, poolOn(t, database(t), func(c *pgxpool.Config) { c.ConnConfig.Tracer = &told }))
	mustEnqueue(t, s, entry("evt_1", "crm"))
	if n := told.n.Load(); n < 2 {
		t.Errorf("the tracer was told of %d statements; want those that store an event and its delivery", n)
	}
}

func beginIn(t *testing.T, s *postgres.Store, pool *pgxpool.Pool) storetest.Transaction {
	t.Helper()
	ctx := context.Background()
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Transaction{
		Tx:       s.Tx(tx),
		Commit:   func() error { return tx.Commit(ctx) },
		Rollback: func() error { return tx.Rollback(ctx) },
	}
}

// Stores in two schemas of one database have nothing to do with each other.
func TestSchemas(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config)
	a, same := storeOn(t, pool), storeOn(t, poolOn(t, config))
	b, err := postgres.New(poolOn(t, config), postgres.Config{Schema: "user"}) // a reserved word
	if err != nil {
		t.Fatal(err)
	}
	ailing(t, b, postgres.ErrNoTables, "42P01", methods...)
	for range 2 {
		if err := b.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	woken := awaken(t.Context(), t, a)
	well(t, b, methods...)
	checkRoundTrip(t, mustNew(t, poolOn(t, config), "other"))
	quiet(t, woken, "after writes in another schema")
	if page, _, err := a.Events(t.Context(), hooks.Query{}); err != nil || len(page) != 0 {
		t.Errorf("Events of a schema to which nothing was published = %v, %v; want none", page, err)
	}
	if list, err := a.Records(t.Context(), 0); err != nil || len(list) != 0 {
		t.Errorf("Records of a schema to which nothing was put = %v, %v; want none", list, err)
	}
	receipts, err := same.Enqueue(t.Context(), at(0), []hooks.Entry{entry("evt_1", "crm")})
	if err != nil || receipts[0].Duplicate {
		t.Errorf("Enqueue of an id that another schema has = %v, %v; want it stored", receipts, err)
	}
	soon(t, woken, "Wait after a write in its schema")
	if err := exec(t.Context(), config, `DROP SCHEMA hooks CASCADE`); err != nil {
		t.Fatal(err)
	}
	well(t, b, methods...)
	replay(t, b, "crm")
}

// mustNew is a store in a schema, with its tables.
func mustNew(t *testing.T, pool *pgxpool.Pool, schema string) *postgres.Store {
	t.Helper()
	s, err := postgres.New(pool, postgres.Config{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
