//go:build !unix

package main

import "time"

// processTime returns zero: it cannot be had.
func processTime() (time.Duration, error) { return 0, nil }
