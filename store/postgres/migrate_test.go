package postgres_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// blank is a pool on a database without tables.
func blank(t *testing.T) (*pgxpool.Pool, *pgx.ConnConfig) {
	t.Helper()
	config := copyOf(t, "template0")
	return poolOn(t, config), config
}

// catalogSQL describes all that is in a database, so that two descriptions are
// the same if nothing has changed.
const catalogSQL = `SELECT coalesce(string_agg(n.nspname || '.' || c.relname || ' ' || c.oid || ' ' || c.xmin, E'\n'
	ORDER BY n.nspname, c.relname), '')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'`

func TestMigrateByManyAtOnce(t *testing.T) {
	_, config := blank(t)
	done := make(chan error)
	const many = 8
	for range many {
		s := storeOn(t, poolOn(t, config))
		go func() { done <- s.Migrate(t.Context()) }()
	}
	for range many {
		if err := <-done; err != nil {
			t.Errorf("Migrate beside %d others = %v; want nil", many-1, err)
		}
	}
	mustEnqueue(t, storeOn(t, poolOn(t, config)), entry("evt_1", "crm"))
}

func TestMigrateWithoutAContext(t *testing.T) {
	s := storeOn(t, poolOn(t, database(t)))
	var none context.Context
	err := s.Migrate(none)
	if inv, ok := errors.AsType[*hooks.InvalidError](err); !ok || inv.Field != "Context" {
		t.Errorf("Migrate(nil) = %v; want an InvalidError for Context", err)
	}
	mustEnqueue(t, s, entry("evt_1", "crm"))
}

func TestMigrateAgainDoesNothing(t *testing.T) {
	pool := poolOn(t, database(t))
	s := storeOn(t, pool)
	mustEnqueue(t, s, entry("evt_1", "crm"))
	before := value[string](t, pool, catalogSQL)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate again = %v; want nil", err)
	}
	if after := value[string](t, pool, catalogSQL); after != before {
		t.Errorf("Migrate again changed the schema from\n%s\nto\n%s", before, after)
	}
	if got := value[int](t, pool, `SELECT count(*) FROM hooks.events`); got != 1 {
		t.Errorf("after Migrate again there are %d events; want 1", got)
	}
}

func TestMigrateLeavesOthersSchemasAlone(t *testing.T) {
	for name, sql := range map[string]string{
		"a table":                     `CREATE TABLE hooks.orders (id int)`,
		"a table of one of our names": `CREATE TABLE hooks.meta (id int, version int)`,
	} {
		t.Run(name, func(t *testing.T) {
			pool, _ := blank(t)
			mustExec(t, pool, `CREATE SCHEMA hooks`)
			mustExec(t, pool, sql)
			before := value[string](t, pool, catalogSQL)
			if err := storeOn(t, pool).Migrate(t.Context()); !errors.Is(err, hooks.ErrForeign) || errors.Is(err, postgres.ErrUnavailable) {
				t.Errorf("Migrate = %v; want ErrForeign alone", err)
			}
			if after := value[string](t, pool, catalogSQL); after != before {
				t.Errorf("Migrate changed the schema from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// An empty schema is one that an administrator made for us.
func TestMigrateTakesAnEmptySchema(t *testing.T) {
	pool, _ := blank(t)
	mustExec(t, pool, `CREATE SCHEMA hooks`)
	s := storeOn(t, pool)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate = %v; want nil", err)
	}
	mustEnqueue(t, s, entry("evt_1", "crm"))
}

func TestMigrateLeavesNewerVersionsAlone(t *testing.T) {
	pool := poolOn(t, database(t))
	mustExec(t, pool, `UPDATE hooks.meta SET version = version + 1`)
	before := value[string](t, pool, catalogSQL)
	version := value[int](t, pool, `SELECT version FROM hooks.meta`)
	if err := storeOn(t, pool).Migrate(t.Context()); !errors.Is(err, hooks.ErrTooNew) || errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("Migrate = %v; want ErrTooNew alone", err)
	}
	if after := value[string](t, pool, catalogSQL); after != before {
		t.Errorf("Migrate changed the schema from\n%s\nto\n%s", before, after)
	}
	if got := value[int](t, pool, `SELECT version FROM hooks.meta`); got != version {
		t.Errorf("Migrate changed the version from %d to %d", version, got)
	}
}

// A script that fails half way leaves nothing behind, and Migrate goes through
// when what stood in its way is gone.
func TestMigrateIsAllOrNothing(t *testing.T) {
	pool, _ := blank(t)
	mustExec(t, pool, `CREATE SCHEMA hooks`)
	mustExec(t, pool, `CREATE VIEW hooks.records AS SELECT 1`) // the script's last table
	before := value[string](t, pool, catalogSQL)
	s := storeOn(t, pool)
	if err := s.Migrate(t.Context()); err == nil {
		t.Error("Migrate into a schema with a view of ours = nil; want an error")
	}
	if after := value[string](t, pool, catalogSQL); after != before {
		t.Errorf("Migrate changed the schema from\n%s\nto\n%s", before, after)
	}
	mustExec(t, pool, `DROP VIEW hooks.records`)
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate = %v; want nil", err)
	}
}

// TestMigrationsByHand runs the scripts as psql or another tool would, each in
// one transaction, for that is what the server makes of it.
func TestMigrationsByHand(t *testing.T) {
	pool, config := blank(t)
	names, err := fs.Glob(postgres.Migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("Migrations has %v, %v; want scripts", names, err)
	}
	runScripts(t, config, len(names))
	if got := value[int](t, pool, `SELECT version FROM hooks.meta`); got != len(names) {
		t.Errorf("%d scripts make version %d", len(names), got)
	}
	before := value[string](t, pool, catalogSQL)
	s := storeOn(t, pool)
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate after all scripts = %v; want nil", err)
	}
	if after := value[string](t, pool, catalogSQL); after != before {
		t.Errorf("Migrate changed what the scripts made from\n%s\nto\n%s", before, after)
	}
	mustEnqueue(t, s, entry("evt_1", "crm"))
}

// runScripts runs the first n scripts as a tool would.
func runScripts(t *testing.T, config *pgx.ConnConfig, n int) {
	t.Helper()
	names, _ := fs.Glob(postgres.Migrations, "migrations/*.sql") // the pattern is sound
	for _, name := range names[:n] {
		file, err := postgres.Migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		script(t, config, string(file))
	}
}

// Elsewhere not every text could be stored.
func TestMigrateWantsUTF8(t *testing.T) {
	admin := server(t)
	name := "hooks_latin1_" + template[len("hooks_template_"):]
	err := exec(t.Context(), admin, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropDatabase(t, admin, name) })
	config := admin.Copy()
	config.Database = name
	pool := poolOn(t, config)
	err = storeOn(t, pool).Migrate(t.Context())
	if !errors.Is(err, hooks.ErrForeign) || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("Migrate in LATIN1 = %v; want ErrForeign and the encoding", err)
	}
	if got := value[string](t, pool, catalogSQL); got != "" {
		t.Errorf("Migrate in LATIN1 made\n%s", got)
	}
}

// A program may call Migrate although somebody else has made the tables, and even
// though it may do no such thing itself.
func TestMigrateNeedsNoRightsWhereNothingIsMissing(t *testing.T) {
	config := database(t)
	role := limitedRole(t, config, `GRANT USAGE ON SCHEMA hooks TO %[1]s;
		GRANT ALL ON ALL TABLES IN SCHEMA hooks TO %[1]s; GRANT ALL ON ALL SEQUENCES IN SCHEMA hooks TO %[1]s`)
	s := storeOn(t, poolOn(t, config, as(role)))
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate = %v; want nil", err)
	}
	mustEnqueue(t, s, entry("evt_1", "crm"))
}

func TestNewRefuses(t *testing.T) {
	pool := poolOn(t, server(t))
	for _, schema := range []string{"Hooks", "1st", "my-hooks", "a.b", `"x"`, "ü", " ", strings.Repeat("s", 41)} {
		s, err := postgres.New(pool, postgres.Config{Schema: schema})
		wantInvalid(t, s, err, "Config.Schema", schema)
	}
	s, err := postgres.New(nil, postgres.Config{})
	wantInvalid(t, s, err, "pool", "nil")
}

func wantInvalid(t *testing.T, s *postgres.Store, err error, field, given string) {
	t.Helper()
	inv, ok := errors.AsType[*hooks.InvalidError](err)
	if !ok || inv.Field != field || s != nil {
		t.Errorf("New(%q) = %v, %v; want no store and an InvalidError for %s", given, s, err, field)
	}
}
