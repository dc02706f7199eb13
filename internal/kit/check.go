package kit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// WantEmpty checks that s, the store of h, holds no event, delivery or record.
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

// Soon returns the next value of a channel. It fails the test if none comes within a minute.
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

// WantInvalid checks that err is a [hooks.InvalidError] for the field, that it wraps the
// sentinel if that is not nil, and that its text contains advice: what to do.
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
