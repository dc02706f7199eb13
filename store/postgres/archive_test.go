package postgres_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

// TestReadsOfAnArchive has the server tell how it runs every call and admin page that reads, in a store of
// 50,000 deliveries. No step looks at more than 10,001 rows, so none passes over what has
// succeeded, and none reads a table whole. That is so before the server has statistics of
// the tables, too. With -hooks.long there are 1,000,000, and the calls are measured.
func TestReadsOfAnArchive(t *testing.T) {
	size := 50_000
	switch {
	case *long:
		size = 1_000_000
	case kit.RaceDetector || testing.Short():
		size = 15_000
	}
	config := database(t)
	a := kit.FillArchive(t, storeOn(t, poolOn(t, config)), size)
	all := func(s hooks.Store) []kit.Read { return append(a.Reads(t, s), a.Pages(t, s, mountFor(t))...) }
	for _, state := range []string{"without statistics", "with statistics"} {
		var p plans
		pool := poolOn(t, config, p.explain)
		if state == "with statistics" {
			for _, table := range []string{"events", "deliveries", "keys", "attempts", "minutes"} {
				run(t, pool, `VACUUM ANALYZE hooks.`+table)
			}
		}
		for _, read := range all(storeOn(t, pool)) {
			p.take()
			for i := range 3 {
				if err := read.Call(t.Context(), i); err != nil {
					t.Errorf("%s: %v", read.Name, err)
				}
			}
			for _, plan := range p.take() {
				if n := rowsOf(plan); n > 10_001 || strings.Contains(plan, "Seq Scan on") {
					t.Errorf("%s, %s: a step looks at %d rows; want at most 10,001, by an index:\n%s", read.Name, state, n, plan)
				}
			}
		}
	}
	if *long {
		kit.MeasureReads(t, all(storeOn(t, poolOn(t, config))))
	}
}

var (
	stepRows    = regexp.MustCompile(`actual rows=(\d+) loops=(\d+)`)
	removedRows = regexp.MustCompile(`Rows Removed by Filter: (\d+)`)
)

// rowsOf returns how many rows the busiest step of a plan has looked at.
func rowsOf(plan string) (most int) {
	for step := range strings.SplitSeq(plan, "->") {
		looked := 0
		for _, m := range stepRows.FindAllStringSubmatch(step, 1) {
			rows, _ := strconv.Atoi(m[1])
			loops, _ := strconv.Atoi(m[2])
			looked += rows * loops
		}
		for _, m := range removedRows.FindAllStringSubmatch(step, 1) {
			removed, _ := strconv.Atoi(m[1])
			looked += removed
		}
		most = max(most, looked)
	}
	return most
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
