//go:build unix

package sqlite

import (
	"errors"
	"os"
	"syscall"

	"example.com/hooks"
)

// lockFile locks the file called name, which it creates if need be, until it
// is closed.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, hooks.ErrLocked
	}
	return nil, &os.PathError{Op: "flock", Path: name, Err: err}
}
