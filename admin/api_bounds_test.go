package admin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A list of large events would be dozens of megabytes.
func TestAPageOfEventsEndsAtAMebibyteOfData(t *testing.T) {
	s := &site{access: operator}
	s.h = newHooks(t, memory.New())
	s.mount(t, s.h, nil)
	data := json.RawMessage(`"` + strings.Repeat("x", 250<<10) + `"`)
	for i := range 10 {
		kit.Publish(t, s.h, hooks.Event{ID: fmt.Sprintf("evt_%d", i), Type: orderPlaced.Name, Data: data})
	}
	seen := make(map[string]bool)
	pages := 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		var page struct {
			Events []struct{ ID string }
			Next   string
		}
		w := s.api(t, "GET", "events?limit=200&cursor="+cursor, "", 200, &page)
		if w.Body.Len() > 11<<20/10 || pages > 10 {
			t.Fatalf("page %d has %d bytes; want about a mebibyte at most", pages, w.Body.Len())
		}
		for _, ev := range page.Events {
			seen[ev.ID] = true
		}
		cursor = page.Next
	}
	if len(seen) != 10 || pages != 3 {
		t.Errorf("%d pages have %d events; want 3 with all 10", pages, len(seen))
	}
}

func TestAPIListsTheNewestAttempts(t *testing.T) {
	s := newSite(t, nil)
	id := hooks.DeliveryID{Event: "evt_paid", Subscriber: "crm"}
	for range 110 {
		if _, err := s.h.Replay(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := s.h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{"": 100, "?limit=100": 100, "?limit=3": 3, "?limit=1": 1} {
		var list struct{ Attempts []struct{ Run int } }
		s.api(t, "GET", "deliveries/evt_paid.crm/attempts"+query, "", 200, &list)
		if n := len(list.Attempts); n != want || list.Attempts[n-1].Run != 111 || list.Attempts[0].Run != 112-want {
			t.Errorf("attempts%s = %d, %+v; want the newest %d, the oldest of them first", query, n, list.Attempts, want)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "limit=1&limit=2", "cursor=1"} {
		s.refused(t, "GET", "deliveries/evt_paid.crm/attempts?"+query, "", 400)
	}
}
