//go:build race

package hooks_test

// raceDetector: everything takes several times as long.
const raceDetector = true
