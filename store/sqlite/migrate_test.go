package sqlite_test

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// migrateEnv names the file that a child process shall begin to migrate.
const migrateEnv = "HOOKS_TEST_MIGRATE"

// migrateHalfway is what the child does: all migrations after the first, but for the commit. A
// small cache makes SQLite write most of it into the log meanwhile.
func migrateHalfway(path string) string {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err.Error()
	}
	db.SetMaxOpenConns(1)
	queries := []string{"PRAGMA cache_size = 10", "BEGIN IMMEDIATE"}
	for _, name := range schemas()[1:] {
		script, err := os.ReadFile(name)
		if err != nil {
			return err.Error()
		}
		queries = append(queries, string(script))
	}
	for _, query := range append(queries, fmt.Sprint("UPDATE hooks_schema SET version = ", len(schemas()))) {
		if _, err := db.Exec(query); err != nil {
			return err.Error()
		}
	}
	return "locked"
}

// schemas returns the names of the scripts, in order.
func schemas() []string {
	names, _ := filepath.Glob("schema/*.sql") // the pattern is sound
	return names
}

// TestMigration brings a database of version 1 up to date that the application shares, and
// in which a process was killed that had begun with it.
func TestMigration(t *testing.T) {
	rows, most := 20_000, time.Minute
	switch {
	case *kit.Long:
		rows = 1_000_000
	case kit.RaceDetector:
		rows = 2000
	}
	path := version1(t, rows)
	db := openDB(t, path+"?_busy_timeout=10000")
	before := digests(t, db)

	child := startChild(t, migrateEnv, path)
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() < 10_000 {
		t.Fatalf("the log of the migration under way = %v, %v; want it to have pages", log, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed

	start := time.Now()
	s := share(t, db)
	took := time.Since(start)
	t.Logf("%d events, deliveries and attempts each: migrated in %v", rows, took)
	if took > most {
		t.Errorf("the migration took %v; want at most %v", took, most)
	}
	for query, want := range before {
		if got := digest(t, db, query, want.columns); got != want {
			t.Errorf("%s = %+v after the migration; want %+v", query, got, want)
		}
	}
	wantDue(t, s, rows)
	share(t, db) // once more: there is nothing left to do
}

// TestAMigrationThatFailsChangesNothing has a table in the way, which somebody else made.
func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	path := version1(t, 100)
	db := openDB(t, path)
	mustExec(t, db, `CREATE TABLE hooks_minutes (mine TEXT)`)
	before := digests(t, db)
	for range 2 {
		if s, err := sqlite.New(db, sqlite.Config{}); err == nil {
			s.Close()
			t.Fatal("New = nil; want an error, because a table is in the way")
		}
		for query, want := range before {
			if got := digest(t, db, query, 99); got != want {
				t.Errorf("%s = %+v after a failure; want %+v", query, got, want)
			}
		}
	}
	mustExec(t, db, `DROP TABLE hooks_minutes`)
	wantDue(t, share(t, db), 100)
}

func TestANewFileIsOfTheLatestVersion(t *testing.T) {
	s := openTemp(t)
	var version int
	if err := s.Writer().QueryRow(`SELECT version FROM hooks_schema`).Scan(&version); err != nil || version != len(schemas()) {
		t.Errorf("version of a new file = %d, %v; want %d", version, err, len(schemas()))
	}
}

// TestProgramsOfVersion2GoOn runs the statements of a program that was running when another
// one migrated its file. They are those of version 2, because version 3 only adds indexes.
func TestProgramsOfVersion2GoOn(t *testing.T) {
	path := copied(t, "testdata/v2.db")
	former := openDB(t, path+"?_busy_timeout=5000")
	former.SetMaxOpenConns(1)
	write, read := sqlite.Statements()
	var prepared []*sql.Stmt
	for _, query := range append(write, read...) {
		st, err := former.Prepare(query)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		prepared = append(prepared, st)
	}
	open(t, path)
	for i, st := range prepared {
		query := append(write, read...)[i]
		_, err := st.Exec(make([]any, strings.Count(query, "?"))...)
		if err != nil && strings.Contains(err.Error(), "no such") { // other errors are about the values
			t.Errorf("%s after a migration = %v; want it to find its indexes", query, err)
		}
	}
}

// version1 makes a database of version 1 with so many events, a delivery and an attempt
// of each, and tables of the application's, one of its views broken. It returns its path.
// Of ten deliveries one is pending, one retrying, one leased, and the rest are final.
func version1(t *testing.T, rows int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	script, err := os.ReadFile("schema/001.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, path+"?_journal_mode=WAL&_synchronous=OFF")
	defer db.Close()
	db.SetMaxOpenConns(1)
	numbers := fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", rows)
	due := at(0).UnixMicro()
	for _, query := range []string{
		"BEGIN", string(script),
		`CREATE TABLE hooks_schema (version INTEGER NOT NULL) STRICT; INSERT INTO hooks_schema VALUES (1)`,
		fmt.Sprintf(`UPDATE hooks_meta SET seq = %d`, 2*rows),
		numbers + fmt.Sprintf(`INSERT INTO hooks_events SELECT i, 'evt_' || i, 'invoice.paid', '', %d, '', '', 0, 0, '{"k":"v"}',
			1, %[1]d, 0, CAST(printf('{"id":%%d,"text":"%%0200d"}', i, i) AS BLOB) FROM n`, due),
		numbers + fmt.Sprintf(`INSERT INTO hooks_deliveries SELECT %d + i, 'evt_' || i, 'sub_' || (i %% 7), 'invoice.paid', '', '',
			CASE i %% 10 WHEN 1 THEN 1 WHEN 2 THEN 2 WHEN 3 THEN 3 ELSE 4 END, 0, '', %d + i, 1, 1, 0, 2, %[2]d, %[2]d, 200, '' FROM n`, rows, due),
		numbers + fmt.Sprintf(`INSERT INTO hooks_attempts SELECT i, 'evt_' || i, 'sub_' || (i %% 7), 1, 1, 1, %d, 0, 0, 0, 0, 1000000,
			'https://example.com', 200, '', 0, '{"A":["b"]}', CAST('ok' AS BLOB), 0, 'test' FROM n`, due),
		numbers + `INSERT INTO orders SELECT 'order ' || i FROM n WHERE i <= 1000`,
		`CREATE UNIQUE INDEX orders_id ON orders (id)`, `CREATE VIEW first AS SELECT min(id) FROM orders`,
		`CREATE TABLE gone (id)`, `CREATE VIEW broken AS SELECT id FROM gone`, `DROP TABLE gone`,
		`CREATE TRIGGER on_order AFTER INSERT ON orders BEGIN SELECT 1; END`,
		"COMMIT",
	} {
		mustExec(t, db, query)
	}
	return path
}

// A sum is what a query returned: how many rows and columns, and a hash of them.
type sum struct {
	rows, columns int
	hash          [sha256.Size]byte
}

// digests returns what is in a database of version 1, by query.
func digests(t *testing.T, db *sql.DB) map[string]sum {
	t.Helper()
	all := make(map[string]sum)
	for _, query := range []string{
		`SELECT * FROM hooks_events ORDER BY seq`, `SELECT * FROM hooks_deliveries ORDER BY seq`,
		`SELECT * FROM hooks_attempts ORDER BY id`, `SELECT * FROM hooks_meta`, `SELECT * FROM orders ORDER BY id`,
		`SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'hooks%' AND name NOT LIKE 'sqlite%' ORDER BY name`,
	} {
		all[query] = digest(t, db, query, 99)
	}
	return all
}

// digest returns what a query returns, in as many columns at most.
func digest(t *testing.T, db *sql.DB, query string, columns int) (s sum) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	s.columns = min(len(names), columns)
	values, dest := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	hash := sha256.New()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = string(b) // is printed faster
			}
		}
		fmt.Fprintln(hash, values[:s.columns]...)
		s.rows++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	hash.Sum(s.hash[:0])
	return s
}

// wantDue fails the test unless what version1 made due, or leased, can be claimed.
func wantDue(t *testing.T, s *sqlite.Store, rows int) {
	t.Helper()
	list, err := s.Backlog(t.Context())
	if err != nil || len(list) != 7 {
		t.Fatalf("Backlog = %v, %v; want seven subscribers", list, err)
	}
	claimed, lost := 0, 0
	now := at(3600)
	for _, l := range list {
		entries, err := s.Claim(t.Context(), now, []hooks.ClaimLane{
			{Subscriber: l.Subscriber, Max: rows, Before: now, LeaseUntil: now.Add(time.Minute)},
		})
		if err != nil || len(entries) == 0 || !entries[0].Deliveries[0].Created.Equal(at(0)) ||
			!strings.HasPrefix(string(entries[0].Event.Data), `{"id":`) || !entries[0].Event.Erased.IsZero() {
			t.Fatalf("Claim(%s) = %d entries, %v; want events as they were", l.Subscriber, len(entries), err)
		}
		for _, e := range entries {
			claimed++
			lost += e.Deliveries[0].Lost
		}
	}
	if claimed != rows/10*3 || lost != rows/10 {
		t.Errorf("Claim = %d deliveries, %d of them leased before; want %d and %d", claimed, lost, rows/10*3, rows/10)
	}
}

// A table of the version that says nothing sensible is refused, and nothing panics.
func TestVersionsThatNobodyWrote(t *testing.T) {
	for _, change := range []string{"UPDATE hooks_schema SET version = -1", "UPDATE hooks_schema SET version = 0", "DELETE FROM hooks_schema"} {
		path := filepath.Join(t.TempDir(), "hooks.db")
		s, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db := openDB(t, path)
		if _, err := db.Exec(change); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.New(db, sqlite.Config{}); !errors.Is(err, hooks.ErrForeign) {
			t.Errorf("after %q, New = %v; want ErrForeign", change, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(path); !errors.Is(err, hooks.ErrForeign) {
			t.Errorf("after %q, Open = %v; want ErrForeign", change, err)
		}
	}
}
