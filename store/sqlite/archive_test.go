package sqlite_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	driver "modernc.org/sqlite"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// examined counts the rows that a statement looks at: the function hooks_examined is called for
// each that an index gives.
var examined atomic.Int64

func init() {
	driver.MustRegisterScalarFunction("hooks_examined", 1, func(*driver.FunctionContext, []sqldriver.Value) (sqldriver.Value, error) {
		examined.Add(1)
		return int64(1), nil
	})
}

// TestReadsOfAnArchive counts the rows that every list, count and admin page looks at, in a
// store of 50,000 deliveries. A page whose rows an index selects looks at no others, and
// any other call at no more than 10,001, so that none passes over what has succeeded. With -hooks.long there are 1,000,000, and the calls are measured.
func TestReadsOfAnArchive(t *testing.T) {
	size := 50_000
	switch {
	case *kit.Long:
		size = 1_000_000
	case kit.RaceDetector || testing.Short():
		size = 12_000
	}
	s := openTemp(t)
	a := kit.FillArchive(t, s, size)
	all := func(s hooks.Store) []kit.Read { return append(a.Reads(t, s), a.Pages(t, s, mountFor(t))...) }
	if *kit.Long {
		kit.MeasureReads(t, all(s))
	}
	asked := &askedStore{Store: s, t: t}
	for _, state := range []string{"without statistics", "with statistics"} {
		if state == "with statistics" {
			mustExec(t, s.Writer(), "ANALYZE")
		}
		for _, read := range all(asked) {
			asked.what = read.Name + ", " + state
			for i := range 3 {
				if err := read.Call(t.Context(), i); err != nil {
					t.Errorf("%s: %v", read.Name, err)
				}
			}
		}
	}
}

// mountFor returns a function that mounts the admin handler, for a customer or the operator.
func mountFor(t *testing.T) func(h *hooks.Hooks, tenant string) http.Handler {
	return func(h *hooks.Hooks, tenant string) http.Handler {
		ui, err := admin.New(h, admin.Config{Authorize: func(*http.Request) (admin.Access, error) {
			return admin.Access{Level: admin.Secrets, Tenant: tenant, AllTenants: tenant == "", User: "kim"}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return ui
	}
}

// An askedStore checks how many rows the lists and counts look at that it is asked for.
type askedStore struct {
	*sqlite.Store
	t    *testing.T
	what string // who asks
}

func (a *askedStore) check(queries []sqlite.Query) {
	a.t.Helper()
	for _, q := range queries {
		if n := lookedAt(a.t, a.Store, q); n > int64(q.Most) {
			a.t.Errorf("%s: looks at %d rows; want at most %d\n%s", a.what, n, q.Most, q.SQL)
		}
	}
}

// lookedAt returns how many rows a statement looks at.
func lookedAt(t *testing.T, s *sqlite.Store, q sqlite.Query) int64 {
	t.Helper()
	counting := strings.ReplaceAll(q.SQL, " WHERE ", " WHERE hooks_examined(seq) AND ")
	if strings.Contains(q.SQL, "FILTER (WHERE") {
		counting = strings.Replace(counting, "FILTER (WHERE hooks_examined(seq) AND ", "FILTER (WHERE ", 1)
	}
	counting = strings.ReplaceAll(counting, "hooks_keys WHERE hooks_examined(seq) AND ", "hooks_keys WHERE ")
	examined.Store(0)
	rows, err := s.Writer().Query(counting, q.Args...)
	if err != nil {
		t.Fatalf("%s: %v", counting, err)
	}
	for rows.Next() {
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatalf("%s: %v", counting, err)
	}
	return examined.Load()
}

func (a *askedStore) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	a.check(sqlite.DeliveryQueries(q))
	return a.Store.Deliveries(ctx, q)
}

func (a *askedStore) Events(ctx context.Context, q hooks.Query) ([]hooks.Event, string, error) {
	a.check(sqlite.EventQueries(q))
	return a.Store.Events(ctx, q)
}

func (a *askedStore) Count(ctx context.Context, q hooks.Query, most int) (hooks.Count, error) {
	a.check(sqlite.DeliveryQueries(q))
	return a.Store.Count(ctx, q, most)
}
