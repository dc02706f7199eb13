package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// What processes tell the one that has started them, in lines of their output:
// one of these words, or the status of a delivery after an attempt; an event; a
// subscriber; an ordering key.
const (
	ready     = "ready"
	published = "published"
	started   = "started"
)

// tell is one write, and so arrives whole, and even if a kill follows.
func tell(words ...string) { fmt.Println(strings.Join(words, " ")) }

// A process is another run of this program, with a role.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when it has ended and all was heard
	err   error         // how it ended
}

// start starts a process. What it tells is heard by a goroutine of its own.
func start(name string, at place, hear func(words []string), args ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), at.environ()...)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			hear(strings.Split(lines.Text(), " "))
		}
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// kill ends it as a crash does: it can finish nothing and tell nobody.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// terminate tells it to finish what it has begun, as a deployment does.
func (p *process) terminate() {
	p.cmd.Process.Signal(syscall.SIGTERM) // on Windows the end of its input says the same
	p.stdin.Close()
}

// wait returns when it has ended, at the latest after a time.
func (p *process) wait(longest time.Duration) error {
	select {
	case <-p.ended:
	case <-time.After(longest):
		p.kill()
		return fmt.Errorf("%s did not stop within %v", p.name, longest)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// over reports whether it has ended.
func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
