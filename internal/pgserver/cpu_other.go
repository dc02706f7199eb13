//go:build !linux

package pgserver

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

func cpuTime(string) (time.Duration, error) {
	return 0, fmt.Errorf("processor time on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
