//go:build !linux

package sqlite

// networkFileSystem returns nothing: only on Linux it is known what a file
// lies on.
func networkFileSystem(string) string { return "" }
