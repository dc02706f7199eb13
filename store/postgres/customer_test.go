package postgres_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"example.com/hooks/internal/kit"
)

// A customer's pages look at as many rows beside few rows of others as beside many: how long
// they take tells a customer nothing, and a small customer does not pay for a large one.
func TestACustomersPagesLookAtNoRowsOfOthers(t *testing.T) {
	few, many := customerRows(t, 4_000), customerRows(t, 12_000)
	total := 0
	for _, page := range kit.CustomerPages {
		total += few[page]
		if few[page] != many[page] {
			t.Errorf("GET %s looks at %d rows beside 4,000 of others, and at %d beside 12,000; want as many", page, few[page], many[page])
		}
	}
	if total == 0 {
		t.Error("no page looks at a row; want some")
	}
}

// ofRows matches statements that read events, deliveries, attempts and counters.
var ofRows = regexp.MustCompile(`(FROM|JOIN) hooks\.(events|deliveries|attempts|minutes)`)

// customerRows returns how many rows each page looks at for the smallest customer of an
// archive: the busiest step of each statement counts. The statement of Backlog is left out. It
// looks at a row for each subscriber with unfinished deliveries, of everybody.
func customerRows(t *testing.T, size int) map[string]int {
	t.Helper()
	config := database(t)
	kit.FillArchive(t, storeOn(t, poolOn(t, config)), size)
	var p plans
	pool := poolOn(t, config, p.explain)
	for _, table := range []string{"events", "deliveries", "keys", "attempts", "minutes"} {
		run(t, pool, `VACUUM ANALYZE hooks.`+table)
	}
	ui := mountFor(t)(kit.NewArchived(t, storeOn(t, pool)), kit.SmallTenant)
	looked := make(map[string]int)
	for _, page := range kit.CustomerPages {
		p.take()
		w := httptest.NewRecorder()
		ui.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, page, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("GET %s = %d %s; want 200", page, w.Code, w.Body)
		}
		for _, plan := range p.take() {
			if ofRows.MatchString(plan) && !strings.Contains(plan, "WITH RECURSIVE lanes") {
				looked[page] += rowsOf(plan)
			}
		}
	}
	return looked
}
