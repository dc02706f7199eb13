package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of times in /proc, because USER_HZ is 100 on every architecture that
// Go knows.
const tick = 10 * time.Millisecond

// A process is what /proc/PID/stat tells; see proc_pid_stat(5).
type process struct {
	parent string
	own    time.Duration // user and system
	reaped time.Duration // of its children that have ended
}

// serverTime returns the processor time, user and system, of a PostgreSQL server since
// it started, in steps of 10 ms. Its processes are all children of the first one, the
// postmaster. Those that have ended count, too.
func serverTime(postmaster string) (time.Duration, error) {
	for {
		before, errBefore := readProcess(postmaster)
		children, errChildren := living(postmaster)
		after, errAfter := readProcess(postmaster)
		if err := errors.Join(errBefore, errChildren, errAfter); err != nil {
			return 0, err
		}
		// If a child has ended meanwhile, it may have been counted twice or not at all.
		if before.reaped == after.reaped {
			return after.own + after.reaped + children, nil
		}
	}
}

// living returns the time of the children that have not been reaped.
func living(parent string) (sum time.Duration, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		p, err := readProcess(filepath.Base(filepath.Dir(path)))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
			// The process has ended since.
		case err != nil:
			return 0, err
		case p.parent == parent:
			sum += p.own + p.reaped
		}
	}
	return sum, nil
}

func readProcess(pid string) (process, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return process{}, err
	}
	// The second field, the name in parentheses, may contain both spaces
	// and parentheses; what follows does not.
	end := bytes.LastIndexByte(stat, ')')
	f := strings.Fields(string(stat[end+1:])) // f[0] is field 3.
	if len(f) < 15 {
		return process{}, fmt.Errorf("/proc/%s/stat: too few fields in %q", pid, stat)
	}
	own, errOwn := ticks(f[11], f[12])
	reaped, errReaped := ticks(f[13], f[14])
	return process{parent: f[1], own: own, reaped: reaped}, errors.Join(errOwn, errReaped)
}

func ticks(user, system string) (time.Duration, error) {
	u, errUser := strconv.Atoi(user)
	s, errSystem := strconv.Atoi(system)
	return time.Duration(u+s) * tick, errors.Join(errUser, errSystem)
}
