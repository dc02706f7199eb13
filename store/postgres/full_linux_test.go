package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks/store/postgres"
)

// A full disk loses nothing that was acknowledged, and when there is room again
// the store works again.
func TestAFullDisk(t *testing.T) {
	pool := poolOn(t, database(t))
	place, ballast := smallDisk(t, pool)
	space := "space_" + value[string](t, pool, `SELECT current_database()`)
	mustExec(t, pool, `CREATE TABLESPACE `+space+` LOCATION '`+place+`'`)
	t.Cleanup(func() { mustExec(t, pool, `DROP TABLESPACE `+space) })
	mustExec(t, pool, `ALTER TABLE hooks.events SET TABLESPACE `+space)
	t.Cleanup(func() { mustExec(t, pool, `DROP TABLE hooks.events`) })

	s := storeOn(t, pool)
	var kept []string
	for i := 0; ; i++ {
		e := entry(fmt.Sprint("evt_", i), "crm")
		e.Event.Data = []byte(`"` + noise(100_000) + `"`)
		if err := enqueue(s, e); err != nil {
			if !errors.Is(err, postgres.ErrFull) {
				t.Errorf("Enqueue on a full disk = %v; want ErrFull", err)
			}
			break
		}
		kept = append(kept, e.Event.ID)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := enqueue(s, entry("after", "crm")); err != nil {
		t.Errorf("Enqueue when there is room again = %v; want nil", err)
	}
	t.Log(len(kept), "events before the disk was full")
	wantOneOfEach(t, pool, append(kept, "after"))
}

// noise is a text that cannot be compressed.
func noise(n int) string {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	var b strings.Builder
	for range n {
		b.WriteByte(letters[rand.IntN(len(letters))])
	}
	return b.String()
}

// smallDisk is a folder on a file system of its own, which the server may use, and
// a file there that takes half of it.
func smallDisk(t *testing.T, pool *pgxpool.Pool) (place, ballast string) {
	t.Helper()
	data, err := os.Stat(value[string](t, pool, `SHOW data_directory`))
	if err != nil {
		t.Skip("the server is on another machine: ", err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // the server has to get through
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		if os.Getenv("CI") != "" && os.Getuid() == 0 {
			t.Fatal(err)
		}
		t.Skip("cannot mount a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast = filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	place = filepath.Join(dir, "space")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(place, int(data.Sys().(*syscall.Stat_t).Uid), -1); err != nil {
		t.Fatal(err)
	}
	return place, ballast
}
