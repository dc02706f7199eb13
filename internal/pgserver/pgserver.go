// Package pgserver starts private PostgreSQL servers for the project's tests,
// examples and benchmarks.
//
//	server, err := pgserver.Start(ctx, pgserver.Config{})
//	if err != nil {
//		return err
//	}
//	defer server.Stop()
//	db, err := pgxpool.New(ctx, server.URL("postgres"))
//
// A server listens on 127.0.0.1 only, has its data in a temporary directory,
// and lives no longer than the process that started it: it is stopped and its
// directory removed even if that process is killed. A process of root runs it
// as the user postgres, or nobody if there is none, for PostgreSQL refuses to
// run as root.
//
// It needs a Unix system, and initdb and pg_ctl of PostgreSQL 15 or later: those
// on the PATH, else the latest in /usr/lib/postgresql, where Debian has them.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Config says what server to start. The zero value is a server for tests.
type Config struct {
	// Durable makes the server survive a power cut, as one in production
	// does: for benchmarks. If false, fsync and full_page_writes are off,
	// and what is committed survives a crash of the server but not of the
	// machine.
	Durable bool

	// Settings are further lines of postgresql.conf, by name; they override
	// the package's own. Values need no quotes. Nil means none.
	Settings map[string]string
}

// A Mode says how Halt and Restart stop a server. It has no usable zero value.
type Mode string

const (
	// Fast rolls open transactions back, tells the clients, and writes
	// everything to its place: the orderly way.
	Fast Mode = "fast"

	// Immediate ends all processes of the server at once, as a crash does;
	// the next start recovers from the log. What was committed survives.
	Immediate Mode = "immediate"
)

// A Server is a running PostgreSQL server. Its methods may be called from
// several goroutines at once; Halt, Resume and Restart take their turns.
type Server struct {
	keeper *keeper
	port   int
}

// Start starts a server with one superuser, hooks, who needs no password, the
// encoding UTF8, the locale C and the time zone UTC. It takes about two seconds,
// most of them to create the database cluster.
//
// The error is [ErrNotInstalled] if PostgreSQL is not there; if the server does
// not start, it ends with what the server said. If ctx ends first, Start clears
// away what it has begun and returns the error of ctx. A server that runs does
// not depend on ctx.
func Start(ctx context.Context, c Config) (*Server, error) {
	return start(ctx, c, anyPort)
}

// Use returns the URL of the database that is named, or, if none is, of one on a
// server of our own for tests. The server lives until stop is called, which does
// nothing to a database that was named. Errors are those of [Start].
func Use(ctx context.Context, named string) (url string, stop func() error, err error) {
	if named != "" {
		return named, func() error { return nil }, nil
	}
	s, err := Start(ctx, Config{})
	if err != nil {
		return "", nil, err
	}
	return s.URL("postgres"), s.Stop, nil
}

// start is Start with its choice of ports.
func start(ctx context.Context, c Config, nextPort func() int) (*Server, error) {
	found, err := find(debian)
	if err != nil {
		return nil, err
	}
	k, err := newKeeper(found)
	if err != nil {
		return nil, fmt.Errorf("pgserver: start: %w", err)
	}
	s := &Server{keeper: k}
	if err := s.create(ctx, c, nextPort); err != nil {
		return nil, errors.Join(fmt.Errorf("pgserver: start: %w", err), s.Stop())
	}
	return s, nil
}

// create creates the database cluster and starts the server for the first time.
func (s *Server) create(ctx context.Context, c Config, nextPort func() int) error {
	if err := s.keeper.run(ctx, "init"); err != nil {
		return err
	}
	if err := s.configure(c); err != nil {
		return err
	}
	var err error
	for range 5 {
		s.port = nextPort()
		err = s.resume(ctx)
		if err == nil || ctx.Err() != nil || isFree(s.port) {
			break
		}
	}
	return err
}

// configure appends to the settings that initdb wrote: the last of several
// lines for one setting counts.
func (s *Server) configure(c Config) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"max_connections":         "300",
		"shared_buffers":          "256MB",
	}
	if !c.Durable {
		settings["shared_buffers"] = "128MB"
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, c.Settings)
	quote := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&lines, "%s = '%s'\n", name, quote.Replace(settings[name]))
	}
	file, err := os.OpenFile(s.data("postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(lines.String())
	return errors.Join(err, file.Close())
}

// data returns the path of a file in the server's data directory.
func (s *Server) data(name string) string {
	return filepath.Join(s.keeper.dir, "data", name)
}

// anyPort returns a port below those that systems give to whoever asks for any
// port, so that nobody gets it by chance while the server is halted.
func anyPort() int {
	return 20_000 + rand.IntN(12_000)
}

// isFree reports whether nothing listens on the port.
func isFree(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// URL returns the connection URL of a database, in the form
// postgres://hooks@127.0.0.1:PORT/DATABASE?sslmode=disable. The database
// "postgres" is there from the start. The URL stays the same when the server is
// restarted.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User("hooks"),
		Host:     address(s.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Halt stops the server until [Server.Resume]: its port refuses connections
// meanwhile. Halting a halted server is an error. If ctx ends first, Halt
// returns its error and the halt goes on.
func (s *Server) Halt(ctx context.Context, mode Mode) error {
	if err := s.keeper.run(ctx, "halt "+string(mode)); err != nil {
		return fmt.Errorf("pgserver: halt: %w", err)
	}
	return nil
}

// Resume starts a halted server again, on its port and with its data, and
// returns when it accepts connections. Resuming a running server is an error. If
// ctx ends first, Resume returns its error and the start goes on.
func (s *Server) Resume(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return fmt.Errorf("pgserver: resume: %w", err)
	}
	return nil
}

func (s *Server) resume(ctx context.Context) error {
	return s.keeper.run(ctx, fmt.Sprintf("start %d", s.port))
}

// Restart is Halt and Resume.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.Halt(ctx, mode); err != nil {
		return err
	}
	return s.Resume(ctx)
}

// Stop ends the server for good, without waiting for its clients, and removes
// its directory. Calls after the first return what that returned.
func (s *Server) Stop() error {
	if err := s.keeper.end(); err != nil {
		return fmt.Errorf("pgserver: stop: %w", err)
	}
	return nil
}
