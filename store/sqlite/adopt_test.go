package sqlite_test

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// A fakeDriver is one for another database, which cannot be reached.
type fakeDriver struct{}

func (fakeDriver) Open(string) (driver.Conn, error) { return nil, errors.New("connection refused") }

// A tracer passes everything on to another driver, as instrumentation does.
type tracer struct{ driver.Driver }

func init() {
	sql.Register("fake", fakeDriver{})
	db, _ := sql.Open("sqlite", "")
	sql.Register("tracer", tracer{db.Driver()})
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name        string
		driver, dsn string
		conns       int
		want        string // part of the error; empty if New accepts it
	}{
		{"nothing", "", "", 0, "sql.Open"},
		{"another driver", "fake", "x", 0, "modernc.org/sqlite"},
		{"a wrapped driver", "tracer", filepath.Join(t.TempDir(), "app.db"), 0, ""},
		{"a database for each connection", "sqlite", ":memory:", 0, "SetMaxOpenConns(1)"},
		{"a database for each of two connections", "sqlite", "file::memory:", 2, "SetMaxOpenConns(1)"},
		{"a temporary file for each connection", "sqlite", "", 0, "SetMaxOpenConns(1)"},
		{"memory with one connection", "sqlite", ":memory:", 1, ""},
		{"memory with a shared cache", "sqlite", "file:shared?mode=memory&cache=shared", 0, ""},
		{"memory with a shared cache and a few", "sqlite", "file:few?mode=memory&cache=shared", 2, ""},
		{"memory of SQLite's memdb", "sqlite", "file:/memdb?vfs=memdb", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var db *sql.DB
			if c.driver != "" {
				var err error
				if db, err = sql.Open(c.driver, c.dsn); err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				db.SetMaxOpenConns(c.conns)
			}
			s, err := sqlite.New(db, sqlite.Config{})
			if err == nil {
				defer s.Close()
			}
			if c.want != "" {
				wantInvalid(t, err, "db", c.want)
			} else if err != nil {
				t.Errorf("New = %v; want nil", err)
			} else if err := enqueue(s, entry("e", "crm")); err != nil {
				t.Errorf("Enqueue = %v; want nil", err)
			}
		})
	}
}

func TestTxOfNothing(t *testing.T) {
	s := openTemp(t)
	wantInvalid(t, enqueue(s.Tx(nil), entry("e", "crm")), "tx", "BeginTx")
	_, err := s.Tx(nil).Records(t.Context(), 0)
	wantInvalid(t, err, "tx", "BeginTx")
}

// wantInvalid fails the test unless err is a [hooks.InvalidError] of the field
// whose text has advice in it.
func wantInvalid(t *testing.T, err error, field, advice string) {
	t.Helper()
	e, ok := errors.AsType[*hooks.InvalidError](err)
	if !ok || e.Field != field || !strings.Contains(err.Error(), advice) {
		t.Errorf("error = %v; want an InvalidError of %s that says %q", err, field, advice)
	}
}

// TestBusyWithoutATimeout: whoever has set none reads that this is why.
func TestBusyWithoutATimeout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for params, hint := range map[string]bool{
		"?_journal_mode=WAL":                 true,
		"?_journal_mode=WAL&_busy_timeout=1": false,
	} {
		db := openDB(t, path+params)
		s := share(t, db)
		holder := beginTx(t, openDB(t, path+"?_txlock=immediate"))
		tx := beginTx(t, db)
		for name, err := range map[string]error{
			"Enqueue":    enqueue(s, entry("e", "crm")),
			"Tx.Enqueue": enqueue(s.Tx(tx), entry("e", "crm")),
		} {
			if got := strings.Contains(err.Error(), "_pragma=busy_timeout(5000)"); got != hint {
				t.Errorf("%s: %s = %v; want that it speaks of busy_timeout: %v", params, name, err, hint)
			}
			ailing(t, err, sqlite.ErrBusy, 5)
		}
		if err := errors.Join(tx.Rollback(), holder.Rollback()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBusyAtNew has another transaction hold the lock when the tables are to
// be made.
func TestBusyAtNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	db := openDB(t, path)
	tx := beginTx(t, openDB(t, path+"?_txlock=immediate"))
	defer tx.Rollback()
	_, err := sqlite.New(db, sqlite.Config{})
	ailing(t, err, sqlite.ErrBusy, 5)
	if err == nil || !strings.Contains(err.Error(), "_pragma=busy_timeout(5000)") {
		t.Errorf("New = %v; want that it speaks of busy_timeout", err)
	}
}
