package hooks_test

import (
	"os"
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

// Every test that docs/guarantees.md names exists.
func TestGuaranteesNameTests(t *testing.T) {
	sources := allTests(t)
	for word := range strings.FieldsFuncSeq(readText(t, "docs/guarantees.md"), func(r rune) bool {
		return r == '`' || r == ' ' || r == '\n' || r == ',' || r == '|'
	}) {
		if strings.HasPrefix(word, "Test") && !strings.Contains(sources, "func "+word+"(") {
			t.Errorf("docs/guarantees.md names %s, which does not exist", word)
		}
	}
}

func allTests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{".", "egress", "keeper", "retry", "signer", "store/memory", "store/sqlite", "store/postgres", "store/storetest", "examples/quickstart", "examples/fleet", "examples/outbox"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), "_test.go") {
				all.WriteString(readText(t, dir+"/"+e.Name()))
			}
		}
	}
	return all.String()
}
