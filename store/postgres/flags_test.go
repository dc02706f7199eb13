package postgres_test

import "flag"

// Flags of the tests of this package, as in
//
//	go test . -run TestKilledDispatchers -hooks.long -v
var long = flag.Bool("hooks.long", false, "run the long forms of the tests that have one")
