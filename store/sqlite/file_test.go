package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// losses are ways in which a store's file is lost while it is open. Each
// returns what puts it back.
var losses = []struct {
	name string
	lose func(path string) (back func() error, err error)
}{
	{"the file is renamed", func(path string) (func() error, error) {
		return rename(path, path+".old")
	}},
	{"another one is in its place", func(path string) (func() error, error) {
		back, err := rename(path, path+".old")
		return back, errors.Join(err, os.WriteFile(path, nil, 0o600))
	}},
	{"its directory is renamed", func(path string) (func() error, error) {
		return rename(filepath.Dir(path), filepath.Dir(path)+".old")
	}},
	{"its directory is a file now", func(path string) (func() error, error) {
		dir := filepath.Dir(path)
		back, err := rename(dir, dir+".old")
		err = errors.Join(err, os.WriteFile(dir, nil, 0o600))
		return func() error { return errors.Join(os.Remove(dir), back()) }, err
	}},
	{"its log is renamed", func(path string) (func() error, error) {
		return rename(path+"-wal", path+".old-wal")
	}},
	{"another log is in its place", func(path string) (func() error, error) {
		back, err := rename(path+"-wal", path+".old-wal")
		return back, errors.Join(err, os.WriteFile(path+"-wal", nil, 0o600))
	}},
}

func rename(from, to string) (back func() error, err error) {
	return func() error { return os.Rename(to, from) }, os.Rename(from, to)
}

// TestAReplacedFileIsNoticed: nothing is acknowledged that would be lost, the
// store does not half work afterwards, and what was acknowledged before is
// there again with the file.
func TestAReplacedFileIsNoticed(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "hooks.db")
			db := openDB(t, dsnOf(path))
			mustExec(t, db, `DROP TABLE orders`)
			stores := map[string]*sqlite.Store{"Open": open(t, path), "New": share(t, db)}
			for name, s := range stores {
				if err := enqueue(s, entry("before"+name, "crm")); err != nil {
					t.Fatal(err)
				}
			}
			back, err := loss.lose(path)
			if err != nil {
				t.Skip("cannot take an open file away: ", err)
			}
			for name, s := range stores {
				wantReplaced(t, name, s, db)
			}
			if err := back(); err != nil {
				t.Fatal(err)
			}
			for name, s := range stores {
				wantReplaced(t, name+", when it is back", s, db)
				if err := s.Close(); err != nil {
					t.Errorf("Close = %v; want nil", err)
				}
			}
			again := open(t, path)
			if err := enqueue(again, entry("after", "crm")); err != nil {
				t.Errorf("Enqueue of a store that was opened anew = %v; want nil", err)
			}
			kept := map[string]bool{}
			for _, ev := range events(t, again) {
				kept[ev.ID] = true
			}
			if !kept["beforeOpen"] || !kept["beforeNew"] || !kept["after"] {
				t.Errorf("Events() of a store that was opened anew = %v; want all that were acknowledged", kept)
			}
		})
	}
}

const dsnParams = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate"

func dsnOf(path string) string { return "file:" + filepath.ToSlash(path) + dsnParams }

// wantReplaced calls every method, a write first: it looks at the log, too.
func wantReplaced(t *testing.T, name string, s *sqlite.Store, db *sql.DB) {
	t.Helper()
	ctx := t.Context()
	for range 3 {
		if err := enqueue(s, entry("lost"+name, "crm")); !errors.Is(err, sqlite.ErrReplaced) {
			t.Errorf("%s: Enqueue = %v; want ErrReplaced", name, err)
		}
	}
	_, claim := s.Claim(ctx, at(0), []hooks.ClaimLane{lane("crm", 1)})
	_, update := s.Update(ctx, at(0), nil)
	_, put := s.Put(ctx, at(0), hooks.Record{Key: "k", Data: []byte("1")}, nil)
	_, prune := s.Prune(ctx, hooks.Cutoffs{Limit: 1})
	_, lock := s.Lock(ctx, at(0))
	_, backlog := s.Backlog(ctx)
	_, records := s.Records(ctx, 0)
	_, _, evs := s.Events(ctx, hooks.Query{})
	_, _, ds := s.Deliveries(ctx, hooks.Query{})
	_, attempts := s.Attempts(ctx, hooks.DeliveryID{})
	_, weak := s.Weaknesses(ctx)
	for method, err := range map[string]error{
		"Claim": claim, "Update": update, "Put": put, "Prune": prune, "Lock": lock, "Backlog": backlog,
		"Records": records, "Events": evs, "Deliveries": ds, "Attempts": attempts, "Weaknesses": weak,
	} {
		if !errors.Is(err, sqlite.ErrReplaced) {
			t.Errorf("%s: %s = %v; want ErrReplaced", name, method, err)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		return // SQLite noticed it, too
	}
	defer tx.Rollback()
	if err := enqueue(s.Tx(tx), entry("tx", "crm")); !errors.Is(err, sqlite.ErrReplaced) {
		t.Errorf("%s: Tx.Enqueue = %v; want ErrReplaced", name, err)
	}
}

// TestAFileThatIsLostDuringAWrite takes it away when the write has begun.
func TestAFileThatIsLostDuringAWrite(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, path string, release func()) {
		var wg sync.WaitGroup
		for _, id := range []string{"a", "b", "c"} {
			wg.Go(func() {
				if err := enqueue(s, entry(id, "crm")); !errors.Is(err, sqlite.ErrReplaced) {
					t.Errorf("Enqueue = %v; want ErrReplaced", err)
				}
			})
		}
		synctest.Wait()
		if err := os.Remove(path); err != nil {
			t.Skip("cannot take an open file away: ", err)
		}
		release()
		wg.Wait()
	})
}

// TestALostFileWithARollbackJournal has no log to look at.
func TestALostFileWithARollbackJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	s := share(t, openDB(t, path))
	for _, id := range []string{"a", "b"} {
		if err := enqueue(s, entry(id, "crm")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Skip("cannot remove an open file: ", err)
	}
	if err := enqueue(s, entry("c", "crm")); !errors.Is(err, sqlite.ErrReplaced) {
		t.Errorf("Enqueue = %v; want ErrReplaced", err)
	}
}

// TestOtherNamesOfAFileMayChange: what counts is where the file itself is.
func TestOtherNamesOfAFileMayChange(t *testing.T) {
	dir := t.TempDir()
	data, link := filepath.Join(dir, "data"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Symlink(data, link)); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	s := open(t, filepath.Join(link, "hooks.db"))
	steps := map[string]func() error{
		"nothing is done":         func() error { return nil },
		"the link leads nowhere":  func() error { return errors.Join(os.Remove(link), os.Symlink("none", link)) },
		"the directory is linked": func() error { return errors.Join(os.Rename(data, data+"2"), os.Symlink("data2", data)) },
	}
	for name, step := range steps {
		if err := step(); err != nil {
			t.Skip("cannot rename: ", err)
		}
		if err := enqueue(s, entry(name, "crm")); err != nil {
			t.Errorf("Enqueue when %s = %v; want nil", name, err)
		}
	}
}

// TestALogThatSQLiteMadeAnew is not one that somebody has replaced: SQLite
// deletes it with the last connection.
func TestALogThatSQLiteMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	db := openDB(t, dsnOf(path))
	s := share(t, db)
	for _, idle := range []int{0, 2, 0, 1} {
		db.SetMaxIdleConns(idle)
		if _, err := os.Stat(path + "-wal"); idle == 0 && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("Stat of the log without connections = %v; want that there is none", err)
		}
		for range 3 {
			if err := enqueue(s, entry(strconv.Itoa(len(events(t, s))), "crm")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkCheck is what a write pays for noticing that the file was replaced:
// it looks at the file twice, and at the log once.
func BenchmarkCheck(b *testing.B) {
	path := filepath.Join(b.TempDir(), "hooks.db")
	s := open(b, path)
	check, checkCommit := s.FileChecks(b)
	b.Run("file", func(b *testing.B) {
		for b.Loop() {
			if err := check(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("file and log", func(b *testing.B) {
		for b.Loop() {
			if err := checkCommit(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
