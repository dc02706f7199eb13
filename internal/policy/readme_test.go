package policy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The program that the README shows is the one that is built and run.
func TestReadmeShowsTheProgram(t *testing.T) {
	toRoot(t)
	program := readText(t, "examples/embed/main.go")
	if n := strings.Count(program, "\n"); n > 40 {
		t.Errorf("examples/embed has %d lines; want at most 40", n)
	}
	readme := readText(t, "README.md")
	if !strings.Contains(readme, "```go\n"+program+"```\n") {
		t.Error("README.md shows another program than examples/embed/main.go; copy it")
	}
	if n := strings.Count(readme, "\n"); n > 200 {
		t.Errorf("README.md has %d lines; want at most 200", n)
	}
}

// Every test and benchmark that docs/guarantees.md names exists.
func TestGuaranteesNameTests(t *testing.T) {
	toRoot(t)
	sources := allTests(t)
	for word := range strings.FieldsFuncSeq(readText(t, "docs/guarantees.md"), func(r rune) bool {
		return r == '`' || r == ' ' || r == '\n' || r == ',' || r == '|'
	}) {
		test := strings.HasPrefix(word, "Test") || strings.HasPrefix(word, "Benchmark")
		if test && !strings.Contains(sources, "func "+word+"(") {
			t.Errorf("docs/guarantees.md names %s, which does not exist", word)
		}
	}
}

// allTests returns the text of all test files below the working directory, those of the
// nested modules included.
func allTests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, "_test.go") {
			all.WriteString(readText(t, file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
