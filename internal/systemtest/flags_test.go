package systemtest_test

import "flag"

// seed chooses a simulation, as in
//
//	go test -run Simulation -hooks.seed 17 ./internal/systemtest
var seed = flag.Uint64("hooks.seed", 0, "run the simulation of this seed only, and log what it does")
