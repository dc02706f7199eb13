package hooks_test

import "flag"

// Flags of the tests of this package, as in
//
//	go test . -run TestSimulation -hooks.seed 17
//	go test . -run 'TestSimulation|TestCrash' -hooks.long -timeout 2h
var (
	long = flag.Bool("hooks.long", false, "run the long forms of the tests that have one")
	seed = flag.Uint64("hooks.seed", 0, "run the simulation of this seed only, and log what it does")
)
