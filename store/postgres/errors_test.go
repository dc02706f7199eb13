package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// A method is one of a store's that go to the database.
type method struct {
	name   string
	writes bool
	call   func(ctx context.Context, s *postgres.Store) error
}

// methods are all of them but Migrate and Wait. Each can be called again and
// again.
var methods = []method{
	{"Enqueue", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Enqueue(ctx, at(0), []hooks.Entry{entry("evt_1", "crm")})
		return err
	}},
	{"Enqueue alone", true, func(ctx context.Context, s *postgres.Store) error {
		add := entry("evt_1", "audit")
		add.Add = true
		_, err := s.Enqueue(ctx, at(0), []hooks.Entry{entry("evt_1", "crm"), add})
		return err
	}},
	{"Update", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Update(ctx, at(0), []hooks.Change{{Delivery: entry("none", "crm").Deliveries[0]}})
		return err
	}},
	{"Update that emits", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Update(ctx, at(0), []hooks.Change{{
			Delivery: entry("none", "crm").Deliveries[0],
			Emit:     []hooks.Entry{entry("emitted", "crm")},
		}})
		return err
	}},
	{"Claim", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Claim(ctx, at(0), []hooks.ClaimLane{lane("nobody", 1)})
		return err
	}},
	{"Put", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Put(ctx, at(0), hooks.Record{Key: "endpoint/crm", Data: []byte("1")}, nil)
		if errors.Is(err, hooks.ErrConflict) {
			return nil // of the call before
		}
		return err
	}},
	{"Put that emits", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Put(ctx, at(0), hooks.Record{Key: "action/1", Data: []byte("1")}, []hooks.Entry{entry("put", "crm")})
		if errors.Is(err, hooks.ErrConflict) {
			return nil // of the call before
		}
		return err
	}},
	{"Prune that erases", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Prune(ctx, hooks.Cutoffs{Erase: []string{"evt_1", "put"}, Now: at(0)})
		return err
	}},
	{"AddMinutes", true, func(ctx context.Context, s *postgres.Store) error {
		return s.AddMinutes(ctx, []hooks.Minute{{Start: at(0), Succeeded: 1}})
	}},
	{"Prune", true, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Prune(ctx, hooks.Cutoffs{Done: at(-3600), Limit: 10})
		return err
	}},
	{"Backlog", false, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Backlog(ctx)
		return err
	}},
	{"Records", false, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Records(ctx, 0)
		return err
	}},
	{"Events", false, func(ctx context.Context, s *postgres.Store) error {
		_, _, err := s.Events(ctx, hooks.Query{})
		return err
	}},
	{"Deliveries", false, func(ctx context.Context, s *postgres.Store) error {
		_, _, err := s.Deliveries(ctx, hooks.Query{Tenant: "acme"})
		return err
	}},
	{"Events of a key, oldest first", false, func(ctx context.Context, s *postgres.Store) error {
		_, _, err := s.Events(ctx, hooks.Query{Key: "k", OldestFirst: true})
		return err
	}},
	{"Count", false, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Count(ctx, hooks.Query{Statuses: []hooks.Status{hooks.Pending}, Errors: []string{"timeout"}}, 100)
		return err
	}},
	{"Minutes", false, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Minutes(ctx, hooks.Query{})
		return err
	}},
	{"Attempts", false, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Attempts(ctx, hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"})
		return err
	}},
}

var migrate = method{"Migrate", true, func(ctx context.Context, s *postgres.Store) error { return s.Migrate(ctx) }}

func lane(subscriber string, most int) hooks.ClaimLane {
	return hooks.ClaimLane{Subscriber: subscriber, Max: most, Before: at(0), LeaseUntil: at(60)}
}

// ailing calls methods, and fails the test unless each returns want, and the
// server's own error with a code, if there is one, beside it.
func ailing(t *testing.T, s *postgres.Store, want error, code string, list ...method) {
	t.Helper()
	for _, m := range list {
		err := m.call(t.Context(), s)
		if !errors.Is(err, want) {
			t.Errorf("%s = %v; want %v", m.name, err, want)
			continue
		}
		if !strings.HasPrefix(err.Error(), "postgres: ") {
			t.Errorf("%s = %q; want it to begin with postgres:", m.name, err)
		}
		if e, ok := errors.AsType[*pgconn.PgError](err); code != "" && (!ok || e.Code != code) {
			t.Errorf("%s = %v; want the server's own error %s in it", m.name, err, code)
		}
	}
}

// well calls methods, and fails the test if one returns an error.
func well(t *testing.T, s *postgres.Store, list ...method) {
	t.Helper()
	for _, m := range list {
		if err := m.call(t.Context(), s); err != nil {
			t.Errorf("%s = %v; want nil", m.name, err)
		}
	}
}

// those selects methods that write, or those that only read.
func those(writing bool) []method {
	return slices.DeleteFunc(slices.Clone(methods), func(m method) bool { return m.writes != writing })
}

// named selects methods by their names.
func named(names ...string) []method {
	return slices.DeleteFunc(slices.Clone(methods), func(m method) bool { return !slices.Contains(names, m.name) })
}

func TestErrorsOfADatabaseWithoutTables(t *testing.T) {
	pool, _ := blank(t)
	s := storeOn(t, pool)
	ailing(t, s, postgres.ErrNoTables, "42P01", methods...)
	well(t, s, append([]method{migrate}, methods...)...)
}

// Tables of a version before this one lack columns that it needs.
func TestErrorsOfAnOldSchema(t *testing.T) {
	pool, config := blank(t)
	runScripts(t, config, 1)
	s := storeOn(t, pool)
	ailing(t, s, postgres.ErrNoTables, "42703", named("Enqueue", "Claim", "Events", "Put that emits", "Prune that erases")...)
	ailing(t, s, postgres.ErrNoTables, "42P01", named("AddMinutes", "Minutes")...)
	mustExec(t, pool, `ALTER TABLE hooks.events ADD COLUMN erased timestamptz`) // as if only half had been run
	ailing(t, s, postgres.ErrNoTables, "23502", named("Enqueue")...)
}

func TestErrorsOfAReadOnlyDatabase(t *testing.T) {
	config := database(t)
	alterDatabase(t, config, `SET default_transaction_read_only = on`)
	s := storeOn(t, poolOn(t, config))
	ailing(t, s, postgres.ErrReadOnly, "25006", those(true)...)
	well(t, s, those(false)...)
	well(t, s, migrate) // for nothing is missing
}

func TestErrorsOfARoleWithoutRights(t *testing.T) {
	config := database(t)
	none := limitedRole(t, config, "")
	ailing(t, storeOn(t, poolOn(t, config, as(none))), postgres.ErrPermission, "42501", append(methods, migrate)...)
	reads := limitedRole(t, config, `GRANT USAGE ON SCHEMA hooks TO %[1]s;
		GRANT SELECT ON ALL TABLES IN SCHEMA hooks TO %[1]s`)
	s := storeOn(t, poolOn(t, config, as(reads)))
	ailing(t, s, postgres.ErrPermission, "42501", those(true)...)
	well(t, s, those(false)...)
}

func TestErrorsOfAClosedPool(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	pool.Close()
	ailing(t, s, hooks.ErrClosed, "", append(methods, migrate)...)
}

func TestErrorsOfAServerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := server(t)
	config.Host, config.Port = "127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port)
	config.Fallbacks = nil
	l.Close() // now nobody listens there
	s := storeOn(t, poolOn(t, config))
	ailing(t, s, postgres.ErrUnavailable, "", append(methods, migrate)...)
	if err := s.Wait(t.Context()); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("Wait = %v; want ErrUnavailable", err)
	}
}

// A server that has no connection left refuses more of them; here a role has none.
func TestErrorsOfAServerWithoutConnections(t *testing.T) {
	config := database(t)
	role := limitedRole(t, config, `ALTER ROLE %[1]s LOGIN PASSWORD 'p' CONNECTION LIMIT 0;
		GRANT %[2]s TO %[1]s`)
	limited := config.Copy()
	limited.User, limited.Password = role, "p"
	s := storeOn(t, poolOn(t, limited, as(config.User)))
	ailing(t, s, postgres.ErrUnavailable, "53300", append(methods, migrate)...)
	if err := exec(t.Context(), config, `ALTER ROLE `+role+` CONNECTION LIMIT -1`); err != nil {
		t.Fatal(err)
	}
	well(t, s, methods...)
}

// While the application holds all connections, a caller's context ends its
// waiting. What it was told nothing of may have been done or not, so it can repeat
// the call.
func TestAFullPool(t *testing.T) {
	pool := poolOn(t, database(t), func(c *pgxpool.Config) { c.MaxConns = 2 })
	s := storeOn(t, pool)
	mustEnqueue(t, s, entry("evt_0", "nobody"))
	var held []*pgxpool.Conn
	for range 2 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	var wg sync.WaitGroup
	for _, m := range append(methods, migrate) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := m.call(ctx, s)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, postgres.ErrUnavailable) {
				t.Errorf("%s when its context ends = %v; want context.DeadlineExceeded alone", m.name, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s outlasts its context by %v; want a moment", m.name, took)
			}
		})
	}
	wg.Wait()
	for _, conn := range held {
		conn.Release()
	}
	if d := claimSoon(t, s, "nobody"); d.Lost != 0 || d.Attempts != 0 {
		t.Errorf("after a Claim that was left the delivery is %+v; want nothing charged", d)
	}
	well(t, s, methods...)
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.events WHERE id = 'evt_1'`); got != 1 {
		t.Errorf("the event is stored %d times; want once", got)
	}
}

// claimSoon claims a subscriber's delivery, which a call that was left may hold for
// a moment.
func claimSoon(t *testing.T, s *postgres.Store, subscriber string) hooks.Delivery {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{lane(subscriber, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 1 {
			return entries[0].Deliveries[0]
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is due; want the delivery of a Claim that was left")
		}
	}
}

// A caller that waits for ever is told in the end what it waits for.
func TestAFullPoolForLong(t *testing.T) {
	if !*long {
		t.Skip("it takes half a minute; run it with -hooks.long")
	}
	pool := poolOn(t, database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	s := storeOn(t, pool)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := enqueue(s, entry("evt_1", "crm")); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("Enqueue while the application holds all connections = %v; want ErrUnavailable", err)
	}
}

// What PostgreSQL refuses of one publisher's is refused to that one alone.
func TestAnEntryThatIsRefusedHurtsNoOther(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			<-start
			if err := enqueue(s, entry(fmt.Sprint("good_", i), "crm")); err != nil {
				t.Errorf("Enqueue beside a bad one = %v; want nil", err)
			}
		})
		wg.Go(func() {
			<-start
			bad := entry(fmt.Sprint("bad_", i), "crm")
			bad.Event.Tenant = "a\x00b"
			if err := enqueue(s, entry(fmt.Sprint("beside_", i), "crm"), bad); err == nil {
				t.Error("Enqueue of a text with a zero byte = nil; want the server's error")
			}
		})
	}
	close(start)
	wg.Wait()
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.events`); got != 20 {
		t.Errorf("there are %d events; want the 20 good ones", got)
	}
}

// alterDatabase changes the settings of the test's database for connections to
// come.
func alterDatabase(t *testing.T, config *pgx.ConnConfig, change string) {
	t.Helper()
	if err := exec(t.Context(), config, "ALTER DATABASE "+config.Database+" "+change); err != nil {
		t.Fatal(err)
	}
}

// limitedRole makes a role for the test, with what grants give it, in which
// %[1]s is the role and %[2]s the user of config.
func limitedRole(t *testing.T, config *pgx.ConnConfig, grants string) string {
	t.Helper()
	role := "role_" + config.Database + fmt.Sprint(time.Now().UnixNano())
	if err := exec(t.Context(), config, "CREATE ROLE "+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, sql := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if err := exec(context.Background(), config, sql); err != nil {
				t.Error(err)
			}
		}
	})
	for sql := range strings.SplitSeq(grants, ";") {
		if sql == "" {
			continue
		}
		if err := exec(t.Context(), config, strings.NewReplacer("%[1]s", role, "%[2]s", config.User).Replace(sql)); err != nil {
			t.Fatal(err)
		}
	}
	return role
}

// as has a pool's connections do what role may.
func as(role string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET ROLE "+role)
			return err
		}
	}
}
