package policy_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "example.com/hooks"

// allowed is the import policy: what each package may import beside the
// standard library. "hooks" is the root package, other bare names its
// sub-packages. It is a statement of policy: a package that is not listed, or
// imports more than its line says, fails the test. Tests may import any
// package of the module that does not come from outside. What stands in a module
// of its own says so with the packages that it imports from there. No line names
// internal/kit, because it is for external tests only: those of the root, of
// internal/systemtest, and of whoever else can use it.
var allowed = map[string][]string{
	".":                   {"retry", "signer", "egress", "internal/lanes", "github.com/google/uuid"},
	"admin":               {"hooks", "signer"},
	"retry":               {"github.com/cenkalti/backoff/v4"},
	"signer":              {},
	"egress":              {},
	"keeper":              {},
	"internal/flow":       {},
	"internal/kit":        {"hooks", "egress", "keeper", "signer", "store/memory"},
	"internal/lanes":      {},
	"internal/pgserver":   {},
	"internal/policy":     {},
	"internal/systemtest": {},
	"store/memory":        {"hooks"},
	"store/sqlite":        {"hooks", "modernc.org/sqlite", "modernc.org/sqlite/lib"},
	"store/storetest":     {"hooks"},
	"examples/embed":      {"hooks", "store/sqlite"},
	"examples/quickstart": {"hooks", "admin", "egress", "keeper", "retry", "signer", "store/sqlite"},

	"internal/systemtest/hostile": {},

	// Modules of their own.
	"store/postgres": {
		"hooks", "store/postgres/internal/batch", "store/postgres/internal/bounds",
		pgx, pgx + "/pgconn", pgx + "/pgxpool", "github.com/jackc/puddle/v2",
	},
	"store/postgres/internal/batch":  {pgx, pgx + "/pgconn", pgx + "/pgtype"},
	"store/postgres/internal/bounds": {"hooks"},

	"internal/e2e": {},

	"examples/fleet": {"hooks", "egress", "internal/pgserver", "keeper", "signer", "store/postgres", pgx, pgx + "/pgxpool"},
	"examples/webapp": {
		"hooks", "admin", "egress", "signer", "store/sqlite", "store/postgres", pgx + "/pgxpool", pgx + "/stdlib",
		"github.com/go-chi/chi/v5", "modernc.org/sqlite",
	},
	"examples/outbox": {"hooks", "internal/pgserver", "store/postgres", pgx, pgx + "/pgxpool", pgx + "/stdlib"},
	"bench": {
		"hooks", "egress", "internal/pgserver", "signer", "store/postgres", pgx, pgx + "/pgconn", pgx + "/pgxpool", pgx + "/stdlib",
		river, river + "/riverdriver/riverpgxv5", river + "/rivermigrate", "maragu.dev/goqite",
	},
}

const (
	pgx   = "github.com/jackc/pgx/v5"
	river = "github.com/riverqueue/river"
)

func TestImportPolicy(t *testing.T) {
	toRoot(t)
	seen := make(map[string]bool)
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && name != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		seen[dir] = true
		checkImports(t, dir, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range allowed {
		if !seen[dir] {
			t.Errorf("the policy speaks of %s, which does not exist", dir)
		}
	}
}

func checkImports(t *testing.T, dir, file string) {
	t.Helper()
	policy, ok := allowed[dir]
	if !ok {
		t.Errorf("%s: the policy has no line for package %s", file, dir)
		return
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	test := strings.HasSuffix(file, "_test.go")
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name, ours := shortName(imp)
		switch {
		case ours && name == "internal/kit" && !strings.HasSuffix(f.Name.Name, "_test"):
			t.Errorf("%s imports %s, which is for external tests (package %s_test)", file, imp, f.Name.Name)
		case ours && test, test && isModule(dir):
		case ours && strings.HasSuffix(path.Base(name), "test"):
			t.Errorf("%s imports %s, which is for tests", file, imp)
		case isStandard(imp), slices.Contains(policy, name):
		default:
			t.Errorf("%s imports %s, which the policy does not allow", file, imp)
		}
	}
}

// isModule reports whether a directory is a module of its own, whose go.mod says
// what its tests need.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil && dir != "."
}

// shortName returns an import path as the policy writes it, and whether it is
// of this module.
func shortName(imp string) (name string, ours bool) {
	if imp == module {
		return "hooks", true
	}
	if rest, ok := strings.CutPrefix(imp, module+"/"); ok {
		return rest, true
	}
	return imp, false
}

// isStandard reports whether a path is of the standard library: its first
// element has no dot.
func isStandard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// Who imports hooks and the memory store takes on two modules, and not what
// SQLite needs.
func TestEmbedderTakesOnTwoModules(t *testing.T) {
	toRoot(t)
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.org/app\n\ngo 1.26.0\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + strconv.Quote(root) + "\n",
		"app.go": "package app\n\nimport (\n\t_ \"" + module + "\"\n\t_ \"" + module + "/store/memory\"\n)\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	tidy.Dir, tidy.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "// indirect"); n != 2 {
		t.Errorf("an embedder has %d indirect requirements; want 2\n%s", n, text)
	}
}
