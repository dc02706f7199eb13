//go:build race

package storetest

// race: under the race detector some stores are thirty times slower.
const race = true
