package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestTransactionsAreWhole(t *testing.T) {
	texts := func(list []Statement) (sqls []string) {
		for _, st := range list {
			sqls = append(sqls, st.SQL)
		}
		return sqls
	}
	want := []string{beginSQL, settingsSQL, "a", "b", commitSQL}
	list := Write("100ms", []Statement{{SQL: "a"}, {SQL: "b"}})
	if got := texts(list); !slices.Equal(got, want) || list[1].Args[0] != "100ms" {
		t.Errorf("Write = %q, with %v; want %q with a lock_timeout of 100ms", got, list[1].Args, want)
	}
	want = []string{viewSQL, viewingSQL, "a", commitSQL}
	if got := texts(View(Statement{SQL: "a"})); !slices.Equal(got, want) {
		t.Errorf("View = %q; want %q", got, want)
	}
}

// What the server gave up because of others is tried five times, and nothing else is
// tried again.
func TestAgain(t *testing.T) {
	serialization := fmt.Errorf("group: %w", &pgconn.PgError{Code: "40001"})
	deadlock := &pgconn.PgError{Code: "40P01"}
	for _, c := range []struct {
		errs  []error // of each call; the last one repeats
		calls int
	}{
		{[]error{nil}, 1},
		{[]error{serialization, nil}, 2},
		{[]error{deadlock, serialization, deadlock, nil}, 4},
		{[]error{serialization}, 5},
		{[]error{&pgconn.PgError{Code: "23505"}, nil}, 1},
		{[]error{errors.New("connection lost"), nil}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			var last error
			err := Again(t.Context(), func() error {
				last = c.errs[min(calls, len(c.errs)-1)]
				calls++
				return last
			})
			if calls != c.calls || err != last {
				t.Errorf("Again after %v called %d times and returned %v; want %d calls and the last error", c.errs, calls, err, c.calls)
			}
		})
	}
}

// Again does not wait when its context has ended.
func TestAgainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		calls := 0
		deadlock := &pgconn.PgError{Code: "40P01"}
		err := Again(ctx, func() error {
			calls++
			return deadlock
		})
		if calls == 5 || err != deadlock {
			t.Errorf("Again with an ended context called %d times and returned %v; want fewer than 5 calls, and %v", calls, err, deadlock)
		}
	})
}
