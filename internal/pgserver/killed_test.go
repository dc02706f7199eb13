package pgserver_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"example.com/hooks/internal/pgserver"
)

// The tests run themselves as a child process, which finds this set and starts
// a server.
const childEnv = "HOOKS_TEST_PGSERVER_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	os.Exit(m.Run())
}

// child starts a server, tells so, and waits for its death. What it starts
// inherits the pipe, its descriptor 3.
func child() {
	if _, err := pgserver.Start(context.Background(), pgserver.Config{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.NewFile(3, "pipe"), "running")
	select {}
}

// Whenever the process that started a server is killed, nothing is left of it.
func TestNothingOutlivesTheOwner(t *testing.T) {
	needServer(t)
	t.Parallel()
	for stage, within := range map[string]time.Duration{
		"initdb":  30 * time.Second,
		"pg_ctl":  30 * time.Second,
		"running": 10 * time.Second, // Less than a server lives without its files.
	} {
		t.Run(stage, func(t *testing.T) {
			if testing.Short() && stage != "running" {
				t.Skip("starts another server")
			}
			t.Parallel()
			temp := openTemp(t)
			owner, pipe := startChild(t, "PATH="+announce(t, stage), "TMPDIR="+temp)
			said := make([]byte, len(stage))
			if _, err := io.ReadFull(pipe, said); string(said) != stage {
				t.Fatalf("the child says %q, %v; want %s", said, err, stage)
			}
			if err := owner.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			// The pipe ends with the last process that has inherited it.
			pipe.SetReadDeadline(time.Now().Add(within))
			if _, err := io.Copy(io.Discard, pipe); err != nil {
				t.Errorf("the pipe after the owner's death: %v; want its end", err)
			}
			checkEmpty(t, temp)
		})
	}
}

// announce returns a directory for PATH where a program, if it is the stage,
// says so in the pipe before it does its work.
func announce(t *testing.T, stage string) (dir string) {
	t.Helper()
	initdb, pgctl, err := pgserver.Find(pgserver.Debian)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, path := range map[string]string{"initdb": initdb, "pg_ctl": pgctl} {
		script := "#!/bin/sh\n"
		if name == stage {
			script += "echo " + name + " >&3\n"
		}
		script += "exec " + path + ` "$@"` + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startChild starts a child and returns the pipe that its descendants inherit.
func startChild(t *testing.T, environ ...string) (*exec.Cmd, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.SetReadDeadline(time.Now().Add(time.Minute))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"=1"), environ...)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, r
}
