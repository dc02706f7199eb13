package main

import (
	"os"
)

func Example() {
	dir, err := os.MkdirTemp("", "embed")
	check(err)
	defer os.RemoveAll(dir)
	check(os.Chdir(dir)) // where embed.db goes

	main()

	// Output:
	// published: 1 delivery to make
	// delivered: receipt for invoice R-1001
}
