package sqlite_test

import (
	"strings"
	"testing"

	"example.com/hooks/store/sqlite"
)

// TestNoStatementScans asks SQLite how it runs every statement that is
// prepared: none may read a table, or an index, from end to end.
func TestNoStatementScans(t *testing.T) {
	s := openTemp(t)
	fill(t, s, 1000)
	mustExec(t, s.Writer(), "ANALYZE") // statistics must mislead nobody
	for _, state := range []string{"without statistics", "with statistics"} {
		if state == "without statistics" {
			mustExec(t, s.Writer(), "DELETE FROM sqlite_stat1")
			dropConnection(t, s.Writer())
		} else {
			mustExec(t, s.Writer(), "ANALYZE")
		}
		write, read := sqlite.Statements()
		for _, query := range append(write, read...) {
			for _, step := range plan(t, s, query) {
				if !allowed(step) {
					t.Errorf("%s: %s\ndoes %s", state, query, step)
				}
			}
		}
	}
}

// allowed reports whether a step of a plan costs no more with more rows: the
// lists that a statement is given may be scanned, and the queues of recursions.
// Sorting is for a few rows only, so no step may do it.
func allowed(step string) bool {
	for _, scan := range []string{"SCAN json_each", "SCAN waiting", "SCAN leased", "SCAN CONSTANT ROW"} {
		if strings.HasPrefix(step, scan) {
			return true
		}
	}
	// The leases that there are: a small index, and all of it.
	if strings.HasPrefix(step, "SCAN hooks_deliveries USING COVERING INDEX hooks_deliveries_leased") {
		return true
	}
	return !strings.HasPrefix(step, "SCAN") && !strings.HasPrefix(step, "USE TEMP B-TREE")
}

// plan is what EXPLAIN QUERY PLAN says about a query.
func plan(t *testing.T, s *sqlite.Store, query string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	rows, err := s.Writer().Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
