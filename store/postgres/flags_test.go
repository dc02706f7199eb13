package postgres_test

import "example.com/hooks/internal/kit"

// Flags of the tests of this package, as in
//
//	go test . -run TestKilledDispatchers -hooks.long -v
var long = kit.Long
