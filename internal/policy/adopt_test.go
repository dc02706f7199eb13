package policy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README's command renames all modules, and what it leaves builds and vets.
func TestTheReadmesRenameWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds every module once more under another path")
	}
	if !strings.HasPrefix(module, "example.com/") {
		t.Skip("it is done")
	}
	toRoot(t)
	const path = "git.example.org/acme/hooks"
	copied := filepath.Join(t.TempDir(), "hooks")
	copyTree(t, ".", copied)
	in(t, copied, "sh", "-c", strings.ReplaceAll(renameCommand(t), "YOUR/PATH", path))

	left := regexp.MustCompile(`(^|[^\w./-])example\.com/hooks\b`)
	eachFile(t, copied, func(file string, text []byte) {
		if left.Match(text) {
			t.Errorf("%s still has the old module path", file)
		}
	})
	in(t, copied, "go", "vet", "work") // which builds all packages with their tests
	if out := in(t, copied, "gofmt", "-l", "."); out != "" {
		t.Errorf("gofmt would change %s", out)
	}
	if out := in(t, copied, "go", "list", "-m"); strings.Contains(out, module) || strings.Count(out, path) != 7 {
		t.Errorf("the modules are now\n%swant seven below %s", out, path)
	}
}

// renameCommand returns the README's one line of shell that renames the modules.
func renameCommand(t *testing.T) string {
	t.Helper()
	_, adopting, _ := strings.Cut(readText(t, "README.md"), "## Adopting it")
	_, block, _ := strings.Cut(adopting, "```\n")
	line, _, ok := strings.Cut(block, "\n```")
	if !ok || strings.Contains(line, "\n") || !strings.Contains(line, "YOUR/PATH") {
		t.Fatalf("README.md, Adopting it: got %q; want one line of shell with YOUR/PATH", line)
	}
	return line
}

// copyTree copies the files that git would hand to somebody, but without git:
// whoever vendors the library has no history of it.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(to, ".git")); err != nil {
		t.Fatal(err)
	}
}

// eachFile calls f for every file that Go or a reader looks at.
func eachFile(t *testing.T, dir string, f func(file string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if bytes.IndexByte(text, 0) < 0 {
			f(file, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// in runs a command in a directory and returns what it wrote to standard output.
func in(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}
