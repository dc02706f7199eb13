package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// modes are those in which the driver may be told to send statements.
var modes = map[string]pgx.QueryExecMode{
	"default":         pgx.QueryExecModeCacheStatement,
	"cache describe":  pgx.QueryExecModeCacheDescribe,
	"exec":            pgx.QueryExecModeExec,
	"simple protocol": pgx.QueryExecModeSimpleProtocol,
}

func mode(m pgx.QueryExecMode) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode, c.MaxConns = m, 4 }
}

// A setting is one that a role or database may have, as it stands in SQL.
type setting struct {
	name, value string

	refused       string // in the simple protocol
	refusedInApps bool   // in the application's transaction, in any mode
}

var settings = []setting{
	{name: "DateStyle", value: "'SQL, DMY'"},
	{name: "DateStyle", value: "'German'"},
	{name: "IntervalStyle", value: "'sql_standard'"},
	{name: "TimeZone", value: "'Asia/Kathmandu'"},
	{name: "bytea_output", value: "'escape'"},
	{name: "array_nulls", value: "off"},
	{name: "search_path", value: "'nowhere'"},
	{name: "extra_float_digits", value: "0"},
	{name: "default_transaction_isolation", value: "'serializable'"},
	{name: "default_transaction_deferrable", value: "on"},
	{name: "lock_timeout", value: "'5s'"},
	{name: "idle_in_transaction_session_timeout", value: "'5s'"},
	{name: "row_security", value: "off"},
	{name: "transform_null_equals", value: "on"},
	{name: "synchronous_commit", value: "off"},
	{name: "standard_conforming_strings", value: "off", refused: "standard_conforming_strings=on"},
	{name: "client_encoding", value: "'LATIN1'", refused: "client_encoding=UTF8", refusedInApps: true},
	{name: "client_encoding", value: "'UNICODE'", refused: "client_encoding=UTF8"}, // the same as UTF8
}

// What a role or a database sets changes nothing of what is written and read, in
// whatever mode the driver is, and whether a pooler stands between.
func TestSettingsOfRolesAndDatabases(t *testing.T) {
	for _, set := range settings {
		t.Run(set.name+" "+set.value, func(t *testing.T) {
			t.Parallel()
			direct := database(t)
			plain := storeOn(t, poolOn(t, direct))
			alterDatabase(t, direct, "SET "+set.name+" = "+set.value)
			for name, m := range modes {
				t.Run(name, func(t *testing.T) { set.check(t, direct, m, plain, name) })
				if m != pgx.QueryExecModeCacheStatement { // it needs the same connection again
					t.Run(name+" pooled", func(t *testing.T) { set.check(t, pooled(t, direct), m, plain, name+" pooled") })
				}
			}
		})
	}
}

// check writes and reads, and compares it with what is read without the setting.
func (set setting) check(t *testing.T, config *pgx.ConnConfig, m pgx.QueryExecMode, plain *postgres.Store, name string) {
	pool := poolOn(t, config, mode(m))
	s := storeOn(t, pool)
	if m == pgx.QueryExecModeSimpleProtocol && set.refused != "" {
		for _, method := range append(methods, migrate) {
			wantRefused(t, method.name, method.call(t.Context(), s), "pool", set.refused)
		}
		return
	}
	want := roundTrip(t, s, name)
	page, _, err := plain.Events(t.Context(), hooks.Query{Event: want.ID})
	if err != nil || len(page) != 1 || !reflect.DeepEqual(page[0], want) {
		t.Errorf("without the setting Events = %+v, %v; want\n%+v", page, err, want)
	}
	for _, key := range []string{name, "deleted " + name} {
		if _, err := s.Put(t.Context(), at(0), hooks.Record{Key: key, Data: []byte("\x00\\" + name)}, nil); err != nil {
			t.Errorf("Put(%s) = %v; want nil", key, err)
		}
	}
	set.checkApp(t, s, pool, plain, name)
	checkReports(t, s, plain, name)
}

// checkApp does so in the application's transaction, of either kind.
func (set setting) checkApp(t *testing.T, s *postgres.Store, pool *pgxpool.Pool, plain *postgres.Store, name string) {
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return checkTx(t, s.Tx(tx), plain, entry("evt_tx_"+name, name))
	})
	if set.refusedInApps {
		wantRefused(t, "Enqueue in a transaction of pgx", err, "pool", set.refused)
	} else if err != nil {
		t.Errorf("Enqueue in a transaction of pgx = %v; want nil", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if set.refusedInApps {
		set.checkRefused(t, s.SQLTx(tx))
		return
	}
	e := entry("evt_sql_"+name, name)
	if err := errors.Join(checkTx(t, s.SQLTx(tx), plain, e), tx.Commit()); err != nil {
		t.Errorf("Enqueue in a transaction of database/sql = %v; want nil", err)
	}
	page, _, err := plain.Events(t.Context(), hooks.Query{Tenant: "app " + name})
	if err != nil || len(page) != 2 || page[0].Metadata != nil || !page[0].ExpiresAt.IsZero() {
		t.Errorf("Events after both commits = %+v, %v; want two without metadata and ExpiresAt", page, err)
	}
	null := value[int](t, pool, `SELECT count(*) FROM hooks.events WHERE id = $1 AND expires_at IS NULL AND metadata IS NULL`, e.Event.ID)
	if null != 1 {
		t.Errorf("%d rows have null where the event has nothing; want 1", null)
	}
	checkBareAttempt(t, s, plain, name)
}

// checkRefused fails the test unless everything is refused in a transaction of
// database/sql.
func (set setting) checkRefused(t *testing.T, tx hooks.Tx) {
	for range 2 {
		wantRefused(t, "Enqueue in a transaction of database/sql", enqueue(tx, entry("evt_é", "crm")), "pool", set.refused)
		_, err := tx.Records(t.Context(), 0)
		wantRefused(t, "Records in a transaction of database/sql", err, "pool", set.refused)
		_, err = tx.(hooks.Clock).Now(t.Context())
		wantRefused(t, "Now in a transaction of database/sql", err, "pool", set.refused)
	}
}

// checkBareAttempt writes an attempt without header and body, and reads it.
func checkBareAttempt(t *testing.T, s, plain *postgres.Store, name string) {
	d := claimSoon(t, s, name)
	want := hooks.Attempt{Run: 1, Number: 1, Token: d.Token, Start: at(1)}
	d.Status, d.Attempts = hooks.Succeeded, 1
	if stale, err := s.Update(t.Context(), at(1), []hooks.Change{{Delivery: d, Attempt: &want}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it applied", stale, err)
	}
	if list, err := plain.Attempts(t.Context(), d.DeliveryID); err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], want) {
		t.Errorf("without the setting Attempts = %+v, %v; want\n%+v", list, err, want)
	}
}

// checkTx writes e, and reads what there is to read.
func checkTx(t *testing.T, tx hooks.Tx, plain *postgres.Store, e hooks.Entry) error {
	e.Event.Tenant = "app " + e.Deliveries[0].Subscriber
	if err := enqueue(tx, e); err != nil {
		return err
	}
	want, err := plain.Records(t.Context(), 0)
	if err != nil {
		return err
	}
	if got, err := tx.Records(t.Context(), 0); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Records = %v, %v; want %v", got, err, want)
	}
	now, err := tx.(hooks.Clock).Now(t.Context())
	if d := time.Since(now).Abs(); err != nil || d > time.Minute {
		t.Errorf("Now = %v, %v, which is off by %v; want less than a minute", now, err, d)
	}
	return nil
}

// wantRefused fails the test unless err is a [hooks.InvalidError] of a field whose text
// has advice in it.
func wantRefused(t *testing.T, what string, err error, field, advice string) {
	t.Helper()
	e, ok := errors.AsType[*hooks.InvalidError](err)
	if !ok || e.Field != field || !strings.Contains(err.Error(), advice) {
		t.Errorf("%s = %v; want an InvalidError of %s that says %q", what, err, field, advice)
	}
}

const awkward = "é\"'\\{},$1 ?\t\u2028\x7f;--/*"

// checkRoundTrip writes every column with something awkward, and reads it again.
func checkRoundTrip(t *testing.T, s *postgres.Store) {
	t.Helper()
	roundTrip(t, s, "crm")
}

// roundTrip does so for a subscriber, and returns what is to be stored.
func roundTrip(t *testing.T, s *postgres.Store, subscriber string) hooks.Event {
	t.Helper()
	e := keyed(entry("evt_"+subscriber, subscriber), "key "+subscriber+awkward, at(60))
	e.Event.Tenant, e.Event.OrderingKey = "tenant "+awkward, "ordering "+awkward
	e.Event.DeliverAt, e.Event.ExpiresAt = at(-1), at(1000)
	e.Event.Metadata = map[string]string{"a" + awkward: awkward, "zero": "\x00"}
	e.Event.Data = []byte("{\"x\":\"" + `\u0000` + "\"}")
	e.Deliveries[0].Tenant, e.Deliveries[0].OrderingKey = e.Event.Tenant, e.Event.OrderingKey
	mustEnqueue(t, s, e)

	entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{lane(subscriber, 5)})
	if err != nil || len(entries) != 1 {
		t.Fatalf("Claim = %v, %v; want one entry", entries, err)
	}
	got := entries[0].Event
	e.Event.Seq = got.Seq
	if !reflect.DeepEqual(got, e.Event) {
		t.Errorf("Claim has the event\n%+v; want\n%+v", got, e.Event)
	}
	d := entries[0].Deliveries[0]
	d.Status, d.Reason, d.Due, d.Attempts, d.Lost, d.Updated = hooks.Failed, hooks.ReasonRejected, at(2), 1, 3, at(3)
	d.Code, d.Error = 418, "error "+awkward
	a := hooks.Attempt{
		Run: 1, Number: 1, Token: d.Token, Start: at(1), DNS: 1, Connect: 2, TLS: 3, Wait: 4, Took: 5 * time.Hour,
		URL: "https://example.com/" + awkward, Code: 418, Error: "class", RetryAfter: 7 * time.Second,
		Header: http.Header{"X-" + awkward: {awkward, ""}}, Body: []byte{0, 255, '\\', 'x'}, BodyCut: true, Instance: awkward,
	}
	if stale, err := s.Update(t.Context(), at(3), []hooks.Change{{Delivery: d, Attempt: &a}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it applied", stale, err)
	}
	d.Token++
	q := hooks.Query{
		Event: e.Event.ID, Subscriber: subscriber, Tenant: e.Event.Tenant, Types: []string{"x", "invoice.paid"},
		Statuses: []hooks.Status{hooks.Failed, hooks.Canceled}, From: at(-1), To: at(10),
	}
	if page, _, err := s.Deliveries(t.Context(), q); err != nil || len(page) != 1 || page[0] != d {
		t.Errorf("Deliveries = %+v, %v; want\n%+v", page, err, d)
	}
	if page, _, err := s.Events(t.Context(), q); err != nil || len(page) != 1 || !reflect.DeepEqual(page[0], e.Event) {
		t.Errorf("Events = %+v, %v; want\n%+v", page, err, e.Event)
	}
	if list, err := s.Attempts(t.Context(), d.DeliveryID); err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], a) {
		t.Errorf("Attempts = %+v, %v; want\n%+v", list, err, a)
	}
	return e.Event
}

// A deadline that a role has for statements is not the store's, which has its own.
func TestStatementTimeoutOfARole(t *testing.T) {
	config := database(t)
	alterDatabase(t, config, `SET statement_timeout = '1h'`)
	script(t, config, `CREATE TABLE seen (timeout text);
		CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO seen VALUES (current_setting('statement_timeout'));
			RETURN NULL;
		END $$;
		CREATE TRIGGER see BEFORE INSERT OR UPDATE OR DELETE ON hooks.events FOR EACH STATEMENT EXECUTE FUNCTION see();
		CREATE TRIGGER see BEFORE INSERT OR UPDATE OR DELETE ON hooks.deliveries FOR EACH STATEMENT EXECUTE FUNCTION see();
		CREATE TRIGGER see BEFORE INSERT OR UPDATE OR DELETE ON hooks.records FOR EACH STATEMENT EXECUTE FUNCTION see();
		CREATE TRIGGER see BEFORE INSERT OR UPDATE OR DELETE ON hooks.minutes FOR EACH STATEMENT EXECUTE FUNCTION see()`)
	pool := poolOn(t, config)
	well(t, storeOn(t, pool), methods...)
	if got := value[string](t, pool, `SELECT string_agg(DISTINCT timeout, ' ') FROM seen`); got != "0" {
		t.Errorf("the store's statements have the timeout %s; want 0", got)
	}
}

// What a pooler refuses is not a server that cannot be reached.
func TestErrorsOfAPooler(t *testing.T) {
	config := database(t)
	setUp := poolOn(t, pooled(t, config), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["work_mem"] = "8MB" })
	err := enqueue(storeOn(t, setUp), entry("evt_1", "crm"))
	if errors.Is(err, postgres.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "ignore_startup_parameters") {
		t.Errorf("Enqueue with a parameter that the pooler does not know = %v; want what to do, and not ErrUnavailable", err)
	}

	s := storeOn(t, poolOn(t, pooled(t, config), func(c *pgxpool.Config) { c.MaxConns = 1 }))
	if err := readRecords(s); err != nil {
		t.Fatal(err)
	}
	tx, err := poolOn(t, pooled(t, config)).Begin(t.Context()) // it has that connection to the server now
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	err = readRecords(s)
	if !strings.Contains(fmt.Sprint(err), "default_query_exec_mode") {
		t.Errorf("Records on a connection without what was prepared = %v; want what to do", err)
	}
}

func readRecords(s *postgres.Store) error {
	_, err := s.Records(context.Background(), 0)
	return err
}

func TestTxOfNothing(t *testing.T) {
	s := storeOn(t, poolOn(t, database(t)))
	for name, tx := range map[string]hooks.Tx{
		"Tx(nil)":                    s.Tx(nil),
		"Tx of a pointer to nothing": s.Tx((*pgxpool.Tx)(nil)),
		"SQLTx(nil)":                 s.SQLTx(nil),
	} {
		wantRefused(t, "Enqueue of "+name, enqueue(tx, entry("evt_1", "crm")), "tx", "Begin")
		_, err := tx.Records(t.Context(), 0)
		wantRefused(t, "Records of "+name, err, "tx", "Begin")
		_, err = tx.(hooks.Clock).Now(t.Context())
		wantRefused(t, "Now of "+name, err, "tx", "Begin")
	}
}

func TestWeaknesses(t *testing.T) {
	config := database(t)
	weak := func() string {
		t.Helper()
		list, err := storeOn(t, poolOn(t, config)).Weaknesses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, " ")
	}
	if got := weak(); strings.Contains(got, "synchronous_commit") {
		t.Errorf("Weaknesses = %s; want nothing of synchronous_commit", got)
	}
	alterDatabase(t, config, "SET synchronous_commit = off")
	if got := weak(); !strings.Contains(got, "synchronous_commit is off") {
		t.Errorf("Weaknesses = %s; want that synchronous_commit is off", got)
	}
}
