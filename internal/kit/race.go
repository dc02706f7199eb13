//go:build race

package kit

// RaceDetector reports that the tests run with the race detector, under which
// everything takes several times as long.
const RaceDetector = true
