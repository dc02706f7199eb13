// Package systemtest holds the tests of promises that no single part keeps alone: crashes,
// fleets, faults of the store and of the application's code, endpoints that hang, clocks,
// secrets, and a simulation of all of them. Each test uses the library as an application
// does. The directory hostile is about receivers that do their worst.
//
//	go test ./internal/systemtest/...
//	go test ./internal/systemtest -run 'Crash|Simulation' -hooks.long -timeout 3h
//	go test ./internal/systemtest -run Simulation -hooks.seed 17
//
// The benchmarks of the library are here, too.
package systemtest
