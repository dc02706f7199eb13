package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// TestAFullDisk fills a small file system, frees it again, and looks whether
// everything that was acknowledged is there.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("cannot mount a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "hooks.db"))
	var kept []string
	for i := 0; ; i++ {
		e := entry(fmt.Sprint("evt_", i), "crm")
		e.Event.Data = []byte(`"` + strings.Repeat("x", 20_000) + `"`)
		if err := enqueue(s, e); err != nil {
			ailing(t, err, sqlite.ErrFull, 13)
			break
		}
		kept = append(kept, e.Event.ID)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := enqueue(s, entry("after", "crm")); err != nil {
		t.Errorf("Enqueue when there is room again = %v; want nil", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the store worked again after %v; want at most 5 s", took)
	}
	for _, id := range append(kept, "after") {
		got, _, err := s.Deliveries(t.Context(), hooks.Query{Event: id})
		if len(got) != 1 || err != nil {
			t.Errorf("Deliveries(%s) = %d, %v; want 1", id, len(got), err)
		}
	}
	t.Log(len(kept), "events before the disk was full")
}
