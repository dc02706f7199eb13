package policy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

// Every piece of Go in the guide for operators stands in the test that runs it.
func TestOperatingGuideShowsWhatRuns(t *testing.T) {
	toRoot(t)
	guide := readText(t, "docs/operating.md")
	run := outdented(readText(t, "operating_test.go"))
	pieces := strings.Split(guide, "```go\n")[1:]
	if len(pieces) < 5 {
		t.Errorf("docs/operating.md has %d pieces of Go; want those that it needs", len(pieces))
	}
	for _, rest := range pieces {
		piece, _, closed := strings.Cut(rest, "```\n")
		if !closed || !strings.Contains(run, "\n"+outdented(piece)) {
			t.Errorf("operating_test.go has no lines like these of docs/operating.md; copy them:\n%s", piece)
		}
	}
	if !strings.Contains(readText(t, "README.md"), "(docs/operating.md)") {
		t.Error("README.md does not lead to docs/operating.md")
	}
}

// The guide for operators says what to do about every code that they may see.
func TestOperatingGuideNamesEveryCode(t *testing.T) {
	toRoot(t)
	guide := readText(t, "docs/operating.md")
	for file, code := range map[string]string{
		"warnings.go":         `WarningCode = "(.+)"`,
		"explain_delivery.go": `\tcode[A-Z]\w+ += "(.+)"`,
		"delivery.go":         ` Reason = "(.+)"`,
	} {
		found := regexp.MustCompile(code).FindAllStringSubmatch(readText(t, file), -1)
		if len(found) < 5 {
			t.Errorf("%s has %d codes like %s; has their form changed?", file, len(found), code)
		}
		for _, m := range found {
			if !strings.Contains(guide, "`"+m[1]+"`") {
				t.Errorf("docs/operating.md does not name the code %q of %s", m[1], file)
			}
		}
	}
}

// outdented returns a text without the tabs at the beginning of its lines.
func outdented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
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
