package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// childEnv names the file that a child process shall be the dispatcher of.
const childEnv = "HOOKS_TEST_DISPATCH"

func TestMain(m *testing.M) {
	for env, do := range map[string]func(path string) string{childEnv: dispatch, migrateEnv: migrateHalfway} {
		if path := os.Getenv(env); path != "" {
			fmt.Println(do(path))
			select {} // until it is killed
		}
	}
	os.Exit(m.Run())
}

// dispatch is what the child does: it leases a delivery.
func dispatch(path string) string {
	s, err := sqlite.Open(path)
	if err != nil {
		return err.Error()
	}
	ctx := context.Background()
	if _, err := s.Lock(ctx, at(0)); err != nil {
		return err.Error()
	}
	if _, err := s.Claim(ctx, at(0), []hooks.ClaimLane{lane("crm", 1)}); err != nil {
		return err.Error()
	}
	return "locked"
}

func TestADispatcherThatIsKilledIsFollowedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	s := open(t, path)
	if err := enqueue(s, entry("e", "crm")); err != nil {
		t.Fatal(err)
	}
	child := startChild(t, childEnv, path)
	if _, err := s.Lock(t.Context(), at(1)); !errors.Is(err, hooks.ErrLocked) {
		t.Fatalf("Lock beside another process = %v; want ErrLocked", err)
	}
	got, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{lane("crm", 1)})
	if len(got) != 0 || err != nil {
		t.Fatalf("Claim of what the other process leased = %v, %v; want nothing", got, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	start := time.Now()
	s = open(t, path)
	unlock, err := s.Lock(t.Context(), at(2))
	if err != nil {
		t.Fatalf("Lock after the other process was killed = %v; want nil", err)
	}
	defer unlock()
	l := lane("crm", 1)
	l.Before = at(2)
	got, err = s.Claim(t.Context(), at(2), []hooks.ClaimLane{l})
	if err != nil || len(got) != 1 || got[0].Deliveries[0].Lost != 1 {
		t.Errorf("Claim after Lock = %v, %v; want e, lost once", got, err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("the next dispatcher began after %v; want at most 1 s", took)
	}
}

// startChild starts another process that does what env says with the file at path, and
// returns when it has.
func startChild(t *testing.T, env, path string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), env+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill() // if it is still there
		_ = child.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "locked\n" {
		t.Fatalf("the other process said %q, %v; want locked", line, err)
	}
	return child
}

func TestAFileHasOneLockUnderAllItsNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	path := filepath.Join(dir, "hooks.db")
	s := open(t, path)
	unlock, err := s.Lock(t.Context(), at(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, "link.db"); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	others := map[string]*sqlite.Store{
		"the same store":             s,
		"the same path":              open(t, path),
		"a relative path":            open(t, "./hooks.db"),
		"a symbolic link":            open(t, "link.db"),
		"the application's database": share(t, openDB(t, path)),
	}
	for name, other := range others {
		if _, err := other.Lock(t.Context(), at(0)); !errors.Is(err, hooks.ErrLocked) {
			t.Errorf("Lock(%s) = %v; want ErrLocked", name, err)
		}
	}
	for range 2 {
		if err := unlock(); err != nil {
			t.Errorf("unlock = %v; want nil", err)
		}
	}
	for name, other := range others {
		unlock, err := other.Lock(t.Context(), at(0))
		if err != nil {
			t.Fatalf("Lock(%s) afterwards = %v; want nil", name, err)
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
	}
}

// TestALockThatCannotVoidLeasesIsGivenBack keeps a store that is ailing from
// being locked for ever.
func TestALockThatCannotVoidLeasesIsGivenBack(t *testing.T) {
	s := openTemp(t)
	mustExec(t, s.Writer(), "PRAGMA query_only = 1")
	if _, err := s.Lock(t.Context(), at(0)); !errors.Is(err, sqlite.ErrReadOnly) {
		t.Errorf("Lock of a read-only database = %v; want ErrReadOnly", err)
	}
	mustExec(t, s.Writer(), "PRAGMA query_only = 0")
	if _, err := s.Lock(t.Context(), at(0)); err != nil {
		t.Errorf("Lock afterwards = %v; want nil", err)
	}
}

// TestALockIsNotGivenBackWhileItVoidsLeases: done later, that could void the
// leases of the next dispatcher.
func TestALockIsNotGivenBackWhileItVoidsLeases(t *testing.T) {
	held(t, func(t *testing.T, s *sqlite.Store, _ string, release func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := s.Lock(ctx, at(0))
			done <- err
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("Lock = %v while its write was under way; want it to wait", err)
		default:
		}
		release()
		if err := <-done; err != nil {
			t.Errorf("Lock = %v; want nil", err)
		}
	})
}
