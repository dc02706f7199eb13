//go:build !linux

package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// serverTime returns an error that is [errors.ErrUnsupported].
func serverTime(string) (time.Duration, error) {
	return 0, fmt.Errorf("processor time of a server on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
