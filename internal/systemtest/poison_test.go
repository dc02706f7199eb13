package systemtest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// What ends the process comes to an end, however much of it there is and however few
// attempts it has, and what is beside it succeeds, even if it takes long, and never
// gets lost. Each of the first lives brings two events, of
// which one comes later.
func TestPoisonHarmsNothingBesideIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy retry.Schedule
		took   time.Duration // by the innocent
		more   int           // lives that bring two events
	}{
		{"two events", retry.Schedule{}, 10 * time.Second, 1},
		{"two events, three attempts", retry.Schedule{0, 0}, 10 * time.Second, 1},
		{"two events in each of eight lives", retry.Schedule{}, 10 * time.Second, 8},
		{"the same, three attempts", retry.Schedule{0, 0}, 10 * time.Second, 8},
		{"quick innocents", retry.Schedule{}, 0, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &poisoned{store: memory.New(), policy: c.policy, took: c.took}
				for life := 0; !p.live(t, life < c.more); life++ {
					if life > 200 {
						t.Fatal("after 200 lives it is not over")
					}
				}
				h := kit.New(t, hooks.Config{Store: p.store})
				for _, d := range kit.Deliveries(t, h) {
					attempts := len(c.policy) + 1
					switch {
					case d.Subscriber == "poison" && (d.Status != hooks.Failed || d.Reason != hooks.ReasonLost || d.Attempts != attempts):
						t.Errorf("%v is %v (%s) after %d attempts; want failed (lost) after %d", d.DeliveryID, d.Status, d.Reason, d.Attempts, attempts)
					case d.Subscriber == "innocent" && d.Status != hooks.Succeeded:
						t.Errorf("%v is %v (%s) after %d attempts; want succeeded", d.DeliveryID, d.Status, d.Reason, d.Attempts)
					}
				}
			})
		})
	}
}

// A poisoned store is that of a process with a handler that ends it, and one that
// takes its time.
type poisoned struct {
	store  *memory.Store
	policy retry.Policy
	took   time.Duration
}

// live is one life of the process, until it ends or nothing is left to do; then it
// is over.
func (p *poisoned) live(t *testing.T, more bool) (over bool) {
	t.Helper()
	ctx, die := context.WithCancel(t.Context())
	defer die()
	store := &mortal{Store: p.store, delay: 50 * time.Millisecond}
	h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent, Retry: p.policy, DrainTimeout: time.Millisecond},
		hooks.Handler{Name: "innocent", Func: func(ctx context.Context, _ hooks.Event) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(p.took):
				return nil
			}
		}},
		hooks.Handler{Name: "poison", Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Millisecond)
			store.dead.Store(true)
			die()
			return nil
		}})
	if more {
		kit.PlaceOrder(t, h, 1)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- h.Flush(ctx) }()
	if more {
		time.Sleep(2 * time.Second) // while an innocent is tried alone
		kit.PlaceOrder(t, h, 2)
	}
	err := <-flushed
	time.Sleep(time.Second) // until calls of the store that were left behind have returned
	return err == nil && !more
}

const poisonedEnv = "HOOKS_TEST_POISONED"

// The same with a process that really ends.
func TestPoisonEndsInRealLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	lives := 0
	for over := false; !over; lives++ {
		if lives > 20 {
			t.Fatal("after 20 lives it is not over")
		}
		child := exec.Command(os.Args[0], "-test.run=^TestPoisonedChild$", "-test.count=1")
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", poisonedEnv, path, lives))
		out, err := child.CombinedOutput()
		over = err == nil
		if code := child.ProcessState.ExitCode(); !over && code != poisonedExit {
			t.Fatalf("child %d ends with %d: %s", lives, code, out)
		}
	}
	store, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	for _, d := range kit.Deliveries(t, kit.New(t, hooks.Config{Store: store})) {
		want := hooks.Succeeded
		if d.Subscriber == "poison" {
			want = hooks.Failed
		}
		if d.Status != want || d.Attempts != 1 {
			t.Errorf("%v is %v (%s) after %d attempts and %d lost; want %v after 1", d.DeliveryID, d.Status, d.Reason, d.Attempts, d.Lost, want)
		}
	}
}

const poisonedExit = 3

// TestPoisonedChild is the process that ends.
func TestPoisonedChild(t *testing.T) {
	var path string
	var life int
	if n, _ := fmt.Sscan(os.Getenv(poisonedEnv), &path, &life); n != 2 {
		t.Skip("it is a part of TestPoisonEndsInRealLife")
	}
	store, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var under atomic.Bool
	h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent, Retry: retry.Schedule{}},
		hooks.Handler{Name: "innocent", Func: func(context.Context, hooks.Event) error {
			under.Store(true)
			<-time.After(50 * time.Millisecond)
			return nil
		}},
		hooks.Handler{Name: "poison", Func: func(context.Context, hooks.Event) error {
			for i := 0; i < 10 && !under.Load(); i++ {
				<-time.After(time.Millisecond) // for the other to begin, if it does
			}
			os.Exit(poisonedExit)
			return nil
		}})
	if life == 0 {
		kit.PlaceOrder(t, h, 1)
	}
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
