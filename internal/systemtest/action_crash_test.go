package systemtest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// In TestActionsSurviveKills the test runs itself as a child process, which finds here what
// to do: the database, and which of its writes ends it, before or after it is written.
const actionChildEnv = "HOOKS_TEST_ACTION_CHILD"

// A doomed store kills its process at its n-th write.
type doomed struct {
	*sqlite.Store
	n      int64
	before bool // the write is not made
	writes atomic.Int64
}

// write makes a write.
func (s *doomed) write(make func()) {
	last := s.writes.Add(1) == s.n
	if last && s.before {
		endProcess()
	}
	if make(); last {
		endProcess()
	}
}

func endProcess() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

func (s *doomed) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (v int64, err error) {
	s.write(func() { v, err = s.Store.Put(ctx, now, r, emit) })
	return v, err
}

func (s *doomed) Update(ctx context.Context, now time.Time, c []hooks.Change) (stale []hooks.DeliveryID, err error) {
	s.write(func() { stale, err = s.Store.Update(ctx, now, c) })
	return stale, err
}

func (s *doomed) Enqueue(ctx context.Context, now time.Time, e []hooks.Entry) (r []hooks.Receipt, err error) {
	s.write(func() { r, err = s.Store.Enqueue(ctx, now, e) })
	return r, err
}

func (s *doomed) Prune(ctx context.Context, p hooks.Cutoffs) (n int, err error) {
	s.write(func() { n, err = s.Store.Prune(ctx, p) })
	return n, err
}

func (s *doomed) Claim(ctx context.Context, now time.Time, l []hooks.ClaimLane) (e []hooks.Entry, err error) {
	s.write(func() { e, err = s.Store.Claim(ctx, now, l) })
	return e, err
}

// A process that carries out an action is killed in the midst of it, again and again, before
// and after each of its writes. Each row is changed once, and the counts are exact.
func TestActionsSurviveKills(t *testing.T) {
	for _, c := range chores {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const steps = 2
			path := filepath.Join(t.TempDir(), "hooks.db")
			c.action.ID, c.action.Rate = "act_1", hooks.Rate{N: 4, Per: time.Second}
			var rows []string
			synctest.Test(t, func(t *testing.T) {
				y := openYard(t, path)
				kit.Put(t, y.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
				rows = c.rows(y, 4*steps)
				y.start(c.action)
				if err := y.h.DisableEndpoint(t.Context(), "crm", "", time.Time{}); err != nil { // so that all writes are the action's
					t.Fatal(err)
				}
			})
			// The first write of a process makes it the action's owner. The next ones plan a
			// step, change its rows and count them; what was erased is erased once more.
			kills := 0
			for at := []int{1, 2, 2, 3}; kills < 100 && killed(t, path, at[kills/2%len(at)], kills%2 == 0); {
				kills++
			}
			if kills < 10 {
				t.Errorf("%d kills; want 10 or more", kills)
			}
			y := openYard(t, path)
			if err := y.h.EnableEndpoint(t.Context(), "crm"); err != nil {
				t.Fatal(err)
			}
			defer kit.Start(t, y.h)()
			y.await("what was replayed to be sent", func() bool {
				q := hooks.Query{Statuses: []hooks.Status{hooks.Pending, hooks.Sending}}
				page, _, err := y.h.Deliveries(t.Context(), q)
				return err == nil && !slices.ContainsFunc(page, func(d hooks.Delivery) bool {
					return d.Due.Before(time.Now().Add(time.Hour))
				})
			})
			y.wantDone(c, "act_1", rows)
		})
	}
}

// killed runs a child until its n-th write has killed it. It reports false if the child had
// nothing left to do before.
func killed(t *testing.T, path string, n int, before bool) bool {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestActionChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %t", actionChildEnv, path, n, before))
	out, err := child.CombinedOutput()
	if child.ProcessState.ExitCode() > 0 {
		t.Fatalf("the child failed: %v\n%s", err, out)
	}
	return err != nil
}

// TestActionChild is the process that TestActionsSurviveKills kills. It ends by itself when
// the action has finished.
func TestActionChild(t *testing.T) {
	var path string
	var n int64
	var before bool
	if found, _ := fmt.Sscan(os.Getenv(actionChildEnv), &path, &n, &before); found != 3 {
		t.Skip("it is a part of TestActionsSurviveKills")
	}
	y := openYard(t, path)
	y.store = &doomed{Store: y.store.(*sqlite.Store), n: n, before: before}
	y.h = y.process()
	kit.Start(t, y.h)
	y.await("the action to finish", func() bool {
		a, err := y.h.Action(t.Context(), "act_1")
		return err == nil && !a.Finished.IsZero()
	})
}

// openYard returns a yard on a file.
func openYard(t *testing.T, path string) *yard {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	y := &yard{t: t, store: s, status: 200, began: time.Now()}
	y.h = y.process()
	return y
}

// await waits until so returns true.
func (y *yard) await(what string, so func() bool) {
	y.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			y.t.Fatalf("waited a minute for %s", what)
		}
	}
}
