package sqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	driver "modernc.org/sqlite"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// held runs f in a bubble with a store that cannot write until release is
// called, so that calls gather.
func held(t *testing.T, f func(t *testing.T, s *sqlite.Store, path string, release func())) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		// A call with a context makes the driver wait for locks by Go's clock,
		// which is the bubble's.
		if err := s.Writer().PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		tx := beginTx(t, openDB(t, path+"?_txlock=immediate"))
		f(t, s, path, func() {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// ready starts an operation that leads a group of its own, and waits until it
// waits for the lock, so that whatever comes next gathers behind it.
func ready(t *testing.T, wg *sync.WaitGroup, s *sqlite.Store) {
	wg.Go(func() {
		if err := enqueue(s, entry("leader", "crm")); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

func TestWritesThatComeTogetherShareACommit(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, path string, release func()) {
		before := commits(t, path)
		var wg sync.WaitGroup
		ready(t, &wg, s)
		for i := range 50 {
			wg.Go(func() {
				if err := enqueue(s, entry("evt_"+strconv.Itoa(i), "crm")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		if got := commits(t, path) - before; got != 2 {
			t.Errorf("51 writes made %d commits; want 2, the first and one for all others", got)
		}
		if got := len(events(t, s)); got != 51 {
			t.Errorf("len(Events()) = %d; want 51", got)
		}
	})
}

// TestTheFirstOfManyWaitsForTheOthers: on one processor, whoever comes first
// would be committed alone, before the others are let to come.
func TestTheFirstOfManyWaitsForTheOthers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	path := filepath.Join(t.TempDir(), "hooks.db")
	s := open(t, path)
	before := commits(t, path)
	const rounds, writes = 20, 8
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range writes {
			wg.Go(func() {
				if err := enqueue(s, entry(fmt.Sprint(round, " ", i), "crm")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	// One a round; some more, for the scheduler may decide otherwise.
	if got := commits(t, path) - before; got > rounds*3/2 {
		t.Errorf("%d times %d writes made %d commits; want about one each time", rounds, writes, got)
	}
}

func TestAnOperationThatFailsHurtsNoOther(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, _ string, release func()) {
		var wg sync.WaitGroup
		ready(t, &wg, s)
		for i := range 10 {
			wg.Go(func() {
				if err := enqueue(s, entry("evt_"+strconv.Itoa(i), "crm")); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				unknown := entry("unknown", "crm")
				unknown.Add = true
				err := enqueue(s, entry("bad_"+strconv.Itoa(i), "crm"), unknown)
				if !errors.Is(err, hooks.ErrNotFound) {
					t.Errorf("Enqueue(Add to an unknown event) = %v; want ErrNotFound", err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		for _, ev := range events(t, s) {
			if strings.HasPrefix(ev.ID, "bad") {
				t.Errorf("Events() has %s, of an Enqueue that failed", ev.ID)
			}
		}
		if got := len(events(t, s)); got != 11 {
			t.Errorf("len(Events()) = %d; want 11", got)
		}
	})
}

func TestAContextEndsTheWaitingOnly(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, _ string, release func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, id := range []string{"underway", "waiting"} {
			wg.Go(func() {
				_, err := s.Enqueue(ctx, at(0), []hooks.Entry{entry(id, "crm", "audit")})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Enqueue(%s) = %v; want context.Canceled", id, err)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() {
			if err := enqueue(s, entry("patient", "crm")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		cancel()
		synctest.Wait()
		if d := time.Since(start); d > 0 {
			t.Errorf("Enqueue returned %v after its context ended; want at once", d)
		}
		release()
		wg.Wait()
		want := map[string]int{"underway": 2, "patient": 1} // whole, or not at all
		for _, id := range []string{"underway", "waiting", "patient"} {
			got, _, err := s.Deliveries(t.Context(), hooks.Query{Event: id})
			if len(got) != want[id] || err != nil {
				t.Errorf("Deliveries(%s) = %d, %v; want %d", id, len(got), err, want[id])
			}
		}
	})
}

func TestCloseWaitsForCalls(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, path string, release func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Enqueue(ctx, at(0), []hooks.Entry{entry("orphan", "crm")}) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		var closed bool
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			closed = true
		})
		synctest.Wait()
		if closed {
			t.Error("Close returned while a write was under way")
		}
		if err := enqueue(s, entry("late", "crm")); !errors.Is(err, hooks.ErrClosed) {
			t.Errorf("Enqueue during Close = %v; want ErrClosed", err)
		}
		release()
		wg.Wait()
		if got := events(t, open(t, path)); len(got) != 1 || got[0].ID != "orphan" {
			t.Errorf("Events() after Close = %v; want orphan alone", got)
		}
	})
}

func TestALockedDatabase(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, _ string, release func()) {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				err := enqueue(s, entry(strconv.Itoa(i), "crm"))
				ailing(t, err, sqlite.ErrBusy, 5)
			})
		}
		wg.Wait()
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("5 writes failed after %v; want two groups of 5 s", d)
		}
		if _, err := s.Backlog(t.Context()); err != nil {
			t.Errorf("Backlog while another writes = %v; want nil", err)
		}
		release()
		if err := enqueue(s, entry("after", "crm")); err != nil {
			t.Errorf("Enqueue afterwards = %v; want nil", err)
		}
	})
}

func TestAFullDatabase(t *testing.T) {
	s := openTemp(t)
	fill(t, s, 10)
	pages := setting(t, s.Writer(), "page_count")
	large := entry("large", "crm")
	large.Event.Data = fmt.Appendf(nil, `"%0200000d"`, 0)
	for range 3 {
		mustExec(t, s.Writer(), "PRAGMA max_page_count = "+pages)
		ailing(t, enqueue(s, entry("small", "crm"), large), sqlite.ErrFull, 13)
	}
	if got := len(events(t, s)); got != 10 {
		t.Errorf("len(Events()) of a full database = %d; want the 10 it had", got)
	}
	mustExec(t, s.Writer(), "PRAGMA max_page_count = 100000")
	if err := enqueue(s, entry("small", "crm"), large); err != nil {
		t.Errorf("Enqueue afterwards = %v; want nil", err)
	}
}

func TestAReadOnlyDatabase(t *testing.T) {
	s := openTemp(t)
	mustExec(t, s.Writer(), "PRAGMA query_only = 1")
	ailing(t, enqueue(s, entry("e", "crm")), sqlite.ErrReadOnly, 8)
	mustExec(t, s.Writer(), "PRAGMA query_only = 0")
	if err := enqueue(s, entry("e", "crm")); err != nil {
		t.Errorf("Enqueue afterwards = %v; want nil", err)
	}
}

func TestADamagedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	content := storeFile(t)
	for i := 3 * 4096; i < len(content); i += 4096 { // all but the schema
		copy(content[i:], strings.Repeat("\xff", 100))
	}
	write(t, path, content)
	s, err := sqlite.Open(path)
	if err == nil {
		defer s.Close()
		err = enqueue(s, entry("e", "crm"))
	}
	if !errors.Is(err, sqlite.ErrCorrupt) {
		t.Errorf("Enqueue = %v; want ErrCorrupt", err)
	}
}

// TestALostConnection shows that the store opens another.
func TestALostConnection(t *testing.T) {
	s := openTemp(t)
	for i := range 3 {
		dropConnection(t, s.Writer())
		if err := enqueue(s, entry(strconv.Itoa(i), "crm")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestARemovedFileIsNotMadeAgain: an empty one would have any mode, and no
// tables.
func TestARemovedFileIsNotMadeAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	s := open(t, path)
	if err := os.Remove(path); err != nil {
		t.Skip("cannot remove an open file: ", err)
	}
	dropConnection(t, s.Writer())
	if err := enqueue(s, entry("e", "crm")); !errors.Is(err, sqlite.ErrReplaced) {
		t.Errorf("Enqueue = %v; want ErrReplaced", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat = %v; want that there is no file", err)
	}
}

// ailing fails the test unless err is want, and the driver's error with code
// can be had from it.
func ailing(t *testing.T, err, want error, code int) {
	t.Helper()
	e, ok := errors.AsType[*driver.Error](err)
	if !errors.Is(err, want) || !ok || e.Code()&0xff != code {
		t.Errorf("error = %v; want %v, and SQLite's code %d", err, want, code)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "sqlite: ") {
		t.Errorf("error = %q; want it to begin with sqlite:", err)
	}
}

func events(t *testing.T, s *sqlite.Store) []hooks.Event {
	t.Helper()
	page, _, err := s.Events(t.Context(), hooks.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// commits counts the commits in the write-ahead log of the database at path.
// See https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
func commits(t *testing.T, path string) (n int) {
	t.Helper()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frame = 32, 24 + 4096
	for i := header; i+frame <= len(log); i += frame {
		if binary.BigEndian.Uint32(log[i+4:]) != 0 { // the size of the database after a commit
			n++
		}
	}
	return n
}
