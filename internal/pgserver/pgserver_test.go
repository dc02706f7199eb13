package pgserver_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/hooks/internal/pgserver"
)

// needServer skips the test if there is no PostgreSQL, except in CI.
func needServer(t *testing.T) {
	t.Helper()
	_, _, err := pgserver.Find(pgserver.Debian)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// start starts a server for the length of the test.
func start(t *testing.T, c pgserver.Config) *pgserver.Server {
	t.Helper()
	needServer(t)
	s, err := pgserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 0 || err != nil {
		t.Errorf("left behind: %q, %v; want nothing", left, err)
	}
}

func host(t *testing.T, s *pgserver.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func checkRefused(t *testing.T, address string) {
	t.Helper()
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Errorf("Dial(%s) = nil; want an error", address)
	}
}

// One server is put through everything, for most of a test's time is its start.
func TestServer(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Config{Settings: map[string]string{
		"application_name": `it's a \ test`,
		"max_connections":  "77",
	}})
	for _, test := range []struct {
		name  string
		check func(*testing.T, *pgserver.Server)
	}{
		{"has a URL for each database", checkURL},
		{"has its settings and the caller's", checkSettings},
		{"is not root's", checkUser},
		{"keeps its port and data", checkRestart},
		{"can be halted and resumed", checkHalt},
		{"says why it cannot resume", checkTakenPort},
		{"is removed by Stop", checkStop},
	} {
		t.Run(test.name, func(t *testing.T) { test.check(t, s) })
	}
}

func checkURL(t *testing.T, s *pgserver.Server) {
	want := "postgres://hooks@" + host(t, s) + "/a%20b%3Fc?sslmode=disable"
	if got := s.URL("a b?c"); got != want || !strings.HasPrefix(host(t, s), "127.0.0.1:") {
		t.Errorf("URL = %s; want %s, on 127.0.0.1", got, want)
	}
}

func checkSettings(t *testing.T, s *pgserver.Server) {
	checkShow(t, s, map[string]string{
		"application_name":        `it's a \ test`,
		"max_connections":         "77",
		"fsync":                   "off",
		"full_page_writes":        "off",
		"synchronous_commit":      "on",
		"shared_buffers":          "128MB",
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"server_encoding":         "UTF8",
		"lc_collate":              "C",
		"TimeZone":                "UTC",
		"is_superuser":            "on",
	})
}

func checkShow(t *testing.T, s *pgserver.Server, settings map[string]string) {
	t.Helper()
	c := dial(t, s)
	for name, want := range settings {
		if got := c.query(t, "SHOW "+name); got != want {
			t.Errorf("SHOW %s = %q; want %q", name, got, want)
		}
	}
}

func checkUser(t *testing.T, s *pgserver.Server) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	const uid = `SELECT substring(pg_read_file('/proc/self/status') FROM 'Uid:\s+(\d+)')`
	if got := ask(t, s, uid); got == "0" {
		t.Error("the server runs as root; want another user")
	}
}

func checkRestart(t *testing.T, s *pgserver.Server) {
	ask(t, s, "CREATE TABLE kept ()")
	before := s.URL("postgres")
	for _, mode := range []pgserver.Mode{pgserver.Fast, pgserver.Immediate} {
		started := ask(t, s, "SELECT pg_postmaster_start_time()")
		ask(t, s, "INSERT INTO kept DEFAULT VALUES")
		if err := s.Restart(t.Context(), mode); err != nil {
			t.Fatalf("Restart(%s) = %v; want nil", mode, err)
		}
		if got := s.URL("postgres"); got != before {
			t.Errorf("URL after Restart(%s) = %s; want %s", mode, got, before)
		}
		if got := ask(t, s, "SELECT pg_postmaster_start_time()"); got == started {
			t.Errorf("Restart(%s) left the server running", mode)
		}
	}
	if got := ask(t, s, "SELECT count(*) FROM kept"); got != "2" {
		t.Errorf("rows after two restarts = %s; want 2", got)
	}
}

func checkHalt(t *testing.T, s *pgserver.Server) {
	if err := s.Resume(t.Context()); err == nil {
		t.Error("Resume of a running server = nil; want an error")
	}
	if err := s.Halt(t.Context(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, host(t, s))
	if err := s.Halt(t.Context(), pgserver.Fast); err == nil {
		t.Error("Halt of a halted server = nil; want an error")
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, s, "SELECT 1")
}

func checkTakenPort(t *testing.T, s *pgserver.Server) {
	if err := s.Halt(t.Context(), pgserver.Immediate); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", host(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = s.Resume(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("Resume on a taken port = %v; want what the server says", err)
	}
	l.Close()
	if err := s.Resume(t.Context()); err != nil {
		t.Errorf("Resume on its port, free again = %v; want nil", err)
	}
}

func checkStop(t *testing.T, s *pgserver.Server) {
	data := ask(t, s, "SHOW data_directory")
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatalf("Stop() = %v; want nil", err)
		}
	}
	checkRefused(t, host(t, s))
	if _, err := os.Stat(filepath.Dir(data)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of the directory after Stop = %v; want fs.ErrNotExist", err)
	}
	if err := s.Resume(t.Context()); err == nil {
		t.Error("Resume after Stop = nil; want an error")
	}
}

// The first server is durable. The second starts where the first listens, and
// finds another port; it is halted when it is stopped.
func TestTwoServersAtOnce(t *testing.T) {
	t.Parallel()
	a := start(t, pgserver.Config{Durable: true})
	checkShow(t, a, map[string]string{
		"fsync":            "on",
		"full_page_writes": "on",
		"shared_buffers":   "256MB",
		"max_connections":  "300",
	})
	_, digits, _ := net.SplitHostPort(host(t, a))
	taken, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	ports := []int{taken, taken, taken + 1}
	b, err := pgserver.StartOn(t.Context(), pgserver.Config{}, func() int {
		next := ports[0]
		ports = ports[1:]
		return next
	})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, a, "CREATE TABLE only_a ()")
	if got := ask(t, b, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_a'"); got != "0" {
		t.Errorf("tables of a in b = %s; want 0", got)
	}
	if err := errors.Join(b.Halt(t.Context(), pgserver.Immediate), b.Stop()); err != nil {
		t.Errorf("Halt and Stop = %v; want nil", err)
	}
}

// A server that does not start leaves nothing, not even where its user may not
// remove the directory.
func TestErrorSaysWhatTheServerSaid(t *testing.T) {
	needServer(t)
	temp := openTemp(t)
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	c := pgserver.Config{Settings: map[string]string{"no_such_setting": "1"}}
	tries := 0
	s, err := pgserver.StartOn(t.Context(), c, func() int {
		tries++
		return 20_000
	})
	const want = `unrecognized configuration parameter "no_such_setting"`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Start() = %v, %v; want an error with %s", s, err, want)
	}
	if tries != 1 {
		t.Errorf("Start tried %d ports; want 1, for the port was free", tries)
	}
	checkEmpty(t, temp)
}

// The context ends while the database cluster is made.
func TestEndedContext(t *testing.T) {
	needServer(t)
	temp := openTemp(t)
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pgserver.Start(ctx, pgserver.Config{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start with an ended context = %v; want context.DeadlineExceeded", err)
	}
	checkEmpty(t, temp)
}

// openTemp returns an empty directory where every user may put files, as in /tmp.
func openTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777|fs.ModeSticky))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
