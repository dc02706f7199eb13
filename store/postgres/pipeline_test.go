package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
)

// complaints counts what a server has said to connections, by SQLSTATE.
type complaints struct {
	mu    sync.Mutex
	codes map[string]int
}

const (
	refused = "23505" // something was there already
	behind  = "25P02" // it came after something that failed, and was not waited for
)

// hear has a pool's connections tell c.
func (c *complaints) hear(p *pgxpool.Config) {
	c.codes = make(map[string]int)
	p.ConnConfig.OnPgError = func(_ *pgconn.PgConn, err *pgconn.PgError) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.codes[err.Code]++
		return !strings.EqualFold(err.Severity, "FATAL")
	}
}

func (c *complaints) of(code string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codes[code]
}

// onceSQL has the server give up the first transaction that stores evt_0.
const onceSQL = `CREATE SEQUENCE tries;
	CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.id = 'evt_0' AND nextval('tries') = 1 THEN
			RAISE 'once' USING ERRCODE = 'serialization_failure';
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER once BEFORE INSERT ON hooks.events FOR EACH ROW EXECUTE FUNCTION once()`

// A group that fails takes with it the one that was sent behind it, and nobody
// notices: both are done after all, and the later one finds what the earlier one
// has stored.
func TestLaterIsDoneLater(t *testing.T) {
	for name, fail := range map[string]func(*testing.T, *pgxpool.Pool){
		"given up": func(t *testing.T, pool *pgxpool.Pool) { mustExec(t, pool, onceSQL) },
		"refused":  func(t *testing.T, pool *pgxpool.Pool) { mustEnqueue(t, storeOn(t, pool), entry("evt_0", "crm")) },
	} {
		t.Run(name, func(t *testing.T) {
			var said complaints
			config := database(t)
			fail(t, poolOn(t, config))
			pool := poolOn(t, config, said.hear, func(c *pgxpool.Config) { c.MaxConns = 1 })
			s := storeOn(t, pool)
			mustEnqueue(t, s, entry("warm", "crm")) // what groups say is prepared
			finish(t, s, at(1), entry("warm", "crm").Deliveries[0])
			conn, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var calls sync.WaitGroup
			call := func(f func() error) {
				calls.Go(func() {
					if err := f(); err != nil {
						t.Error(err)
					}
				})
				<-time.After(20 * time.Millisecond) // the next comes after it
			}
			call(func() error { return enqueue(s, numbered("evt_", 700)...) })
			call(func() error { return enqueue(s, numbered("more_", 700)...) }) // that fills a group
			call(func() error {
				stale, err := s.Update(t.Context(), at(1), []hooks.Change{finished(numbered("more_", 700)[0].Deliveries[0], at(1))})
				if len(stale) > 0 {
					return fmt.Errorf("Update did not find %v, which was to be stored before", stale)
				}
				return err
			})
			conn.Release()
			calls.Wait()
			if said.of(behind) == 0 {
				t.Error("the second group was not sent behind the first one; the test shows nothing")
			}
		})
	}
}

// Whoever takes a connection out of the pool may forget what was prepared on it.
func TestStatementsThatWereDeallocated(t *testing.T) {
	for _, sql := range []string{"DEALLOCATE ALL", "DISCARD ALL"} {
		s, pool, release := narrow(t)
		release()
		mustEnqueue(t, s, entry("evt_1", "crm"))
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Conn().PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
		for i, r := range gather(t, s, conn.Release, numbered("a_", 3), numbered("b_", 3)) {
			if r.err != nil || len(r.receipts) != 3 {
				t.Errorf("Enqueue %d after %s = %v, %v; want 3 receipts", i, sql, r.receipts, r.err)
			}
		}
	}
}

// However much waits to be written, others get the connection in between.
func TestABusyWriterLendsItsConnection(t *testing.T) {
	s, pool, release := narrow(t)
	const calls = 60 // in groups of two
	done := make(chan error, calls)
	for i := range calls {
		entries := numbered(fmt.Sprint("evt_", i, "_"), 600)
		go func() { done <- enqueue(s, entries...) }()
	}
	release()
	if err := soon(t, done, "Enqueue"); err != nil { // the writer has the connection
		t.Fatal(err)
	}
	if err := pool.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(done); n > calls/2 {
		t.Errorf("it was lent when %d of %d calls were done; want long before", n, calls)
	}
	for range calls - 1 {
		if err := soon(t, done, "Enqueue"); err != nil {
			t.Error(err)
		}
	}
}

// noCodec encodes nothing.
type noCodec struct{ pgtype.Int8Codec }

func (noCodec) PlanEncode(*pgtype.Map, uint32, int16, any) pgtype.EncodePlan { return nil }

// The application may have its own way with types: of numbers it is nothing to us, and
// where something cannot be encoded, nothing is written and the connection stays good.
func TestWhatCannotBeEncoded(t *testing.T) {
	config := database(t)
	pool := poolOn(t, config, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
			conn.TypeMap().RegisterType(&pgtype.Type{Name: "_int8", OID: pgtype.Int8ArrayOID, Codec: noCodec{}})
			conn.TypeMap().RegisterType(&pgtype.Type{Name: "_text", OID: pgtype.TextArrayOID, Codec: noCodec{}})
			return nil
		}
	})
	s := storeOn(t, pool)
	before := value[int](t, pool, `SELECT pg_backend_pid()`)
	e := entry("evt_1", "crm")
	e.Deliveries[0].OrderingKey = "k"
	mustEnqueue(t, s, e)
	_, err := s.Update(t.Context(), at(1), []hooks.Change{finished(e.Deliveries[0], at(1))}) // its line is named by texts
	if err == nil || !strings.Contains(err.Error(), "encode") {
		t.Errorf("Update = %v; want an error that says what could not be encoded", err)
	}
	if n := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries WHERE status = 4`); n > 0 {
		t.Error("the delivery was updated; want it as it was")
	}
	if after := value[int](t, pool, `SELECT pg_backend_pid()`); after != before {
		t.Error("the connection was closed; want it to stay")
	}
}

// Where the driver is not to prepare statements, nothing is prepared.
func TestNothingIsPreparedWhereItMustNotBe(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		pool := poolOn(t, database(t), func(c *pgxpool.Config) {
			c.MaxConns, c.ConnConfig.DefaultQueryExecMode = 1, mode
		})
		mustEnqueue(t, storeOn(t, pool), entry("evt_1", "crm"))
		if n := value[int](t, pool, `SELECT count(*) FROM pg_prepared_statements`); n > 0 {
			t.Errorf("%v: %d statements are prepared; want none", mode, n)
		}
	}
}
