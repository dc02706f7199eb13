package pgserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed pooler.sh
var poolerScript string

// ErrNoPooler is the error of [StartPooler] if there is no PgBouncer on this machine.
var ErrNoPooler = errors.New("there is no PgBouncer on this machine: install it (Debian: apt install pgbouncer)")

// A PoolerConfig says what pooler to start.
type PoolerConfig struct {
	// Host and Port are the server's. All connections to it are made with User and
	// Password. Any client may connect to the pooler, as any user.
	Host           string
	Port           uint16
	User, Password string
}

// A Pooler is a running PgBouncer, in transaction mode, for all databases of a
// server. It lives no longer than the process that started it.
type Pooler struct {
	// Port is where it listens, on 127.0.0.1.
	Port uint16

	dir   string
	shell *exec.Cmd
	input io.Closer
}

// StartPooler starts PgBouncer, which it looks for on the PATH and in /usr/sbin, and
// returns when it accepts connections. The error is [ErrNoPooler] if it is not there.
// A pooler that runs does not depend on ctx.
func StartPooler(ctx context.Context, c PoolerConfig) (*Pooler, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer") // not on everybody's PATH
	}
	if err != nil {
		return nil, ErrNoPooler
	}
	dir, err := os.MkdirTemp("", "pooler-")
	if err != nil {
		return nil, fmt.Errorf("pgserver: pooler: %w", err)
	}
	p := &Pooler{Port: uint16(anyPort()), dir: dir}
	if err := p.start(ctx, program, c); err != nil {
		return nil, errors.Join(fmt.Errorf("pgserver: pooler: %w", err), p.Stop(), os.RemoveAll(dir))
	}
	return p, nil
}

func (p *Pooler) start(ctx context.Context, program string, c PoolerConfig) error {
	if err := os.WriteFile(filepath.Join(p.dir, "pgbouncer.ini"), p.settings(c), 0o644); err != nil {
		return err
	}
	shell := exec.Command("/bin/sh", "-c", poolerScript, "pooler", program, p.dir)
	shell.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	shell.Dir = "/"
	if err := confine(shell, p.dir); err != nil {
		return err
	}
	input, err := shell.StdinPipe()
	if err != nil {
		return err
	}
	if err := shell.Start(); err != nil {
		return err
	}
	p.shell, p.input = shell, input
	return p.await(ctx)
}

// settings returns the content of PgBouncer's file.
func (p *Pooler) settings(c PoolerConfig) []byte {
	server := fmt.Sprintf("* = host=%s port=%d user=%s", c.Host, c.Port, c.User)
	if c.Password != "" {
		server += " password='" + strings.ReplaceAll(c.Password, "'", "''") + "'"
	}
	lines := []string{
		"[databases]",
		server,
		"[pgbouncer]",
		"auth_type = any",
		"listen_addr = 127.0.0.1",
		"listen_port = " + strconv.Itoa(int(p.Port)),
		"max_client_conn = 1000",
		"pool_mode = transaction",
		"unix_socket_dir = ",
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// await returns when the pooler accepts connections.
func (p *Pooler) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := net.Dial("tcp", address(int(p.Port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("%w: %w: %s", ctx.Err(), err, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the pooler, without waiting for its clients, and removes its directory.
func (p *Pooler) Stop() error {
	if p.shell == nil {
		return nil
	}
	p.input.Close()
	if err := p.shell.Wait(); err != nil {
		return fmt.Errorf("pgserver: stop the pooler: %w", err)
	}
	return os.RemoveAll(p.dir) // if its parent belongs to another user
}
