package kit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// wantEmpty checks that nothing at all is stored.
func WantEmpty(t *testing.T, h *hooks.Hooks, s hooks.Store) {
	t.Helper()
	if evs, ds := Events(t, h), Deliveries(t, h); len(evs)+len(ds) > 0 {
		t.Errorf("stored: events %v, deliveries %v; want none", evs, ds)
	}
	records, err := s.Records(t.Context(), 0)
	if err != nil || len(records) > 0 {
		t.Errorf("Records = %v, %v; want none", records, err)
	}
}

// soon takes the next value of a channel, and fails the test if none comes.
func Soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came within a minute")
		panic("unreachable")
	}
}

// wantInvalid checks that err refuses field, for the sentinel if there is one,
// and says what to do in words that contain advice.
func WantInvalid(t *testing.T, err error, field string, sentinel error, advice string) {
	t.Helper()
	inv, ok := errors.AsType[*hooks.InvalidError](err)
	if !ok {
		t.Fatalf("error = %v; want an InvalidError for %s", err, field)
	}
	if inv.Field != field {
		t.Errorf("Field of %q = %q; want %q", err, inv.Field, field)
	}
	if sentinel != nil && !errors.Is(err, sentinel) {
		t.Errorf("error %q is not %q; want it to be", err, sentinel)
	}
	if !strings.Contains(err.Error(), advice) {
		t.Errorf("error = %q; want it to say %q", err, advice)
	}
	if !strings.HasPrefix(err.Error(), "hooks: ") {
		t.Errorf("error = %q; want it to begin with hooks:", err)
	}
}

// endIfStuck ends the program, with the stacks of all goroutines, if the test is not
// over in a minute. For what waits for a mutex stops the clock of a bubble. Call it
// outside of one.
func EndIfStuck(t *testing.T) {
	timer := time.AfterFunc(time.Minute, func() { panic(t.Name() + " waits for a lock that nobody frees") })
	t.Cleanup(func() { timer.Stop() })
}
