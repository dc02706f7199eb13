package sqlite_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// TestWhatIsErasedIsNotInTheFile looks for it byte by byte: in a file whose rows have never
// moved, and after VACUUM in one where many have come and gone.
func TestWhatIsErasedIsNotInTheFile(t *testing.T) {
	for _, vacuum := range []bool{false, true} {
		t.Run(fmt.Sprintf("vacuum=%t", vacuum), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hooks.db")
			s := open(t, path)
			confide(t, s, "told_1", "classified")
			confide(t, s, "told_2", "public-knowledge")
			if vacuum {
				comeAndGo(t, s)
			}
			if n, err := s.Prune(t.Context(), hooks.Cutoffs{Erase: []string{"told_1"}, Now: at(9)}); n != 1 || err != nil {
				t.Fatalf("Prune(Erase) = %d, %v; want 1", n, err)
			}
			if vacuum {
				mustExec(t, s.Writer(), "VACUUM")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for name, content := range files(t, filepath.Dir(path)) {
				if i := strings.Index(content, "classified"); i >= 0 {
					t.Errorf("%s has what was erased, at byte %d of %d", name, i, len(content))
				}
			}
			content, err := os.ReadFile(path)
			if got := bytes.Count(content, []byte("public-knowledge")); err != nil || got < 100 {
				t.Errorf("the file has what was not erased %d times, %v; want it there", got, err)
			}
		})
	}
}

// confide stores an event whose payload, metadata and answer are full of a word.
func confide(t *testing.T, s *sqlite.Store, id, word string) {
	t.Helper()
	e := entry(id, "crm")
	e.Event.Data = []byte(`"` + strings.Repeat(word+" ", 2000) + `"`)
	e.Event.Metadata = map[string]string{word: word}
	if err := enqueue(s, e); err != nil {
		t.Fatal(err)
	}
	d := e.Deliveries[0]
	d.Status, d.Attempts = hooks.Succeeded, 1
	stale, err := s.Update(t.Context(), at(1), []hooks.Change{{Delivery: d, Attempt: &hooks.Attempt{
		Run: 1, Number: 1, Start: at(0), Took: time.Millisecond, Code: 200,
		Header: http.Header{"X-Word": {word}}, Body: []byte(strings.Repeat(word+" ", 400)),
	}}})
	if err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it written", stale, err)
	}
}

// comeAndGo stores and removes other events, before and after which the rows that stay lie.
func comeAndGo(t *testing.T, s *sqlite.Store) {
	t.Helper()
	fill(t, s, 500)
	for range 25 {
		if _, err := deliver20(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	confide(t, s, "told_3", "public-knowledge")
	mustExec(t, s.Writer(), `DELETE FROM hooks_events WHERE id LIKE 'evt_%' AND seq % 3 > 0`)
}

// Erasing changes a setting of the connection, which is the application's.
func TestErasingLeavesTheSettingAsItWas(t *testing.T) {
	db := appDB(t)
	db.SetMaxOpenConns(1)
	s := share(t, db)
	for set, want := range map[string]string{"OFF": "0", "ON": "1", "FAST": "2"} {
		mustExec(t, db, "PRAGMA secure_delete = "+set)
		if _, err := s.Prune(t.Context(), hooks.Cutoffs{Erase: []string{"told_1"}, Now: at(9)}); err != nil {
			t.Fatal(err)
		}
		if got := setting(t, db, "secure_delete"); got != want {
			t.Errorf("secure_delete after erasing = %s; want %s, as it was set", got, want)
		}
	}
}
