package systemtest_test

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/sqlite"
)

// A weighed store notes the most rows that one call has read or written, and the longest
// record.
type weighed struct {
	hooks.Store

	mu                sync.Mutex // guards what follows
	rows, ids, record int
}

func (s *weighed) Unwrap() hooks.Store { return s.Store }

func (s *weighed) note(most *int, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*most = max(*most, n)
}

func (s *weighed) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	page, next, err := s.Store.Deliveries(ctx, q)
	s.note(&s.rows, len(page))
	return page, next, err
}

func (s *weighed) Events(ctx context.Context, q hooks.Query) ([]hooks.Event, string, error) {
	page, next, err := s.Store.Events(ctx, q)
	s.note(&s.ids, len(page))
	return page, next, err
}

func (s *weighed) Update(ctx context.Context, now time.Time, c []hooks.Change) ([]hooks.DeliveryID, error) {
	s.note(&s.rows, len(c))
	return s.Store.Update(ctx, now, c)
}

func (s *weighed) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	s.note(&s.record, len(r.Data))
	return s.Store.Put(ctx, now, r, emit)
}

// However many rows an action has, it holds no more of them than a step has.
func TestALargeAction(t *testing.T) {
	rows := 10_000
	switch {
	case *kit.Long:
		rows = 100_000
	case kit.RaceDetector || testing.Short():
		rows = 1_000
	}
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			rows := rows
			if name == "sqlite" && !*kit.Long {
				rows = min(rows, 1_500) // it waits for the disk
			}
			synctest.Test(t, func(t *testing.T) {
				store := &weighed{Store: open(t)}
				y := newYard(t, store)
				y.publishMany(rows)
				if err := y.h.DisableEndpoint(t.Context(), "crm", "", time.Time{}); err != nil {
					t.Fatal(err)
				}
				rate := hooks.Rate{N: 100_000, Per: time.Second}
				for _, k := range everyKind {
					a := y.start(hooks.Action{Kind: k, Query: queryFor(k), Rate: rate})
					if a.Total != (hooks.Count{N: min(rows, 10_000), More: rows > 10_000}) {
						t.Errorf("the total of %s is %v; want %d", k, a.Total, rows)
					}
					y.run(time.Hour)
					if a, err := y.h.Action(t.Context(), a.ID); err != nil || a.Finished.IsZero() || a.Done+a.Skipped != rows {
						t.Errorf("Action = %+v, %v; want %d rows", a, err, rows)
					}
				}
				if store.rows > 501 || store.ids > 101 || store.record > 100<<10 {
					t.Errorf("a call had %d deliveries, %d events or a record of %d bytes; want at most 501, 101 and 102400",
						store.rows, store.ids, store.record)
				}
			})
		})
	}
}

// publishMany publishes n events of acme.
func (y *yard) publishMany(n int) {
	y.t.Helper()
	evs := make([]hooks.Event, 500)
	for i := range evs {
		evs[i] = kit.InvoicePaid.New(kit.Invoice{Number: i})
		evs[i].Tenant = "acme"
	}
	for range n / len(evs) {
		if _, err := y.h.PublishBatch(y.t.Context(), evs); err != nil {
			y.t.Fatal(err)
		}
	}
}

// While no action is under way, nothing is asked of the store because of actions.
func TestNoActionNoWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(filepath.Join(t.TempDir(), "hooks.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		calls := 0
		store := newFlaky(s, nil)
		y := newYard(t, store)
		y.fail(3)
		y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		defer kit.StartInBubble(t, y.h)()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		store.follow(func(string) fate { calls++; return sound })
		time.Sleep(time.Minute)
		synctest.Wait()
		store.follow(nil)
		if calls != 0 {
			t.Errorf("%d calls of the store within a minute; want none", calls)
		}
	})
}

// After VACUUM the file holds nothing of what an action has erased: data, metadata, and what
// receivers have answered.
func TestNothingOfWhatAnActionErasedIsInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	words := []string{"the-payload", "the-metadata", "the-answers-body", "The-Answers-Header"}
	inFile := func() (found []string) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if strings.Contains(string(content), word) {
				found = append(found, word)
			}
		}
		return found
	}
	withFile := func(do func(t *testing.T, h *hooks.Hooks)) {
		synctest.Test(t, func(t *testing.T) {
			s, err := sqlite.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			answer := kit.Exchange(func(*http.Request) (*http.Response, error) {
				return kit.Answer(500, http.Header{words[3]: {words[3]}}, words[2]), nil
			})
			h := kit.New(t, hooks.Config{Store: s, Logger: kit.Silent, Transport: answer, Retry: retry.Schedule{time.Second}})
			kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
			do(t, h)
			stop := kit.StartInBubble(t, h)
			time.Sleep(time.Hour)
			stop()
		})
	}
	withFile(func(t *testing.T, h *hooks.Hooks) {
		ev := kit.InvoicePaid.New(kit.Invoice{})
		ev.Data, ev.Metadata = []byte(`"`+words[0]+`"`), map[string]string{"a": words[1]}
		if _, err := h.PublishBatch(t.Context(), slices.Repeat([]hooks.Event{ev}, 50)); err != nil {
			t.Fatal(err)
		}
	})
	if found := inFile(); len(found) != len(words) {
		t.Fatalf("before it is erased the file has %q; want %q", found, words)
	}
	withFile(func(t *testing.T, h *hooks.Hooks) {
		erase := hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Types: []string{"invoice.*"}}}
		if _, err := h.StartAction(t.Context(), erase); err != nil {
			t.Fatal(err)
		}
	})
	vacuum(t, path)
	if found := inFile(); len(found) > 0 {
		t.Errorf("the file has %q; want nothing of it", found)
	}
}

func vacuum(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("VACUUM"); err != nil {
		t.Fatal(err)
	}
}
