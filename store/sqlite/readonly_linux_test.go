package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/hooks/store/sqlite"
)

// TestAReadOnlyMount asks what Open, New and Lock say on one.
func TestAReadOnlyMount(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("cannot mount a file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	content := storeFile(t)
	write(t, filepath.Join(dir, "store.db"), content)
	write(t, filepath.Join(dir, "log.db"), content)
	write(t, filepath.Join(dir, "log.db-wal"), nil) // as a process that was killed leaves it
	write(t, filepath.Join(dir, "empty.db"), nil)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"store.db", "log.db", "empty.db", "new.db"} {
		s, err := sqlite.Open(filepath.Join(dir, name))
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, sqlite.ErrReadOnly) {
			t.Errorf("Open(%s) = %v; want ErrReadOnly", name, err)
		}
	}
	for _, name := range []string{"store.db", "log.db", "empty.db"} {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.New(db, sqlite.Config{}); !errors.Is(err, sqlite.ErrReadOnly) {
			t.Errorf("New(%s) = %v; want ErrReadOnly", name, err)
		}
		db.Close()
	}
	lockReadOnly(t, filepath.Join(dir, "store.db"))
}

// lockReadOnly has a store that can read, and no more.
func lockReadOnly(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?immutable=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := sqlite.New(db, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Lock(t.Context(), at(0)); !errors.Is(err, sqlite.ErrReadOnly) {
		t.Errorf("Lock = %v; want ErrReadOnly", err)
	}
	if err := enqueue(s, entry("e", "crm")); !errors.Is(err, sqlite.ErrReadOnly) {
		t.Errorf("Enqueue = %v; want ErrReadOnly", err)
	}
}

func TestNetworkFileSystems(t *testing.T) {
	for magic, want := range map[uint32]string{
		0x6969: "NFS", 0xff534d42: "SMB", 0xfe534d42: "SMB", 0x517b: "SMB", 0x5346414f: "AFS",
		0xef53: "", 0x01021994: "", 0x794c7630: "", // ext4, tmpfs, overlayfs
	} {
		if got := sqlite.NetworkName(magic); got != want {
			t.Errorf("NetworkName(%#x) = %q; want %q", magic, got, want)
		}
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		if got := sqlite.NetworkFileSystem("/proc/self/status"); got != "" {
			t.Errorf("NetworkFileSystem of /proc = %q; want none", got)
		}
	}
}
