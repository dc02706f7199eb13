package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

func TestOpenAcceptsAnyName(t *testing.T) {
	for _, name := range []string{
		"plain.db", "with space.db", "what?.db", "half#.db", "100%.db", "%41.db", "a+b&c=d.db",
		"ünïcode.db", "file:x.db", "trailing?mode=memory", "-lock", "it's;.db",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, filepath.Join(dir, name))
			if err := enqueue(s, entry("e", "crm")); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
			for _, file := range slices.Sorted(maps.Keys(files(t, dir))) {
				if !strings.HasPrefix(file, name) {
					t.Errorf("Open(%q) made %q", name, file)
				}
			}
		})
	}
}

func TestOpenRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	open(t, "hooks.db")
	if _, err := os.Stat("hooks.db"); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), nil)
	for path, want := range map[string]string{
		"":                                 "store/memory",
		os.DevNull:                         "no regular file",
		filepath.Join(dir, "file", "x.db"): "not a directory",
		":memory:":                         "store/memory",
		":memory:?cache=shared":            "store/memory",
		dir:                                "directory",
		filepath.Join(dir, "none", "x.db"): "create it first",
	} {
		s, err := sqlite.Open(path)
		if err == nil {
			s.Close()
		}
		wantInvalid(t, err, "path", want)
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "hooks.db"))
	if _, err := s.Lock(t.Context(), at(0)); err != nil {
		t.Fatal(err)
	}
	if err := enqueue(s, entry("e", "crm")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hooks.db", "hooks.db-wal", "hooks.db-shm", "hooks.db-lock"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != 0o600 {
			t.Errorf("mode of %s = %v; want 0600", name, fi.Mode())
		}
	}
}

// TestWritesAreSynced asserts synchronous=FULL on the connection that writes,
// on the one that replaces it, and where an older file is opened again.
func TestWritesAreSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	for range 2 {
		s, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := setting(t, s.Writer(), "synchronous"); got != "2" {
				t.Errorf("synchronous = %s; want 2, which is FULL", got)
			}
			if got := setting(t, s.Writer(), "journal_mode"); got != "wal" {
				t.Errorf("journal_mode = %s; want wal", got)
			}
			if got := s.Writer().Stats().MaxOpenConnections; got != 1 {
				t.Errorf("connections that write = %d; want 1", got)
			}
			dropConnection(t, s.Writer())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenLeavesOthersFilesAlone(t *testing.T) {
	whole := storeFile(t)
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
	}{
		{"another application's database", func(t *testing.T, path string) {
			openDB(t, path).Close()
		}, hooks.ErrForeign},
		{"another application's database in WAL mode", func(t *testing.T, path string) {
			openDB(t, path+"?_journal_mode=WAL").Close()
		}, hooks.ErrForeign},
		{"a newer version", func(t *testing.T, path string) {
			write(t, path, whole)
			db := openDB(t, path)
			defer db.Close()
			mustExec(t, db, `UPDATE hooks_schema SET version = version + 1`)
		}, hooks.ErrTooNew},
		{"another application's database and its log", func(t *testing.T, path string) {
			other := path + "-open"
			db := openDB(t, other+"?_journal_mode=WAL")
			defer db.Close()
			mustExec(t, db, `INSERT INTO orders (id) VALUES ('o')`)
			for _, suffix := range []string{"", "-wal"} {
				content, err := os.ReadFile(other + suffix)
				if err != nil {
					t.Fatal(err)
				}
				write(t, path+suffix, content)
			}
		}, hooks.ErrForeign},
		{"text", func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("Dear diary, ", 500)))
		}, hooks.ErrForeign},
		{"a few bytes", func(t *testing.T, path string) {
			write(t, path, []byte("x"))
		}, hooks.ErrForeign},
		{"half of a store", func(t *testing.T, path string) {
			write(t, path, whole[:len(whole)/2])
		}, hooks.ErrForeign},
		{"the first page of a store", func(t *testing.T, path string) {
			write(t, path, whole[:4096])
		}, hooks.ErrForeign},
		{"a store with a broken header", func(t *testing.T, path string) {
			broken := bytes.Clone(whole)
			copy(broken[16:], "broken beyond repair")
			write(t, path, broken)
		}, hooks.ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "hooks.db")
			c.make(t, path)
			before := files(t, dir)
			s, err := sqlite.Open(path)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("Open = %v; want %v", err, c.want)
			}
			after := files(t, dir)
			delete(after, "hooks.db-shm") // what reading a log makes, and holds nothing
			if !maps.Equal(after, before) {
				t.Errorf("Open changed the files from %v to %v", sizes(before), sizes(after))
			}
		})
	}
}

func TestNewRefusesANewerVersion(t *testing.T) {
	db := appDB(t)
	if err := share(t, db).Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, `UPDATE hooks_schema SET version = 99`)
	if _, err := sqlite.New(db, sqlite.Config{}); !errors.Is(err, hooks.ErrTooNew) {
		t.Errorf("New = %v; want ErrTooNew", err)
	}
}

func TestNewChangesNoSetting(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
	db.SetMaxOpenConns(1)
	settings := []string{
		"journal_mode", "synchronous", "busy_timeout", "foreign_keys",
		"user_version", "application_id", "auto_vacuum",
	}
	var before, after []string
	for _, name := range settings {
		before = append(before, setting(t, db, name))
	}
	s := share(t, db)
	if err := enqueue(s, entry("e", "crm")); err != nil {
		t.Fatal(err)
	}
	for _, name := range settings {
		after = append(after, setting(t, db, name))
	}
	if !slices.Equal(before, after) {
		t.Errorf("New changed %v from %v to %v", settings, before, after)
	}
	rows, err := db.Query(`SELECT name FROM sqlite_schema WHERE name NOT LIKE 'hooks\_%' ESCAPE '\'
		AND name NOT LIKE 'sqlite\_autoindex\_hooks\_%' ESCAPE '\' AND name <> 'orders'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		t.Errorf("New made %s; want names that begin with hooks_", name)
	}
}

func TestWeaknesses(t *testing.T) {
	dir := t.TempDir()
	for params, want := range map[string][]string{
		"_synchronous=NORMAL": {"journal_mode", "synchronous", "busy_timeout"},
		"_synchronous=OFF&_journal_mode=WAL&_busy_timeout=1000":   {"synchronous"},
		"_synchronous=FULL&_journal_mode=WAL&_busy_timeout=1000":  nil,
		"_synchronous=EXTRA&_journal_mode=WAL&_busy_timeout=1000": nil,
		"_synchronous=FULL&_journal_mode=WAL&_busy_timeout=0":     {"busy_timeout"},
		"_synchronous=FULL&_journal_mode=DELETE&_busy_timeout=1":  {"journal_mode"},
	} {
		dsn := params + ".db?" + params
		s := share(t, openDB(t, filepath.Join(dir, dsn)))
		got, err := s.Weaknesses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, sentence := range got {
			got[i], _, _ = strings.Cut(sentence, " ")
		}
		if !slices.Equal(got, want) {
			t.Errorf("Weaknesses of %s begin with %q; want %q", params, got, want)
		}
	}
	if got, err := openTemp(t).Weaknesses(t.Context()); len(got) > 0 || err != nil {
		t.Errorf("Weaknesses of Open's = %q, %v; want none", got, err)
	}
}

// TestWeaknessesOfSomeConnections: a PRAGMA that is executed reaches one.
func TestWeaknessesOfSomeConnections(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "app.db")+"?_journal_mode=WAL")
	mustExec(t, db, `PRAGMA busy_timeout = 5000`)
	s := share(t, db)
	got, err := s.Weaknesses(t.Context())
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "busy_timeout is 0 on 1 of 2 connections") {
		t.Errorf("Weaknesses = %q, %v; want that busy_timeout is 0 on one of two connections", got, err)
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Weaknesses(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Weaknesses while the pool is empty = %v; want context.Canceled", err)
	}
}

func TestNewInMemory(t *testing.T) {
	db := openDB(t, ":memory:")
	db.SetMaxOpenConns(1)
	mustExec(t, db, `CREATE TABLE IF NOT EXISTS orders (id TEXT)`)
	s := share(t, db)
	if err := enqueue(s, entry("e", "crm")); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(t.Context(), at(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(t.Context(), at(0)); !errors.Is(err, hooks.ErrLocked) {
		t.Errorf("Lock(again) = %v; want ErrLocked", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	got, err := s.Weaknesses(t.Context())
	if err != nil || len(got) == 0 || !strings.Contains(got[0], "in memory") {
		t.Errorf("Weaknesses = %q, %v; want that it is in memory", got, err)
	}
}

func TestManyOpenANewFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlite.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(enqueue(s, entry("e", "crm")), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestCloseLeavesOneFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "hooks.db"))
	if err := enqueue(s, entry("e", "crm")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backlog(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(files(t, dir))); !slices.Equal(got, []string{"hooks.db"}) {
		t.Errorf("files after Close = %q; want hooks.db alone", got)
	}
}

// storeFile is the contents of a store with a few events.
func storeFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hooks.db")
	s := open(t, path)
	fill(t, s, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are the contents of a directory's files by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Name()] = string(b)
	}
	return contents
}

func sizes(files map[string]string) map[string]int {
	n := map[string]int{}
	for name, content := range files {
		n[name] = len(content)
	}
	return n
}
