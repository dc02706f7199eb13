package postgres_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// plantedSQL makes functions in the schema %[1]s that fail when they are called. For the
// types that the store gives them, each suits better than PostgreSQL's own, which is for
// any type; or as well, and is called if search_path names its schema first.
const plantedSQL = `DO $plant$ DECLARE f text; BEGIN
	FOREACH f IN ARRAY ARRAY[
		'unnest(text[]) RETURNS SETOF text', 'unnest(bytea[]) RETURNS SETOF bytea',
		'unnest(timestamptz[]) RETURNS SETOF timestamptz', 'unnest(boolean[]) RETURNS SETOF boolean',
		'unnest(bigint[]) RETURNS SETOF bigint', 'unnest(int[]) RETURNS SETOF int', 'unnest(smallint[]) RETURNS SETOF smallint',
		'generate_subscripts(text[], int) RETURNS SETOF int', 'chr(int) RETURNS text',
		'hashtextextended(text, int) RETURNS bigint', 'hashtextextended(text, bigint) RETURNS bigint',
		'pg_advisory_xact_lock(bigint) RETURNS void', 'pg_try_advisory_xact_lock(bigint) RETURNS boolean',
		'to_regclass(text) RETURNS regclass', 'pg_stat_get_xact_tuples_returned(regclass) RETURNS bigint',
		'nextval(regclass) RETURNS bigint', 'encode(bytea, text) RETURNS text',
		'clock_timestamp() RETURNS timestamptz', 'current_setting(text) RETURNS text',
		'set_config(text, text, boolean) RETURNS text', 'pg_notify(text, text) RETURNS void',
		'times(numeric, int) RETURNS numeric']
	LOOP
		EXECUTE format('CREATE FUNCTION %%I.%%s LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION ''planted''; END $f$', %[1]s, f);
	END LOOP;
	EXECUTE format('CREATE OPERATOR %%I.* (LEFTARG = numeric, RIGHTARG = int, FUNCTION = %%1$I.times)', %[1]s);
	FOREACH f IN ARRAY ARRAY['jsonb_object_agg(text, timestamptz)', 'min(bigint)', 'max(bigint)', 'lead(text)', 'count(*)'] LOOP
		EXECUTE format('CREATE OR REPLACE FUNCTION %%I.%%s RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION ''planted''; END $f$',
			%[1]s, replace(regexp_replace(f, '\w+\(', 'step(text, '), ', *', ''));
		EXECUTE format('CREATE AGGREGATE %%I.%%s (SFUNC = %%1$I.step, STYPE = text)', %[1]s, f);
	END LOOP;
END $plant$`

// plantedTypesSQL makes types that are named like PostgreSQL's.
const plantedTypesSQL = `CREATE DOMAIN public.text AS int; CREATE DOMAIN public.timestamptz AS int;
	CREATE DOMAIN public.bytea AS int; CREATE DOMAIN public.json AS int`

// What others have made in a schema of search_path is not called: not where it suits
// better than what PostgreSQL has, nor where it comes before that.
func TestPlantedFunctionsAreNotCalled(t *testing.T) {
	for name, c := range map[string]struct{ schema, path, more string }{
		"in public":                      {schema: `'public'::name`},
		"in the role's schema":           {schema: `current_user`},
		"in public, before pg_catalog":   {schema: `'public'::name`, path: "public, pg_catalog", more: plantedTypesSQL},
		"in public, the usual way named": {schema: `'public'::name`, path: "public, hooks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := holdSnapshot(t)
			h.kill("crm", many)
			config := h.pool.Config().ConnConfig
			script(t, config, `CREATE SCHEMA IF NOT EXISTS AUTHORIZATION CURRENT_USER`)
			script(t, config, fmt.Sprintf(plantedSQL, c.schema)+";"+c.more)
			if c.path != "" {
				alterDatabase(t, config, "SET search_path = "+c.path)
			}
			for name, m := range modes {
				t.Run(name, func(t *testing.T) {
					h.t = t
					h.useAll(poolOn(t, config, mode(m)), name)
				})
			}
		})
	}
}

// useAll calls every method of a store on a pool, looks at the backlog beside a held
// snapshot, and publishes in transactions of the application's.
func (h *heldSnapshot) useAll(pool *pgxpool.Pool, name string) {
	t := h.t
	s := storeOn(t, pool)
	well(t, s, append(methods, migrate)...)
	if err := s.Wake(t.Context()); err != nil {
		t.Errorf("Wake = %v; want nil", err)
	}
	if _, err := s.Weaknesses(t.Context()); err != nil {
		t.Errorf("Weaknesses = %v; want nil", err)
	}
	roundTrip(t, s, name)
	if now, err := s.Now(t.Context()); err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("Now = %v, %v; want about %v", now, err, time.Now())
	}
	for _, now := range []int{0, 100, 0} { // a key that is new, has expired, is taken
		e := keyed(entry(fmt.Sprint(name, now), "keys"), "key of "+name, at(now+60))
		if r, err := s.Enqueue(t.Context(), at(now), []hooks.Entry{e}); err != nil || r[0].Duplicate && now > 0 {
			t.Errorf("Enqueue at %d s of a key of 60 s = %v, %v; want nil, and no duplicate after them", now, r, err)
		}
	}
	h.look(s)
	h.backlog(s)
	id := h.publish(s, name, h.now)
	h.update(s, finished(h.wantFound(s, name, id)[0], h.now))
	line := "line " + name
	mustEnqueue(t, s, linedUp("first "+name, line, lineKey, h.now), linedUp("second "+name, line, lineKey, h.now))
	h.update(s, finished(h.wantFound(s, line, "first "+name)[0], h.now))
	h.update(s, finished(h.wantFound(s, line, "second "+name)[0], h.now))
	if _, err := s.Prune(t.Context(), hooks.Cutoffs{Done: h.now.Add(time.Minute), Failed: h.now, Keys: at(1000), Limit: 1000}); err != nil {
		t.Errorf("Prune = %v; want nil", err)
	}
	publishInTx(t, s, pool)
}

// publishInTx publishes in a transaction of pgx, and one of database/sql.
func publishInTx(t *testing.T, s *postgres.Store, pool *pgxpool.Pool) {
	h := publishing(t, s)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := h.PublishTx(t.Context(), s.Tx(tx), invoicePaid.New(invoice{1}))
		return err
	})
	if err != nil {
		t.Errorf("PublishTx in a transaction of pgx = %v; want nil", err)
	}
	tx, err := sqlDB(t, pool.Config().ConnConfig).BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // after its commit it does nothing
	if _, err := h.PublishTx(t.Context(), s.SQLTx(tx), invoicePaid.New(invoice{1})); err != nil {
		t.Errorf("PublishTx in a transaction of database/sql = %v; want nil", err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

var (
	// A call in SQL has its name in lower case and no space before the parenthesis.
	sqlCall = regexp.MustCompile(`(^|[^.\w])([a-z_][a-z0-9_]*)\(`)
	// A cast to a type that has no keyword of its own.
	sqlCast = regexp.MustCompile(`::(text|timestamptz|bytea|jsonb?)\b`)
	// Syntax that looks like a call, or becomes one of pg_catalog: with several
	// arguments, PostgreSQL itself makes pg_catalog.unnest of each.
	sqlSyntax = regexp.MustCompile(`\b(coalesce|nullif|least|extract|unnest\(\$1::pg_catalog\.text\[\], \$2)\b`)
)

// Every statement names functions and types with the schema pg_catalog.
func TestStatementsNameTheSchema(t *testing.T) {
	check := func(where, sql string) {
		rest := sqlSyntax.ReplaceAllString(sql, "SYNTAX ")
		for _, form := range []*regexp.Regexp{sqlCall, sqlCast} {
			if found := form.FindString(rest); found != "" {
				t.Errorf("%s: %q is not named with pg_catalog in\n%s", where, found, sql)
			}
		}
	}
	files, _ := filepath.Glob("*.go") // the patterns are sound
	inner, _ := filepath.Glob("internal/*/*.go")
	files = append(files, inner...)
	n := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if lit, ok := node.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				n++
				check(set.Position(lit.Pos()).String(), lit.Value)
			}
			return true
		})
	}
	if n < 100 {
		t.Errorf("there are %d strings in the source; want at least 100", n)
	}
	scripts, _ := fs.Glob(postgres.Migrations, "migrations/*.sql") // the pattern is sound
	for _, name := range scripts {
		script, err := postgres.Migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		check(name, string(script))
	}
}
