package policy_test

import (
	"os"
	"path/filepath"
	"testing"
)

// toRoot makes the root of the repository the working directory until the test ends.
// That is the nearest directory above this package with a go.mod: the nested modules are
// below it, beside this package.
func toRoot(t *testing.T) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			t.Chdir(dir)
			return
		}
		above := filepath.Dir(dir)
		if above == dir {
			t.Fatal("no directory above this package has a go.mod")
		}
		dir = above
	}
}
