//go:build !unix

package pgserver

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
)

func confine(*exec.Cmd, string) error {
	return fmt.Errorf("private servers on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
