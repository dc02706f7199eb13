package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
)

// Groups take events for new, and look only when the server has refused one: that
// costs a transaction, so for a second they look.
func TestDuplicatesAreRefusedOnceASecond(t *testing.T) {
	for name, again := range map[string]hooks.Entry{
		"event": entry("evt_first", "crm"),
		"key":   keyed(entry("evt_second", "crm"), "order-1", at(60)),
	} {
		t.Run(name, func(t *testing.T) {
			var said complaints
			s := storeOn(t, poolOn(t, database(t), said.hear))
			mustEnqueue(t, s, keyed(entry("evt_first", "crm"), "order-1", at(60)), entry("evt_other", "crm"))
			if n := said.of(refused); n > 0 {
				t.Fatalf("new events were refused %d times", n)
			}
			began := time.Now()
			for range 20 {
				receipts, err := s.Enqueue(t.Context(), at(1), []hooks.Entry{again})
				if err != nil || !receipts[0].Duplicate || receipts[0].EventID != "evt_first" {
					t.Fatalf("Enqueue = %v, %v; want a duplicate of evt_first", receipts, err)
				}
			}
			seconds := int(time.Since(began)/time.Second) + 1
			if n := said.of(refused); n == 0 || n > seconds {
				t.Errorf("20 duplicates within %d s were refused %d times; want 1 to %[1]d", seconds, n)
			}
		})
	}
}

// What would be refused for sure is not tried: a batch that names an event or a key
// twice. Nor is anything in the simple protocol, where the server's log would show the
// arguments of what it refuses.
func TestNothingIsRefusedForSure(t *testing.T) {
	for name, c := range map[string]struct {
		mode  pgx.QueryExecMode
		batch []hooks.Entry
	}{
		"event twice":     {pgx.QueryExecModeCacheStatement, []hooks.Entry{entry("evt_a", "crm"), entry("evt_b"), entry("evt_a", "crm")}},
		"key twice":       {pgx.QueryExecModeCacheStatement, []hooks.Entry{keyed(entry("evt_a"), "k", at(60)), keyed(entry("evt_b"), "k", at(60))}},
		"simple protocol": {pgx.QueryExecModeSimpleProtocol, []hooks.Entry{entry("evt_known")}},
	} {
		t.Run(name, func(t *testing.T) {
			config := database(t)
			mustEnqueue(t, storeOn(t, poolOn(t, config)), entry("evt_known"))
			var said complaints
			s := storeOn(t, poolOn(t, config, said.hear, func(p *pgxpool.Config) {
				p.ConnConfig.DefaultQueryExecMode = c.mode
			}))
			receipts, err := s.Enqueue(t.Context(), at(1), c.batch)
			if err != nil || !receipts[len(receipts)-1].Duplicate {
				t.Errorf("Enqueue = %v, %v; want the last one to be a duplicate", receipts, err)
			}
			if n := said.of(refused); n > 0 {
				t.Errorf("the server refused %d batches; want none", n)
			}
		})
	}
}

// Whoever shares a transaction with a duplicate loses nothing by it.
func TestADuplicateHarmsNobodyInItsGroup(t *testing.T) {
	s, pool, release := narrow(t)
	s2 := storeOn(t, poolOn(t, pool.Config().ConnConfig))
	mustEnqueue(t, s2, keyed(entry("evt_known", "crm"), "order-1", at(60)))

	results := gather(t, s, release,
		[]hooks.Entry{entry("evt_a", "crm", "mail")},
		[]hooks.Entry{entry("evt_known", "crm")},
		[]hooks.Entry{keyed(entry("evt_b", "crm"), "order-1", at(60))},
		[]hooks.Entry{keyed(entry("evt_c", "crm"), "order-2", at(60)), entry("evt_d")},
		[]hooks.Entry{entry("evt_e", "crm", "crm")})
	want := [][]hooks.Receipt{
		{{EventID: "evt_a", Deliveries: 2}},
		{{EventID: "evt_known", Duplicate: true}},
		{{EventID: "evt_known", Duplicate: true}},
		{{EventID: "evt_c", Deliveries: 1}, {EventID: "evt_d"}},
		{{EventID: "evt_e", Deliveries: 1}},
	}
	for i, r := range results {
		if r.err != nil || fmt.Sprint(r.receipts) != fmt.Sprint(want[i]) {
			t.Errorf("Enqueue %d = %v, %v; want %v", i, r.receipts, r.err, want[i])
		}
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.deliveries`); got != 5 {
		t.Errorf("there are %d deliveries; want 5", got)
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.keys`); got != 2 {
		t.Errorf("there are %d keys; want 2", got)
	}
}

// A key whose time is over is taken anew, although its row is still there.
func TestAKeyIsTakenAnew(t *testing.T) {
	s := open(t)
	mustEnqueue(t, s, keyed(entry("evt_old", "crm"), "order-1", at(60)))
	receipts, err := s.Enqueue(t.Context(), at(61), []hooks.Entry{keyed(entry("evt_new", "crm"), "order-1", at(120))})
	if want := (hooks.Receipt{EventID: "evt_new", Deliveries: 1}); err != nil || receipts[0] != want {
		t.Errorf("Enqueue = %v, %v; want %v", receipts, err, want)
	}
}

// rowsSQL notes every row that is inserted.
const rowsSQL = `CREATE TABLE rows (seq bigint GENERATED ALWAYS AS IDENTITY, row text);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO rows (row) VALUES (TG_ARGV[0] || CASE TG_ARGV[0] WHEN 'event ' THEN to_json(NEW)->>'id' ELSE to_json(NEW)->>'event_id' END);
		RETURN NEW;
	END $$;
	CREATE TRIGGER note BEFORE INSERT ON hooks.events FOR EACH ROW EXECUTE FUNCTION note('event ');
	CREATE TRIGGER note BEFORE INSERT ON hooks.deliveries FOR EACH ROW EXECUTE FUNCTION note('delivery ')`

// Rows are written in one order, whether it is taken for granted that they are new or
// not, so that two transactions cannot each have a row that the other waits for.
func TestRowsAreWrittenInOneOrder(t *testing.T) {
	const want = "event evt_b, event evt_a, delivery evt_b, delivery evt_a"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		config := database(t)
		script(t, config, rowsSQL)
		pool := poolOn(t, config, func(p *pgxpool.Config) { p.ConnConfig.DefaultQueryExecMode = mode })
		mustEnqueue(t, storeOn(t, pool), entry("evt_b", "crm"), entry("evt_a", "crm"))
		if got := value[string](t, pool, `SELECT string_agg(row, ', ' ORDER BY seq) FROM rows`); got != want {
			t.Errorf("%v: rows came as %s; want %s", mode, got, want)
		}
	}
}
