package pgserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"example.com/hooks/internal/pgserver"
)

// install makes a directory VERSION/bin below root with the programs.
func install(t *testing.T, root, version string, programs ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(root, version, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindsLatestVersion(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", root)
	for _, version := range []string{"9.6", "14", "15", "100", "16"} {
		install(t, root, version, "initdb", "pg_ctl")
	}
	install(t, root, "101", "initdb") // Without the server, as a client package may be.
	initdb, pgctl, err := pgserver.Find(filepath.Join(root, "*", "bin"))
	want := filepath.Join(root, "100", "bin")
	if filepath.Dir(initdb) != want || filepath.Dir(pgctl) != want || err != nil {
		t.Errorf("find() = %s, %s, %v; want both in %s", initdb, pgctl, err, want)
	}
}

func TestPrefersThePath(t *testing.T) {
	root := t.TempDir()
	onPath := install(t, root, "elsewhere", "initdb", "pg_ctl")
	install(t, root, "100", "initdb", "pg_ctl")
	t.Setenv("PATH", onPath)
	initdb, pgctl, err := pgserver.Find(filepath.Join(root, "[0-9]*", "bin"))
	if filepath.Dir(initdb) != onPath || filepath.Dir(pgctl) != onPath || err != nil {
		t.Errorf("find() = %s, %s, %v; want both in %s", initdb, pgctl, err, onPath)
	}
}

func TestNotInstalled(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", "")
	install(t, root, "14", "initdb", "pg_ctl") // too old
	install(t, root, "15", "initdb")
	install(t, root, "16", "pg_ctl")
	_, _, err := pgserver.Find(filepath.Join(root, "*", "bin"))
	if !errors.Is(err, pgserver.ErrNotInstalled) {
		t.Errorf("find() = %v; want ErrNotInstalled", err)
	}
}
