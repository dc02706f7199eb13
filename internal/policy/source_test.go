package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// connects is what makes connections or requests, by the import path of its package.
var connects = map[string][]string{
	"net/http":   {"Client", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "Transport"},
	"net":        {"Dial", "DialIP", "DialTCP", "DialTimeout", "DialUDP", "DialUnix", "Dialer"},
	"crypto/tls": {"Client", "Dial", "DialWithDialer", "Dialer"},
	"syscall":    {"Connect", "Sendto", "Socket"},
}

// mayConnect are the files that use it all the same: the one constructor of
// transports and what is beneath it, which ask the policy; and what is for tests: a
// transport through net.Pipe, and the start of servers, which asks whether they answer.
var mayConnect = map[string][]string{
	"egress/transport.go": {"http.Transport"},
	"egress/dial.go":      {"net.Dialer", "tls.Client"},

	"internal/kit/receive.go":     {"http.Transport"},
	"internal/pgserver/pooler.go": {"net.Dial"},
}

// Nothing in the library reaches the network but through package egress. (What the
// drivers of databases do is theirs; examples and benchmarks are programs.)
func TestOnlyEgressConnects(t *testing.T) {
	toRoot(t)
	found := make(map[string][]string)
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"examples", "bench", "testdata", ".git", ".ci"}, file):
			return filepath.SkipDir
		case !strings.HasSuffix(file, ".go"), strings.HasSuffix(file, "_test.go"):
			return nil
		}
		if uses := connections(t, file, nil); len(uses) > 0 {
			found[filepath.ToSlash(file)] = uses
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(found, mayConnect, slices.Equal[[]string]) {
		t.Errorf("these files make connections: %v; want only %v: have egress.NewTransport make them", found, mayConnect)
	}
}

// connections lists what a file uses of connects, each once. src is as in
// [parser.ParseFile].
func connections(t *testing.T, file string, src any) (uses []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string) // of packages in this file: their import paths
	for _, spec := range parsed.Imports {
		importPath, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = importPath
		if name == "." && connects[importPath] != nil {
			uses = append(uses, "import . "+importPath)
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := selector.X.(*ast.Ident)
		if ok && slices.Contains(connects[names[pkg.Name]], selector.Sel.Name) {
			uses = append(uses, path.Base(names[pkg.Name])+"."+selector.Sel.Name)
		}
		return true
	})
	slices.Sort(uses)
	return slices.Compact(uses)
}

func TestConnectionsAreFound(t *testing.T) {
	for source, want := range map[string]string{
		`import "net/http"; var c http.Client`:                           "http.Client",
		`import "net/http"; func f() { http.Get("") ; http.Post("") }`:   "http.Get http.Post",
		`import web "net/http"; var t = web.DefaultTransport`:            "http.DefaultTransport",
		`import "net"; func f() { net.Dial("tcp", "127.0.0.1:1") }`:      "net.Dial",
		`import . "net"; func f() { Dial("tcp", "127.0.0.1:1") }`:        "import . net",
		`import "net"; var d = &net.Dialer{}`:                            "net.Dialer",
		`import "crypto/tls"; func f() { tls.Dial("tcp", "x", nil) }`:    "tls.Dial",
		`import "net/http"; var r http.RoundTripper; var c = r`:          "",
		`import http "example.com/other"; func f() { http.Get("") }`:     "",
		`import "net"; func f() { net.Listen("tcp", "127.0.0.1:0") }`:    "",
		`import "net/http"; type T struct{ Client int }; var _ = T{}`:    "",
		`import "net/http"; func f(http struct{ x int }) { _ = http.x }`: "",
	} {
		if got := strings.Join(connections(t, "x.go", "package x\n"+source), " "); got != want {
			t.Errorf("connections(%s) = %q; want %q", source, got, want)
		}
	}
}
