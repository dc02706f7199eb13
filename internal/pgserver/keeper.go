package pgserver

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed keeper.sh
var keeperScript string

// A keeper is a shell, running keeper.sh, that does all that is done to one
// server. It outlives this process if that is killed, and then sees the end of
// its input: only this process has the other end of that pipe.
type keeper struct {
	dir      string // absolute; for this server only
	log      *os.File
	shell    *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Reader
	turn     chan struct{} // holds a value while a command runs
	end      func() error  // finish, once
}

func newKeeper(p programs) (*keeper, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(temp, "pgserver-")
	if err != nil {
		return nil, err
	}
	k := &keeper{dir: dir, turn: make(chan struct{}, 1)}
	k.end = sync.OnceValue(k.finish)
	if err := k.begin(p); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return k, nil
}

// begin starts the shell.
func (k *keeper) begin(p programs) (err error) {
	flags := os.O_CREATE | os.O_RDWR | os.O_APPEND
	if k.log, err = os.OpenFile(filepath.Join(k.dir, "log"), flags, 0o600); err != nil {
		return err
	}
	k.shell = exec.Command("/bin/sh", "-c", keeperScript, "keeper", p.initdb, p.pgctl, k.dir)
	// Nothing of this process's environment: PGPORT and its like would change
	// the server.
	k.shell.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	k.shell.Dir = "/"
	k.shell.Stderr = k.log
	if err := confine(k.shell, k.dir); err != nil {
		return err
	}
	if k.commands, err = k.shell.StdinPipe(); err != nil {
		return err
	}
	answers, err := k.shell.StdoutPipe()
	if err != nil {
		return err
	}
	k.answers = bufio.NewReader(answers)
	return k.shell.Start()
}

// run has the shell run a command of keeper.sh, after those that run already.
// If ctx ends first, a command that has begun goes on.
func (k *keeper) run(ctx context.Context, command string) error {
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() { // finish waits for it: it has the turn.
		done <- k.exchange(command)
		<-k.turn
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exchange sends a command and reads its answer.
func (k *keeper) exchange(command string) error {
	before := k.logged()
	if _, err := fmt.Fprintln(k.commands, command); err != nil {
		return fmt.Errorf("%s: the server has been stopped: %w", command, err)
	}
	status, err := k.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: the keeper has ended: %w%s", command, err, k.output(before))
	}
	if status = strings.TrimSpace(status); status != "0" {
		return fmt.Errorf("%s: exit status %s%s", command, status, k.output(before))
	}
	return nil
}

// finish has the shell stop the server, and removes what that leaves: the
// directory itself, if its parent belongs to another user.
func (k *keeper) finish() error {
	before := k.logged()
	k.commands.Close()
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	err := k.shell.Wait()
	if err != nil {
		err = fmt.Errorf("keeper: %w%s", err, k.output(before))
	}
	return errors.Join(err, os.RemoveAll(k.dir), k.log.Close())
}

// logged returns the size of the log.
func (k *keeper) logged() int64 {
	info, err := k.log.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// output returns, for the end of an error's text, the last of what the log says
// after an offset.
func (k *keeper) output(from int64) string {
	const most = 4 << 10
	from = max(from, k.logged()-most)
	text, err := io.ReadAll(io.NewSectionReader(k.log, from, most))
	if err != nil {
		return fmt.Sprintf(" (its log is unreadable: %v)", err)
	}
	return ":\n" + strings.TrimSpace(string(text))
}
