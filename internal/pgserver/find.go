package pgserver

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// ErrNotInstalled is the error of [Start] and [Use] if there is no PostgreSQL on
// this machine.
var ErrNotInstalled = errors.New("there is no PostgreSQL 15 or later on this machine: " +
	"install it (Debian: apt install postgresql), or name a database of yours, " +
	"with -db for an example and HOOKS_TEST_POSTGRES for the tests")

const (
	// debian is where Debian keeps the programs, which are not on its PATH.
	debian = "/usr/lib/postgresql/*/bin"

	oldest = 15
)

// programs are the absolute paths of the programs that run a server.
type programs struct {
	initdb, pgctl string
}

// find returns the programs on the PATH, whatever their version, else the
// latest in the directories that match the pattern VERSION/bin.
func find(pattern string) (programs, error) {
	for _, dir := range append([]string{""}, latestFirst(pattern)...) {
		initdb, err := exec.LookPath(filepath.Join(dir, "initdb"))
		if err != nil {
			continue
		}
		pgctl, err := exec.LookPath(filepath.Join(dir, "pg_ctl"))
		if err != nil {
			continue
		}
		return programs{initdb, pgctl}, nil
	}
	return programs{}, ErrNotInstalled
}

func latestFirst(pattern string) []string {
	dirs, _ := filepath.Glob(pattern) // The pattern is a constant, and valid.
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { return version(dir) < oldest })
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	return dirs
}

// version returns the major version in a path VERSION/bin, or 0 if there is
// none: of releases before 10 the directory was called 9.6.
func version(dir string) int {
	v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return v
}
