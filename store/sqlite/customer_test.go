package sqlite_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/sqlite"
)

// A customer's pages look at as many rows beside few rows of others as beside many: how long
// they take tells a customer nothing, and a small customer does not pay for a large one.
func TestACustomersPagesLookAtNoRowsOfOthers(t *testing.T) {
	few, many := customerRows(t, 4_000), customerRows(t, 12_000)
	total := int64(0)
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

// customerRows returns how many rows each page looks at for the smallest customer of an
// archive.
func customerRows(t *testing.T, size int) map[string]int64 {
	t.Helper()
	s := &countedStore{Store: openTemp(t), t: t}
	kit.FillArchive(t, s.Store, size)
	ui := mountFor(t)(kit.NewArchived(t, s), kit.SmallTenant)
	looked := make(map[string]int64)
	for _, page := range kit.CustomerPages {
		s.looked = 0
		w := httptest.NewRecorder()
		ui.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, page, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("GET %s = %d %s; want 200", page, w.Code, w.Body)
		}
		looked[page] = s.looked
	}
	return looked
}

// A countedStore counts the rows that its lists and counts look at. Backlog is left out. It
// looks at a row for each subscriber with unfinished deliveries, of everybody.
type countedStore struct {
	*sqlite.Store
	t      *testing.T
	looked int64
}

func (c *countedStore) count(queries []sqlite.Query) {
	c.t.Helper()
	for _, q := range queries {
		c.looked += lookedAt(c.t, c.Store, q)
	}
}

func (c *countedStore) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	queries := sqlite.DeliveryQueries(q)
	c.count(queries[:len(queries)-1]) // the last one counts
	return c.Store.Deliveries(ctx, q)
}

func (c *countedStore) Events(ctx context.Context, q hooks.Query) ([]hooks.Event, string, error) {
	c.count(sqlite.EventQueries(q))
	return c.Store.Events(ctx, q)
}

func (c *countedStore) Count(ctx context.Context, q hooks.Query, most int) (hooks.Count, error) {
	queries := sqlite.DeliveryQueries(q)
	c.count(queries[len(queries)-1:])
	return c.Store.Count(ctx, q, most)
}
